//! What a GA session object may contain, field by field.

use super::shape::{Field, Shape, may, must};

pub const VOICES: &[&str] = &["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];
const MODELS: &[&str] = &[
    "gpt-realtime",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
];
const TRANSCRIBERS: &[&str] = &[
    "whisper-1",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-realtime-whisper",
];

const FORMAT: Shape =
    Shape::Tagged(&[("audio/pcm", &[must("rate", Shape::Integer(24_000, 24_000))]), ("audio/pcmu", &[]), ("audio/pcma", &[])]);
const VOICE: Shape = Shape::Either(&[Shape::Object(&[must("id", Shape::Text)]), Shape::OneOf(VOICES)]);
const TRANSCRIPTION: Shape = Shape::Nullable(&Shape::Object(&[
    may("model", Shape::OneOf(TRANSCRIBERS)),
    may("language", Shape::Nullable(&Shape::Text)),
    may("languages", Shape::List(&Shape::Text)),
    may("keywords", Shape::List(&Shape::Text)),
    may("prompt", Shape::Nullable(&Shape::Text)),
    may("delay", Shape::OneOf(&["minimal", "low", "medium", "high", "xhigh"])),
]));
const TURN_DETECTION: Shape = Shape::Nullable(&Shape::Tagged(&[
    (
        "server_vad",
        &[
            may("threshold", Shape::Number(0.0, 1.0)),
            may("prefix_padding_ms", Shape::Integer(0, 10_000)),
            may("silence_duration_ms", Shape::Integer(0, 60_000)),
            may("create_response", Shape::Bool),
            may("interrupt_response", Shape::Bool),
            may("idle_timeout_ms", Shape::Nullable(&Shape::Integer(5_000, 30_000))),
        ],
    ),
    (
        "semantic_vad",
        &[
            may("eagerness", Shape::OneOf(&["low", "medium", "high", "auto"])),
            may("create_response", Shape::Bool),
            may("interrupt_response", Shape::Bool),
        ],
    ),
]));
pub const TOOLS: Shape = Shape::List(&Shape::Tagged(&[
    (
        "function",
        &[must("name", Shape::TextUpTo(64)), may("description", Shape::Nullable(&Shape::Text)), may("parameters", Shape::Map)],
    ),
    (
        "mcp",
        &[
            must("server_label", Shape::Text),
            may("server_url", Shape::Text),
            may("connector_id", Shape::Text),
            may("authorization", Shape::Text),
            may("server_description", Shape::Text),
            may("headers", Shape::Nullable(&Shape::Map)),
            may("allowed_tools", Shape::Any),
            may("require_approval", Shape::Any),
        ],
    ),
]));
pub const TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Tagged(&[
        ("function", &[must("name", Shape::Text)]),
        ("mcp", &[must("server_label", Shape::Text), may("name", Shape::Nullable(&Shape::Text))]),
    ]),
    Shape::OneOf(&["none", "auto", "required"]),
]);
pub const OUTPUT_TOKENS: Shape = Shape::Either(&[Shape::OneOf(&["inf"]), Shape::Integer(1, 32_000)]);
pub const REASONING: Shape = Shape::Object(&[may("effort", Shape::OneOf(&["minimal", "low", "medium", "high", "xhigh"]))]);
pub const MODALITIES: Shape = Shape::List(&Shape::OneOf(&["text", "audio"]));
pub const AUDIO_OUTPUT: Shape =
    Shape::Object(&[may("format", FORMAT), may("voice", VOICE), may("speed", Shape::Number(0.25, 1.5))]);
pub const PROMPT: Shape = Shape::Nullable(&Shape::Object(&[
    must("id", Shape::Text),
    may("version", Shape::Nullable(&Shape::Text)),
    may("variables", Shape::Nullable(&Shape::Map)),
]));

pub const FIELDS: &[Field] = &[
    must("type", Shape::OneOf(&["realtime"])),
    may("model", Shape::OneOf(MODELS)),
    may("instructions", Shape::Text),
    may("output_modalities", MODALITIES),
    may(
        "audio",
        Shape::Object(&[
            may(
                "input",
                Shape::Object(&[
                    may("format", FORMAT),
                    may("transcription", TRANSCRIPTION),
                    may(
                        "noise_reduction",
                        Shape::Nullable(&Shape::Object(&[
                            must("type", Shape::OneOf(&["near_field", "far_field"])),
                            may("strength", Shape::Number(0.0, 1.0)),
                        ])),
                    ),
                    may("turn_detection", TURN_DETECTION),
                ]),
            ),
            may("output", AUDIO_OUTPUT),
        ]),
    ),
    may("include", Shape::Nullable(&Shape::List(&Shape::OneOf(&["item.input_audio_transcription.logprobs"])))),
    may(
        "tracing",
        Shape::Nullable(&Shape::Either(&[
            Shape::Object(&[may("workflow_name", Shape::Text), may("group_id", Shape::Text), may("metadata", Shape::Map)]),
            Shape::OneOf(&["auto"]),
        ])),
    ),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", Shape::Bool),
    may("reasoning", REASONING),
    may("max_output_tokens", OUTPUT_TOKENS),
    may(
        "truncation",
        Shape::Either(&[
            Shape::Tagged(&[(
                "retention_ratio",
                &[
                    must("retention_ratio", Shape::Number(0.0, 1.0)),
                    may("token_limits", Shape::Object(&[may("post_instructions", Shape::Integer(0, 1_000_000))])),
                ],
            )]),
            Shape::OneOf(&["auto", "disabled"]),
        ]),
    ),
    may("prompt", PROMPT),
];

//! The Responses API, as far as a summary needs it: one synchronous request with a strict
//! JSON schema, answered from the words that the request itself contains.

mod schema;
mod summary;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::OpenAi;
use super::http_api::{authenticate, content_type, finish, is_text_model, model_not_found, parse, refuse};
use super::problem::Problem;
use super::shape::{Field, Shape, may, must};
use crate::faults::NamedFault;
use crate::util::{now, random_hex};

pub(super) fn routes() -> Router<OpenAi> {
    Router::new().route("/v1/responses", post(create))
}

const NULL_TEXT: Shape = Shape::Nullable(&Shape::Text);
const FORMAT: Shape = Shape::Tagged(&[
    ("text", &[]),
    ("json_object", &[]),
    (
        "json_schema",
        &[
            must("name", Shape::TextUpTo(64)),
            must("schema", Shape::Map),
            may("strict", Shape::Nullable(&Shape::Bool)),
            may("description", Shape::Text),
        ],
    ),
]);
const CONTENT: Shape = Shape::List(&Shape::Tagged(&[
    ("input_text", &[must("text", Shape::Text), may("prompt_cache_breakpoint", Shape::Any)]),
    ("output_text", &[must("text", Shape::Text), may("annotations", Shape::Any), may("logprobs", Shape::Any)]),
]));
const INPUT: Shape = Shape::List(&Shape::Object(&[
    may("type", Shape::OneOf(&["message"])),
    may("id", Shape::Text),
    may("status", Shape::Text),
    may("phase", Shape::Nullable(&Shape::OneOf(&["commentary", "final_answer"]))),
    must("role", Shape::OneOf(&["user", "assistant", "system", "developer"])),
    must("content", Shape::Either(&[Shape::Text, CONTENT])),
]));
const FIELDS: &[Field] = &[
    must("model", Shape::Text),
    may("input", Shape::Either(&[Shape::Text, INPUT])),
    may("instructions", NULL_TEXT),
    may("max_output_tokens", Shape::Nullable(&Shape::Integer(16, 1_000_000))),
    may("metadata", Shape::Nullable(&Shape::Map)),
    may(
        "reasoning",
        Shape::Nullable(&Shape::Object(&[
            may("effort", Shape::Nullable(&Shape::OneOf(&["none", "minimal", "low", "medium", "high", "xhigh"]))),
            may("summary", Shape::Nullable(&Shape::OneOf(&["auto", "concise", "detailed"]))),
        ])),
    ),
    may(
        "text",
        Shape::Object(&[may("format", FORMAT), may("verbosity", Shape::Nullable(&Shape::OneOf(&["low", "medium", "high"])))]),
    ),
    may("store", Shape::Nullable(&Shape::Bool)),
    may("stream", Shape::Nullable(&Shape::Bool)),
    may("stream_options", Shape::Any),
    may("background", Shape::Nullable(&Shape::Bool)),
    may("safety_identifier", Shape::Nullable(&Shape::TextUpTo(64))),
    may("prompt_cache_key", Shape::Nullable(&Shape::TextUpTo(64))),
    may("prompt_cache_retention", Shape::Nullable(&Shape::OneOf(&["in_memory", "24h"]))),
    may("prompt_cache_options", Shape::Any),
    may("user", Shape::Text),
    may("service_tier", Shape::Nullable(&Shape::OneOf(&["auto", "default", "flex", "scale", "priority"]))),
    may("truncation", Shape::Nullable(&Shape::OneOf(&["auto", "disabled"]))),
    may("temperature", Shape::Nullable(&Shape::Number(0.0, 2.0))),
    may("top_p", Shape::Nullable(&Shape::Number(0.0, 1.0))),
    may("top_logprobs", Shape::Nullable(&Shape::Integer(0, 20))),
    may("include", Shape::Nullable(&Shape::List(&Shape::Text))),
    may("parallel_tool_calls", Shape::Nullable(&Shape::Bool)),
    may("previous_response_id", NULL_TEXT),
    may("conversation", Shape::Any),
    may("context_management", Shape::Any),
    may("moderation", Shape::Any),
    may("prompt", Shape::Any),
    may("tools", Shape::List(&Shape::Map)),
    may("tool_choice", Shape::Any),
    may("max_tool_calls", Shape::Nullable(&Shape::Integer(1, 1_000))),
];

async fn create(State(openai): State<OpenAi>, fault: Option<Extension<NamedFault>>, headers: HeaderMap, body: Bytes) -> Response {
    let checked = (|| {
        authenticate(&openai, &headers)?;
        if content_type(&headers) != "application/json" {
            let message = "Unsupported content type. This API method only accepts 'application/json' requests.";
            return Err(Problem::invalid("unsupported_content_type", message));
        }
        let request = parse(&body)?;
        check(&request)?;
        Ok(request)
    })();
    match checked {
        Ok(request) => {
            let fault = fault.map(|Extension(NamedFault(name))| name);
            finish(Json(answer(&request, fault.as_deref())).into_response())
        }
        Err(problem) => refuse(&openai, "POST /v1/responses", problem),
    }
}

fn check(request: &Value) -> Result<(), Problem> {
    Shape::Object(FIELDS).check("", request)?;
    let model = request["model"].as_str().unwrap_or_default();
    if !is_text_model(model) {
        return Err(model_not_found(model));
    }
    if request["input"].is_null() {
        let message = "Missing required parameter: 'input'.";
        return Err(Problem::invalid("missing_required_parameter", message).at("input"));
    }
    for unsupported in ["temperature", "top_p", "top_logprobs"] {
        if !request[unsupported].is_null() {
            let message = format!("Unsupported parameter: '{unsupported}' is not supported with this model.");
            return Err(Problem::invalid("unsupported_parameter", message).at(unsupported));
        }
    }
    for not_here in ["stream", "background"] {
        if request[not_here] == true {
            let message = format!("This stand-in only serves synchronous responses: '{not_here}' must be false.");
            return Err(Problem::invalid("unsupported_parameter", message).at(not_here));
        }
    }
    check_metadata(&request["metadata"])?;
    let format = &request["text"]["format"];
    if format["type"] == "json_schema" {
        schema::check_name(format["name"].as_str().unwrap_or_default())?;
        if format["strict"] == true {
            schema::check_strict(format)?;
        }
    }
    Ok(())
}

fn check_metadata(metadata: &Value) -> Result<(), Problem> {
    let Some(map) = metadata.as_object() else { return Ok(()) };
    if map.len() > 16 {
        let message = "Invalid 'metadata': too many properties. Expected an object with at most 16 properties.";
        return Err(Problem::invalid("object_above_max_properties", message).at("metadata"));
    }
    for (name, value) in map {
        Shape::TextUpTo(64).check("metadata", &name.as_str().into())?;
        Shape::TextUpTo(512).check(&format!("metadata.{name}"), value)?;
    }
    Ok(())
}

fn answer(request: &Value, fault: Option<&str>) -> Value {
    let format = &request["text"]["format"];
    let mut text = if format["type"] == "json_schema" {
        summary::compose(request, &format["schema"], fault == Some("forged_quote")).to_string()
    } else {
        "This is a scripted answer of the sandbox.".to_owned()
    };
    match fault {
        Some("garbage_text") => text = String::from("I am sorry, here is the summary: {"),
        Some("incomplete") => text.truncate(text.floor_char_boundary(text.len() / 2)),
        _ => {}
    }
    let content = match fault {
        Some("refusal") => json!([{ "type": "refusal", "refusal": "I'm sorry, but I can't help with that." }]),
        _ => json!([{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }]),
    };
    let (status, error, incomplete) = match fault {
        Some("incomplete") => ("incomplete", Value::Null, json!({ "reason": "max_output_tokens" })),
        Some("failed") => ("failed", json!({ "code": "server_error", "message": "The model failed to answer." }), Value::Null),
        _ => ("completed", Value::Null, Value::Null),
    };
    let output = if status == "failed" {
        json!([])
    } else {
        json!([
            { "id": format!("rs_{}", random_hex::<24>()), "type": "reasoning", "summary": [] },
            {
                "id": format!("msg_{}", random_hex::<24>()),
                "type": "message",
                "status": status,
                "role": "assistant",
                "phase": "final_answer",
                "content": content,
            },
        ])
    };
    envelope(request, status, error, incomplete, output)
}

fn envelope(request: &Value, status: &str, error: Value, incomplete: Value, output: Value) -> Value {
    let input = request["input"].to_string().len() as u64 / 4 + request["instructions"].as_str().map_or(0, str::len) as u64 / 4;
    let written = output.to_string().len() as u64 / 4;
    let created = now().unix_timestamp();
    let effort = request["reasoning"]["effort"].as_str().unwrap_or("medium");
    let format = match &request["text"]["format"] {
        Value::Null => json!({ "type": "text" }),
        format => format.clone(),
    };
    json!({
        "id": format!("resp_{}", random_hex::<24>()),
        "object": "response",
        "created_at": created,
        "completed_at": if status == "completed" { created.into() } else { Value::Null },
        "status": status,
        "background": false,
        "error": error,
        "incomplete_details": incomplete,
        "instructions": request["instructions"],
        "max_output_tokens": request["max_output_tokens"],
        "max_tool_calls": null,
        "model": request["model"],
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "prompt_cache_key": request["prompt_cache_key"],
        "reasoning": { "effort": effort, "summary": null },
        "safety_identifier": request["safety_identifier"],
        "service_tier": "default",
        "store": request["store"].as_bool().unwrap_or(true),
        "temperature": 1.0,
        "text": { "format": format, "verbosity": "medium" },
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": input,
            "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
            "output_tokens": written + 64,
            "output_tokens_details": { "reasoning_tokens": 64 },
            "total_tokens": input + written + 64,
        },
        "user": null,
        "metadata": if request["metadata"].is_null() { json!({}) } else { request["metadata"].clone() },
    })
}

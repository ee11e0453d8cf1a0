//! OpenAI Realtime as an adapter of `domain::voice`.

use super::events::{ErrorMeaning, Item, ItemKind, ItemRole, ResponseStatus, ServerEvent, Usage};
use super::session_config::{
    AudioConfig, AudioInput, AudioOutput, Eagerness, Field, FunctionTool, Modality, NoiseReduction, SessionConfig, ToolChoice,
    Transcription, Truncation, TurnDetection,
};
use crate::domain::edge::Timestamp;
use crate::domain::instructions::{self, ToolText};
use crate::domain::language::Language;
use crate::domain::plan::TurnTaking;
use crate::domain::protocol::Microphone;
use crate::domain::voice::{ItemContent, Refusal, ReplyOutcome, Speaker, VoiceEvent};

/// Metadata of a reply that we ask for: why.
pub const PURPOSE: &str = "purpose";

const LOGPROBS: &str = "item.input_audio_transcription.logprobs";

/// What a call is configured with. Everything in it can be read by the candidate's browser.
#[derive(Clone, Debug)]
pub struct CallSetup<'a> {
    pub model: &'a str,
    pub transcription_model: &'a str,
    pub voice: &'a str,
    /// BCP 47; the transcription wants the two-letter code alone.
    pub language: &'a str,
    pub instructions: String,
    /// Of an interview with a plan: how long a pause ends a turn. Its tools are declared.
    pub plan: Option<TurnTaking>,
    pub microphone: Microphone,
}

impl CallSetup<'_> {
    pub fn session(&self) -> SessionConfig {
        SessionConfig {
            model: Some(self.model.to_owned()),
            instructions: Some(self.instructions.clone()),
            output_modalities: Some(vec![Modality::Audio]),
            audio: Some(AudioConfig {
                input: Some(AudioInput {
                    transcription: Field::Set(Transcription {
                        model: self.transcription_model.to_owned(),
                        language: Language::parse(self.language).and_then(|language| language.hint()).map(str::to_owned),
                        prompt: None,
                    }),
                    noise_reduction: Field::Set(match self.microphone {
                        Microphone::Near => NoiseReduction::NearField,
                        Microphone::Far => NoiseReduction::FarField,
                    }),
                    // Low eagerness does not cut a candidate who thinks.
                    turn_detection: Field::Set(TurnDetection::SemanticVad {
                        eagerness: match self.plan.unwrap_or_default() {
                            TurnTaking::Patient => Eagerness::Low,
                            TurnTaking::Normal => Eagerness::Medium,
                            TurnTaking::Brisk => Eagerness::High,
                        },
                        create_response: true,
                        interrupt_response: true,
                    }),
                }),
                output: Some(AudioOutput { voice: Some(self.voice.to_owned()), speed: None }),
            }),
            tools: Some(self.tools()),
            tool_choice: Some(ToolChoice::Auto),
            truncation: Some(Truncation::Auto),
            // How certain the transcription is: what it made up where nobody spoke is told by that, among others.
            include: Some(vec![LOGPROBS.to_owned()]),
            ..SessionConfig::default()
        }
    }

    fn tools(&self) -> Vec<FunctionTool> {
        let declared = |tool: ToolText| FunctionTool {
            name: tool.name.to_owned(),
            description: tool.description.to_owned(),
            parameters: tool.parameters,
        };
        instructions::tools(self.plan.is_some()).into_iter().map(declared).collect()
    }

    /// What an interview cannot do without, in words that each model knows: for a provider that refuses the whole.
    pub fn smaller_session(&self) -> SessionConfig {
        let whole = self.session();
        let input = AudioInput {
            transcription: Field::Set(Transcription { model: self.transcription_model.to_owned(), language: None, prompt: None }),
            noise_reduction: Field::Keep,
            // A longer silence than its default, which cuts a candidate who thinks.
            turn_detection: Field::Set(TurnDetection::ServerVad {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: 1_200,
                create_response: true,
                interrupt_response: true,
                idle_timeout_ms: None,
            }),
        };
        let audio = whole.audio.map(|audio| AudioConfig { input: Some(input), ..audio });
        SessionConfig { audio, tool_choice: None, truncation: None, include: None, ..whole }
    }
}

/// What a wire event means for the interview.
pub fn translate(event: &ServerEvent) -> Vec<VoiceEvent> {
    let one = |event| vec![event];
    match event {
        ServerEvent::SessionUpdated(updated) => {
            one(VoiceEvent::Ready { expires_at: updated.session.expires_at.and_then(Timestamp::of_unix) })
        }
        ServerEvent::ItemAdded(added) => one(VoiceEvent::ItemPlaced {
            item: added.item.id.clone(),
            previous: added.previous_item_id.clone(),
            content: content(&added.item),
        }),
        ServerEvent::InputCommitted(committed) => one(VoiceEvent::ItemPlaced {
            item: committed.item_id.clone(),
            previous: committed.previous_item_id.clone(),
            content: ItemContent::Committed,
        }),
        ServerEvent::ItemDeleted(deleted) => one(VoiceEvent::ItemDeleted { item: deleted.item_id.clone() }),
        ServerEvent::ItemTruncated(cut) => {
            one(VoiceEvent::ItemCut { item: cut.item_id.clone(), heard_ms: cut.audio_end_ms.unwrap_or(0) })
        }
        ServerEvent::SpeechStarted(speech) => {
            one(VoiceEvent::SpeechStarted { item: speech.item_id.clone(), start_ms: speech.audio_start_ms })
        }
        ServerEvent::SpeechStopped(speech) => {
            one(VoiceEvent::SpeechStopped { item: speech.item_id.clone(), end_ms: speech.audio_end_ms })
        }
        ServerEvent::InputTranscriptionDelta(words) => {
            one(VoiceEvent::CandidateWords { item: words.item_id.clone(), delta: words.delta.as_str().to_owned() })
        }
        ServerEvent::InputTranscriptionCompleted(words) => one(VoiceEvent::CandidateSettled {
            item: words.item_id.clone(),
            text: words.transcript.as_str().to_owned(),
            recognition: words.recognition(),
        }),
        ServerEvent::InputTranscriptionFailed(failed) => one(VoiceEvent::CandidateFailed { item: failed.item_id.clone() }),
        ServerEvent::ResponseCreated(created) => one(VoiceEvent::ReplyStarted {
            reply: created.response.id.clone(),
            in_conversation: created.response.in_conversation,
            purpose: created.response.metadata.as_ref().and_then(|metadata| metadata.get(PURPOSE).cloned()),
        }),
        ServerEvent::OutputItemAdded(output) => match (&output.response_id, output.item.kind) {
            (Some(reply), ItemKind::Message) => one(VoiceEvent::ReplyItem {
                reply: reply.clone(),
                item: output.item.id.clone(),
                commentary: output.item.is_commentary(),
            }),
            _ => vec![],
        },
        ServerEvent::OutputDelta(words) => {
            one(VoiceEvent::ReplyWords { item: words.item_id.clone(), delta: words.delta.as_str().to_owned() })
        }
        ServerEvent::OutputDone(words) => {
            one(VoiceEvent::ReplySettled { item: words.item_id.clone(), text: words.transcript.as_str().to_owned() })
        }
        ServerEvent::FunctionCallDone(call) => one(VoiceEvent::ToolCalled {
            reply: call.response_id.clone(),
            call: call.call_id.clone(),
            name: call.name.clone().unwrap_or_default(),
            arguments: call.arguments.as_str().to_owned(),
        }),
        ServerEvent::ResponseDone(done) => one(VoiceEvent::ReplyDone {
            reply: done.response.id.clone(),
            outcome: match done.response.status {
                ResponseStatus::Completed => ReplyOutcome::Completed,
                ResponseStatus::Cancelled if done.response.is_cancelled_by_client() => ReplyOutcome::CancelledByClient,
                ResponseStatus::Cancelled => ReplyOutcome::Cancelled,
                ResponseStatus::Incomplete => ReplyOutcome::Incomplete,
                ResponseStatus::Failed if done.response.is_account_blocked() => ReplyOutcome::AccountBlocked,
                ResponseStatus::Failed | ResponseStatus::InProgress | ResponseStatus::Unknown => ReplyOutcome::Failed,
            },
            texts: done
                .response
                .output
                .iter()
                .filter(|item| item.kind == ItemKind::Message && item.role == ItemRole::Assistant)
                .filter_map(|item| Some((item.id.clone(), item.text()?)))
                .collect(),
            tokens: done.response.usage.as_ref().map(Usage::tokens),
            delivery: done.response.delivery(),
        }),
        ServerEvent::PlaybackStarted(playback) => one(VoiceEvent::PlaybackStarted { reply: playback.response_id.clone() }),
        ServerEvent::PlaybackStopped(playback) => one(VoiceEvent::PlaybackEnded { reply: playback.response_id.clone() }),
        ServerEvent::PlaybackCleared(playback) => one(VoiceEvent::PlaybackCut { reply: playback.response_id.clone() }),
        ServerEvent::Error(error) => one(VoiceEvent::Refused {
            refusal: match error.error.meaning() {
                ErrorMeaning::ResponseAlreadyActive => Refusal::AlreadyReplying,
                ErrorMeaning::NoActiveResponse => Refusal::NothingToCancel,
                ErrorMeaning::CallExpired => Refusal::Expired,
                ErrorMeaning::AccountBlocked => Refusal::Account,
                ErrorMeaning::ItemExists | ErrorMeaning::Other => Refusal::Other,
            },
            command: error.error.event_id.clone(),
        }),
        // `item.done` of an assistant's item names no predecessor; `response.done` has its words.
        ServerEvent::SessionCreated(_)
        | ServerEvent::ItemDone(_)
        | ServerEvent::InputTimedOut(_)
        | ServerEvent::OutputItemDone(_)
        | ServerEvent::RateLimitsUpdated(_)
        | ServerEvent::ItemRetrieved
        | ServerEvent::Ignored
        | ServerEvent::Unknown { .. } => vec![],
    }
}

/// What is said in the call is audio, and its words come in events of their own. An item that brings words was put
/// into the call by hand, whatever it calls them: OpenAI attaches the `transcript` of a client's `input_audio` as it
/// comes. Any part counts, for a mix is still by hand.
fn content(item: &Item) -> ItemContent {
    if item.kind != ItemKind::Message {
        return ItemContent::Silent;
    }
    let speaker = match item.role {
        ItemRole::User => Speaker::Candidate,
        ItemRole::Assistant => Speaker::Ai,
        ItemRole::System | ItemRole::None => return ItemContent::Typed,
    };
    if item.text().is_some() || item.content.iter().any(|part| matches!(part.kind.as_str(), "input_text" | "output_text")) {
        return ItemContent::Typed;
    }
    ItemContent::Message { speaker, commentary: item.is_commentary() }
}

//! The logic of a call. Input is what a Realtime session takes (client events, the level of the candidate's voice, time).
//! Output is what it gives (server events, speech).
//!
//! It has no sockets, clock or tasks: time comes from outside. So a test can simulate an hour in a millisecond and sees the same
//! events each time.

mod client;
mod conversation;
mod ids;
mod interview;
mod listen;
mod obey;
mod report;
mod respond;
mod response;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

pub use conversation::Item;
pub use ids::Ids;

use conversation::Conversation;
use interview::Progress;
use listen::Listening;
use respond::Playback;
use response::Run;
use timers::Timers;

use super::clips::Clip;
use super::problem::Problem;
use super::script::InterviewScript;
use super::session::Session;
use super::vad::Vad;

/// What the call does to the outside.
#[derive(Clone, Debug)]
pub enum Output {
    /// A server event for everybody who listens.
    Event(Value),
    /// A server event for the data channel only.
    ChannelEvent(Value),
    /// Speech, after what is still being played.
    Play(Clip),
    /// Stop speaking at once.
    Silence,
}

#[derive(Clone, Debug)]
enum Due {
    /// The next step of a response.
    Generate {
        response: String,
    },
    PlaybackStarts {
        response: String,
    },
    PlaybackEnds {
        response: String,
    },
    /// One more word of the candidate is recognised while they speak.
    HearWord {
        item: String,
    },
    /// The rest of the words, after the turn.
    HearRest {
        item: String,
    },
    Transcribed {
        item: String,
    },
    /// Nobody has said anything since this moment.
    Idle {
        since: Duration,
    },
}

#[derive(Debug)]
pub struct Interviewer {
    script: InterviewScript,
    ids: Ids,
    session: Session,
    conversation: Conversation,
    progress: Progress,
    listening: Listening,
    vad: Vad,
    runs: Vec<Run>,
    playbacks: VecDeque<Playback>,
    timers: Timers<Due>,
    /// When the peer connected; audio offsets count from here.
    media_since: Option<Duration>,
    has_spoken: bool,
    fail_transcription: bool,
    make_up_transcription: bool,
    used_tokens: u64,
    now: Duration,
    outputs: Vec<Output>,
}

impl Interviewer {
    /// `config` is the checked `session` of the call, `expires_at` in unix seconds.
    pub fn new(script: InterviewScript, session_id: &str, config: Option<&Value>, expires_at: i64, mut ids: Ids) -> Self {
        let conversation = Conversation::new(ids.next("conv_"));
        Self {
            session: Session::new(session_id, expires_at, config),
            script,
            ids,
            conversation,
            progress: Progress::default(),
            listening: Listening::default(),
            vad: Vad::default(),
            runs: Vec::new(),
            playbacks: VecDeque::new(),
            timers: Timers::default(),
            media_since: None,
            has_spoken: false,
            fail_transcription: false,
            make_up_transcription: false,
            used_tokens: 0,
            now: Duration::ZERO,
            outputs: Vec::new(),
        }
    }

    /// The peer connection carries media now.
    pub fn media_connected(&mut self, now: Duration) {
        self.advance(now);
        self.media_since.get_or_insert(now);
    }

    /// The data channel is open. Only it is told about the session.
    pub fn channel_opened(&mut self, now: Duration) {
        self.advance(now);
        let session = self.session.value().clone();
        let event = self.event("session.created", json!({ "session": session }));
        self.outputs.push(Output::ChannelEvent(event));
    }

    /// Does all that is due by `now`.
    pub fn advance(&mut self, now: Duration) {
        loop {
            let turn_end = self.silence().and_then(|silence| self.vad.deadline(silence));
            let timer = self.timers.next();
            match (turn_end, timer) {
                (Some(at), timer) if at <= now && timer.is_none_or(|timer| at <= timer) => {
                    self.now = self.now.max(at);
                    self.turn_timer();
                }
                (_, Some(at)) if at <= now => {
                    if let Some((due, what)) = self.timers.pop(now) {
                        self.now = self.now.max(due);
                        self.fire(what);
                    }
                }
                _ => break,
            }
        }
        self.now = self.now.max(now);
    }

    /// When [`Interviewer::advance`] has work again.
    pub fn deadline(&self) -> Option<Duration> {
        let turn_end = self.silence().and_then(|silence| self.vad.deadline(silence));
        [turn_end, self.timers.next()].into_iter().flatten().min()
    }

    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The session has reached its longest duration.
    pub fn expire(&mut self, message: &str) {
        self.refuse(&Problem::invalid("session_expired", message), None);
    }

    /// The next turn of the candidate cannot be transcribed.
    pub fn fail_next_transcription(&mut self) {
        self.fail_transcription = true;
    }

    /// The next turn is transcribed as words that nobody said.
    pub fn make_up_next_transcription(&mut self) {
        self.make_up_transcription = true;
    }

    pub fn items(&self) -> &[Item] {
        self.conversation.items()
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    pub fn questions_asked(&self) -> usize {
        self.progress.asked()
    }

    pub fn is_over(&self) -> bool {
        self.progress.is_over()
    }

    pub fn is_speaking(&self) -> bool {
        self.playbacks.front().is_some_and(|playback| playback.started)
    }

    pub fn hears_speech(&self) -> bool {
        self.vad.speaking()
    }

    fn fire(&mut self, due: Due) {
        match due {
            Due::Generate { response } => self.generate(&response),
            Due::PlaybackStarts { response } => self.playback_starts(&response),
            Due::PlaybackEnds { response } => self.playback_ends(&response),
            Due::HearWord { item } => self.hear_word(&item),
            Due::HearRest { item } => self.hear_rest(&item),
            Due::Transcribed { item } => self.transcribed(&item),
            Due::Idle { since } => self.idle(since),
        }
    }

    fn event(&mut self, kind: &str, mut fields: Value) -> Value {
        fields["type"] = kind.into();
        fields["event_id"] = self.ids.next("event_").into();
        fields
    }

    fn emit(&mut self, kind: &str, fields: Value) {
        let event = self.event(kind, fields);
        self.outputs.push(Output::Event(event));
    }

    /// Every delta of the vendor carries this undocumented padding.
    fn emit_delta(&mut self, kind: &str, mut fields: Value, delta: &str) {
        fields["delta"] = delta.into();
        fields["obfuscation"] = "x".repeat(16 - delta.len() % 16).into();
        self.emit(kind, fields);
    }

    fn refuse(&mut self, problem: &Problem, event_id: Option<&str>) {
        let error = problem.event_error(event_id);
        self.emit("error", json!({ "error": error }));
    }
}

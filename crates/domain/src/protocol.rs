//! `interview.v1`: the messages between the browser and us over the WebSocket.
//!
//! docs/PROTOCOL.md describes each message. A test compares the page with this file.

mod frame;

pub use frame::Unreadable;

use super::edge::{ClientId, EntryKey, PartNumber, Text, Timestamp};
use super::phase::{EndReason, Phase};
use super::transcript::{ClientReport, Entry};
use super::voice::Speaker;
use crate::error::ErrorCode;
use crate::ids::{SessionId, VideoId};
use frame::lenient;
use serde::{Deserialize, Serialize};

pub const SUBPROTOCOL: &str = "interview.v1";
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// An SDP offer of a browser is 1-6 KB.
pub const MAX_SDP_BYTES: usize = 48 * 1024;
pub const MAX_SDP_LINE_BYTES: usize = 4 * 1024;
pub const MAX_ENTRIES: usize = 100;
/// What is longer is cut, and marked as cut.
pub const MAX_ENTRY_TEXT_BYTES: usize = 16 * 1024;
/// The largest number that every client can count to exactly.
pub const MAX_SEQ: u64 = 1 << 53;

/// From the browser. Unknown fields are ignored, unknown types are answered with an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    Authenticate {
        ticket: String,
        #[serde(default, deserialize_with = "lenient")]
        traceparent: Option<String>,
    },
    SdpOffer {
        sdp: String,
        #[serde(default, deserialize_with = "lenient")]
        microphone: Option<Microphone>,
    },
    TranscriptUpdate {
        entries: Vec<ClientEntry>,
        #[serde(default)]
        seq: Option<u64>,
    },
    // A `final_transcript` and a `reason` are accepted and not needed: what was said is already ours.
    EndSession {
        #[serde(default, deserialize_with = "lenient")]
        recording_url: Option<String>,
    },
    Consent {
        kinds: Vec<ConsentKind>,
        policy_version: String,
    },
    Resume {
        last_event: u64,
    },
    MediaState {
        state: MediaState,
        #[serde(default, deserialize_with = "lenient")]
        stats: Option<MediaStats>,
        #[serde(default, deserialize_with = "lenient")]
        microphone: Option<Microphone>,
    },
    RecordingState {
        state: ClientRecordingState,
        #[serde(default)]
        video_id: Option<VideoId>,
        #[serde(default)]
        part: Option<PartNumber>,
        #[serde(default, deserialize_with = "lenient")]
        mime_type: Option<String>,
    },
    IntegrityEvent {
        kind: String,
        #[serde(default, deserialize_with = "lenient")]
        at: Option<String>,
    },
    RefreshAuth {
        #[allow(dead_code)]
        token: String,
    },
    Heartbeat {},
    /// The candidate answers in writing.
    TypedAnswer {
        id: String,
        text: String,
    },
    /// The candidate wants a moment to think.
    Think {},
    /// The candidate goes on before the moment, or the break, is over.
    GoOn {},
}

const UPDATE: &str = "transcript_update";
const TYPED: &str = "typed_answer";

impl ClientMessage {
    /// All that there are, as [`Self::name`] tells them.
    const TYPES: [&str; 14] = [
        "authenticate",
        "sdp_offer",
        UPDATE,
        "end_session",
        "consent",
        "resume",
        "media_state",
        "recording_state",
        "integrity_event",
        "refresh_auth",
        "heartbeat",
        TYPED,
        "think",
        "go_on",
    ];

    /// The `type` on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authenticate { .. } => "authenticate",
            Self::SdpOffer { .. } => "sdp_offer",
            Self::TranscriptUpdate { .. } => UPDATE,
            Self::EndSession { .. } => "end_session",
            Self::Consent { .. } => "consent",
            Self::Resume { .. } => "resume",
            Self::MediaState { .. } => "media_state",
            Self::RecordingState { .. } => "recording_state",
            Self::IntegrityEvent { .. } => "integrity_event",
            Self::RefreshAuth { .. } => "refresh_auth",
            Self::Heartbeat {} => "heartbeat",
            Self::TypedAnswer { .. } => TYPED,
            Self::Think {} => "think",
            Self::GoOn {} => "go_on",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct ClientEntry {
    pub text: String,
    pub speaker: Speaker,
    /// RFC 3339. What cannot be read, or cannot have been, is kept beside the time that we put in its place.
    #[serde(default, deserialize_with = "lenient")]
    pub timestamp: String,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub item_id: Option<String>,
}

impl ClientEntry {
    /// The entry as a client report. Its key makes a repeat harmless: the client's own id, or else
    /// a digest of what was said, by whom and when. Text is made harmless; an id that is not usable is refused.
    pub fn into_client_report(self) -> Result<ClientReport, Refusal> {
        let refuse = |what: &'static str| move |error| Refusal::invalid(format!("an entry's {what} {error}"));
        let id = self.id.as_deref().map(ClientId::new).transpose().map_err(refuse("id"))?;
        let item_id = self.item_id.as_deref().map(ClientId::item).transpose().map_err(refuse("item_id"))?;
        let key = match &id {
            Some(id) => EntryKey::of_client(id),
            None => EntryKey::of_content(&format!("{}|{}|{}", self.speaker.as_str(), self.timestamp, self.text)),
        };
        Ok(ClientReport {
            key,
            item_id,
            speaker: self.speaker,
            text: Text::bounded(self.text, MAX_ENTRY_TEXT_BYTES),
            claimed: Timestamp::parse(&self.timestamp),
            claimed_at: claimed_at(&self.timestamp),
        })
    }
}

/// A time as a client wrote it, for whoever wonders.
pub fn claimed_at(raw: &str) -> Text {
    const LONGEST: usize = 64;
    Text::bounded(raw, LONGEST)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    AiEvaluation,
    Recording,
    Integrity,
}

impl ConsentKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiEvaluation => "ai_evaluation",
            Self::Recording => "recording",
            Self::Integrity => "integrity",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    Connecting,
    Connected,
    Disconnected,
    Failed,
}

/// Where the microphone is, as far as the browser can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Microphone {
    /// A headset or earphones.
    #[default]
    Near,
    /// The one of a laptop, a webcam or a room.
    Far,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct MediaStats {
    #[serde(default, deserialize_with = "lenient")]
    pub rtt_ms: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub jitter_ms: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub packets_lost: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub bitrate_bps: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRecordingState {
    Recording,
    PartStored,
    Finished,
    Failed,
}

/// To the browser. On the wire each carries a rising `n`, but for `heartbeat_ack`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerEvent {
    SessionReady(SessionReady),
    ConsentRecorded {
        kinds: Vec<ConsentKind>,
    },
    SdpAnswer {
        sdp: String,
        segment: i32,
    },
    TranscriptAck {
        seq: u64,
    },
    TranscriptEntry {
        entry: Entry,
    },
    /// It is committed.
    TypedAnswerAck {
        id: String,
    },
    PhaseChanged {
        phase: Phase,
        reason: Option<EndReason>,
    },
    MediaRenegotiate {
        reason: RenegotiateReason,
    },
    QualityAdvice {
        level: QualityLevel,
        max_audio_bitrate_bps: u32,
        max_video_bitrate_bps: u32,
    },
    TimeLeft {
        seconds: u64,
    },
    /// Why nobody speaks.
    Waiting {
        state: WaitingState,
        /// Of a moment to think: how long at most, in seconds.
        at_most_s: Option<u64>,
    },
    Degraded {
        what: Subsystem,
    },
    Restored {
        what: Subsystem,
    },
    SessionEnded {
        reason: EndReason,
        transcript_entries: usize,
        summary: SummaryState,
    },
    Error {
        code: ErrorCode,
        message: String,
        retryable: bool,
        request_type: Option<&'static str>,
        /// The number of the frame that is refused. If a `transcript_update` is for good (not retryable), the order is
        /// closed over it.
        seq: Option<u64>,
        /// The `typed_answer` that is refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// `resume` has been answered: every event before this one has been sent.
    Replayed {},
    HeartbeatAck {},
}

impl ServerEvent {
    /// Whether a browser that was away should get it again. Answers to one request are not:
    /// they would be answers to a question the new connection never asked.
    pub fn replayable(&self) -> bool {
        matches!(
            self,
            Self::TranscriptEntry { .. }
                | Self::PhaseChanged { .. }
                | Self::MediaRenegotiate { .. }
                | Self::Waiting { .. }
                | Self::Degraded { .. }
                | Self::Restored { .. }
                | Self::SessionEnded { .. }
        )
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct SessionReady {
    pub session_id: SessionId,
    /// Rises with each process that takes the interview up.
    pub process: i32,
    pub phase: Phase,
    pub segment: i32,
    pub acked_seq: u64,
    pub heartbeat_interval_ms: u64,
    pub required_consents: Vec<ConsentKind>,
    pub given_consents: Vec<ConsentKind>,
    pub time_left_s: u64,
    pub greeted: bool,
    /// The interview is led through a plan: `think` and `go_on` are answered.
    pub plan: bool,
    pub limits: FrameLimits,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct FrameLimits {
    pub max_frame_bytes: usize,
    pub max_entries: usize,
    pub max_typed_chars: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingState {
    Nothing,
    /// It is the candidate's turn, and nobody is in a hurry.
    TakeYourTime,
    /// A moment to think was granted; the clock of the interview stands.
    Thinking,
    /// The interview goes on when the candidate speaks, or sends `go_on`.
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RenegotiateReason {
    Lost,
    Rollover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityLevel {
    Good,
    Fair,
    Poor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subsystem {
    Storage,
    /// The interviewer is late: asked again, or about to be heard in another call.
    Interviewer,
    Control,
    Recording,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SummaryState {
    Pending,
    Stored,
    Failed,
}

/// Close codes of the socket; docs/PROTOCOL.md says for each whether to reconnect.
pub mod close {
    pub const DONE: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const POLICY: u16 = 1008;
    pub const TOO_BIG: u16 = 1009;
    pub const RESTART: u16 = 1012;
    pub const TRY_LATER: u16 = 1013;
    pub const SUPERSEDED: u16 = 4001;
    pub const TICKET_REFUSED: u16 = 4003;
}

/// Why a message was not taken: a stable code for programs, words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    pub retryable: bool,
}

impl Refusal {
    pub fn invalid(message: String) -> Self {
        Self { code: ErrorCode::MessageInvalid, message, retryable: false }
    }

    pub fn session_over() -> Self {
        Self { code: ErrorCode::SessionOver, message: "the interview is over".to_owned(), retryable: false }
    }

    pub fn seq_conflict(seq: u64) -> Self {
        let message = format!("transcript_update {seq} came before with other words; those stay");
        Self { code: ErrorCode::SeqConflict, message, retryable: false }
    }

    pub fn seq_gap(missing: u64) -> Self {
        Self { code: ErrorCode::SeqGap, message: format!("transcript_update {missing} is missing"), retryable: true }
    }
}

/// What must hold of an offer before it is forwarded byte for byte. Nothing is rewritten:
/// an offer is passed on as it came or refused.
pub fn check_offer(sdp: &str) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal { code: ErrorCode::SdpInvalid, message: format!("the offer {why}"), retryable: false });
    if sdp.len() > MAX_SDP_BYTES {
        return refuse("is too large");
    }
    if !sdp.starts_with("v=0") {
        return refuse("does not start with v=0: this is no SDP");
    }
    if !sdp.ends_with('\n') {
        return refuse("does not end with a line break: it was cut or trimmed");
    }
    let mut audio = false;
    for line in sdp.lines() {
        if line.len() > MAX_SDP_LINE_BYTES {
            return refuse("has a line that is too long");
        }
        if line.contains('\0') || !matches!(line.as_bytes(), [] | [b'a'..=b'z', b'=', ..]) {
            return refuse("has a line that is no SDP");
        }
        match line.strip_prefix("m=") {
            Some(media) if media.starts_with("audio ") => audio = true,
            Some(media) if media.starts_with("application ") => {}
            Some(_) => return refuse("has media other than audio and a data channel: the camera is recorded, not sent here"),
            None => {}
        }
    }
    if audio { Ok(()) } else { refuse("has no audio") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

    #[test]
    fn an_offer_is_passed_as_it_came_or_refused() {
        assert!(check_offer(OFFER).is_ok());
        let long_line = format!("{OFFER}a={}\r\n", "x".repeat(MAX_SDP_LINE_BYTES));
        let large = format!("{OFFER}{}", "a=x\r\n".repeat(MAX_SDP_BYTES / 5));
        for bad in [
            "",
            "hello",
            "v=0\r\n",
            OFFER.trim_end(),
            &OFFER.replace("m=audio", "m=video"),
            &format!("{OFFER}junk\r\n"),
            &long_line,
            &large,
        ] {
            assert_eq!(check_offer(bad).map_err(|refusal| refusal.code), Err(ErrorCode::SdpInvalid), "{bad:.40}");
        }
    }

    #[test]
    fn the_seeds_messages_are_understood() {
        let seed = r#"{"type":"transcript_update","entries":[{"text":"Tell me about yourself.","speaker":"ai","timestamp":"2024-06-10T14:32:01.123Z"}]}"#;
        let ClientMessage::TranscriptUpdate { entries, seq } = serde_json::from_str(seed).expect("the seed's shape") else {
            panic!("another type")
        };
        assert_eq!((entries.len(), seq), (1, None));
        let end =
            r#"{"type":"end_session","recording_url":"https://api.video/videos/vi52d1jtaik8jfej213r","final_transcript":{}}"#;
        assert!(matches!(serde_json::from_str(end), Ok(ClientMessage::EndSession { recording_url: Some(_), .. })));
    }

    #[test]
    fn the_same_words_at_the_same_time_have_the_same_key() {
        let entry = |text: &str| ClientEntry {
            text: text.into(),
            speaker: Speaker::Ai,
            timestamp: "2024-06-10T14:32:01.123Z".to_owned(),
            id: None,
            item_id: None,
        };
        let key = |text| entry(text).into_client_report().expect("valid").key;
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
        let named = ClientEntry { id: Some("7".into()), ..entry("a") };
        assert_eq!(named.into_client_report().expect("valid").key, "c:7");
    }

    #[test]
    fn text_is_made_harmless_and_an_unusable_id_is_refused() {
        let entry = |text: &str, id: &str, item: &str| {
            let entry = serde_json::json!({"text": text, "speaker": "ai", "timestamp": "", "id": id, "item_id": item});
            serde_json::from_value::<ClientEntry>(entry).expect("a shape").into_client_report()
        };
        assert_eq!(entry("a\0b", "1", "item").expect("text is never refused").text, "a\u{fffd}b");
        assert!(entry(&"x".repeat(17_000), "1", "item").expect("it is cut").text.len() <= MAX_ENTRY_TEXT_BYTES);
        for (id, item) in [("a\0", "item"), ("1", "it\0em"), ("", "item"), ("1", ""), ("1", &"x".repeat(129))] {
            assert_eq!(entry("x", id, item).map_err(|refusal| refusal.code), Err(ErrorCode::MessageInvalid), "{id:?} {item:?}");
        }
    }

    #[test]
    fn times_are_never_a_reason_to_refuse() {
        for time in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00", "yesterday", ""] {
            let entry = serde_json::json!({"text": "x", "speaker": "ai", "timestamp": time});
            let client_report =
                serde_json::from_value::<ClientEntry>(entry).expect("a shape").into_client_report().expect("taken");
            assert_eq!((client_report.claimed, client_report.claimed_at.as_str()), (None, time));
        }
    }

    proptest! {
        #[test]
        fn no_offer_panics(sdp in ".{0,400}") { let _ = check_offer(&sdp); }
    }
}

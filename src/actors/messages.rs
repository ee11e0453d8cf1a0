//! What the actors of an interview say to each other. Children say facts to the session; the session tells children what to do.

use super::Injected;
use super::journal::Outgoing;
use super::tree::Child;
use crate::domain::call_guard::Ours;
use crate::domain::claimed::Recording;
use crate::domain::edge::{Label, PartNumber, Timestamp};
use crate::domain::outbox_record::{RecordingState, SummaryRecord};
use crate::domain::phase::{EndReason, Event, Phase, Timer};
use crate::domain::protocol::{
    ClientMessage, ClientRecordingState, ConsentKind, MediaState, Microphone, SummaryState, Unreadable,
};
use crate::domain::replies::Purpose;
use crate::domain::seat::Seat;
use crate::domain::transcript::Cause;
use crate::error::ErrorCode;
use crate::ids::{CallId, ConnectionId, VideoId};
use crate::integrations::openai::events::ServerEvent;
use opentelemetry::Context;
use ractor::{ActorRef, RpcReplyPort};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

#[derive(Debug)]
pub enum SessionMsg {
    // the browser's connection
    Attach {
        seat: Seat,
        reply: RpcReplyPort<Attached>,
    },
    Detached {
        connection: ConnectionId,
    },
    Offered {
        sdp: String,
        cause: Context,
    },
    ConsentsStored(Vec<ConsentKind>),
    MediaReported(MediaState),
    MicrophoneReported(Microphone),
    /// The candidate wants a moment to think.
    Think,
    /// The candidate goes on before the moment is over.
    GoOn,
    RecordingReported(RecordingReport),
    RecordingUrlClaimed {
        url: String,
    },
    /// All containers that are known, in the order of their takes.
    RecordingsFound(Vec<VideoId>),
    /// What happened in the life of the interview, without more to do about it than to decide.
    Phase(Event),
    /// Until when it is kept while nobody has begun it.
    JoinBy(Timestamp),
    // the call
    CallOpened {
        call: CallId,
        answer: String,
    },
    CallFailed {
        code: ErrorCode,
        fatal: bool,
    },
    CallGone,
    /// Somebody else acts in the call, or the interviewer cannot be made to speak in it: it is ended and begun anew.
    RenewCall,
    /// In no call can it be made to speak.
    InterviewerFailed {
        code: ErrorCode,
    },
    /// `ended`: the provider has confirmed it.
    HungUp {
        call: CallId,
        ended: bool,
    },
    ControlReady {
        expires_in: Option<Duration>,
    },
    // storing
    AllStored(u64),
    Fenced,
    Summarized(Box<SummaryRecord>),
    /// What the Summarizer brought is in the database.
    SummaryStored(SummaryState),
    // ourselves
    TimerDue {
        timer: Timer,
        armed: u64,
    },
    TimeLeftDue,
    RestartDue(Child),
    Shutdown,
    GetSnapshot {
        reply: RpcReplyPort<Snapshot>,
    },
    /// Crash the root on purpose (sandbox only).
    Crash,
    /// Break a child on purpose (sandbox only).
    Inject(Child, Injected),
}

/// What the process looks like from the inside, for tests and operators.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Snapshot {
    pub phase: Phase,
    pub end: Option<EndReason>,
    pub segment: i32,
    pub call: Option<CallId>,
    pub connected: bool,
    /// Our sideband has joined the call.
    pub control_ready: bool,
    pub entries: usize,
    pub backlog_records: usize,
    pub running: Vec<&'static str>,
    pub restarts: HashMap<&'static str, u32>,
}

/// A browser connection's handle on the actor that listens to it; follows its restarts.
pub type SocketRef = watch::Receiver<Option<ActorRef<SignalingSocketMsg>>>;

#[derive(Debug)]
pub struct Attached {
    pub connection: ConnectionId,
    pub socket: SocketRef,
    pub outgoing: mpsc::Receiver<Outgoing>,
}

#[derive(Debug)]
pub enum ControlChannelMsg {
    /// Open a call, the chapter `segment`. The one it replaces stays until it stands.
    Open {
        sdp: String,
        segment: i32,
        replaces: Option<CallId>,
        /// Who makes the gap until our sideband is in it.
        gap: Cause,
        cause: Context,
    },
    Opened(Result<(CallId, String), CallRefused>),
    /// The words of the call before are no longer waited for.
    FadeOver,
    Heard {
        generation: u64,
        event: Box<ServerEvent>,
        permit: OwnedSemaphorePermit,
    },
    /// A command of ours has left, whose effect the call will show.
    Sent {
        generation: u64,
        what: Ours,
        command: String,
    },
    Sideband {
        generation: u64,
        state: SidebandState,
    },
    /// The first words of a call.
    Ask(Purpose),
    /// The conversation wants to be asked again by now.
    RepliesDue,
    /// The same of the conduct.
    ConductDue,
    /// Something that the candidate typed is stored.
    TypedWaits,
    /// The candidate wants a moment to think.
    Think,
    /// The candidate goes on before the moment is over.
    GoOn,
    /// Another one is used.
    Microphone(Microphone),
    LetLastWordsOut {
        goodbye: Option<&'static str>,
    },
    AwaitWords,
    /// End the call; the session is told when that is done.
    HangUp {
        call: Option<CallId>,
    },
    /// The same of one that does not work. The offer that is being answered, if any, is the next.
    Renew {
        call: CallId,
    },
    /// A call nobody hears any more.
    HangUpStray(CallId),
    /// Break on purpose (sandbox only).
    Injected(Injected),
}

/// How the sideband is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidebandState {
    /// It was in doubt, and answers.
    Alive,
    /// It brought more than we take at once. We ask for nothing so large: somebody else did.
    Oversized,
    Down,
    /// The call is over at the provider.
    Gone,
    /// The provider does not let us in; the call may live.
    GivenUp,
}

#[derive(Debug)]
pub struct CallRefused {
    pub code: ErrorCode,
    /// Trying again cannot help.
    pub fatal: bool,
}

#[derive(Debug)]
pub enum SignalingSocketMsg {
    /// The permit bounds how many messages of a browser wait at once.
    Received { message: Result<ClientMessage, Unreadable>, permit: OwnedSemaphorePermit },
    /// Break on purpose (sandbox only).
    Injected(Injected),
}

/// What the browser says of its recording, as the session hears it.
#[derive(Clone, Debug)]
pub struct RecordingReport {
    pub video: Option<VideoId>,
    pub state: ClientRecordingState,
    pub part: Option<PartNumber>,
    /// What is written into the container.
    pub mime_type: Option<Label>,
}

#[derive(Debug)]
pub enum RecordingTrackerMsg {
    Reported(RecordingReport),
    /// The candidate is here: whatever the gateway got from the provider is in the database now.
    FindRecording,
    /// None: the database could not be asked.
    Found(Option<Vec<Recording>>),
    PollDue,
    /// What was closed with what had arrived of it, and what the provider has.
    Polled {
        closed: Vec<VideoId>,
        seen: Vec<Seen>,
    },
    /// The interview is over: settle soon. `patient`: the browser is there and may still be sending.
    Settle {
        patient: bool,
    },
    PatienceOver,
    /// Break on purpose (sandbox only).
    Injected(Injected),
}

/// What the provider has of one take.
#[derive(Clone, Debug)]
pub struct Seen {
    pub video: VideoId,
    pub state: RecordingState,
    pub parts: i32,
}

#[derive(Debug)]
pub enum TranscriptWriterMsg {
    /// Something new waits in the outbox.
    FlushDue,
    /// The pause after a failure is over.
    RetryDue,
    /// Break on purpose (sandbox only).
    Injected(Injected),
}

#[derive(Debug)]
pub enum SummarizerMsg {
    /// Break on purpose (sandbox only).
    Injected(Injected),
}

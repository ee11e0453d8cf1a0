//! The life of an interview as a pure state machine: it decides what happens next.
//!
//! [`Interview::on`] takes an event and returns effects. The session actor only performs them. Phases only go forward. The end
//! has these steps: let the last words out, wait for words that are still being transcribed, hang up, store, summarize, finish.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The row is there, the machine is asked for.
    Created,
    /// Our process runs and waits for the candidate.
    Ready,
    /// A call was opened; it stays live while the candidate reconnects.
    Live,
    /// Ended by someone; last words, hang-up, storing.
    Ending,
    /// The transcript is stored whole.
    Summarizing,
    /// Everything that could be stored is stored.
    Completed,
    /// The interview could not be held.
    Failed,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Ending => "ending",
            Self::Summarizing => "summarizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// Whether the candidate may still join or talk.
    pub fn is_open(self) -> bool {
        self < Self::Ending
    }
}

impl std::str::FromStr for Phase {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Created, Self::Ready, Self::Live, Self::Ending, Self::Summarizing, Self::Completed, Self::Failed]
            .into_iter()
            .find(|phase| phase.as_str() == name)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown name {0:?}")]
pub struct UnknownName(pub String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    CandidateEnded,
    InterviewerEnded,
    RecruiterEnded,
    TimeLimit,
    /// Never came, or never began.
    CandidateAbsent,
    /// Came, went and did not return within the grace.
    CandidateLeft,
    /// The voice provider refuses us for good.
    SetupFailed,
    /// Its machines were lost, one after the other.
    MachineLost,
    /// The voice provider could not make the interviewer speak, in several calls.
    InterviewerFailed,
    /// What the candidate said could not be written down.
    NotTranscribed,
}

impl EndReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CandidateEnded => "candidate_ended",
            Self::InterviewerEnded => "interviewer_ended",
            Self::RecruiterEnded => "recruiter_ended",
            Self::TimeLimit => "time_limit",
            Self::CandidateAbsent => "candidate_absent",
            Self::CandidateLeft => "candidate_left",
            Self::SetupFailed => "setup_failed",
            Self::MachineLost => "machine_lost",
            Self::InterviewerFailed => "interviewer_failed",
            Self::NotTranscribed => "not_transcribed",
        }
    }

    /// Whether it could not be held because of us or the provider.
    fn is_ours(self) -> bool {
        matches!(self, Self::SetupFailed | Self::InterviewerFailed)
    }

    /// Whether the AI should still thank the candidate; it has, if it ended by itself.
    fn wants_goodbye(self) -> bool {
        matches!(self, Self::RecruiterEnded | Self::TimeLimit | Self::NotTranscribed)
    }

    /// Whether someone is there to hear the last words.
    fn wants_last_words(self) -> bool {
        self.wants_goodbye() || self == Self::InterviewerEnded
    }
}

impl std::str::FromStr for EndReason {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        use EndReason::{
            CandidateAbsent, CandidateEnded, CandidateLeft, InterviewerEnded, InterviewerFailed, MachineLost, NotTranscribed,
            RecruiterEnded, SetupFailed, TimeLimit,
        };
        let reasons = [
            CandidateEnded,
            InterviewerEnded,
            RecruiterEnded,
            TimeLimit,
            CandidateAbsent,
            CandidateLeft,
            SetupFailed,
            MachineLost,
            InterviewerFailed,
            NotTranscribed,
        ];
        reasons.into_iter().find(|reason| reason.as_str() == name).ok_or_else(|| UnknownName(name.to_owned()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The candidate has not come yet, or came and has not begun.
    Absence,
    /// The candidate is gone and may come back.
    Grace,
    /// The time that was agreed for the interview.
    TimeLimit,
    /// A client that never reports its media is spoken to anyway.
    MediaAssumed,
    LastWords,
    AwaitedWords,
    /// The recording's last part may still be on its way.
    RecordingSettling,
    /// The provider's cap on one call comes near.
    RollOver,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The tree is up. Also after a restart of the tree or the process.
    Started,
    CandidateConnected,
    CandidateDisconnected,
    OfferArrived,
    CallOpened,
    /// `fatal`: trying again cannot help.
    CallFailed {
        fatal: bool,
    },
    /// The call ended at the provider.
    CallGone,
    ControlReady,
    ControlLost,
    MediaConnected,
    MediaLost,
    EndRequested(EndReason),
    /// The interview is kept longer for a candidate who has not come.
    InvitationMoved,
    LastWordsOver,
    /// Nothing that was said waits for its words any more.
    WordsSettled,
    /// Everything decided so far is in the database.
    AllStored,
    SummaryFinished,
    RecordingSettled,
    Due(Timer),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    SavePhase(Phase),
    /// Open a call with the offer at hand, ending the one before.
    OpenCall,
    RefuseOffer,
    AskOpening,
    ContinueThread,
    /// Ask the browser for a new offer; the interview goes on.
    AskForOffer {
        rollover: bool,
    },
    /// Let what is being said be heard; say goodbye first if wanted.
    LetLastWordsOut {
        goodbye: Option<EndReason>,
    },
    /// Tell us when nothing waits for its words any more.
    AwaitWords,
    HangUp,
    CloseTranscript,
    /// From now on nothing is added to what was said: that is what the summary reads.
    SealTranscript,
    SettleRecording,
    /// Tell us when everything decided so far is stored.
    AwaitStored,
    TellEnded,
    StartSummary,
    /// Stop the tree; the interview is over.
    Finish,
    Arm(Timer),
    Disarm(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    None,
    Opening,
    Up,
}

/// What is known of the call that stays until a new one stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    control: bool,
    media: bool,
    opened: bool,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closing {
    No,
    LastWords,
    AwaitedWords,
    Storing,
    /// Nothing is added any more; what was on its way is being stored.
    Sealed,
    Summarizing,
    Recording,
    StoringEnd,
    Done,
}

/// What is known of the interview when a process takes it up.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    pub phase: Phase,
    pub end: Option<EndReason>,
    pub greeted: bool,
    /// Its call may live, and the interviewer has been heard in it.
    pub in_call: bool,
}

/// The state of one interview.
#[derive(Clone, Debug)]
pub struct Interview {
    phase: Phase,
    end: Option<EndReason>,
    greeted: bool,
    connected: bool,
    call: Call,
    control: bool,
    media: bool,
    /// This chapter's first words were asked for.
    opened: bool,
    /// While a call is being opened: the one that it replaces.
    replaced: Option<Standing>,
    /// The browser was asked to end a call that we do not know.
    disowned: bool,
    closing: Closing,
    recording_settled: bool,
    said: Said,
}

/// What the transcript knows to have been said; told by the session before each decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    pub anything: bool,
    pub by_interviewer: bool,
    /// By the candidate, and it counts: there is something to summarize.
    pub to_judge: bool,
}

impl Interview {
    pub fn new(resumed: Resumed) -> Self {
        let in_call = resumed.in_call && resumed.phase == Phase::Live;
        Self {
            phase: resumed.phase,
            end: resumed.end,
            greeted: resumed.greeted,
            connected: false,
            call: if in_call { Call::Up } else { Call::None },
            control: false,
            media: false,
            opened: in_call,
            replaced: None,
            disowned: false,
            closing: Closing::No,
            recording_settled: false,
            said: Said::default(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }
    pub fn end(&self) -> Option<EndReason> {
        self.end
    }
    pub fn greeted(&self) -> bool {
        self.greeted
    }
    pub fn connected(&self) -> bool {
        self.connected
    }
    /// Whether there is a call to listen to.
    pub fn in_call(&self) -> bool {
        self.call == Call::Up
    }
    /// Whether an offer waits for its answer.
    pub fn awaits_call(&self) -> bool {
        self.call == Call::Opening && self.phase.is_open()
    }
    pub fn set_said(&mut self, said: Said) {
        self.said = said;
    }

    /// Decide. Exhaustive on purpose: a new event must say what it means in each phase.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Started => self.started(),
            Event::CandidateConnected => {
                self.connected = true;
                self.disowned = false;
                match self.phase {
                    // Here, but not yet begun: that must not take for ever either.
                    Phase::Created | Phase::Ready => vec![Effect::Arm(Timer::Absence)],
                    Phase::Live => vec![Effect::Disarm(Timer::Grace)],
                    _ => vec![],
                }
            }
            Event::CandidateDisconnected => {
                self.connected = false;
                match self.phase {
                    Phase::Ready => vec![Effect::Arm(Timer::Absence)],
                    Phase::Live => vec![Effect::Arm(Timer::Grace)],
                    _ => vec![],
                }
            }
            Event::OfferArrived if self.phase.is_open() && self.call != Call::Opening => {
                self.disowned = false;
                let standing = Standing { control: self.control, media: self.media, opened: self.opened };
                let replaced = (self.call == Call::Up).then_some(standing);
                self.forget_call();
                self.call = Call::Opening;
                self.replaced = replaced;
                vec![Effect::OpenCall]
            }
            Event::OfferArrived => vec![Effect::RefuseOffer],
            Event::CallOpened => self.call_opened(),
            Event::CallFailed { fatal } => {
                let replaced = self.replaced.take();
                self.forget_call();
                if let Some(Standing { control, media, opened }) = replaced {
                    // An offer that came to nothing ends no call.
                    (self.call, self.control, self.media, self.opened) = (Call::Up, control, media, opened);
                    return vec![];
                }
                if fatal && self.phase.is_open() { self.end_requested(EndReason::SetupFailed) } else { vec![] }
            }
            Event::CallGone => self.call_gone(),
            // Of the call that is about to be replaced.
            Event::ControlReady | Event::ControlLost if self.replaced.is_some() => {
                if let Some(replaced) = &mut self.replaced {
                    replaced.control = event == Event::ControlReady;
                }
                vec![]
            }
            // Whoever let them out before may have crashed.
            Event::ControlReady if self.closing == Closing::LastWords => {
                self.control = true;
                self.end.map(let_last_words_out).into_iter().collect()
            }
            Event::ControlReady => {
                self.control = true;
                let mut effects = self.open_chapter();
                if !self.opened && self.phase == Phase::Live {
                    effects.push(Effect::Arm(Timer::MediaAssumed));
                }
                effects
            }
            Event::ControlLost => {
                self.control = false;
                vec![]
            }
            // It talks in a call that a process before us opened and could not write down.
            Event::MediaConnected if self.call == Call::None && self.phase.is_open() => {
                if std::mem::replace(&mut self.disowned, true) { vec![] } else { vec![Effect::AskForOffer { rollover: false }] }
            }
            Event::MediaConnected => {
                self.media = true;
                self.open_chapter()
            }
            Event::MediaLost => {
                self.media = false;
                if self.phase == Phase::Live && self.call == Call::Up {
                    vec![Effect::AskForOffer { rollover: false }]
                } else {
                    vec![]
                }
            }
            Event::EndRequested(reason) => self.end_requested(reason),
            Event::InvitationMoved if self.phase < Phase::Live => vec![Effect::Arm(Timer::Absence)],
            Event::LastWordsOver if self.closing == Closing::LastWords => self.await_words(),
            Event::WordsSettled if self.closing == Closing::AwaitedWords => self.close_call(),
            Event::AllStored => self.all_stored(),
            Event::SummaryFinished if self.closing == Closing::Summarizing => self.await_recording(),
            Event::RecordingSettled => {
                self.recording_settled = true;
                if self.closing == Closing::Recording { self.store_end() } else { vec![] }
            }
            Event::Due(timer) => self.due(timer),
            Event::InvitationMoved | Event::LastWordsOver | Event::WordsSettled | Event::SummaryFinished => vec![],
        }
    }

    fn started(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Created | Phase::Ready => {
                self.phase = Phase::Ready;
                vec![Effect::SavePhase(Phase::Ready), Effect::Arm(Timer::Absence)]
            }
            // The candidate talks on in the call that a process before us opened, or brings a new offer.
            Phase::Live => vec![Effect::Arm(Timer::TimeLimit), Effect::Arm(Timer::Grace)],
            // The browser may come back with words that the process before us could not store.
            Phase::Ending => {
                self.closing = Closing::AwaitedWords;
                vec![Effect::Arm(Timer::AwaitedWords)]
            }
            Phase::Summarizing => {
                self.closing = Closing::Summarizing;
                vec![Effect::SealTranscript, Effect::SettleRecording, Effect::StartSummary]
            }
            Phase::Completed | Phase::Failed => {
                self.closing = Closing::Done;
                vec![Effect::SealTranscript, Effect::Finish]
            }
        }
    }

    fn call_opened(&mut self) -> Vec<Effect> {
        if self.call != Call::Opening || !self.phase.is_open() {
            // Ended while the call was being opened: it must not live on unheard.
            return vec![Effect::HangUp];
        }
        self.forget_call();
        self.call = Call::Up;
        if self.phase == Phase::Live {
            return vec![];
        }
        self.phase = Phase::Live;
        vec![Effect::SavePhase(Phase::Live), Effect::Disarm(Timer::Absence), Effect::Arm(Timer::TimeLimit)]
    }

    /// The first words of a chapter, once someone can hear them and we can ask for them.
    fn open_chapter(&mut self) -> Vec<Effect> {
        if self.opened || !self.control || !self.media || self.phase != Phase::Live {
            return vec![];
        }
        self.opened = true;
        // A process before us may have greeted and not been able to write it down.
        let greeted = std::mem::replace(&mut self.greeted, true) || self.said.by_interviewer;
        vec![Effect::Disarm(Timer::MediaAssumed), if greeted { Effect::ContinueThread } else { Effect::AskOpening }]
    }

    fn call_gone(&mut self) -> Vec<Effect> {
        // The one that was about to be replaced: the new one is on its way.
        if self.replaced.take().is_some() || self.call == Call::None {
            return vec![];
        }
        self.forget_call();
        match self.closing {
            Closing::No if self.connected => vec![Effect::AskForOffer { rollover: false }],
            Closing::LastWords => self.await_words(),
            _ => vec![],
        }
    }

    fn end_requested(&mut self, reason: EndReason) -> Vec<Effect> {
        if !self.phase.is_open() {
            return vec![];
        }
        self.phase = Phase::Ending;
        self.end = Some(reason);
        let mut effects = vec![Effect::SavePhase(Phase::Ending)];
        effects
            .extend([Timer::Absence, Timer::Grace, Timer::TimeLimit, Timer::RollOver, Timer::MediaAssumed].map(Effect::Disarm));
        if self.call == Call::Up && self.control && self.connected && reason.wants_last_words() {
            self.closing = Closing::LastWords;
            effects.push(let_last_words_out(reason));
            effects.push(Effect::Arm(Timer::LastWords));
        } else {
            effects.extend(self.await_words());
        }
        effects
    }

    fn await_words(&mut self) -> Vec<Effect> {
        self.closing = Closing::AwaitedWords;
        vec![Effect::Disarm(Timer::LastWords), Effect::Arm(Timer::AwaitedWords), Effect::AwaitWords]
    }

    fn close_call(&mut self) -> Vec<Effect> {
        self.closing = Closing::Storing;
        let mut effects = vec![Effect::Disarm(Timer::AwaitedWords)];
        if self.call != Call::None {
            effects.push(Effect::HangUp);
        }
        self.forget_call();
        effects.extend([Effect::CloseTranscript, Effect::SettleRecording, Effect::AwaitStored]);
        effects
    }

    fn all_stored(&mut self) -> Vec<Effect> {
        match self.closing {
            // What the browser told meanwhile belongs to it; what it tells from here on does not,
            // and is not acknowledged.
            Closing::Storing => {
                self.closing = Closing::Sealed;
                vec![Effect::SealTranscript, Effect::AwaitStored]
            }
            Closing::Sealed if self.said.to_judge => {
                self.closing = Closing::Summarizing;
                self.phase = Phase::Summarizing;
                vec![Effect::SavePhase(Phase::Summarizing), Effect::TellEnded, Effect::StartSummary]
            }
            // The candidate said nothing that counts: there is nothing to judge.
            Closing::Sealed => {
                let mut effects = vec![Effect::TellEnded];
                effects.extend(self.await_recording());
                effects
            }
            Closing::StoringEnd => {
                self.closing = Closing::Done;
                vec![Effect::Finish]
            }
            _ => vec![],
        }
    }

    fn await_recording(&mut self) -> Vec<Effect> {
        if self.recording_settled {
            return self.store_end();
        }
        self.closing = Closing::Recording;
        vec![Effect::Arm(Timer::RecordingSettling)]
    }

    fn store_end(&mut self) -> Vec<Effect> {
        self.closing = Closing::StoringEnd;
        self.phase =
            if self.end.is_some_and(EndReason::is_ours) && !self.said.anything { Phase::Failed } else { Phase::Completed };
        vec![Effect::Disarm(Timer::RecordingSettling), Effect::SavePhase(self.phase), Effect::AwaitStored]
    }

    fn due(&mut self, timer: Timer) -> Vec<Effect> {
        match timer {
            Timer::Absence if self.phase < Phase::Live => self.end_requested(EndReason::CandidateAbsent),
            Timer::Grace if !self.connected => self.end_requested(EndReason::CandidateLeft),
            Timer::TimeLimit => self.end_requested(EndReason::TimeLimit),
            Timer::MediaAssumed => {
                self.media = true;
                self.open_chapter()
            }
            Timer::LastWords if self.closing == Closing::LastWords => self.await_words(),
            Timer::AwaitedWords if self.closing == Closing::AwaitedWords => self.close_call(),
            Timer::RecordingSettling if self.closing == Closing::Recording => self.store_end(),
            Timer::RollOver if self.phase == Phase::Live => vec![Effect::AskForOffer { rollover: true }],
            // What the timer was for has happened meanwhile.
            Timer::Absence
            | Timer::Grace
            | Timer::LastWords
            | Timer::AwaitedWords
            | Timer::RecordingSettling
            | Timer::RollOver => vec![],
        }
    }

    fn forget_call(&mut self) {
        self.call = Call::None;
        self.control = false;
        self.media = false;
        self.opened = false;
        self.replaced = None;
    }
}

fn let_last_words_out(reason: EndReason) -> Effect {
    Effect::LetLastWordsOut { goodbye: reason.wants_goodbye().then_some(reason) }
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;

//! Who speaks next: every decision about the interviewer's replies.
//!
//! The provider answers the candidate's turns by itself; this machine knows when it should have and did not, asks for
//! what it does not say by itself (the opening, the thread after a new call, the goodbye), and never lets a reply be
//! owed with nothing armed to give it. [`Replies::step`] takes what happened and the time and answers with commands;
//! [`Replies::next_deadline`] tells when it wants to be asked again. It waits for nothing and draws its jitter from a
//! seed, so the same inputs at the same times give the same commands.

mod ending;
mod events;
mod farewell;
mod purpose;
mod repetition;
mod state;
mod tools;
mod trouble;

pub use farewell::is_farewell;
pub use purpose::{Purpose, Trouble};
pub use state::Rules;
pub use tools::END_INTERVIEW;

use super::voice::VoiceEvent;
use crate::conduct::Then;
use crate::ids::{ItemId, ReplyId, ToolCallId};
use crate::recent::Recent;
use ending::Ending;
use repetition::Repetition;
use state::{Active, Asked, Farewell, Finished, Floor, Jitter, PendingEnd, Sideband, Wish};
use std::time::Duration;

/// Time since some moment before the first input.
pub type Moment = Duration;

/// A turn is answered by the provider itself, and a reply that was asked for begins, within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A reply that brings nothing new for so long is stuck.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// A turn that is open for longer is closed by us: its end was not noticed.
const LONGEST_TURN: Duration = Duration::from_secs(90);
/// The same of one that was open when our sideband broke: its end may have fallen into the gap.
const LONGEST_TURN_AFTER_GAP: Duration = Duration::from_secs(20);
/// Speech that stopped and is not committed by then was none.
const COMMITTED_WITHIN: Duration = Duration::from_millis(2_500);
/// A goodbye waits for the candidate's pause at most so long.
const PAUSE_WITHIN: Duration = Duration::from_secs(10);
/// From the end of a farewell without the tool to the end of the interview.
const FAREWELL_QUIET: Duration = Duration::from_secs(20);
/// Audio that is generated begins to play within this.
const PLAYED_WITHIN: Duration = Duration::from_secs(2);
/// Speech lasts no longer than this once it is generated.
const LONGEST_PLAYBACK: Duration = Duration::from_mins(1);
/// Our sideband is in a fresh call by then: before, nobody is greeted.
const JOINED_WITHIN: Duration = Duration::from_secs(45);
/// A page that was asked for a new call has brought one by then, or is away for longer than is waited for it.
const RENEWED_WITHIN: Duration = Duration::from_secs(150);
/// Typed words are answered so long after what was being said has been heard: whoever leads the interview has heard it as well.
const BREATH: Duration = Duration::from_millis(300);
/// Tool calls are answered within this, whatever becomes of their reply.
const TOOL_ANSWERED_WITHIN: Duration = Duration::from_millis(900);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A call stands; our sideband is on its way into it.
    CallOpened,
    /// A call that was open before this machine: our sideband is on its way into it. Whether somebody may wait for the
    /// interviewer there, and the turns that are known to have had their answer.
    Attached {
        owed: bool,
        answered_turns: &'a [ItemId],
    },
    /// The provider does not know the call any more, or does not let us into it.
    CallGone,
    /// We hung up.
    CallOver,
    /// Our sideband hears the call, and the call is configured.
    Ready,
    /// Behind what was said last nothing of the interviewer is known, be it by the browser's word: our sideband, which is
    /// back, may not have heard any of this turn.
    TurnInGap(&'a ItemId),
    SidebandDown,
    /// Our sideband is not let into the call and is not tried any more.
    SidebandGivenUp,
    /// The candidate's typed words stand in the conversation.
    Typed {
        item: &'a ItemId,
    },
    /// First words of a call.
    Want(Purpose),
    /// The interview stands, or goes on: what its plan wanted said before a pause is not said into it.
    Paused(bool),
    /// Whether questions are left that everybody is asked: a farewell does not end the interview then.
    QuestionsLeft(bool),
    /// The interview is at its end; the interviewer says goodbye first if a reason to tell is given.
    End {
        goodbye: Option<&'static str>,
    },
    Heard(&'a VoiceEvent),
    /// A tool that is not ours was called and answered by whoever knows it.
    ToolAnswered {
        reply: Option<&'a ReplyId>,
        call: &'a ToolCallId,
        output: &'a serde_json::Value,
        then: Then,
    },
    /// A reply that nobody of us wanted is being cancelled.
    Dismissed(&'a ReplyId),
    /// The configuration or the transcription cannot be had in this call.
    Troubled(Trouble),
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask for a reply, after telling the model why, if it has to be told.
    Ask {
        request: Request,
        purpose: Purpose,
        /// The model has not been told why yet: [`Purpose::note`], or what the conduct wants said.
        tell: bool,
    },
    Cancel {
        reply: ReplyId,
    },
    /// Close the candidate's turn, whose end the provider has not noticed.
    CloseTurn {
        request: Request,
    },
    AnswerTool {
        call: ToolCallId,
        output: serde_json::Value,
    },
    /// The interviewer has ended the interview.
    EndInterview,
    LastWordsOver,
    /// The interviewer is late: the page is told, once until it has recovered. Each time it is logged and counted.
    Late {
        trouble: Trouble,
        news: bool,
    },
    Recovered,
    /// This call does not work: another one.
    RenewCall(Trouble),
    /// No call works: the interview ends in order.
    GiveUp(Trouble),
}

/// What the names of our requests for a reply begin with.
const REPLY_REQUEST: &str = "ask-";

/// A request of ours, as the provider names it when it refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Reply(u64),
    Turn(u64),
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(number) => write!(f, "{REPLY_REQUEST}{number}"),
            Self::Turn(number) => write!(f, "close-{number}"),
        }
    }
}

#[derive(Debug)]
pub struct Replies {
    rules: Rules,
    jitter: Jitter,
    now: Moment,
    commands: Vec<Command>,
    sideband: Sideband,
    floor: Floor,
    /// The reply that is being generated: a second one would be refused.
    active: Option<Active>,
    /// Our request for one, neither begun nor refused yet.
    asked: Option<Asked>,
    /// What is asked for when the floor is free.
    wish: Option<Wish>,
    paused: bool,
    /// Since when a turn waits for the provider's own answer.
    owed: Option<Moment>,
    /// What the candidate is hearing.
    playing: Option<ReplyId>,
    finished: Option<Finished>,
    /// Replies that are not the conversation's, or that nobody wanted.
    aside: Recent<ReplyId>,
    answered: Recent<ToolCallId>,
    /// Turns whose beginning or end was heard, and turns that are answered: their words alone are no news.
    known_turns: Recent<ItemId>,
    /// Our sideband was away during this call: a turn may have been committed meanwhile.
    gap: bool,
    closing_turn: Option<Request>,
    pending_end: Option<PendingEnd>,
    farewell: Option<Farewell>,
    questions_left: bool,
    /// It has parted before its time, and was told so.
    parted_early: bool,
    ending: Ending,
    /// The interviewer ended the interview and said nothing.
    goodbye_due: bool,
    repetition: Repetition,
    /// A tool was answered with words that are to be said, whether they were before or not.
    word_for_word: bool,
    /// What the candidate said last, once it is known.
    last_turn: Option<String>,
    /// Times in a row that nothing came where something was owed.
    silences: u32,
    /// Replies in a row that came to nothing.
    failures: u32,
    /// Calls in a row that were given up.
    renewals: u32,
    /// Calls in a row that our sideband never was in.
    unjoined: u32,
    late: bool,
    over: bool,
    requests: u64,
    begun: Option<Moment>,
    turns: usize,
}

/// What becomes due by itself.
#[derive(Clone, Copy, Debug)]
enum Due {
    Send,
    AskedNotBegun,
    TurnNotAnswered,
    ReplyStuck,
    TurnNotClosed,
    SpeechWasNone,
    ToolAnswer,
    EndCounts,
    Farewell,
    Ending,
    NotJoined,
    NotRenewed,
}

impl Replies {
    pub fn new(rules: Rules, seed: u64) -> Self {
        Self {
            begun: rules.begun.then_some(Moment::ZERO),
            turns: rules.turns,
            rules,
            jitter: Jitter::new(seed),
            now: Moment::ZERO,
            commands: Vec::new(),
            sideband: Sideband::None,
            floor: Floor::default(),
            active: None,
            asked: None,
            wish: None,
            paused: false,
            owed: None,
            playing: None,
            finished: None,
            aside: Recent::default(),
            answered: Recent::default(),
            known_turns: Recent::default(),
            gap: false,
            closing_turn: None,
            pending_end: None,
            farewell: None,
            questions_left: false,
            parted_early: false,
            ending: Ending::No,
            goodbye_due: false,
            repetition: Repetition::default(),
            word_for_word: false,
            last_turn: None,
            silences: 0,
            failures: 0,
            renewals: 0,
            unjoined: 0,
            late: false,
            over: false,
            requests: 0,
        }
    }

    /// Decide. Whatever has become due by `now` is decided as well.
    pub fn step(&mut self, input: Input<'_>, now: Moment) -> Vec<Command> {
        self.now = self.now.max(now);
        self.take(input);
        while let Some(due) = self.next().filter(|(at, _)| *at <= self.now).map(|(_, due)| due) {
            self.happens(due);
        }
        std::mem::take(&mut self.commands)
    }

    /// When [`Input::Tick`] is wanted, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.next().map(|(at, _)| at)
    }

    fn take(&mut self, input: Input<'_>) {
        if self.over {
            return self.after_the_end(input);
        }
        match input {
            Input::CallOpened => {
                self.begun.get_or_insert(self.now);
                self.forget_call();
                self.sideband = Sideband::Joining { by: Some(self.now + JOINED_WITHIN) };
            }
            Input::Attached { owed, answered_turns } => {
                self.sideband = Sideband::Joining { by: None };
                // Whoever heard the call before is gone: a turn may have been committed since.
                self.gap = true;
                for turn in answered_turns {
                    self.known_turns.remember(turn.clone());
                }
                if owed {
                    self.wish(Wish { in_doubt: true, ..Wish::new(Purpose::Answer, self.now) });
                }
            }
            Input::CallGone => {
                let unheard = matches!(self.sideband, Sideband::Joining { by: Some(_) });
                self.forget_call();
                self.sideband = Sideband::None;
                self.unjoined = if unheard { self.unjoined + 1 } else { 0 };
                if self.unjoined >= trouble::MOST_RENEWALS {
                    self.give_up(Trouble::SidebandNotJoined);
                }
            }
            Input::CallOver => {
                self.forget_call();
                // Whoever replaces it by our own order is still waited for.
                if !matches!(self.sideband, Sideband::Renewing { .. }) {
                    self.sideband = Sideband::None;
                }
            }
            // The call that is given up came back: its successor is waited for all the same.
            Input::Ready if matches!(self.sideband, Sideband::Renewing { .. }) => {}
            Input::Ready => self.ready(),
            Input::TurnInGap(turn) if self.gap => self.turn_fell_into_gap(turn),
            Input::SidebandDown => self.sideband_down(),
            Input::SidebandGivenUp if matches!(self.sideband, Sideband::Joining { by: Some(_) }) => {
                self.renew(Trouble::SidebandNotJoined)
            }
            Input::Want(purpose) if self.ending.is_no() => self.wish(Wish::new(purpose, self.now)),
            Input::Typed { item } => self.typed(item),
            Input::Paused(paused) => {
                self.paused = paused;
                self.drop_wish(|wish| !paused || wish.purpose != Purpose::Conduct);
            }
            Input::QuestionsLeft(left) => self.questions_left = left,
            Input::End { goodbye } => self.end(goodbye),
            Input::Heard(event) => self.heard(event),
            Input::ToolAnswered { reply, call, output, then } => self.tool_answered(reply, call, output.clone(), then),
            Input::Dismissed(reply) => self.aside.remember(reply.clone()),
            Input::Troubled(Trouble::Account) => self.give_up(Trouble::Account),
            Input::Troubled(trouble) => self.renew(trouble),
            // A call that was heard before goes on without our sideband; at the end nothing new is begun.
            Input::SidebandGivenUp | Input::TurnInGap(_) | Input::Want(_) | Input::Tick => {}
        }
    }

    /// It is not the conversation's, or nobody of us wanted it: what it says and calls means nothing.
    pub fn is_aside(&self, reply: &ReplyId) -> bool {
        self.aside.contains(reply)
    }

    /// More turns of the candidate are known than were heard here: somebody else heard them.
    pub fn know_turns(&mut self, turns: usize) {
        self.turns = self.turns.max(turns);
    }

    /// Nothing is said after the last words: the provider answers a last answer by itself.
    fn after_the_end(&mut self, input: Input<'_>) {
        if let Input::Heard(VoiceEvent::ReplyStarted { reply, in_conversation: true, .. }) = input
            && self.ending == Ending::Over
        {
            self.commands.push(Command::Cancel { reply: reply.clone() });
        }
    }

    /// The newest wish replaces the one before, but none replaces a goodbye.
    fn wish(&mut self, wish: Wish) {
        if self.paused && wish.purpose == Purpose::Conduct {
            return;
        }
        if self.wish.as_ref().is_none_or(|known| !known.purpose.is_goodbye() || wish.purpose.is_goodbye()) {
            self.wish = Some(wish);
        }
    }

    fn drop_wish(&mut self, unless: impl FnOnce(&Wish) -> bool) {
        self.wish = self.wish.take().filter(unless);
    }

    fn next(&self) -> Option<(Moment, Due)> {
        if self.over {
            return None;
        }
        let ready = matches!(self.sideband, Sideband::Ready);
        let quiet = ready && self.active.is_none() && self.asked.is_none();
        let taken = self.floor.is_taken();
        let send = self.wish.as_ref().filter(|_| quiet).and_then(|wish| wish.sent_at(taken, self.playing.is_some()));
        let not_begun = self.asked.as_ref().filter(|_| ready && self.active.is_none()).map(|asked| asked.at + ANSWER_WITHIN);
        // At the end of the interview no turn is answered any more.
        let open = quiet && !taken && self.wish.is_none() && self.ending.is_no();
        let not_answered = self.owed.filter(|_| open).map(|since| since + ANSWER_WITHIN);
        let stuck = self.active.as_ref().filter(|_| ready).map(|active| active.progress + PROGRESS_WITHIN);
        let not_closed = self.floor.closes_by().filter(|_| ready && self.ending.is_no());
        let tool = self.active.as_ref().and_then(|active| active.end_call.as_ref()?.answered_by);
        let (joined, renewed) = match self.sideband {
            Sideband::Joining { by } => (by, None),
            Sideband::Renewing { by } => (None, Some(by)),
            Sideband::None | Sideband::Ready => (None, None),
        };
        [
            (send, Due::Send),
            (not_begun, Due::AskedNotBegun),
            (not_answered, Due::TurnNotAnswered),
            (stuck, Due::ReplyStuck),
            (not_closed, Due::TurnNotClosed),
            (self.floor.stopped.map(|at| at + COMMITTED_WITHIN), Due::SpeechWasNone),
            (tool, Due::ToolAnswer),
            (self.pending_end.as_ref().map(|end| end.by), Due::EndCounts),
            (self.farewell.as_ref().and_then(|farewell| farewell.ends_at), Due::Farewell),
            (self.ending.until(), Due::Ending),
            (joined, Due::NotJoined),
            (renewed, Due::NotRenewed),
        ]
        .into_iter()
        .filter_map(|(at, due)| Some((at?, due)))
        .min_by_key(|(at, _)| *at)
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Send => self.send(),
            Due::AskedNotBegun => {
                let asked = self.asked.take();
                let purpose = asked.map_or(Purpose::Answer, |asked| asked.wish.purpose);
                self.silent(purpose, Trouble::ReplyNotBegun);
            }
            Due::TurnNotAnswered => {
                self.owed = None;
                self.silent(Purpose::Answer, Trouble::TurnNotAnswered);
            }
            Due::ReplyStuck => self.unstick(),
            Due::TurnNotClosed => self.close_turn(),
            Due::SpeechWasNone => {
                self.floor.stopped = None;
                // Whoever waited for it goes on waiting from here.
                self.owed = self.owed.map(|_| self.now);
                self.heard_out();
            }
            Due::ToolAnswer => self.answer_end_call_before_its_reply_is_done(),
            Due::EndCounts => self.end_counts(),
            Due::Farewell => self.farewell_stands(),
            Due::Ending => self.ending_is_due(),
            Due::NotJoined => self.renew(Trouble::SidebandNotJoined),
            Due::NotRenewed => self.give_up(Trouble::CallNotRenewed),
        }
    }

    fn send(&mut self) {
        let Some(mut wish) = self.wish.take() else { return };
        let request = Request::Reply(self.next_request());
        let tell = !std::mem::replace(&mut wish.noted, true);
        self.commands.push(Command::Ask { request, purpose: wish.purpose, tell });
        // Whatever it says answers what was owed.
        self.owed = None;
        self.asked = Some(Asked { request, at: self.now, wish });
    }

    fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    // ---- the sideband and the call ----

    fn ready(&mut self) {
        self.sideband = Sideband::Ready;
        self.unjoined = 0;
        self.owed = self.owed.map(|_| self.now);
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.in_doubt) {
            // What was asked for may be on its way.
            wish.not_before = self.now + ANSWER_WITHIN;
        }
        self.floor.after_gap(self.now);
    }

    /// What is under way goes on without us. What we had asked for may have been heard or not: that shows when we are back.
    fn sideband_down(&mut self) {
        if matches!(self.sideband, Sideband::Ready) {
            self.sideband = Sideband::Joining { by: None };
            self.gap = true;
        }
        let unheard = self.active.take().filter(|active| !active.spoke).map(|active| active.purpose.unwrap_or(Purpose::Answer));
        let asked = self.asked.take().map(|asked| asked.wish.purpose);
        if let Some(purpose) = asked.or(unheard) {
            // By a note of ours or by its history the model knows what to say; a second greeting is not asked for.
            let purpose = if purpose.is_goodbye() { purpose } else { Purpose::Answer };
            self.wish(Wish { in_doubt: true, ..Wish::new(purpose, self.now) });
        }
        self.closing_turn = None;
        self.ending.sideband_down(self.now);
    }

    fn forget_call(&mut self) {
        let goodbye = self.asked.take().map(|asked| asked.wish).or(self.wish.take()).filter(|wish| wish.purpose.is_goodbye());
        self.wish = goodbye.map(|wish| Wish::new(wish.purpose, self.now));
        self.floor = Floor::default();
        self.active = None;
        self.owed = None;
        self.playing = None;
        self.finished = None;
        self.gap = false;
        self.closing_turn = None;
        self.pending_end = None;
        self.farewell = None;
        // Another call may say once more what was said last.
        self.repetition = Repetition::default();
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

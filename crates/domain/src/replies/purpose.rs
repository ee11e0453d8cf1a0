//! Why the interviewer is to say something.

/// The reason of a reply. It travels as the reply's metadata, so that its begin can be told from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Greet and ask the first question.
    Opening,
    /// A new call of the same interview: no greeting, pick up the thread.
    Thread,
    /// The candidate's turn, which the provider did not answer by itself.
    Answer,
    /// Go on with a reply that broke off.
    Continue,
    /// Go on after a tool call that leads nowhere.
    Tool,
    /// What the conduct of the interview wants said; whoever carries it out knows the words.
    Conduct,
    /// The interviewer said goodbye before its time.
    Nudge,
    /// The interviewer said the same sentence twice.
    Repeated,
    /// It said it once more: the candidate is not to suffer that.
    Apologize,
    /// Thank the candidate and say goodbye; once more and shorter when the first was cut.
    Goodbye { because: &'static str, short: bool },
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Thread => "thread",
            Self::Answer => "answer",
            Self::Continue => "continue",
            Self::Tool => "tool",
            Self::Conduct => "conduct",
            Self::Nudge => "nudge",
            Self::Repeated => "repeated",
            Self::Apologize => "apologize",
            Self::Goodbye { .. } => "goodbye",
        }
    }

    pub fn is_goodbye(self) -> bool {
        matches!(self, Self::Goodbye { .. })
    }

    /// A wish with a content of its own. Any words of the interviewer fulfil the others.
    pub(super) fn has_content(self) -> bool {
        matches!(self, Self::Opening | Self::Thread | Self::Tool | Self::Apologize | Self::Goodbye { .. })
    }

    /// What the model is told before it is asked: a system item. `instructions` in the request itself would replace the
    /// session's, and with them persona, language and rules.
    pub fn note(self) -> Option<String> {
        match self {
            Self::Opening | Self::Answer | Self::Tool | Self::Conduct => None,
            Self::Thread => Some(
                "The line was interrupted and is back. Do not greet again. Continue the interview from where it stopped."
                    .to_owned(),
            ),
            Self::Continue => {
                Some("Your last words were cut off. Go on from there, without repeating what was heard.".to_owned())
            }
            Self::Nudge => Some("The interview is not over yet. Ask the next question.".to_owned()),
            Self::Repeated => Some(
                "You have just said the same sentence twice. Do not say it again. If the candidate asked you to repeat it, say only that they may take their time; if they have answered, go on."
                    .to_owned(),
            ),
            Self::Apologize => Some(
                "You have said the same sentence three times. Apologise in one short sentence, say that you pause for a moment, and offer that a person of the company gets in touch instead. Then wait."
                    .to_owned(),
            ),
            Self::Goodbye { because, short: false } => Some(format!(
                "The interview is at its end ({because}). Thank the candidate in one or two sentences, say what happens next in general terms, and say goodbye. Ask nothing more."
            )),
            Self::Goodbye { short: true, .. } => Some(
                "Your goodbye was cut off, and the interview is at its end. Say goodbye now, in one short sentence.".to_owned(),
            ),
        }
    }
}

/// What keeps the interviewer from speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    ReplyFailed,
    /// It said nothing that can be heard.
    ReplyEmpty,
    ReplyIncomplete,
    /// It said the same sentence again.
    ReplyRepeated,
    /// Our request for it was refused.
    ReplyRefused,
    /// We asked, and it never began.
    ReplyNotBegun,
    /// It began, and nothing more comes of it.
    ReplyStuck,
    TurnNotAnswered,
    TurnNotClosed,
    /// Our sideband is not let into the call.
    SidebandNotJoined,
    /// A new call was asked for, and none came.
    CallNotRenewed,
    /// The provider does not configure the call as asked.
    Configuration,
    /// The candidate's words cannot be transcribed.
    Transcription,
    /// The account at the provider is used up or blocked.
    Account,
}

impl Trouble {
    pub const ALL: [Self; 14] = [
        Self::ReplyFailed,
        Self::ReplyEmpty,
        Self::ReplyIncomplete,
        Self::ReplyRepeated,
        Self::ReplyRefused,
        Self::ReplyNotBegun,
        Self::ReplyStuck,
        Self::TurnNotAnswered,
        Self::TurnNotClosed,
        Self::SidebandNotJoined,
        Self::CallNotRenewed,
        Self::Configuration,
        Self::Transcription,
        Self::Account,
    ];

    /// Nothing came. Perhaps it did, and our sideband into the call is dead.
    pub fn is_silence(self) -> bool {
        matches!(self, Self::ReplyNotBegun | Self::ReplyStuck | Self::TurnNotAnswered | Self::TurnNotClosed)
    }

    /// The label of the metric `interview.replies.troubles`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplyFailed => "reply_failed",
            Self::ReplyEmpty => "reply_empty",
            Self::ReplyIncomplete => "reply_incomplete",
            Self::ReplyRepeated => "reply_repeated",
            Self::ReplyRefused => "reply_refused",
            Self::ReplyNotBegun => "reply_not_begun",
            Self::ReplyStuck => "reply_stuck",
            Self::TurnNotAnswered => "turn_not_answered",
            Self::TurnNotClosed => "turn_not_closed",
            Self::SidebandNotJoined => "line_not_joined",
            Self::CallNotRenewed => "call_not_renewed",
            Self::Configuration => "configuration_refused",
            Self::Transcription => "transcription_failed",
            Self::Account => "account_blocked",
        }
    }
}

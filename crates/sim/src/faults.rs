//! The faults of the simulation, each with its row of the fault matrix and a counter.

use std::collections::BTreeMap;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $row:literal $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)+ }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Its row of the fault matrix.
            pub fn row(self) -> u8 {
                match self { $(Self::$name => $row,)+ }
            }
        }
    };
}

faults! {
    SignalingPanicsNew = 1 "signaling_socket panics: nothing offered yet",
    SignalingPanicsOffered = 1 "signaling_socket panics: offered, not answered",
    SignalingPanicsAnswered = 1 "signaling_socket panics: answered, media not up",
    SignalingPanicsConnected = 1 "signaling_socket panics: media up",
    SignalingPanicsClosing = 1 "signaling_socket panics: the end is under way",
    SignalingPanicsAway = 1 "signaling_socket panics: its browser is gone",
    ControlPanicsDialing = 2 "control_channel panics: opening or joining a call",
    ControlPanicsOpen = 2 "control_channel panics: joined, no reply under way",
    ControlPanicsReplying = 2 "control_channel panics: in the middle of a reply",
    ControlPanicsBackoff = 2 "control_channel panics: line lost or refused, waiting",
    ControlPanicsIdle = 2 "control_channel panics: no call",
    WriterPanicsBeforeSend = 3 "transcript_writer panics: batch taken, not sent",
    WriterPanicsSent = 3 "transcript_writer panics: sent, no reply yet",
    WriterPanicsReplied = 3 "transcript_writer panics: reply here, not acknowledged",
    WriterPanicsIdle = 3 "transcript_writer panics: between two batches",
    RecordingTrackerPanics = 4 "recording_tracker panics",
    SummarizerPanics = 4 "summarizer panics",
    SessionPanics = 5 "session (the root) panics",
    CrashLoop = 6 "a child panics again and again",
    HangsInShutdown = 7 "a child hangs while it is told to stop",
    DatabaseAway = 9 "database away",
    ReplyLost = 11 "committed, reply lost",
    DatabaseSlow = 12 "database slow",
    DatabaseReadOnly = 13 "database read-only",
    PoisonRecord = 13 "a record that the database refuses",
    FrameLost = 17 "an update of the browser is lost inside, and sent again",
    TwoBrowsers = 19 "a second browser takes over",
    TwoProcesses = 20 "a second process takes over, the first lives on",
    CallRateLimited = 26 "opening the call: 429",
    CallFails = 27 "opening the call: 500",
    CallHangs = 28 "opening the call: no answer",
    CallOrphaned = 28 "opening the call: opened, unusable answer",
    OfferRefused = 28 "opening the call: an offer that the provider refuses",
    SidebandDropped = 29 "sideband drops",
    SidebandRefused = 29 "sideband refused when joining",
    CallGone = 30 "the provider ends the call",
    CallExpires = 30 "the call reaches its cap",
    RecordingNeverSettles = 32 "recording never settles",
    Sigterm = 35 "SIGTERM",
    Killed = 36 "kill -9, everything in memory gone",
    CallTakenUp = 36 "a process takes up a call that another opened",
    ClockJumps = 37 "wall clock jumps by an hour",
    TokenRenewed = 38 "token expires, refresh_auth",
    EndedTwice = 44 "end_session twice",
    ForgedRecordingUrl = 44 "end_session with a forged recording_url",
    EndedDuringOutage = 44 "end_session while the database is away",
    LateWords = 44 "words come when the summary has begun, and are refused",
    SummaryUnusable = 45 "summary: garbage, refusal, error or no answer",
    Reloaded = 36 "browser reloads",
    LinkDropped = 22 "browser's link drops",
    Away30s = 22 "browser silent for 30 s",
    Away2min = 22 "browser silent for 2 min",
    Away24h = 22 "browser silent for 24 h",
    OddText = 46 "a page tells text that is none: NUL, half a character, changed direction, 17,000 bytes",
    OddId = 46 "a page tells an id that is none: NUL, empty, 300 bytes",
    OddTime = 46 "a page tells a time that cannot be: year 0, 1 or 9999, an offset, no time at all",
    OddShape = 46 "a page tells more than 100 entries, or of a speaker whom nobody knows",
    OddNote = 46 "an integrity_event with such a time",
    VoiceOddText = 47 "the provider's words have NUL or half a character",
    VoiceLongText = 47 "the provider's words are 70,000 characters long",
    VoiceEmptyFinal = 47 "the provider's final words are null, absent or empty after others",
    VoiceOddId = 47 "the provider's item has an id of 300 characters, or with NUL",
    VoiceOddTime = 47 "the provider's milliseconds are more than a column holds",
    Invented = 48 "a lying page tells of items that nobody said",
    TwistedWords = 48 "a lying page tells other words of what was said",
    OffersRepeated = 48 "a lying page offers again and again",
    TamperedSession = 49 "a lying page changes how the call is configured",
    TamperedItems = 49 "a lying page puts items into the call, deletes or truncates them",
    ReplyFails = 50 "a reply of the interviewer fails",
    ReplyIncomplete = 50 "a reply is cut by its limit",
    ReplyEmpty = 50 "a reply says nothing",
    ReplyNeverBegins = 50 "a turn is not answered, or a request for a reply is not followed",
    ReplyRefused = 50 "a request for a reply is refused, with a code or without",
    TypedAnswer = 52 "the candidate types an answer",
    TypedAgain = 52 "a typed answer is sent again",
    ThinkAsked = 51 "the candidate asks for a moment to think",
    SilentCandidate = 51 "the candidate says nothing for long",
    WaywardInterviewer = 51 "the interviewer says other words than the plan's, or calls a tool at the wrong moment",
    TamperedReplies = 49 "a lying page makes, cancels or silences replies",
}

/// How often each fault really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<Fault, u64>);

impl Counters {
    pub fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub fn of(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}

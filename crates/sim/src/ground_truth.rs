//! The ground truth: what was really said, which only the simulation knows, and who has heard it.

use interview_runtime::domain::voice::Speaker;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One thing said in a call.
#[derive(Clone, Debug)]
pub struct Said {
    pub item: String,
    pub call: String,
    pub speaker: Speaker,
    pub spoken_at: Instant,
    /// None: it could not be transcribed, or its words are not out yet.
    pub text: Option<String>,
    /// All of it, also what was never final.
    pub full: String,
    /// Its final words say nothing: these came before.
    pub only_begun: Option<String>,
    /// The transcription was off when it was said.
    pub unwritten: bool,
    /// Rising in the order of the conversation, over all calls.
    pub order: usize,
    /// The process and the sideband that took its place in the conversation from the provider.
    pub placed_on: Option<u64>,
    pub placed_by: u32,
    pub placed_at: Option<Instant>,
    /// Words before the final ones, as a process heard them.
    pub begun_by: Vec<(u32, Instant)>,
    /// The process that took its final words from the provider, and when.
    pub settled_by: Vec<(u32, Instant)>,
    /// The process that heard that the candidate spoke over it, and when.
    pub cut_by: Vec<(u32, Instant)>,
    pub cut_forgiven: bool,
    /// The candidate heard it to its end.
    pub heard_out: Option<Instant>,
    /// Lost where it may be lost: the process was killed before it could be stored.
    pub forgiven: bool,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub first: Instant,
    pub last: Instant,
    /// When the page heard that it is stored. What waits unread, because the outbox is full, is read later than it was told.
    pub acked: Option<Instant>,
    pub claimed: String,
}

/// One entry that the browser was told is stored.
#[derive(Clone, Debug)]
pub struct Acked {
    pub key: String,
    pub text: String,
    pub poison: bool,
}

/// One answer in writing.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: String,
    pub acked: Option<Instant>,
}

/// A call as it really was.
#[derive(Clone, Debug)]
pub struct CallFacts {
    pub process: u32,
    pub opened: Instant,
    /// Its process has the provider's answer.
    pub answered: Option<Instant>,
    pub ended: Option<Instant>,
    /// We began to end it.
    pub hung_up: Option<Instant>,
    /// Our sidebands into it, from when they were heard on to the last that came on them.
    pub heard: Vec<Heard>,
    /// When an item took its place in it.
    pub placed: Vec<Instant>,
    /// When somebody began to speak in it: what the page told before was said before.
    pub begun: Vec<Instant>,
    /// When what was said took its place in it, or its words came although its place was not heard.
    pub goes_on: Vec<Instant>,
}

#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub line: u64,
    pub process: u32,
    pub from: Instant,
    pub last: Instant,
    /// None: it still is.
    pub until: Option<Instant>,
    /// It is half-open, and nobody has noticed.
    pub silent: bool,
    /// The runtime let it go while it was good.
    pub given_up: bool,
}

/// Something that somebody else did in a call, and that our sideband brought.
#[derive(Clone, Debug)]
pub struct Foreign {
    pub kind: &'static str,
    pub call: String,
    pub line: u64,
    pub process: u32,
    pub at: Instant,
    pub forgiven: bool,
}

#[derive(Clone, Debug, Default)]
pub struct GroundTruth(Arc<Mutex<Facts>>);

#[derive(Debug, Default)]
pub struct Facts {
    pub said: BTreeMap<String, Said>,
    pub calls: BTreeMap<String, CallFacts>,
    /// Items that a browser put into a call by hand.
    pub put: BTreeSet<String>,
    pub foreign: Vec<Foreign>,
    /// When the root or the control channel panicked.
    pub crashes: Vec<Instant>,
    /// When a page first and last told an entry, by its key, and the time that it claimed.
    pub told: BTreeMap<String, Told>,
    /// When a page was asked for a new offer.
    pub asked: Vec<Instant>,
    pub acked: Vec<Acked>,
    /// What the candidate typed, by the page's name for it, and when the page heard that it is stored.
    pub typed: BTreeMap<String, Written>,
    /// What was put into which call in writing, as the candidate's.
    pub typed_in: Vec<(String, String)>,
    /// Free notes of the browsers in the order they were made.
    pub notes: Vec<String>,
    /// Of them, those that were lost inside and sent again, behind others.
    pub late_notes: Vec<String>,
    /// How long the interviewer owed a reply, on a sideband that was heard, until the runtime did something about it.
    pub owed: Vec<(String, Duration)>,
    /// Since when the newest page shows that the interview stands.
    pub pause_shown: Option<Instant>,
    /// When it last showed that.
    pub paused_until: Option<Instant>,
    /// The newest page says why nobody speaks: that there is time, or what does not work.
    pub shows_why: bool,
    /// Since when it does not.
    pub shows_nothing_since: Option<Instant>,
    pub shows_trouble: BTreeSet<String>,
    /// Since when it is connected.
    pub page_since: Option<Instant>,
    /// Of interviews with a plan: what was asked of the interviewer in a pause, and for how long nobody spoke and the page said nothing.
    pub talked_into_pauses: Vec<String>,
    pub silences: Vec<String>,
    /// Since when nobody speaks in each call that a page is in, and the longest time of that in which the page said nothing either.
    pub quiet: BTreeMap<String, Option<Instant>>,
    pub longest_silence: Duration,
    /// Openings that the candidate heard.
    pub greetings: u32,
    /// A process died, or was replaced, after asking for the opening and before it could store that it did.
    pub greeting_forgiven: bool,
    /// When each process began.
    pub started: Vec<(u32, Instant)>,
    /// When a process died, or ended without storing what it knew.
    pub gone: BTreeMap<u32, Instant>,
    /// Processes that were told to stop, could store, and did stop; and when they were told.
    pub orderly: BTreeMap<u32, Instant>,
}

impl GroundTruth {
    pub fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    pub fn speak(&mut self, item: &str, call: &str, speaker: Speaker) {
        let said = Said {
            item: item.to_owned(),
            call: call.to_owned(),
            speaker,
            spoken_at: Instant::now(),
            text: None,
            full: String::new(),
            only_begun: None,
            unwritten: false,
            order: self.said.len(),
            placed_on: None,
            placed_by: 0,
            placed_at: None,
            begun_by: Vec::new(),
            settled_by: Vec::new(),
            cut_by: Vec::new(),
            cut_forgiven: false,
            heard_out: None,
            forgiven: false,
        };
        self.said.insert(item.to_owned(), said);
    }

    /// What this process heard and had not stored is lost with it.
    /// Of one that stopped in order: only what it heard while it stopped.
    pub fn forgive(&mut self, process: u32, is_stored: impl Fn(&str) -> bool) {
        let told = self.orderly.get(&process).copied();
        let late = |at: Instant| told.is_none_or(|told| at >= told);
        for foreign in self.foreign.iter_mut().filter(|foreign| foreign.process == process && late(foreign.at)) {
            foreign.forgiven = true;
        }
        for said in self.said.values_mut() {
            if said.settled_by.iter().any(|(by, at)| *by == process && late(*at)) && !is_stored(&said.item) {
                said.forgiven = true;
            }
            said.cut_forgiven |= said.cut_by.iter().any(|(by, at)| *by == process && late(*at));
            // Its place in the conversation was known to that process alone.
            if said.placed_by == process && said.placed_at.is_none_or(late) && !is_stored(&said.item) {
                said.placed_on = None;
            }
        }
    }

    /// A call is opened, and its process has the answer.
    pub fn call_opened(&mut self, call: &str, process: u32) {
        let opened = Instant::now();
        let truth = CallFacts {
            process,
            opened,
            answered: None,
            ended: None,
            hung_up: None,
            heard: Vec::new(),
            placed: Vec::new(),
            begun: Vec::new(),
            goes_on: Vec::new(),
        };
        self.calls.insert(call.to_owned(), truth);
    }

    /// A process is gone: what it heard on, nobody hears on.
    pub fn process_gone(&mut self, process: u32) {
        self.gone.entry(process).or_insert_with(Instant::now);
        for heard in self.calls.values_mut().flat_map(|call| &mut call.heard).filter(|heard| heard.process == process) {
            heard.until.get_or_insert_with(Instant::now);
        }
    }

    pub fn is_told(&mut self, key: &str, claimed: &str) {
        let now = Instant::now();
        let new = Told { first: now, last: now, acked: None, claimed: claimed.to_owned() };
        self.told.entry(key.to_owned()).or_insert(new).last = now;
    }

    pub fn heard_on(&mut self, call: &str, line: u64, change: impl FnOnce(&mut Heard)) {
        let heard = self.calls.get_mut(call).and_then(|call| call.heard.iter_mut().find(|heard| heard.line == line));
        if let Some(heard) = heard {
            change(heard);
        }
    }

    /// A sideband into the call is given up now: nobody listens to what it brings at this instant.
    pub fn forgive_cuts(&mut self, now: Instant) {
        for said in self.said.values_mut() {
            said.cut_forgiven |= said.cut_by.iter().any(|(_, at)| *at == now);
        }
    }

    /// An actor panics now: what waits in its mailbox at this instant is lost with it.
    pub fn forgive_mailbox(&mut self, now: Instant) {
        for said in self.said.values_mut() {
            if said.settled_by.iter().any(|(_, at)| *at == now) {
                said.forgiven = true;
            }
        }
        for foreign in self.foreign.iter_mut().filter(|foreign| foreign.at == now) {
            foreign.forgiven = true;
        }
        self.forgive_cuts(now);
    }
}

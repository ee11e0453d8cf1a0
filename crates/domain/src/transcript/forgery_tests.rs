//! Whatever a lying browser sends on any channel and in any order, only words that the rule allows enter the record.

use super::*;
use crate::edge::Text;
use crate::transcript::Recognition;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    /// The candidate speaks and the interviewer answers; the sideband may break before the n-th event of it.
    Turn {
        breaks_at: Option<usize>,
    },
    /// It breaks while nothing is said.
    SidebandLost,
    SidebandBack,
    /// The browser replaces the call for no reason.
    Offer,
    /// It puts an item into the call.
    Create {
        typed: bool,
    },
    /// It deletes the n-th last item, or cuts it.
    Delete(usize),
    /// It tells of the n-th last item, truly or not.
    Tell {
        back: usize,
        truly: bool,
    },
    /// It tells of an item that does not exist.
    Invent,
    Note,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::option::weighted(0.3, 0usize..8).prop_map(|breaks_at| Step::Turn { breaks_at }),
        1 => Just(Step::SidebandLost),
        3 => Just(Step::SidebandBack),
        1 => Just(Step::Offer),
        1 => any::<bool>().prop_map(|typed| Step::Create { typed }),
        1 => (0usize..6).prop_map(Step::Delete),
        4 => (0usize..6, any::<bool>()).prop_map(|(back, truly)| Step::Tell { back, truly }),
        3 => Just(Step::Invent),
        1 => Just(Step::Note),
    ]
}

/// What really happened, as only the provider knows it.
struct World {
    transcript: Transcript,
    now: Timestamp,
    up: bool,
    segment: i32,
    /// Items that were said, in their order, and their words.
    said: Vec<(ItemId, Speaker, String)>,
    heard_whole: usize,
    /// Gaps of ours.
    gaps: usize,
    /// Turns that our sideband did not hear to their end in the call that is open.
    swallowed: usize,
    /// A whole turn was heard since the sideband was back.
    heard_since: bool,
    names: usize,
}

impl World {
    fn new() -> Self {
        let mut transcript = Transcript::default();
        transcript.call_opened(1, Cause::Ours, Timestamp::UNIX_EPOCH);
        transcript.sideband_back(Timestamp::UNIX_EPOCH);
        let now = Timestamp::UNIX_EPOCH;
        let mut world = Self {
            transcript,
            now,
            up: true,
            segment: 1,
            said: vec![],
            heard_whole: 0,
            gaps: 0,
            swallowed: 0,
            heard_since: false,
            names: 0,
        };
        world.pass(60);
        world
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now + time::Duration::seconds(seconds);
        self.transcript.at_steady(self.transcript.steady + time::Duration::seconds(seconds));
    }

    fn lose_sideband(&mut self) {
        self.transcript.sideband_lost();
        self.up = false;
        self.gaps += 1;
    }

    fn name(&mut self, kind: &str) -> ItemId {
        self.names += 1;
        ItemId::new(format!("{kind}{}", self.names))
    }

    fn turn(&mut self, breaks_at: Option<usize>) {
        let (user, ai, reply) = (self.name("u"), self.name("a"), ReplyId::new(format!("r{}", self.names)));
        let (answer, question) = (format!("true words of {user}"), format!("true question of {ai}"));
        let previous = self.said.last().map(|(item, ..)| item.clone());
        let message = |speaker| ItemContent::Message { speaker, commentary: false };
        let events = [
            VoiceEvent::SpeechStarted { item: user.clone(), start_ms: None },
            VoiceEvent::ItemPlaced { item: user.clone(), previous: previous.clone(), content: ItemContent::Committed },
            VoiceEvent::ItemPlaced { item: user.clone(), previous, content: message(Speaker::Candidate) },
            VoiceEvent::ReplyStarted { reply: reply.clone(), in_conversation: true, purpose: None },
            VoiceEvent::ReplyItem { reply, item: ai.clone(), commentary: false },
            VoiceEvent::ItemPlaced { item: ai.clone(), previous: Some(user.clone()), content: message(Speaker::Ai) },
            VoiceEvent::CandidateSettled { item: user.clone(), text: answer.clone(), recognition: Recognition::default() },
            VoiceEvent::ReplySettled { item: ai.clone(), text: question.clone() },
        ];
        self.said.extend([(user, Speaker::Candidate, answer), (ai, Speaker::Ai, question)]);
        for (index, event) in events.iter().enumerate() {
            if self.up && breaks_at == Some(index) {
                self.lose_sideband();
            }
            if self.up {
                self.transcript.apply(event, self.now);
            }
        }
        if self.up {
            self.heard_whole += 2;
            self.heard_since = true;
        } else {
            self.swallowed += 1;
        }
    }

    fn tell(&mut self, item: Option<ItemId>, speaker: Speaker, text: &str) {
        self.names += 1;
        let key = EntryKey::stored(format!("c:{}", self.names));
        let (text, claimed_at) = (text.into(), Text::default());
        let told = self
            .transcript
            .client_report(ClientReport { key, item_id: item, speaker, text, claimed: None, claimed_at }, self.now);
        assert!(told.iter().all(|entry| entry.seq > 0));
    }

    fn step(&mut self, step: &Step) {
        self.pass(3);
        match step {
            Step::Turn { breaks_at } => self.turn(*breaks_at),
            Step::SidebandLost => self.lose_sideband(),
            Step::SidebandBack => {
                self.heard_since &= self.up;
                self.transcript.sideband_back(self.now);
                self.up = true;
                self.pass(3);
            }
            Step::Offer if self.up => {
                self.segment += 1;
                self.transcript.call_opened(self.segment, Cause::Client, self.now);
                self.transcript.give_up_earlier_calls(Cause::Client);
                self.tell(Some(ItemId::new("offer-item")), Speaker::Ai, "FORGED that was outstanding");
                self.pass(1);
                self.transcript.sideband_back(self.now);
                self.said.clear();
                (self.swallowed, self.heard_since) = (0, false);
                self.pass(4);
            }
            Step::Offer => {}
            Step::Create { typed } => {
                let (item, previous) = (self.name("x"), self.said.last().map(|(item, ..)| item.clone()));
                let message = ItemContent::Message { speaker: Speaker::Candidate, commentary: false };
                let content = if *typed { ItemContent::Typed } else { message };
                if self.up {
                    self.transcript.apply(&VoiceEvent::ItemPlaced { item: item.clone(), previous, content }, self.now);
                }
                self.tell(Some(item), Speaker::Candidate, "FORGED by hand");
            }
            Step::Delete(back) => {
                if let Some((item, ..)) = self.said.iter().rev().nth(*back).cloned()
                    && self.up
                {
                    self.transcript.apply(&VoiceEvent::ItemDeleted { item }, self.now);
                }
            }
            Step::Tell { back, truly } => {
                if let Some((item, speaker, words)) = self.said.iter().rev().nth(*back).cloned() {
                    self.tell(Some(item), speaker, if *truly { &words } else { "FORGED words of it" });
                }
            }
            Step::Invent => {
                let item = self.name("invented");
                self.tell(Some(item), Speaker::Candidate, "FORGED invention");
            }
            Step::Note => self.tell(None, Speaker::Candidate, "FORGED note"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_word_is_of_the_record_that_the_rule_does_not_allow(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut truth = BTreeMap::new();
        for step in &steps {
            world.step(step);
            truth.extend(world.said.iter().map(|(item, _, words)| (item.clone(), words.clone())));
        }
        // The provider's chain shows that nothing fell into a gap of this call: nothing that was invented stands in it.
        if world.up && world.heard_since && world.swallowed == 0 {
            let of_call = world.transcript.entries().into_iter().filter(|entry| entry.segment == world.segment);
            let invented = |entry: &Entry| entry.item_id.as_ref().is_none_or(|item| !truth.contains_key(item));
            let invented: Vec<Entry> = of_call.filter(invented).collect();
            prop_assert!(invented.is_empty(), "{invented:?}");
        }
        world.transcript.close();
        for entry in world.transcript.all_entries() {
            let told = format!("{entry:?} {:?}", entry.text.as_str());
            let words = entry.item_id.as_ref().and_then(|item| truth.get(item));
            if entry.source == Source::Sideband {
                // Heard: what the provider transcribed, or a part of it.
                prop_assert!(words.is_some_and(|words| words.contains(entry.text.as_str())), "{}", told);
                continue;
            }
            prop_assert!(!entry.authoritative || entry.item_id.is_some(), "a note: {told}");
            let invented = words.is_none();
            if world.gaps == 0 {
                prop_assert!(!entry.authoritative, "no gap of ours: {told}");
            }
            // What was put in by hand, or told in a gap that an offer made, may hide in a gap of ours, but marked.
            if entry.authoritative && invented {
                prop_assert!(world.gaps > 0 && entry.source == Source::Browser, "{}", told);
            }
            prop_assert!(entry.authoritative || entry.doubt.is_some(), "kept without a reason: {told}");
        }
        let places: Vec<i64> = world.transcript.slots.iter().map(|slot| slot.position).collect();
        prop_assert!(places.is_sorted(), "{places:?}");
    }
}

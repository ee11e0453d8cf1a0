//! What is typed is in the record once, at its place, whatever happens to the call, and nothing of the call changes it.

use super::tests::{at, item, reply, texts, turn};
use super::*;
use proptest::prelude::*;

fn type_in(transcript: &mut Transcript, name: &str) -> Entry {
    let entry = transcript.type_in(EntryKey::stored(format!("t:{name}")), item(&format!("typed_{name}")), name.into(), at());
    entry.expect("it is settled at once")
}

fn store(transcript: &mut Transcript, name: &str) -> Option<Entry> {
    transcript.typed_is_stored(&EntryKey::stored(format!("t:{name}")))
}

fn comes(transcript: &mut Transcript, name: &str, previous: Option<&str>) -> Vec<Entry> {
    let (item, previous) = (item(&format!("typed_{name}")), previous.map(item));
    transcript.apply(&VoiceEvent::ItemPlaced { item, previous, content: ItemContent::Typed }, at())
}

fn waiting(transcript: &Transcript) -> Vec<String> {
    transcript.typed_to_put_in().into_iter().map(|(_, text)| text.into_string()).collect()
}

fn in_call() -> Transcript {
    let mut transcript = Transcript::default();
    transcript.call_opened(1, Cause::Ours, at());
    transcript.sideband_back(at());
    for event in &turn(1, None) {
        transcript.apply(event, at());
    }
    transcript
}

#[test]
fn it_is_a_turn_of_the_record_and_goes_into_the_call_when_it_is_stored() {
    let mut transcript = in_call();
    let entry = type_in(&mut transcript, "I led it.");
    assert_eq!((entry.source, entry.authoritative, entry.doubt, entry.status), (Source::Typed, true, None, Status::Final));
    assert_eq!((entry.speaker, entry.weight()), (Speaker::Candidate, Some(Weight::Full)));
    assert_eq!((transcript.turns(), transcript.unanswered_turn()), (2, entry.item_id.clone()));
    assert_eq!(waiting(&transcript), [""; 0], "what is not stored is not told to anybody");
    assert_eq!(store(&mut transcript, "I led it.").map(|entry| entry.seq), Some(entry.seq));
    assert_eq!(store(&mut transcript, "I led it."), None, "once");
    assert_eq!(waiting(&transcript), ["I led it."]);
    let name = entry.item_id.expect("its name in the call");
    assert!(transcript.awaits_typed(&name));
    assert_eq!(comes(&mut transcript, "I led it.", Some("a1")), [], "it stands there already");
    assert_eq!((waiting(&transcript), transcript.awaits_typed(&name)), (vec![], false));
    for event in &turn(2, Some("typed_I led it.")) {
        transcript.apply(event, at());
    }
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I led it.", "I said 2.", "answer 2."]);
    assert_eq!(transcript.unanswered_turn(), None);
}

#[test]
fn the_provider_tells_its_place() {
    let mut transcript = in_call();
    type_in(&mut transcript, "typed");
    store(&mut transcript, "typed");
    // The candidate had begun to speak, and is heard first.
    for event in &turn(2, Some("a1")) {
        transcript.apply(event, at());
    }
    let moved = comes(&mut transcript, "typed", Some("a2"));
    assert_eq!(moved.len(), 1);
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "I said 2.", "answer 2.", "typed"]);
}

#[test]
fn another_call_is_told_of_it_with_the_conversation_before() {
    let mut transcript = in_call();
    type_in(&mut transcript, "in the first");
    store(&mut transcript, "in the first");
    type_in(&mut transcript, "on its way");
    transcript.call_opened(2, Cause::Ours, at());
    assert_eq!(transcript.history().last().map(|entry| entry.text.as_str().to_owned()).as_deref(), Some("in the first"));
    assert_eq!(waiting(&transcript), [""; 0]);
    // Stored when the call was gone already: the next was not told of it.
    store(&mut transcript, "on its way");
    type_in(&mut transcript, "in the second");
    store(&mut transcript, "in the second");
    assert_eq!(waiting(&transcript), ["on its way", "in the second"]);
    comes(&mut transcript, "on its way", None);
    comes(&mut transcript, "in the second", Some("typed_on its way"));
    assert_eq!(texts(&transcript), ["I said 1.", "answer 1.", "in the first", "on its way", "in the second"]);
}

#[test]
fn whoever_takes_the_interview_up_puts_it_in_once_more_and_hears_that_it_is_there() {
    let mut transcript = in_call();
    type_in(&mut transcript, "typed");
    store(&mut transcript, "typed");
    comes(&mut transcript, "typed", Some("a1"));
    let mut next = Transcript::restore(transcript.entries()).taken_over(Some(at()), true);
    assert_eq!(texts(&next), texts(&transcript));
    assert_eq!(waiting(&next), ["typed"]);
    next.sideband_back(at());
    next.typed_is_there(&item("typed_typed"));
    assert_eq!(waiting(&next), [""; 0]);
    for event in &turn(2, Some("typed_typed")) {
        next.apply(event, at());
    }
    assert_eq!(texts(&next), ["I said 1.", "answer 1.", "typed", "I said 2.", "answer 2."]);
}

#[test]
fn what_something_was_heard_behind_is_in_the_call_whoever_has_taken_it_out() {
    let mut transcript = in_call();
    type_in(&mut transcript, "typed");
    store(&mut transcript, "typed");
    comes(&mut transcript, "typed", Some("a1"));
    for event in &turn(2, Some("typed_typed")) {
        transcript.apply(event, at());
    }
    let next = Transcript::restore(transcript.entries()).taken_over(Some(at()), true);
    assert_eq!((waiting(&next), next.awaits_typed(&item("typed_typed"))), (vec![], false));
}

/// The browser knows the name as soon as the call has it.
#[test]
fn an_item_that_somebody_gives_its_name_moves_and_changes_nothing() {
    let mut transcript = in_call();
    type_in(&mut transcript, "honest");
    store(&mut transcript, "honest");
    comes(&mut transcript, "honest", Some("a1"));
    let before = transcript.entries();
    transcript.apply(&VoiceEvent::ItemDeleted { item: item("typed_honest") }, at());
    assert_eq!(comes(&mut transcript, "honest", None), []);
    let recognition = Recognition::default();
    let heard = VoiceEvent::CandidateSettled { item: item("typed_honest"), text: "FORGED".into(), recognition };
    assert_eq!(transcript.apply(&heard, at()), []);
    assert_eq!(transcript.apply(&VoiceEvent::ReplySettled { item: item("typed_honest"), text: "FORGED".into() }, at()), []);
    let told = ClientReport {
        key: EntryKey::stored("typed_honest".into()),
        item_id: Some(item("typed_honest")),
        speaker: Speaker::Candidate,
        text: "FORGED".into(),
        claimed: None,
        claimed_at: Text::default(),
    };
    transcript.client_report(told, at());
    assert_eq!(transcript.entries(), before);
    // A name like it says nothing either.
    comes(&mut transcript, "forged", Some("a1"));
    transcript.close();
    assert_eq!(transcript.entries(), before);
}

#[derive(Clone, Debug)]
enum Step {
    Types,
    Stores,
    /// The call has it; or an error says that it had.
    Comes {
        is_there: bool,
    },
    Turn,
    Forges {
        known: bool,
    },
    Tells,
    SidebandLost,
    SidebandBack,
    NewCall,
    /// Another process goes on with what is stored.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Types),
        4 => Just(Step::Stores),
        3 => any::<bool>().prop_map(|is_there| Step::Comes { is_there }),
        3 => Just(Step::Turn),
        2 => any::<bool>().prop_map(|known| Step::Forges { known }),
        1 => Just(Step::Tells),
        1 => Just(Step::SidebandLost),
        2 => Just(Step::SidebandBack),
        1 => Just(Step::NewCall),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct World {
    transcript: Transcript,
    segment: i32,
    names: usize,
    typed: Vec<String>,
    stored: Vec<String>,
    /// The items of the call.
    chain: Vec<String>,
}

impl World {
    fn happens(&mut self, step: &Step) {
        self.names += 1;
        let last = self.chain.last().cloned();
        match step {
            Step::Types => {
                let name = format!("n{}", self.names);
                type_in(&mut self.transcript, &name);
                self.typed.push(name);
            }
            Step::Stores => {
                if let Some(name) = self.typed.iter().find(|name| !self.stored.contains(name)).cloned() {
                    assert!(store(&mut self.transcript, &name).is_some());
                    self.stored.push(name);
                }
            }
            Step::Comes { is_there } => {
                let Some((name, text)) = self.transcript.typed_to_put_in().first().cloned() else { return };
                if self.chain.iter().any(|known| known == name.as_str()) || *is_there {
                    return self.transcript.typed_is_there(&name);
                }
                comes(&mut self.transcript, &text, last.as_deref());
                self.chain.push(name.into_string());
            }
            Step::Turn => {
                for event in &turn(self.names, last.as_deref()) {
                    self.transcript.apply(event, at());
                }
                self.chain.extend([format!("u{}", self.names), format!("a{}", self.names)]);
            }
            Step::Forges { known } => {
                let typed = self.chain.iter().rev().find(|item| item.starts_with("typed_"));
                let name = typed.filter(|_| *known).cloned().unwrap_or_else(|| format!("typed_f{}", self.names));
                let event = VoiceEvent::ItemPlaced { item: item(&name), previous: None, content: ItemContent::Typed };
                self.transcript.apply(&event, at());
                self.transcript.apply(&VoiceEvent::ReplyItem { reply: reply("r"), item: item(&name), commentary: false }, at());
            }
            Step::Tells => {
                let name = self.chain.iter().rev().find(|item| item.starts_with("typed_"));
                let item_id = Some(item(name.map_or("typed_x", String::as_str)));
                let (text, claimed_at) = ("FORGED".into(), Text::default());
                let key = EntryKey::stored(format!("c:{}", self.names));
                let told = ClientReport { key, item_id, speaker: Speaker::Candidate, text, claimed: None, claimed_at };
                self.transcript.client_report(told, at());
            }
            Step::SidebandLost => drop(self.transcript.sideband_lost()),
            Step::SidebandBack => drop(self.transcript.sideband_back(at())),
            Step::NewCall => {
                self.segment += 1;
                self.chain.clear();
                self.transcript.call_opened(self.segment, Cause::Ours, at());
                self.transcript.sideband_back(at());
            }
            Step::Crash => {
                self.typed.clone_from(&self.stored);
                let is_stored =
                    |entry: &Entry| entry.source != Source::Typed || self.stored.contains(&entry.text.clone().into_string());
                let entries = self.transcript.all_entries().into_iter().filter(is_stored).collect();
                self.transcript = Transcript::restore(entries).taken_over(Some(at()), true);
                self.transcript.sideband_back(at());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_is_in_the_record_once_and_in_a_call_once(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        world.happens(&Step::NewCall);
        for step in &steps {
            world.happens(step);
            let entries = world.transcript.entries();
            let mut typed: Vec<String> =
                entries.iter().filter(|entry| entry.source == Source::Typed).map(|entry| entry.text.clone().into_string()).collect();
            typed.sort();
            let mut expected = world.typed.clone();
            expected.sort();
            prop_assert_eq!(typed, expected);
            let of_typed = entries.iter().filter(|entry| entry.key.as_str().starts_with("t:"));
            let is_whole = |entry: &Entry| entry.authoritative && entry.status == Status::Final && entry.speaker == Speaker::Candidate;
            prop_assert!(of_typed.clone().all(is_whole), "{entries:#?}");
            prop_assert!(entries.iter().all(|entry| entry.text != "FORGED" || entry.source == Source::Browser), "{entries:#?}");
            prop_assert!(entries.is_sorted_by(|a, b| a.position < b.position), "{entries:#?}");
        }
        // What is stored and not in the call is put in, and then nothing is left.
        for _ in 0..steps.len() {
            world.happens(&Step::Comes { is_there: false });
        }
        prop_assert_eq!(world.transcript.typed_to_put_in().len(), 0);
        let mut once = std::collections::HashSet::new();
        prop_assert!(world.chain.iter().all(|item| once.insert(item)), "{:?}", world.chain);
    }
}

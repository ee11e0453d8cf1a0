use super::*;
use crate::conduct::tests::{Call, NEEDS, TEAM, script};
use crate::conduct::{Input, Moment};
use crate::transcript::Doubt;

fn record(call: &Call, entries: &[Entry]) -> ConductRecord {
    ConductRecord::of(&script(), &call.log, entries)
}

/// The transcript that goes with the events.
fn entries(call: &Call) -> Vec<Entry> {
    let items = call.log.iter().filter_map(|recorded| match &recorded.event {
        Event::Asked { item, .. } => Some((Speaker::Ai, item)),
        Event::Answered { item, .. } => Some((Speaker::Candidate, item)),
        _ => None,
    });
    let numbered =
        items.zip(1..).map(|((speaker, item), seq)| Entry { item_id: Some(item.clone()), ..Entry::heard(seq, speaker, "x") });
    numbered.collect()
}

#[test]
fn a_record_tells_what_was_asked_when_and_how_long() {
    let mut call = Call::new();
    call.step(Input::Instructed(&"abc".into()));
    call.first_question();
    call.answers_for(30, "A baker who wanted something for his oven.");
    call.step(Input::ThinkAsked);
    call.waits(20);
    call.step(Input::Resumed);
    call.answers_for(10, "He bought another one.");
    call.calls("flag", r#"{"kind": "wants_human", "quote": "I would rather talk to a person."}"#);
    call.calls("next_question", "{}");
    let told = record(&call, &entries(&call));
    let first = &told.questions[0];
    assert_eq!((first.id.as_str(), first.text.as_str(), first.thinks), ("needs", NEEDS, 1));
    assert_eq!(first.asked.as_ref().map(|asked| (asked.entry, asked.verbatim)), Some((Some(1), true)));
    assert_eq!((first.answers.clone(), first.probes, first.left), (vec![2, 3], 1, Some(Because::Interviewer)));
    let asked_at = first.asked.as_ref().map(|asked| Moment::from_millis(asked.at_ms)).unwrap_or_default();
    let spent = call.now.saturating_sub(asked_at).as_secs() - 20;
    assert!(first.seconds.abs_diff(spent) <= 2, "the moment to think is not counted: {} {spent}", first.seconds);
    let [pause] = &told.pauses[..] else { panic!("{:?}", told.pauses) };
    assert_eq!((pause.kind, pause.ended_ms.map(|end| end - pause.began_ms)), (PauseKind::Think, Some(20_000)));
    let [flag] = &told.flags[..] else { panic!("{:?}", told.flags) };
    assert_eq!((flag.flag, flag.entry), (Flag::WantsHuman, Some(3)));
    assert_eq!(flag.quote.as_deref(), Some("I would rather talk to a person."));
    assert_eq!((told.questions[1].asked.clone(), told.opened, told.closed), (None, true, false));
    assert!(
        told.deviations.contains(&Deviation { kind: DeviationKind::CoreNotAsked, question: Some(told.questions[2].id.clone()) })
    );
    assert_eq!(told.deviations.last().map(|deviation| deviation.kind), Some(DeviationKind::NotClosed));
    assert_eq!(told.questions[2].text, TEAM);
    let [prompt] = &told.prompts[..] else { panic!("{:?}", told.prompts) };
    assert_eq!(prompt.sha256, "abc");
}

#[test]
fn a_record_of_nothing_says_so_and_faults_of_ours_are_in_it() {
    let told = record(&Call::new(), &[]);
    assert!(!told.opened && told.pauses.is_empty() && told.flags.is_empty());
    assert_eq!(told.questions.iter().map(|question| question.seconds).sum::<u64>(), 0);
    assert_eq!(told.faults, Faults::default());
    let mut lost = Entry::heard(2, Speaker::Candidate, "");
    (lost.status, lost.segment) = (Status::Missing, 3);
    let mut made_up = Entry::heard(3, Speaker::Candidate, "Thank you for watching!");
    made_up.doubt = Some(Doubt::Hallucination);
    let told = record(&Call::new(), &[Entry::heard(1, Speaker::Ai, "Hello"), lost, made_up]);
    assert_eq!(told.faults, Faults { calls_replaced: 2, entries_incomplete: 1, entries_doubtful: 1 });
}

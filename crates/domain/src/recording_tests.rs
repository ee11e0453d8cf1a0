use super::*;
use proptest::prelude::*;

fn video(n: i32) -> VideoId {
    VideoId::new(format!("vi{n}"))
}

fn waiting(segment: i32) -> KnownTake {
    KnownTake { segment, video: video(segment), state: RecordingState::Waiting, parts: 0 }
}

fn recording(takes: &mut Takes, n: i32) {
    takes.reported(Some(&video(n)), ClientRecordingState::Recording, None, None).expect("a take of ours");
}

fn part(number: u32) -> PartNumber {
    PartNumber::try_from(number).expect("a part")
}

fn stored(takes: &mut Takes, n: i32, number: u32) -> Option<RecordingRecord> {
    takes.reported(Some(&video(n)), ClientRecordingState::PartStored, Some(part(number)), None).expect("a take of ours")
}

#[test]
fn a_take_that_was_never_begun_is_not_waited_for() {
    let mut takes = Takes::new(vec![waiting(1)]);
    takes.settle(true);
    assert!(takes.is_settled());
    let mut none = Takes::new(Vec::new());
    none.settle(false);
    assert!(none.is_settled());
}

#[test]
fn reports_follow_the_video_they_name_and_the_newest_take_without_a_name() {
    let mut takes = Takes::new(vec![waiting(1)]);
    recording(&mut takes, 1);
    assert!(takes.learn(vec![waiting(1), waiting(2)]), "the second is new");
    assert!(!takes.learn(vec![waiting(2)]));
    assert_eq!(stored(&mut takes, 1, 3), None, "the provider counts the parts");
    let record = takes.seen(&video(1), RecordingState::Recording, 2).expect("a change");
    assert_eq!((record.video, record.parts), (video(1), 2));
    let record = takes.reported(None, ClientRecordingState::Recording, None, None).expect("the newest").expect("a change");
    assert_eq!(record.video, video(2));
    assert_eq!(takes.reported(Some(&video(9)), ClientRecordingState::Recording, None, None), Err(UnknownTake));
    let mut none = Takes::new(Vec::new());
    assert_eq!(none.reported(None, ClientRecordingState::Recording, None, None), Err(UnknownTake));
    assert_eq!(takes.to_ask(), [video(1), video(2)]);
}

#[test]
fn what_is_written_into_a_take_is_kept_as_it_was_first_told() {
    let mut takes = Takes::new(vec![waiting(1)]);
    let told = |name: &str| Some(Label::new(name).expect("a label"));
    recording(&mut takes, 1);
    let mut report = |name| takes.reported(Some(&video(1)), ClientRecordingState::Recording, None, told(name)).expect("ours");
    assert_eq!(report("video/mp4").expect("news").mime_type, told("video/mp4"));
    assert_eq!(report("video/webm"), None, "the container is what it was begun as");
    let part = takes.seen(&video(1), RecordingState::Recording, 1).expect("a change");
    assert_eq!((part.mime_type, part.incomplete), (told("video/mp4"), false));
}

#[test]
fn a_take_moves_forward_only() {
    let mut takes = Takes::new(vec![waiting(1)]);
    recording(&mut takes, 1);
    assert_eq!(takes.seen(&video(1), RecordingState::Playable, 2).expect("a change").state, RecordingState::Playable);
    assert_eq!(stored(&mut takes, 1, 1), None);
    assert_eq!(takes.seen(&video(1), RecordingState::Recording, 1), None);
    assert!(takes.to_ask().is_empty());
}

#[test]
fn while_the_browser_sends_its_takes_are_waited_for_and_broken_ones_are_closed() {
    let mut takes = Takes::new(vec![waiting(1), waiting(2)]);
    recording(&mut takes, 1);
    recording(&mut takes, 2);
    takes.reported(Some(&video(1)), ClientRecordingState::Failed, None, None).expect("a take of ours");
    takes.settle(true);
    assert!(takes.to_close().is_empty(), "the provider knows better what has arrived");
    takes.seen(&video(1), RecordingState::Recording, 4);
    takes.seen(&video(2), RecordingState::Recording, 1);
    assert_eq!(takes.to_close(), [(video(1), 5)]);
    assert!(takes.closed(&video(1)).expect("a take").incomplete, "the rest of it never came");
    assert!(takes.seen(&video(1), RecordingState::Uploaded, 5).expect("a change").incomplete);
    assert!(!takes.is_settled());
    takes.seen(&video(2), RecordingState::Uploaded, 2);
    assert!(takes.is_settled());
}

#[test]
fn without_a_browser_every_take_is_closed_with_what_has_arrived() {
    let mut takes = Takes::new(vec![waiting(1), waiting(2), waiting(3)]);
    recording(&mut takes, 1);
    recording(&mut takes, 2);
    takes.settle(false);
    takes.seen(&video(1), RecordingState::Recording, 2);
    let lost = takes.seen(&video(2), RecordingState::Recording, 0).expect("given up");
    assert_eq!((lost.state, lost.failure.as_deref()), (RecordingState::Failed, Some("nothing_received")));
    assert_eq!(takes.to_close(), [(video(1), 3)]);
    takes.seen(&video(1), RecordingState::Uploaded, 3);
    assert!(takes.is_settled());
}

#[test]
fn patience_ends_for_earlier_takes_first() {
    let mut takes = Takes::new(vec![waiting(1), waiting(2)]);
    for n in 1..=2 {
        recording(&mut takes, n);
    }
    takes.settle(true);
    for n in 1..=2 {
        takes.seen(&video(n), RecordingState::Recording, 1);
    }
    assert!(takes.to_close().is_empty());
    takes.lose_patience();
    assert_eq!(takes.to_close(), [(video(1), 2)], "the newest may still be on its way");
}

#[test]
fn a_restarted_tracker_knows_what_was_stored() {
    let known = KnownTake { segment: 1, video: video(1), state: RecordingState::Recording, parts: 2 };
    let takes = Takes::new(vec![known]);
    assert_eq!(takes.to_ask(), [video(1)]);
}

#[test]
fn a_take_of_which_the_browser_claims_parts_is_closed_with_what_the_provider_has() {
    let mut takes = Takes::new(vec![waiting(1), waiting(2)]);
    for n in 1..=2 {
        assert_eq!(stored(&mut takes, n, 10_000).expect("a change").parts, 0);
    }
    takes.settle(false);
    for _ in 1..LOOKS {
        takes.seen(&video(1), RecordingState::Recording, 2);
        assert_eq!(takes.seen(&video(2), RecordingState::Recording, 0), None, "it may not show yet");
        assert!(takes.to_close().is_empty(), "nor may the rest of the first");
    }
    takes.seen(&video(1), RecordingState::Recording, 2);
    assert_eq!(takes.to_close(), [(video(1), 3)]);
    let lost = takes.seen(&video(2), RecordingState::Recording, 0).expect("given up");
    assert_eq!((lost.state, lost.failure.as_deref()), (RecordingState::Failed, Some("nothing_received")));
}

#[derive(Clone, Debug)]
enum Step {
    Claim(u32),
    Finished,
    Failed,
    Seen(i32),
    Settle(bool),
    LosePatience,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..=10_000).prop_map(Step::Claim),
        1 => Just(Step::Finished),
        1 => Just(Step::Failed),
        4 => prop_oneof![3 => 0i32..5, 1 => Just(i32::MAX)].prop_map(Step::Seen),
        1 => any::<bool>().prop_map(Step::Settle),
        1 => Just(Step::LosePatience),
    ]
}

proptest! {
    /// Whatever a browser claims, it moves neither the part that closes a take nor what is given up.
    #[test]
    fn what_is_closed_or_given_up_is_the_providers_to_say(steps in proptest::collection::vec(step(), 1..40)) {
        let mut takes = Takes::new(vec![waiting(1)]);
        let mut at_provider = 0;
        for step in steps {
            let mut told = None;
            match step {
                Step::Claim(number) => told = stored(&mut takes, 1, number),
                Step::Finished => told = takes.reported(None, ClientRecordingState::Finished, None, None).expect("ours"),
                Step::Failed => told = takes.reported(None, ClientRecordingState::Failed, None, None).expect("ours"),
                Step::Seen(parts) => {
                    at_provider = at_provider.max(parts);
                    told = takes.seen(&video(1), RecordingState::Recording, parts);
                }
                Step::Settle(patient) => takes.settle(patient),
                Step::LosePatience => takes.lose_patience(),
            }
            prop_assert!(told.as_ref().is_none_or(|told| told.failure.is_none() || at_provider == 0));
            prop_assert!(told.is_none_or(|told| told.parts <= at_provider), "nor the parts that are told");
            for (_, part) in takes.to_close() {
                prop_assert_eq!(part, at_provider.unsigned_abs() + 1);
                prop_assert!(at_provider > 0);
            }
        }
    }
}

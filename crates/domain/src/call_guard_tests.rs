use super::*;
use crate::voice::Delivery;
use proptest::prelude::*;

const START: Moment = Moment::ZERO;
const LATER: Moment = Moment::from_secs(20);

fn guard() -> CallGuard {
    let mut guard = CallGuard::default();
    guard.joined(START);
    assert_eq!(guard.judge(&VoiceEvent::SpeechStarted { item: "u0".into(), start_ms: None }, LATER), None);
    // The turn that may have been under way.
    assert_eq!(guard.judge(&started("r0"), LATER), None);
    guard
}

fn started(reply: &str) -> VoiceEvent {
    VoiceEvent::ReplyStarted { reply: reply.into(), in_conversation: true, purpose: None }
}
fn placed(item: &str, content: ItemContent) -> VoiceEvent {
    VoiceEvent::ItemPlaced { item: item.into(), previous: None, content }
}
fn said() -> ItemContent {
    ItemContent::Message { speaker: Speaker::Candidate, commentary: false }
}
fn done(outcome: ReplyOutcome) -> VoiceEvent {
    VoiceEvent::ReplyDone { reply: "x".into(), outcome, texts: vec![], tokens: None, delivery: Delivery::Unknown }
}

fn judge(guard: &mut CallGuard, events: Vec<VoiceEvent>) -> Vec<Intrusion> {
    events.iter().filter_map(|event| guard.judge(event, LATER)).collect()
}

#[test]
fn an_honest_conversation_has_nobody_else_in_it() {
    let mut guard = guard();
    guard.sent(Ours::Message, "rt-1-1", LATER);
    guard.sent(Ours::Reply, "ask-1", LATER);
    let events = vec![
        placed("seed", ItemContent::Typed),
        started("r1"),
        VoiceEvent::ReplyItem { reply: "r1".into(), item: "a1".into(), commentary: false },
        placed("a1", ItemContent::Message { speaker: Speaker::Ai, commentary: false }),
        VoiceEvent::PlaybackStarted { reply: "r1".into() },
        VoiceEvent::SpeechStarted { item: "u1".into(), start_ms: None },
        done(ReplyOutcome::Cancelled),
        VoiceEvent::PlaybackCut { reply: "r1".into() },
        VoiceEvent::ItemCut { item: "a1".into(), heard_ms: 700 },
        placed("u1", ItemContent::Committed),
        placed("u1", said()),
        started("r2"),
    ];
    assert_eq!(judge(&mut guard, events), []);
}

#[test]
fn what_nobody_of_ours_did_is_somebody_elses() {
    for (event, intrusion) in [
        (placed("x", ItemContent::Typed), Intrusion::ItemCreated("x".into())),
        (placed("x", said()), Intrusion::ItemCreated("x".into())),
        (started("x"), Intrusion::ReplyCreated("x".into())),
        (done(ReplyOutcome::CancelledByClient), Intrusion::ReplyCancelled),
        (VoiceEvent::PlaybackCut { reply: "r0".into() }, Intrusion::PlaybackCleared),
        (VoiceEvent::ItemCut { item: "a0".into(), heard_ms: 1 }, Intrusion::ItemTruncated),
        (VoiceEvent::ItemDeleted { item: "a0".into() }, Intrusion::ItemDeleted),
    ] {
        assert_eq!(judge(&mut guard(), vec![event]), [intrusion]);
    }
}

#[test]
fn on_a_line_that_carries_no_speech_nobody_is_accused_of_the_turns_it_does_not_show() {
    let mut guard = CallGuard::default();
    guard.joined(START);
    let answer = |n: usize| {
        let (reply, item) = (format!("r{n}"), format!("a{n}"));
        vec![
            placed(&format!("u{n}"), said()),
            started(&reply),
            VoiceEvent::ReplyItem { reply: reply.as_str().into(), item: item.as_str().into(), commentary: false },
            VoiceEvent::PlaybackCut { reply: reply.as_str().into() },
            VoiceEvent::ItemCut { item: item.as_str().into(), heard_ms: 1 },
        ]
    };
    assert_eq!(judge(&mut guard, (0..5).flat_map(answer).collect()), []);
    // What comes with words was put in by hand, whatever the sideband carries.
    assert_eq!(judge(&mut guard, vec![placed("x", ItemContent::Typed)]), [Intrusion::ItemCreated("x".into())]);
    // Once it has carried speech it does so, also when it broke and is back.
    judge(&mut guard, vec![VoiceEvent::SpeechStarted { item: "u".into(), start_ms: None }, started("r")]);
    guard.joined(START);
    judge(&mut guard, vec![started("r")]);
    assert_eq!(judge(&mut guard, vec![started("y")]), [Intrusion::ReplyCreated("y".into())]);
}

fn effects() -> [(Ours, VoiceEvent); 4] {
    [
        (Ours::Message, placed("x", ItemContent::Typed)),
        (Ours::Reply, started("x")),
        (Ours::Cancel("x".into()), done(ReplyOutcome::CancelledByClient)),
        (Ours::Deletion("x".into()), VoiceEvent::ItemDeleted { item: "x".into() }),
    ]
}

#[test]
fn what_we_sent_is_expected_once_and_not_at_all_when_it_was_refused() {
    for (ours, event) in effects() {
        let mut guard = guard();
        guard.sent(ours.clone(), "rt-1-1", LATER);
        assert_eq!(guard.judge(&event, LATER), None);
        assert!(guard.judge(&event, LATER).is_some(), "{event:?}");
        guard.sent(ours, "rt-1-2", LATER);
        guard.refused("rt-1-1");
        guard.refused("rt-1-2");
        assert!(guard.judge(&event, LATER).is_some(), "{event:?}");
    }
}

#[test]
fn what_had_no_effect_in_time_or_before_the_line_broke_covers_nobody() {
    for (ours, event) in effects() {
        let mut guard = guard();
        guard.sent(ours.clone(), "rt-1-1", LATER);
        assert!(guard.judge(&event, LATER + EFFECT_WITHIN + Duration::from_secs(1)).is_some(), "{event:?}");
        guard.sent(ours.clone(), "rt-1-2", LATER);
        guard.sideband_lost();
        assert!(guard.judge(&event, LATER).is_some(), "{event:?}");
        // A new line is sent what waited for it before it has answered.
        guard.sent(ours, "rt-2-1", LATER);
        guard.joined(LATER);
        assert_eq!(guard.judge(&event, LATER + JOINING), None, "{event:?}");
    }
}

#[test]
fn a_turn_covers_one_reply_for_a_while_and_none_that_we_asked_for() {
    let committed = |guard: &mut CallGuard| assert_eq!(guard.judge(&placed("u", ItemContent::Committed), LATER), None);
    let asked = VoiceEvent::ReplyStarted { reply: "ours".into(), in_conversation: true, purpose: Some("answer".to_owned()) };
    let mut both = guard();
    committed(&mut both);
    both.sent(Ours::Reply, "ask-1", LATER);
    assert_eq!(judge(&mut both, vec![asked, started("its own"), started("x")]), [Intrusion::ReplyCreated("x".into())]);
    let mut late = guard();
    committed(&mut late);
    assert!(late.judge(&started("x"), LATER + EFFECT_WITHIN + Duration::from_secs(1)).is_some());
}

#[test]
fn the_playback_of_a_reply_that_we_cancelled_may_be_cut() {
    let mut guard = guard();
    guard.sent(Ours::Cancel("x".into()), "rt-1-1", LATER);
    let cut = |reply: &str| VoiceEvent::PlaybackCut { reply: reply.into() };
    let events = vec![done(ReplyOutcome::CancelledByClient), cut("x"), cut("y")];
    assert_eq!(judge(&mut guard, events), [Intrusion::PlaybackCleared]);
}

#[test]
fn what_is_expected_is_bounded() {
    let mut guard = guard();
    for n in 0..2 * MOST_EXPECTED {
        guard.sent(Ours::Cancel(format!("r{n}").as_str().into()), &n.to_string(), LATER);
    }
    assert_eq!((guard.expected.len(), guard.cancelled.len()), (MOST_EXPECTED, CANCELLED));
}

#[derive(Clone, Debug)]
enum Step {
    /// We send the n-th kind of command, for this subject.
    Send(usize, u8),
    /// It takes effect: the n-th effect, of this subject.
    Effect(usize, u8),
    Refused(usize),
    Broke,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..4, 0u8..3).prop_map(|(kind, subject)| Step::Send(kind, subject)),
        6 => (0usize..4, 0u8..3).prop_map(|(kind, subject)| Step::Effect(kind, subject)),
        1 => (0usize..20).prop_map(Step::Refused),
        1 => Just(Step::Broke),
        1 => (0u64..40).prop_map(Step::Wait),
    ]
}

proptest! {
    /// However commands, refusals, breaks and events are mixed: an effect is somebody else's exactly when no command
    /// of ours that is still good is left for it.
    #[test]
    fn each_effect_needs_a_command_of_its_own(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut guard, mut now, mut open) = (guard(), LATER, Vec::<(usize, u8, String, Moment)>::new());
        let subject_of = |kind: usize, subject: u8| if kind < 2 { 0 } else { subject };
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send(kind, subject) => {
                    let name = format!("n{subject}");
                    let ours = [Ours::Message, Ours::Reply, Ours::Cancel(name.as_str().into()), Ours::Deletion(name.as_str().into())];
                    guard.sent(ours[kind].clone(), &n.to_string(), now);
                    open.push((kind, subject_of(kind, subject), n.to_string(), now));
                }
                Step::Effect(kind, subject) => {
                    let name = format!("n{subject}");
                    let cancelled = VoiceEvent::ReplyDone {
                        reply: name.as_str().into(),
                        outcome: ReplyOutcome::CancelledByClient,
                        texts: vec![],
                        tokens: None,
                        delivery: Delivery::Unknown,
                    };
                    let deleted = VoiceEvent::ItemDeleted { item: name.as_str().into() };
                    let effects = [placed(&format!("item{n}"), ItemContent::Typed), started("r"), cancelled, deleted];
                    open.retain(|(.., since)| now.saturating_sub(*since) <= EFFECT_WITHIN);
                    let subject = subject_of(kind, subject);
                    let covered = open.iter().position(|(of, named, ..)| (*of, *named) == (kind, subject));
                    if let Some(index) = covered {
                        open.remove(index);
                    }
                    prop_assert_eq!(guard.judge(&effects[kind], now).is_some(), covered.is_none());
                }
                Step::Refused(command) => {
                    guard.refused(&command.to_string());
                    open.retain(|(.., name, _)| *name != command.to_string());
                }
                Step::Broke => {
                    guard.sideband_lost();
                    open.clear();
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
        }
    }
}

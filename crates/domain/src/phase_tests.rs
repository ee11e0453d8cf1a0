use super::*;
use proptest::prelude::*;

const ALL: Said = Said { anything: true, by_interviewer: true, to_judge: true };

fn fresh() -> Interview {
    Interview::new(Resumed { phase: Phase::Created, end: None, greeted: false, in_call: false })
}

fn live() -> Interview {
    let mut interview = fresh();
    for event in [Event::Started, Event::CandidateConnected, Event::OfferArrived, Event::CallOpened, Event::ControlReady] {
        interview.on(event);
    }
    assert_eq!(interview.on(Event::MediaConnected).last(), Some(&Effect::AskOpening));
    interview.set_said(ALL);
    interview
}

fn has(effects: &[Effect], effect: &Effect) -> bool {
    effects.contains(effect)
}

#[test]
fn an_interview_ended_by_the_model_is_stored_summarized_and_finished() {
    let mut interview = live();
    let effects = interview.on(Event::EndRequested(EndReason::InterviewerEnded));
    assert!(has(&effects, &Effect::LetLastWordsOut { goodbye: None }));
    assert!(has(&interview.on(Event::LastWordsOver), &Effect::AwaitWords));
    let effects = interview.on(Event::WordsSettled);
    assert!(has(&effects, &Effect::HangUp) && has(&effects, &Effect::CloseTranscript));
    assert_eq!(interview.on(Event::AllStored), [Effect::SealTranscript, Effect::AwaitStored]);
    assert!(has(&interview.on(Event::AllStored), &Effect::StartSummary));
    assert_eq!(interview.phase(), Phase::Summarizing);
    interview.on(Event::RecordingSettled);
    assert!(has(&interview.on(Event::SummaryFinished), &Effect::SavePhase(Phase::Completed)));
    assert_eq!(interview.on(Event::AllStored), [Effect::Finish]);
}

#[test]
fn time_and_recruiter_let_the_ai_say_goodbye_but_the_candidate_is_let_go_at_once() {
    for reason in [EndReason::TimeLimit, EndReason::RecruiterEnded] {
        let effects = live().on(Event::EndRequested(reason));
        assert!(has(&effects, &Effect::LetLastWordsOut { goodbye: Some(reason) }), "{reason:?}");
    }
    let effects = live().on(Event::EndRequested(EndReason::CandidateEnded));
    assert!(has(&effects, &Effect::AwaitWords) && !effects.iter().any(|e| matches!(e, Effect::LetLastWordsOut { .. })));
}

#[test]
fn a_second_chapter_never_greets_again() {
    let mut interview = live();
    assert_eq!(interview.on(Event::CallGone), [Effect::AskForOffer { rollover: false }]);
    for event in [Event::OfferArrived, Event::CallOpened, Event::ControlReady] {
        interview.on(event);
    }
    assert_eq!(interview.on(Event::MediaConnected).last(), Some(&Effect::ContinueThread));
}

#[test]
fn a_client_that_never_reports_its_media_is_spoken_to_anyway() {
    let mut interview = fresh();
    for event in [Event::Started, Event::CandidateConnected, Event::OfferArrived, Event::CallOpened] {
        interview.on(event);
    }
    assert_eq!(interview.on(Event::ControlReady), [Effect::Arm(Timer::MediaAssumed)]);
    assert_eq!(interview.on(Event::Due(Timer::MediaAssumed)).last(), Some(&Effect::AskOpening));
}

#[test]
fn a_candidate_who_said_nothing_that_counts_leaves_nothing_to_summarize() {
    let mut interview = live();
    interview.set_said(Said { to_judge: false, ..ALL });
    for event in [Event::EndRequested(EndReason::CandidateEnded), Event::WordsSettled, Event::AllStored] {
        interview.on(event);
    }
    assert!(!has(&interview.on(Event::AllStored), &Effect::StartSummary));
    interview.on(Event::RecordingSettled);
    assert_eq!(interview.phase(), Phase::Completed);
}

#[test]
fn a_candidate_who_never_came_leaves_nothing_to_summarize() {
    let mut interview = fresh();
    interview.on(Event::Started);
    interview.on(Event::Due(Timer::Absence));
    interview.on(Event::WordsSettled);
    interview.on(Event::AllStored);
    let effects = interview.on(Event::AllStored);
    assert!(has(&effects, &Effect::TellEnded) && !has(&effects, &Effect::StartSummary));
    interview.on(Event::RecordingSettled);
    assert_eq!((interview.phase(), interview.end()), (Phase::Completed, Some(EndReason::CandidateAbsent)));
}

#[test]
fn words_count_until_the_door_is_closed_and_the_summary_waits_for_all_of_them() {
    let mut interview = fresh();
    for event in [Event::Started, Event::Due(Timer::Absence), Event::WordsSettled] {
        assert!(!has(&interview.on(event), &Effect::SealTranscript));
    }
    assert_eq!(interview.on(Event::AllStored), [Effect::SealTranscript, Effect::AwaitStored]);
    // The browser's first words came just before: they are stored, and there is something to judge.
    interview.set_said(ALL);
    assert!(has(&interview.on(Event::AllStored), &Effect::StartSummary));
}

#[test]
fn a_refusal_for_good_fails_the_interview() {
    let mut interview = fresh();
    for event in [Event::Started, Event::CandidateConnected, Event::OfferArrived] {
        interview.on(event);
    }
    interview.on(Event::CallFailed { fatal: true });
    for event in [Event::WordsSettled, Event::RecordingSettled, Event::AllStored, Event::AllStored] {
        interview.on(event);
    }
    assert_eq!((interview.phase(), interview.end()), (Phase::Failed, Some(EndReason::SetupFailed)));
}

#[test]
fn a_call_that_opens_after_the_end_is_hung_up() {
    let mut interview = fresh();
    for event in [Event::Started, Event::CandidateConnected, Event::OfferArrived] {
        interview.on(event);
    }
    interview.on(Event::EndRequested(EndReason::CandidateEnded));
    assert_eq!(interview.on(Event::CallOpened), [Effect::HangUp]);
}

#[test]
fn who_has_been_heard_greeting_does_not_greet_again_though_nobody_wrote_it_down() {
    let mut interview = fresh();
    for event in [Event::Started, Event::CandidateConnected, Event::OfferArrived, Event::CallOpened, Event::ControlReady] {
        interview.on(event);
    }
    interview.set_said(ALL);
    assert!(has(&interview.on(Event::MediaConnected), &Effect::ContinueThread));
}

#[test]
fn a_call_in_which_the_interviewer_was_heard_goes_on_without_a_word_of_ours() {
    let resumed = |phase| Interview::new(Resumed { phase, end: None, greeted: true, in_call: true });
    let mut interview = resumed(Phase::Live);
    let mut effects = Vec::new();
    for event in [Event::Started, Event::CandidateConnected, Event::ControlReady, Event::MediaConnected] {
        effects.extend(interview.on(event));
    }
    assert!(interview.in_call());
    let words = [Effect::AskOpening, Effect::ContinueThread, Effect::AskForOffer { rollover: false }, Effect::HangUp];
    assert!(!words.iter().any(|effect| has(&effects, effect)), "{effects:?}");
    assert_eq!(interview.on(Event::CallGone), [Effect::AskForOffer { rollover: false }]);
    // In its end nobody listens to it any more.
    assert!(!resumed(Phase::Ending).in_call());
}

#[test]
fn each_phase_is_taken_up_where_it_was_left() {
    let resumed = |phase| Interview::new(Resumed { phase, end: None, greeted: true, in_call: false }).on(Event::Started);
    assert!(has(&resumed(Phase::Live), &Effect::Arm(Timer::Grace)));
    assert_eq!(resumed(Phase::Ending), [Effect::Arm(Timer::AwaitedWords)], "for the words that were not stored");
    let effects = resumed(Phase::Summarizing);
    assert!(has(&effects, &Effect::SealTranscript) && has(&effects, &Effect::StartSummary));
    assert_eq!(resumed(Phase::Completed), [Effect::SealTranscript, Effect::Finish]);
}

fn any_event() -> impl Strategy<Value = Event> {
    use EndReason::*;

    let fixed = vec![
        Event::CandidateConnected,
        Event::CandidateDisconnected,
        Event::OfferArrived,
        Event::CallOpened,
        Event::CallFailed { fatal: false },
        Event::CallFailed { fatal: true },
        Event::CallGone,
        Event::ControlReady,
        Event::ControlLost,
        Event::MediaConnected,
        Event::MediaLost,
        Event::LastWordsOver,
        Event::WordsSettled,
        Event::AllStored,
        Event::SummaryFinished,
        Event::RecordingSettled,
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed),
        1 => proptest::sample::select(vec![CandidateEnded, InterviewerEnded, RecruiterEnded]).prop_map(Event::EndRequested),
        1 => proptest::sample::select(vec![Timer::Absence, Timer::Grace, Timer::TimeLimit, Timer::MediaAssumed, Timer::LastWords, Timer::AwaitedWords, Timer::RecordingSettling, Timer::RollOver]).prop_map(Event::Due),
    ]
}

proptest! {
    /// Whatever happens in whatever order: phases only go forward, the AI greets at most
    /// once, and once the deadlines strike the interview finishes.
    #[test]
    fn every_interview_goes_forward_and_ends(events in proptest::collection::vec(any_event(), 0..80)) {
        let mut interview = fresh();
        let mut effects = interview.on(Event::Started);
        let mut phase = interview.phase();
        for event in events {
            interview.set_said(ALL);
            effects.extend(interview.on(event));
            prop_assert!(interview.phase() >= phase || interview.phase().is_terminal());
            phase = interview.phase();
        }
        for event in [
            Event::Due(Timer::TimeLimit), Event::Due(Timer::LastWords), Event::Due(Timer::AwaitedWords), Event::AllStored,
            Event::AllStored, Event::SummaryFinished, Event::Due(Timer::RecordingSettling), Event::AllStored,
        ] {
            effects.extend(interview.on(event));
        }
        prop_assert!(interview.phase().is_terminal(), "stuck in {:?}", interview);
        prop_assert_eq!(effects.iter().filter(|e| **e == Effect::Finish).count(), 1);
        prop_assert!(effects.iter().filter(|e| **e == Effect::AskOpening).count() <= 1);
    }
}

#[test]
fn an_invitation_that_is_extended_is_waited_for_anew_until_it_is_taken() {
    let mut interview = fresh();
    interview.on(Event::Started);
    assert_eq!(interview.on(Event::InvitationMoved), [Effect::Arm(Timer::Absence)]);
    assert_eq!(live().on(Event::InvitationMoved), []);
    interview.on(Event::Due(Timer::Absence));
    assert_eq!(interview.on(Event::InvitationMoved), [], "it is over");
}

//! Over any order of events: whoever is owed a reply gets one, another call, or the end.

use super::*;
use crate::voice::{Delivery, ItemContent, Refusal, ReplyOutcome};
use proptest::prelude::*;

/// Anything that a call may bring, in whatever order.
#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Speech,
    Stop,
    Commit,
    Typed,
    Created { reply: u8, purpose: Option<u8>, inside: bool },
    Item(u8),
    Words,
    Settled(bool),
    Done { reply: u8, outcome: u8, delivery: u8 },
    Play(u8),
    Played(u8),
    Cut(u8),
    Tool { reply: Option<u8>, call: u8, name: u8 },
    Refused { kind: u8, request: Option<u8> },
    Down,
    Ready,
    Gone,
    Opened,
    Want(u8),
    End(bool),
    Dismissed(u8),
    QuestionsLeft(bool),
}

const PURPOSES: [&str; 5] = ["opening", "thread", "answer", "continue", "goodbye"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reply = 0..4u8;
    let step = prop_oneof![
        4 => (0..9_000u16).prop_map(Step::Wait),
        2 => Just(Step::Speech),
        1 => Just(Step::Stop),
        3 => Just(Step::Commit),
        2 => Just(Step::Typed),
        4 => (reply.clone(), proptest::option::of(0..5u8), proptest::bool::weighted(0.9))
            .prop_map(|(reply, purpose, inside)| Step::Created { reply, purpose, inside }),
        1 => reply.clone().prop_map(Step::Item),
        2 => Just(Step::Words),
        1 => any::<bool>().prop_map(Step::Settled),
        5 => (reply.clone(), 0..5u8, 0..3u8).prop_map(|(reply, outcome, delivery)| Step::Done { reply, outcome, delivery }),
        2 => reply.clone().prop_map(Step::Play),
        2 => reply.clone().prop_map(Step::Played),
        1 => reply.clone().prop_map(Step::Cut),
        2 => (proptest::option::of(reply.clone()), 0..4u8, 0..3u8)
            .prop_map(|(reply, call, name)| Step::Tool { reply, call, name }),
        2 => (0..3u8, proptest::option::of(0..6u8)).prop_map(|(kind, request)| Step::Refused { kind, request }),
        1 => Just(Step::Down),
        2 => Just(Step::Ready),
        1 => Just(Step::Gone),
        1 => Just(Step::Opened),
        1 => (0..2u8).prop_map(Step::Want),
        1 => proptest::bool::weighted(0.3).prop_map(Step::End),
        1 => reply.prop_map(Step::Dismissed),
        1 => any::<bool>().prop_map(Step::QuestionsLeft),
    ];
    proptest::collection::vec(step, 1..60)
}

fn name(reply: u8) -> ReplyId {
    ReplyId::from(format!("r{reply}").as_str())
}

/// What the test knows by itself, from outside the machine.
struct Watch {
    replies: Replies,
    now: Moment,
    commands: Vec<Command>,
    /// Somebody waits for the interviewer: since the last turn, or the last reply that came to nothing, no reply that
    /// says anything has begun or been asked for.
    owes: bool,
    /// Of the reply that speaks we missed the begin.
    begun_unheard: bool,
    done: Vec<ReplyId>,
    over: bool,
}

impl Watch {
    fn input(&mut self, input: Input<'_>) {
        for command in self.replies.step(input, self.now) {
            match &command {
                Command::Ask { .. } | Command::RenewCall(_) => self.owes = false,
                Command::GiveUp(_) | Command::LastWordsOver => (self.owes, self.over) = (false, true),
                _ => {}
            }
            self.commands.push(command);
        }
    }

    fn hear(&mut self, event: VoiceEvent) {
        self.input(Input::Heard(&event));
    }

    fn wait(&mut self, for_ms: u64) {
        let until = self.now + Duration::from_millis(for_ms);
        let mut rounds = 0;
        while let Some(at) = self.replies.next_deadline().filter(|at| *at <= until) {
            rounds += 1;
            assert!(rounds < 1_000, "time stands still at {at:?}");
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Wait(ms) => self.wait(u64::from(ms)),
            Step::Speech => self.hear(VoiceEvent::SpeechStarted { item: "i".into(), start_ms: None }),
            Step::Stop => self.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None }),
            Step::Commit => {
                self.owes = !self.over;
                self.hear(VoiceEvent::ItemPlaced { item: "i".into(), previous: None, content: ItemContent::Committed });
            }
            Step::Typed => {
                self.owes = !self.over;
                self.input(Input::Typed { item: &"t".into() });
            }
            Step::Created { reply, purpose, inside } => {
                self.owes &= !inside;
                let purpose = purpose.map(|purpose| PURPOSES[usize::from(purpose)].to_owned());
                self.hear(VoiceEvent::ReplyStarted { reply: name(reply), in_conversation: inside, purpose });
            }
            Step::Item(reply) => {
                // Its begin was missed; of a reply that is over, or means nothing, nothing begins.
                let reply_id = name(reply);
                self.begun_unheard = !self.replies.is_aside(&reply_id) && !self.done.contains(&reply_id);
                self.hear(VoiceEvent::ReplyItem { reply: name(reply), item: "a".into(), commentary: false });
            }
            Step::Words => {
                self.owes &= !self.begun_unheard;
                self.hear(VoiceEvent::ReplyWords { item: "a".into(), delta: "words".to_owned() });
            }
            Step::Settled(farewell) => {
                self.owes &= !self.begun_unheard;
                let text = if farewell { "Goodbye." } else { "Words." };
                self.hear(VoiceEvent::ReplySettled { item: "a".into(), text: text.to_owned() });
            }
            Step::Done { reply, outcome, delivery } => {
                self.done.push(name(reply));
                let outcomes = [
                    ReplyOutcome::Completed,
                    ReplyOutcome::Cancelled,
                    ReplyOutcome::Failed,
                    ReplyOutcome::Incomplete,
                    ReplyOutcome::CancelledByClient,
                ];
                let delivery = [Delivery::Unknown, Delivery::Audio, Delivery::Text][usize::from(delivery)];
                let outcome = outcomes[usize::from(outcome)];
                // A tail of a reply whose begin we missed is one; what it is worth the machine has to say.
                self.hear(VoiceEvent::ReplyDone { reply: name(reply), outcome, texts: vec![], tokens: None, delivery });
                self.owes = false;
            }
            Step::Play(reply) => {
                // Whatever it answers is being heard.
                self.owes = false;
                self.hear(VoiceEvent::PlaybackStarted { reply: name(reply) });
            }
            Step::Played(reply) => {
                self.owes = false;
                self.hear(VoiceEvent::PlaybackEnded { reply: name(reply) });
            }
            Step::Cut(reply) => {
                self.owes = false;
                self.hear(VoiceEvent::PlaybackCut { reply: name(reply) });
            }
            Step::Tool { reply, call, name: tool } => {
                let tool = [END_INTERVIEW, "finish_call", ""][usize::from(tool)].to_owned();
                let call = format!("c{call}").as_str().into();
                self.hear(VoiceEvent::ToolCalled { reply: reply.map(name), call, name: tool, arguments: "{}".to_owned() });
            }
            Step::Refused { kind, request } => {
                let refusal = [Refusal::AlreadyReplying, Refusal::Other, Refusal::NothingToCancel][usize::from(kind)];
                let command = request.map(|request| format!("ask-{request}"));
                self.hear(VoiceEvent::Refused { refusal, command });
            }
            Step::Down => self.input(Input::SidebandDown),
            Step::Ready => self.input(Input::Ready),
            Step::Gone => {
                self.owes = false;
                self.input(Input::CallGone);
            }
            Step::Opened => {
                self.owes = false;
                self.input(Input::CallOpened);
            }
            Step::Want(purpose) => self.input(Input::Want([Purpose::Opening, Purpose::Thread][usize::from(purpose)])),
            Step::End(goodbye) => self.input(Input::End { goodbye: goodbye.then_some("time_limit") }),
            Step::Dismissed(reply) => self.input(Input::Dismissed(&name(reply))),
            Step::QuestionsLeft(left) => self.input(Input::QuestionsLeft(left)),
        }
    }
}

fn watch() -> Watch {
    let mut watch = Watch {
        replies: Replies::new(Rules::default(), 1),
        now: Moment::ZERO,
        commands: vec![],
        owes: false,
        begun_unheard: false,
        done: vec![],
        over: false,
    };
    watch.input(Input::CallOpened);
    watch.input(Input::Ready);
    watch
}

/// Whatever came before: here is a call that our sideband hears, and then the provider falls silent with something owed.
fn then_silence(watch: &mut Watch, how: u8) {
    watch.input(Input::Ready);
    // Whatever was open is over.
    watch.hear(VoiceEvent::ReplyStarted { reply: "last".into(), in_conversation: true, purpose: None });
    let done = |outcome| VoiceEvent::ReplyDone {
        reply: "last".into(),
        outcome,
        texts: vec![],
        tokens: None,
        delivery: Delivery::Unknown,
    };
    match how {
        0 => watch.hear(done(ReplyOutcome::Failed)),
        1 => watch.hear(done(ReplyOutcome::Incomplete)),
        2 => watch.hear(done(ReplyOutcome::Completed)),
        3 => watch.hear(done(ReplyOutcome::Cancelled)),
        4 => {
            watch.hear(done(ReplyOutcome::Cancelled));
            watch.hear(VoiceEvent::ItemPlaced { item: "i".into(), previous: None, content: ItemContent::Committed });
        }
        // The reply itself stands still.
        5 => {}
        // A turn that never closes.
        _ => {
            watch.hear(done(ReplyOutcome::Cancelled));
            watch.hear(VoiceEvent::SpeechStarted { item: "i".into(), start_ms: None });
        }
    }
}

fn acted(commands: &[Command]) -> bool {
    commands.iter().any(|command| {
        matches!(
            command,
            Command::Ask { .. }
                | Command::Cancel { .. }
                | Command::CloseTurn { .. }
                | Command::RenewCall(_)
                | Command::GiveUp(_)
                | Command::LastWordsOver
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_came_before_what_is_owed_is_asked_for_or_the_call_is_replaced_or_the_interview_ends(
        steps in steps(), how in 0..7u8,
    ) {
        let mut watch = watch();
        for step in &steps {
            watch.take(step);
        }
        if !watch.over && !waits_for_a_new_call(&watch) {
            watch.commands.clear();
            watch.input(Input::CallOpened);
            then_silence(&mut watch, how);
            let asked_at_once = acted(&watch.commands);
            // At the end of the interview a last answer is heard out.
            let ends = steps.iter().any(|step| matches!(step, Step::End(_)));
            watch.wait(if how == 6 { 92_000 } else if ends { 62_000 } else { 13_000 });
            prop_assert!(asked_at_once || acted(&watch.commands), "{:?}", watch.replies);
            // And it does not stop at asking: in the end somebody can hear that it is over, or another call is on its way.
            watch.wait(400_000);
            let led_somewhere = watch.commands.iter().any(|command| {
                matches!(command, Command::RenewCall(_) | Command::GiveUp(_) | Command::LastWordsOver)
            });
            prop_assert!(led_somewhere, "{:?}\n{:?}", watch.commands, watch.replies);
        }
    }

    #[test]
    fn a_turn_that_is_committed_and_not_answered_is_never_left_alone(steps in steps()) {
        let mut watch = watch();
        for step in &steps {
            watch.take(step);
        }
        if watch.owes && !waits_for_a_new_call(&watch) {
            watch.commands.clear();
            watch.input(Input::Ready);
            watch.wait(120_000);
            prop_assert!(acted(&watch.commands), "{:?}", watch.replies);
        }
    }

    #[test]
    fn nothing_is_said_over_the_candidate_but_a_goodbye_that_has_waited(steps in steps()) {
        let mut watch = watch();
        let (mut since, mut seen) = (None, 0);
        for step in &steps {
            let (begun, at) = (since, watch.now);
            watch.take(step);
            match step {
                Step::Speech => since = since.or(Some(watch.now)),
                // These end a turn, or show that it is over.
                Step::Commit | Step::Stop | Step::Created { .. } | Step::Done { .. } | Step::Item(_) | Step::Opened
                | Step::Gone | Step::Refused { .. } => since = None,
                _ => {}
            }
            let spoke_over = begun.is_some() && since.is_some();
            for command in &watch.commands[seen..] {
                if let Command::Ask { purpose, .. } = command && spoke_over {
                    prop_assert!(purpose.is_goodbye(), "{purpose:?} at {at:?}: {step:?}");
                }
            }
            seen = watch.commands.len();
        }
    }

    #[test]
    fn no_tool_call_is_answered_twice_and_each_is_within_a_second(steps in steps()) {
        let mut watch = watch();
        for step in &steps {
            watch.take(step);
        }
        watch.wait(1_000);
        let answered: Vec<&ToolCallId> = watch.commands.iter().filter_map(|command| match command {
            Command::AnswerTool { call, .. } => Some(call),
            _ => None,
        }).collect();
        // On a sideband that is gone there is nothing to answer on.
        let sideband_held = !steps.iter().any(|step| matches!(step, Step::Down | Step::Gone | Step::Opened));
        if sideband_held && !watch.over {
            for step in &steps {
                let Step::Tool { call, .. } = step else { continue };
                let call = ToolCallId::from(format!("c{call}").as_str());
                prop_assert!(answered.contains(&&call), "{call} is not answered");
            }
        }
        for (index, call) in answered.iter().enumerate() {
            prop_assert!(!answered[..index].contains(call), "{call} twice");
        }
    }
}

fn waits_for_a_new_call(watch: &Watch) -> bool {
    !matches!(watch.replies.sideband, Sideband::Ready | Sideband::Joining { .. })
}

/// A few thousand in each run; `PROPTEST_CASES=100000` in a campaign.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

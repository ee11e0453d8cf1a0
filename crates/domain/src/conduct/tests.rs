//! An interview of two core questions and an optional one, from the opening to the end.

use super::*;
use crate::edge::Slug;
use crate::ids::ReplyId;
use crate::language::LanguageTag;
use crate::plan::QuestionKind;
use crate::transcript::Recognition;
use crate::voice::{Delivery, ItemContent, ReplyOutcome};
use serde_json::json;

pub(super) const NEEDS: &str = "Please tell me about a customer who could not say what they needed.";
pub(super) const TEAM: &str = "Please describe a time when you had to disagree with your team.";
const RESULT: &str = "How did it end for the customer?";
const OPENING: &str = "Welcome. I am an AI interviewer, and a person reviews this interview later.";
const INVITATION: &str = "What would you like to ask about the position?";
const CLOSING: &str = "Thank you for your time. You will hear from us by e-mail.";

fn question(id: &str, kind: QuestionKind, text: &str, target: u64) -> ScriptQuestion {
    ScriptQuestion {
        id: Slug::new(id).expect("a slug"),
        kind,
        text: text.to_owned(),
        simpler: String::new(),
        probes: Vec::new(),
        min_turns: 1,
        max_turns: 3,
        target: Duration::from_secs(target),
        hard: Duration::from_secs(target * 2),
    }
}

pub(super) fn script() -> Script {
    let mut needs = question("needs", QuestionKind::Core, NEEDS, 180);
    needs.probes = vec![ScriptProbe {
        id: Slug::new("result").expect("a slug"),
        when: "the answer tells no outcome".to_owned(),
        text: RESULT.to_owned(),
    }];
    needs.simpler = "Tell me about a customer who was not sure what to buy.".to_owned();
    Script {
        language: LanguageTag::new("en").expect("a tag"),
        opening: OPENING.to_owned(),
        questions: vec![
            needs,
            question("hobby", QuestionKind::Optional, "Which tools do you like to work with, and why?", 120),
            question("team", QuestionKind::Core, TEAM, 180),
        ],
        candidate_questions: INVITATION.to_owned(),
        closing: CLOSING.to_owned(),
        length: Duration::from_mins(15),
        reserve: Duration::from_mins(3),
        limit: Duration::MAX,
        think: Duration::from_mins(2),
        thinks_per_question: 2,
        turn_taking: crate::plan::TurnTaking::Patient,
    }
}

/// A call as it is heard, one second after the other.
pub(super) struct Call {
    conduct: Conduct,
    pub(super) now: Moment,
    items: u32,
    commands: Vec<Command>,
    pub(super) log: Vec<Recorded>,
}

impl Call {
    pub(super) fn new() -> Self {
        Self { conduct: Conduct::new(Arc::new(script())), now: Moment::ZERO, items: 0, commands: Vec::new(), log: Vec::new() }
    }

    pub(super) fn step(&mut self, input: Input<'_>) {
        self.commands = self.conduct.step(input, self.now);
        self.log.extend(self.commands.iter().filter_map(|command| match command {
            Command::Record(recorded) => Some(recorded.clone()),
            _ => None,
        }));
        assert!(self.conduct.next_deadline().is_none_or(|at| at > self.now), "nothing is due that was decided");
        let again = Conduct::replay(self.conduct.script.clone(), &self.log);
        assert_eq!(again.state, self.conduct.state, "the events make the state");
    }

    fn hear(&mut self, event: &VoiceEvent) {
        self.step(Input::Heard(event));
    }

    fn item(&mut self) -> (ItemId, ReplyId) {
        self.items += 1;
        (ItemId::new(format!("i{}", self.items)), ReplyId::new(format!("r{}", self.items)))
    }

    fn generated(&mut self, text: &str) -> ReplyId {
        let (item, reply) = self.item();
        self.hear(&VoiceEvent::ReplyStarted { reply: reply.clone(), in_conversation: true, purpose: None });
        self.hear(&VoiceEvent::ReplyDone {
            reply: reply.clone(),
            outcome: ReplyOutcome::Completed,
            texts: vec![(item, text.to_owned())],
            tokens: None,
            delivery: Delivery::Audio,
        });
        reply
    }

    fn says(&mut self, text: &str) {
        let reply = self.generated(text);
        self.now += Duration::from_secs(5);
        self.hear(&VoiceEvent::PlaybackEnded { reply });
    }

    fn answers(&mut self, text: &str) {
        self.answers_for(10, text);
    }

    pub(super) fn answers_for(&mut self, seconds: u64, text: &str) {
        let item = self.turn(seconds);
        self.words(&item, text);
    }

    /// A turn whose words are still to come.
    fn turn(&mut self, seconds: u64) -> ItemId {
        let (item, _) = self.item();
        self.now += Duration::from_secs(2);
        self.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
        self.waits(seconds);
        self.hear(&VoiceEvent::SpeechStopped { item: item.clone(), end_ms: None });
        self.hear(&VoiceEvent::ItemPlaced { item: item.clone(), previous: None, content: ItemContent::Committed });
        item
    }

    fn words(&mut self, item: &ItemId, text: &str) {
        self.hear(&VoiceEvent::CandidateSettled {
            item: item.clone(),
            text: text.to_owned(),
            recognition: Recognition::default(),
        });
    }

    pub(super) fn calls(&mut self, name: &str, arguments: &str) -> (Value, Then) {
        let (_, reply) = self.item();
        let call = ToolCallId::new(format!("c{}", self.items));
        self.hear(&VoiceEvent::ToolCalled { reply: Some(reply), call, name: name.to_owned(), arguments: arguments.to_owned() });
        let answers = self.commands.iter().filter_map(|command| match command {
            Command::AnswerTool { output, then, .. } => Some((output.clone(), *then)),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        answers[0].clone()
    }

    pub(super) fn waits(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.step(Input::Tick);
    }

    fn told(&self, command: &Command) -> bool {
        self.commands.contains(command)
    }

    pub(super) fn first_question(&mut self) {
        self.says(&format!("Hello Kim. {OPENING} {NEEDS}"));
        assert!(self.conduct.progress()[0].asked.is_some());
    }
}

#[test]
fn a_whole_interview_asks_each_question_once_in_its_order_and_closes() {
    let mut call = Call::new();
    assert!(call.conduct.instructions().contains(OPENING) && call.conduct.instructions().contains(NEEDS));
    call.first_question();
    assert!(call.told(&Command::Instruct));
    assert!(call.conduct.instructions().contains(RESULT) && !call.conduct.instructions().contains(OPENING));
    call.answers("A baker who wanted something for his oven.");
    call.says(RESULT);
    call.answers("He bought another one.");
    assert_eq!(call.conduct.progress()[0].probes_used.len(), 1);
    let (output, then) = call.calls("next_question", "{}");
    assert_eq!((&output["say"], then), (&json!("Which tools do you like to work with, and why?"), Then::Speak));
    call.says("Thank you. Which tools do you like to work with, and why?");
    call.answers("I like a sharp pencil.");
    assert_eq!(call.calls("next_question", "").0["say"], json!(TEAM));
    call.says(TEAM);
    call.answers("We argued about a release.");
    assert_eq!(call.calls("next_question", "{}").0["say"], json!(INVITATION));
    call.says(INVITATION);
    call.answers("How large is the team?");
    call.says("A person of the company will tell you.");
    assert_eq!(call.conduct.refuses_end("{}"), None, "all is asked");
    assert_eq!(call.calls("next_question", "{}").0["say"], json!(CLOSING));
    call.says(CLOSING);
    assert!(call.told(&Command::End));
    let asked: Vec<&str> = call.conduct.script().questions.iter().map(|question| question.id.as_str()).collect();
    let record: Vec<&str> = call
        .log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Asked { question, verbatim: true, .. } => Some(question.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(record, asked);
    assert!(call.conduct.progress().iter().all(|progress| progress.coverage == Coverage::Enough));
}

#[test]
fn a_question_that_was_cut_is_not_asked_and_what_was_heard_counts_not_what_a_tool_claims() {
    let mut call = Call::new();
    let reply = call.generated(&format!("{OPENING} {NEEDS}"));
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
    call.hear(&VoiceEvent::PlaybackCut { reply });
    call.hear(&VoiceEvent::ItemPlaced { item: item.clone(), previous: None, content: ItemContent::Committed });
    call.hear(&VoiceEvent::CandidateSettled {
        item,
        text: "Wait, can you hear me?".to_owned(),
        recognition: Recognition::default(),
    });
    assert_eq!(call.conduct.progress()[0].asked, None);
    assert_eq!(call.calls("next_question", "{}").0["say"], json!(NEEDS), "the same text until it was heard");
    call.says(NEEDS);
    assert!(call.conduct.progress()[0].asked.as_ref().is_some_and(|asked| asked.verbatim));
    let (output, then) = call.calls("next_question", "{}");
    assert!(output["not_yet"].is_string(), "{output}");
    assert_eq!(then, Then::Quiet, "the candidate is to answer");
}

/// A sideband that comes in the middle of a reply may have missed the end of its playback.
#[test]
fn the_silence_after_a_reply_that_began_before_our_line_came_is_counted_when_it_must_be_over() {
    let mut call = Call::new();
    call.first_question();
    call.answers("A baker.");
    call.step(Input::SidebandDown);
    call.step(Input::SidebandUp { said: None });
    let (item, reply) = call.item();
    call.hear(&VoiceEvent::ReplyDone {
        reply,
        outcome: ReplyOutcome::Completed,
        texts: vec![(item, "I see.".to_owned())],
        tokens: None,
        delivery: Delivery::Audio,
    });
    call.waits(13);
    assert!(call.told(&Command::Show(Shown::TakeYourTime)), "{:?}", call.commands);
}

/// The floor may count as taken elsewhere, so that nothing comes of it.
#[test]
fn the_page_says_that_there_is_time_although_the_words_that_are_due_are_asked_for() {
    let mut call = Call::new();
    call.first_question();
    call.answers("A baker.");
    call.calls("next_question", "{}");
    call.says("I see.");
    let (mut prompts, mut shown) = (0, None);
    for second in 1..=12 {
        call.waits(1);
        prompts += usize::from(call.told(&Command::Prompt));
        shown = shown.or(call.told(&Command::Show(Shown::TakeYourTime)).then_some(second));
    }
    assert!(prompts > 1 && shown == Some(10), "{prompts}, {shown:?}");
}

/// A short reply may be played before it is told to be done.
#[test]
fn a_reply_whose_playback_ends_before_its_words_are_told_is_heard_and_its_silence_is_counted() {
    for cut in [false, true] {
        let mut call = Call::new();
        let (item, reply) = call.item();
        call.hear(&VoiceEvent::ReplyStarted { reply: reply.clone(), in_conversation: true, purpose: None });
        let over = reply.clone();
        call.hear(&if cut { VoiceEvent::PlaybackCut { reply: over } } else { VoiceEvent::PlaybackEnded { reply: over } });
        call.hear(&VoiceEvent::ReplyDone {
            reply,
            outcome: ReplyOutcome::Completed,
            texts: vec![(item, format!("{OPENING} {NEEDS}"))],
            tokens: None,
            delivery: Delivery::Audio,
        });
        assert_eq!(call.conduct.progress()[0].asked.is_some(), !cut);
        call.waits(12);
        // What was cut is asked for again.
        let due = if cut { Command::Prompt } else { Command::Show(Shown::TakeYourTime) };
        assert!(call.told(&due), "cut: {cut}, {:?}", call.commands);
    }
}

/// The words of a turn come in the middle of the answer to it.
#[test]
fn late_words_of_the_turn_before_do_not_make_a_question_asked_that_is_then_cut() {
    let mut call = Call::new();
    let turn = call.turn(5);
    let reply = call.generated(&format!("{OPENING} {NEEDS}"));
    call.words(&turn, "Hello?");
    assert_eq!(call.conduct.progress()[0].asked, None, "it is being said");
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
    call.hear(&VoiceEvent::PlaybackCut { reply });
    call.hear(&VoiceEvent::ItemPlaced { item, previous: None, content: ItemContent::Committed });
    assert_eq!(call.conduct.progress()[0].asked, None);
    call.says(NEEDS);
    assert!(call.conduct.progress()[0].asked.as_ref().is_some_and(|asked| asked.verbatim));
}

/// It would be told the same words, say them, and call again, without end.
#[test]
fn an_interviewer_that_asks_and_calls_in_one_breath_is_not_told_to_ask_again() {
    let mut call = Call::new();
    let (output, then) = call.calls("next_question", "{}");
    assert_eq!((&output["say"], then), (&json!(NEEDS), Then::SpeakUnlessSpoken), "nothing was said yet");
    let reply = call.generated(&format!("{OPENING} {NEEDS}"));
    let (output, then) = call.calls("next_question", "{}");
    assert_eq!((output["say"].as_str(), then), (None, Then::Quiet), "it is being said");
    call.hear(&VoiceEvent::PlaybackEnded { reply });
    call.answers("A baker.");
    assert_eq!(call.calls("next_question", "{}").1, Then::Speak);
}

/// The loudspeaker comes back through the microphone, or a radio is taken for a word (ADR 0021).
#[test]
fn words_that_nobody_said_answer_no_question_and_end_no_pause() {
    let mut call = Call::new();
    let mut script = script();
    script.questions[0].max_turns = 1;
    call.conduct = Conduct::new(Arc::new(script));
    call.first_question();
    let echo = call.turn(4);
    call.step(Input::NeverSaid(&echo));
    assert_eq!((call.conduct.place(), call.conduct.progress()[0].answers.len()), (Place::Question(0), 0));
    assert!(call.calls("next_question", "{}").0["not_yet"].is_string(), "nobody has answered");
    call.calls("give_time", "{}");
    let radio = call.turn(1);
    call.step(Input::NeverSaid(&radio));
    assert!(!call.told(&Command::Show(Shown::Nothing)), "the moment to think goes on");
    call.answers("A baker.");
    assert_eq!(call.conduct.place(), Place::Question(1));
}

#[test]
fn a_call_twice_in_two_seconds_moves_once() {
    let mut call = Call::new();
    call.first_question();
    call.answers("A baker.");
    let first = call.calls("next_question", "{}").0;
    assert_eq!(call.calls("next_question", "{}").0, first);
    assert_eq!(call.conduct.place(), Place::Question(1));
}

#[test]
fn fewer_answers_than_the_plan_wants_bring_the_next_probe() {
    let mut call = Call::new();
    let mut script = script();
    script.questions[0].min_turns = 2;
    call.conduct = Conduct::new(Arc::new(script));
    call.first_question();
    call.answers("A baker.");
    let (output, then) = call.calls("next_question", "{}");
    assert_eq!((&output["say"], then), (&json!(RESULT), Then::Speak));
    call.says(RESULT);
    call.answers("Well.");
    assert_ne!(call.calls("next_question", "{}").0["say"], json!(RESULT));
}

#[test]
fn the_server_moves_on_by_turns_and_by_time_though_no_tool_is_called() {
    let mut call = Call::new();
    call.first_question();
    for _ in 0..3 {
        call.answers("And then there was another one.");
    }
    assert_eq!(call.conduct.place(), Place::Question(1), "three turns are the most");
    call.says("Which tools do you like to work with and why?");
    call.waits(300);
    call.answers("Pencils.");
    assert_eq!(call.conduct.place(), Place::Question(2), "its time is over");
    let covered: Vec<_> = call
        .log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Covered { coverage, by, .. } => Some((*coverage, *by)),
            _ => None,
        })
        .collect();
    assert_eq!(covered, [(Coverage::Enough, CoveredBy::Turns), (Coverage::Partial, CoveredBy::Time)]);
}

#[test]
fn an_interviewer_that_does_not_ask_is_asked_to_and_at_last_the_interview_goes_on() {
    let mut call = Call::new();
    call.says("Hello Kim, welcome to this conversation.");
    call.waits(4);
    assert!(call.told(&Command::Prompt));
    assert!(call.conduct.prompt_note().is_some_and(|note| note.contains(NEEDS)));
    call.says("So, how was your journey?");
    call.waits(4);
    assert!(!call.told(&Command::Prompt), "who was asked something answers first");
    call.says("I see. Tell me of a customer.");
    assert!(call.conduct.progress()[0].asked.as_ref().is_some_and(|asked| !asked.verbatim), "the record shows it");
}

#[test]
fn long_answers_take_their_time_from_optional_questions_and_the_closing_keeps_its_place() {
    let mut call = Call::new();
    call.first_question();
    call.answers_for(500, "It is a long story.");
    assert_eq!(call.conduct.place(), Place::Question(2), "the optional one is dropped");
    assert!(call.conduct.progress()[1].dropped);
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item, start_ms: None });
    call.waits(215);
    assert_eq!(call.conduct.place(), Place::Closing);
    assert!(call.told(&Command::Prompt));
    assert_eq!(call.conduct.refuses_end("{}"), None);
    call.waits(130);
    assert!(call.told(&Command::End), "a closing that nobody says is not waited for");
    call.waits(130);
    assert!(!call.told(&Command::End), "once");
}

#[test]
fn a_moment_to_think_stops_the_clock_and_ends_by_itself_or_with_an_answer() {
    let mut call = Call::new();
    call.first_question();
    let (_, then) = call.calls("give_time", r#"{"seconds": 60}"#);
    assert_eq!(then, Then::Quiet);
    assert!(call.told(&Command::Show(Shown::Thinking { at_most: Duration::from_mins(1) })));
    let before = call.conduct.state.clock(call.now);
    call.waits(50);
    assert_eq!(call.conduct.state.clock(call.now), before, "the clock stands");
    assert!(!call.told(&Command::Show(Shown::TakeYourTime)));
    call.waits(11);
    assert!(call.told(&Command::Show(Shown::Nothing)), "it ends by itself");
    call.step(Input::ThinkAsked);
    assert!(call.told(&Command::Show(Shown::Thinking { at_most: Duration::from_mins(2) })));
    call.answers("Now I know.");
    assert!(call.conduct.state.pause.is_none());
    let (output, then) = call.calls("give_time", "{}");
    assert_eq!((&output["ok"], then), (&json!(false), Then::Speak), "twice for one question");
}

#[test]
fn whoever_presses_the_buttons_without_end_fills_no_record() {
    let mut call = Call::new();
    call.first_question();
    for n in 0..2_000 {
        call.step(if n % 2 == 0 { Input::ThinkAsked } else { Input::Resumed });
    }
    assert_eq!(call.conduct.state.pauses, 2, "as many as the plan grants");
    for _ in 0..500 {
        call.calls("pause", "{}");
        call.step(Input::Resumed);
        call.calls("flag", "{}");
        call.calls("repeat_question", "{}");
    }
    assert_eq!(call.conduct.state.pauses, MOST_PAUSES);
    assert!(call.conduct.recorded() < 2 * MOST_PAUSES + 200, "{}", call.conduct.recorded());
}

#[test]
fn who_says_nothing_is_helped_and_at_last_waited_for() {
    let mut call = Call::new();
    call.first_question();
    call.waits(12);
    assert!(call.told(&Command::Show(Shown::TakeYourTime)));
    call.waits(8);
    assert_eq!(call.conduct.prompt, Some(Prompt::SoftLine));
    call.says("There is no hurry.");
    call.waits(45);
    assert_eq!(call.conduct.prompt, Some(Prompt::OfferHelp), "the soft line comes once");
    call.says("Shall I repeat the question?");
    call.waits(121);
    assert!(call.told(&Command::Show(Shown::Paused)));
    assert_eq!(call.conduct.next_deadline(), None, "the interview waits");
    call.step(Input::Resumed);
    assert_eq!(call.conduct.prompt, Some(Prompt::Say), "the question may be forgotten");
    call.answers("Sorry, here I am.");
    assert_eq!(call.conduct.progress()[0].answers.len(), 1);
}

#[test]
fn a_cough_is_no_answer() {
    let mut call = Call::new();
    call.first_question();
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
    call.hear(&VoiceEvent::SpeechStopped { item, end_ms: None });
    call.waits(20);
    assert_eq!(call.conduct.prompt, Some(Prompt::SoftLine));
    call.answers("   ");
    assert!(call.conduct.progress()[0].answers.is_empty());
}

#[test]
fn a_repeat_is_word_for_word_then_simpler_and_no_probe() {
    let mut call = Call::new();
    call.first_question();
    assert_eq!(call.calls("repeat_question", "{}").0["say"], json!(NEEDS));
    call.says(NEEDS);
    assert_eq!(call.calls("repeat_question", "{}").0["say"], json!("Tell me about a customer who was not sure what to buy."));
    assert!(call.conduct.progress()[0].probes_used.is_empty());
}

#[test]
fn what_is_noted_is_a_record_and_ends_probing_where_it_hurts() {
    let mut call = Call::new();
    call.first_question();
    call.answers("My wife was ill then.");
    let (output, then) = call.calls("flag", r#"{"kind":"protected","quote":"My wife was ill"}"#);
    assert_eq!((&output["noted"], then), (&json!(true), Then::SpeakUnlessSpoken));
    let flagged = call.log.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Flagged { flag, quote, item } => Some((*flag, quote.clone(), item.clone())),
        _ => None,
    });
    let (flag, quote, item) = flagged.expect("a record");
    assert_eq!((flag, quote.expect("a quote").as_str()), (Flag::Protected, "My wife was ill"));
    assert!(item.is_some());
    assert!(!call.conduct.instructions().contains(RESULT), "nothing more is asked about it");
    assert_eq!(call.calls("flag", "no JSON").1, Then::SpeakUnlessSpoken, "a call without arguments means something too");
}

#[test]
fn the_end_waits_for_the_core_questions_unless_the_candidate_wants_it() {
    let mut call = Call::new();
    call.first_question();
    assert_eq!(call.conduct.refuses_end("{}").as_deref(), Some("one question is left; call next_question"));
    assert_eq!(call.conduct.refuses_end(r#"{"reason":"candidate_asked"}"#), None);
    call.step(Input::Ended);
    assert_eq!(call.conduct.refuses_end("{}"), None);
    assert_eq!(call.calls("next_question", "{}").1, Then::Quiet);
    assert_eq!(call.conduct.next_deadline(), None);
}

#[test]
fn events_are_stored_as_json_and_read_back() {
    let mut call = Call::new();
    call.first_question();
    call.answers("A baker.");
    call.calls("give_time", "{}");
    call.calls("flag", r#"{"kind":"wants_human"}"#);
    call.calls("next_question", "{}");
    for recorded in &call.log {
        let json = serde_json::to_string(recorded).expect("JSON");
        assert_eq!(serde_json::from_str::<Recorded>(&json).expect(&json), *recorded);
    }
}

#[test]
fn the_interviewer_is_told_when_little_time_is_left() {
    let mut call = Call::new();
    call.first_question();
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item, start_ms: None });
    call.waits(9 * 60);
    assert!(
        call.commands.iter().any(|command| matches!(command, Command::Note(note) if note.contains("3 minutes"))),
        "{:?}",
        call.commands
    );
    call.waits(10);
    assert!(!call.commands.iter().any(|command| matches!(command, Command::Note(_))), "once");
}

#[test]
fn the_time_limit_of_the_session_counts_also_while_the_interview_stands_still() {
    let mut call = Call::new();
    call.conduct = Conduct::new(Arc::new(script().within(Duration::from_mins(10))));
    call.first_question();
    call.calls("pause", "{}");
    call.waits(500);
    call.answers("Here I am again.");
    assert_eq!(call.conduct.place(), Place::Closing, "two and a half minutes are kept for the end");
    let tiny = script().within(Duration::from_secs(40));
    assert_eq!((tiny.length, tiny.reserve), (Duration::from_secs(40), Duration::from_secs(10)));
}

#[test]
fn who_is_silent_while_our_line_comes_back_or_a_process_takes_over_is_helped_too() {
    let mut call = Call::new();
    call.first_question();
    call.step(Input::SidebandDown);
    call.waits(30);
    assert_eq!(call.conduct.prompt, None, "nobody knows what is heard meanwhile");
    call.conduct = Conduct::replay(call.conduct.script.clone(), &call.log);
    call.step(Input::SidebandUp { said: None });
    call.waits(12);
    assert!(call.told(&Command::Show(Shown::TakeYourTime)));
    call.waits(8);
    assert_eq!(call.conduct.prompt, Some(Prompt::SoftLine));
}

#[test]
fn a_page_learns_of_a_pause_from_the_process_that_takes_over() {
    let mut call = Call::new();
    call.first_question();
    call.calls("pause", "{}");
    call.conduct = Conduct::replay(call.conduct.script.clone(), &call.log);
    call.step(Input::SidebandUp { said: None });
    assert!(call.told(&Command::Show(Shown::Paused)));
}

#[test]
fn words_that_come_after_the_tool_belong_to_the_question_at_which_they_were_said() {
    let mut call = Call::new();
    call.first_question();
    let turn = call.turn(10);
    let (output, then) = call.calls("next_question", "{}");
    assert_eq!((&output["say"], then), (&json!("Which tools do you like to work with, and why?"), Then::Speak));
    call.says("Which tools do you like to work with, and why?");
    call.words(&turn, "A baker who wanted something for his oven.");
    assert_eq!(call.conduct.progress()[0].answers, [turn]);
    assert!(call.conduct.progress()[1].answers.is_empty());
    let empty = call.turn(3);
    call.words(&empty, " ");
    assert_eq!(call.calls("next_question", "{}").1, Then::Quiet, "a turn without words is none");
}

#[test]
fn what_asks_for_a_moment_is_no_answer_and_does_not_end_it() {
    let mut call = Call::new();
    call.first_question();
    let request = call.turn(3);
    assert_eq!(call.calls("give_time", "{}").1, Then::Quiet);
    call.words(&request, "Can I have a moment?");
    assert!(call.conduct.state.pause.is_some() && call.conduct.progress()[0].answers.is_empty());
    call.answers("It was a baker.");
    assert!(call.conduct.state.pause.is_none());
    assert_eq!(call.conduct.progress()[0].answers.len(), 1);
    // The same when its words were quicker than the tool.
    call.answers("Could you say that again?");
    assert_eq!(call.conduct.progress()[0].answers.len(), 2);
    call.calls("repeat_question", "{}");
    assert_eq!(call.conduct.progress()[0].answers.len(), 1);
}

#[test]
fn who_speaks_when_a_moment_ends_is_not_silent() {
    let mut call = Call::new();
    call.first_question();
    call.calls("give_time", r#"{"seconds": 10}"#);
    call.waits(9);
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item, start_ms: None });
    call.waits(60);
    assert_eq!((call.conduct.prompt, call.conduct.progress()[0].nudged), (None, 0));
}

#[test]
fn what_is_written_instead_of_spoken_is_not_asked() {
    let mut call = Call::new();
    let (item, reply) = call.item();
    call.hear(&VoiceEvent::ReplyStarted { reply: reply.clone(), in_conversation: true, purpose: None });
    call.hear(&VoiceEvent::ReplyDone {
        reply,
        outcome: ReplyOutcome::Completed,
        texts: vec![(item, NEEDS.to_owned())],
        tokens: None,
        delivery: Delivery::Text,
    });
    call.answers("Hello?");
    assert_eq!(call.conduct.progress()[0].asked, None);
}

#[test]
fn what_our_line_cannot_hear_the_model_is_believed_of_and_nobody_is_called_silent() {
    let mut call = Call::new();
    call.first_question();
    call.step(Input::Deaf(true));
    call.waits(300);
    assert_eq!(call.conduct.progress()[0].nudged, 0);
    assert_eq!(call.calls("next_question", "{}").1, Then::Speak);
    assert_eq!(call.conduct.place(), Place::Question(1));
    call.step(Input::Deaf(false));
    call.says("Which tools do you like to work with, and why?");
    assert_eq!(call.calls("next_question", "{}").1, Then::Quiet, "at the next question it hears again");
    let gone = ItemId::new("told-by-the-browser");
    call.step(Input::TurnInGap(&gone));
    assert_eq!(call.conduct.progress()[1].answers, [gone]);
}

#[test]
fn a_question_that_was_heard_before_a_crash_is_known_from_the_transcript() {
    let mut call = Call::new();
    call.generated(&format!("{OPENING} {NEEDS}"));
    call.conduct = Conduct::replay(call.conduct.script.clone(), &call.log);
    let item = ItemId::new("a1");
    call.step(Input::SidebandUp { said: Some((&item, NEEDS)) });
    assert!(call.conduct.progress()[0].asked.is_some());
    call.step(Input::SidebandUp { said: Some((&item, "Something else.")) });
    assert_eq!(call.conduct.recorded(), 1);
}

#[test]
fn a_closing_that_is_not_said_is_asked_for_again() {
    let mut call = Call::new();
    call.first_question();
    let (item, _) = call.item();
    call.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
    call.waits(13 * 60);
    assert_eq!(call.conduct.place(), Place::Closing);
    call.hear(&VoiceEvent::SpeechStopped { item, end_ms: None });
    call.says("And what did you learn from that?");
    call.waits(20);
    assert!(call.told(&Command::Prompt), "nobody answers that: the closing is due");
    assert!(call.conduct.prompt_note().is_some_and(|note| note.contains(CLOSING)));
}

#[test]
fn a_typed_answer_is_an_answer_at_once_and_ends_a_silence_and_a_pause() {
    let mut call = Call::new();
    call.first_question();
    call.waits(13);
    assert!(call.told(&Command::Show(Shown::TakeYourTime)));
    let (item, _) = call.item();
    call.step(Input::Typed(&item));
    assert!(call.told(&Command::Show(Shown::Nothing)), "{:?}", call.commands);
    assert_eq!(call.conduct.progress()[0].answers, std::slice::from_ref(&item));
    assert_eq!(call.calls("next_question", "{}").0["say"], json!("Which tools do you like to work with, and why?"));
    call.step(Input::Typed(&item));
    assert_eq!(call.conduct.progress()[1].answers, [], "once, at its own question");
    // A break ends when the candidate answers, in writing as well.
    call.says("Which tools do you like to work with, and why?");
    call.calls("pause", "{}");
    let (item, _) = call.item();
    call.now += Duration::from_mins(4);
    call.step(Input::Typed(&item));
    assert!(call.told(&Command::Show(Shown::Nothing)));
    assert_eq!(call.conduct.progress()[1].answers, [item]);
}

/// Captions are read faster than they are said.
#[test]
fn a_typed_answer_to_a_question_that_is_still_heard_counts_when_that_was_heard_and_not_when_it_was_cut() {
    for cut in [false, true] {
        let mut call = Call::new();
        let reply = call.generated(&format!("{OPENING} {NEEDS}"));
        let (item, _) = call.item();
        call.step(Input::Typed(&item));
        assert_eq!(call.conduct.progress()[0].asked, None, "it is being said");
        // The model hears of it, and asks what comes next: not before this was heard.
        assert_eq!(call.calls("next_question", "{}").0, json!({"ok": true, "because": "it is being said; wait"}));
        call.now += Duration::from_secs(4);
        call.hear(&if cut { VoiceEvent::PlaybackCut { reply } } else { VoiceEvent::PlaybackEnded { reply } });
        let progress = &call.conduct.progress()[0];
        assert_eq!((progress.asked.is_some(), progress.answers.len()), (!cut, usize::from(!cut)));
    }
}

#[test]
fn a_typed_turn_that_asked_for_a_moment_is_no_answer_and_as_many_answers_as_the_plan_allows_end_the_question() {
    let mut call = Call::new();
    call.first_question();
    let (item, _) = call.item();
    call.step(Input::Typed(&item));
    call.calls("give_time", "{}");
    assert!(call.conduct.progress()[0].answers.is_empty());
    for _ in 0..3 {
        let (item, _) = call.item();
        call.now += Duration::from_secs(20);
        call.step(Input::Typed(&item));
    }
    assert_eq!(call.conduct.place(), Place::Question(1));
    assert!(call.told(&Command::Instruct), "the reply to it knows the next question");
}

/// What the model was told is no part of the course: nothing is asked for that a first reply is to say.
#[test]
fn a_call_that_was_told_something_has_not_begun_by_that() {
    let mut call = Call::new();
    call.step(Input::Instructed(&"a digest".into()));
    call.step(Input::SidebandUp { said: None });
    call.waits(10);
    assert!(!call.told(&Command::Prompt), "{:?}", call.commands);
}

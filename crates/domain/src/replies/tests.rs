//! The cases of the conversation, as far as they are decided without a wire.

use super::*;
use crate::ids::ItemId;
use crate::transcript::Recognition;
use crate::voice::{Delivery, ItemContent, Refusal, ReplyOutcome};
use serde_json::json;

/// A call as the machine sees it.
struct Play {
    replies: Replies,
    now: Moment,
    asked: Vec<(Request, Purpose, Option<String>)>,
    other: Vec<Command>,
}

impl Play {
    fn with(rules: Rules) -> Self {
        let mut play = Self { replies: Replies::new(rules, 7), now: Moment::ZERO, asked: vec![], other: vec![] };
        play.input(Input::CallOpened);
        play.input(Input::Ready);
        play
    }

    /// The opening is said and heard.
    fn opened() -> Self {
        Self::opened_with(Rules::default())
    }

    fn opened_with(rules: Rules) -> Self {
        let mut play = Self::with(rules);
        play.input(Input::Want(Purpose::Opening));
        assert_eq!(play.purposes(), ["opening"]);
        play.reply("r0", Some("opening"), "Welcome. What have you built?");
        play.asked.clear();
        play
    }

    fn input(&mut self, input: Input<'_>) {
        for command in self.replies.step(input, self.now) {
            match command {
                Command::Ask { request, purpose, tell } => self.asked.push((request, purpose, purpose.note().filter(|_| tell))),
                other => self.other.push(other),
            }
        }
    }

    fn hear(&mut self, event: VoiceEvent) {
        self.input(Input::Heard(&event));
    }

    /// Time passes, and what becomes due in it happens when it is due.
    fn wait(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.replies.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn purposes(&self) -> Vec<&'static str> {
        self.asked.iter().map(|(_, purpose, _)| purpose.as_str()).collect()
    }

    fn last_request(&self) -> String {
        self.asked.last().expect("asked").0.to_string()
    }

    fn did(&self, wanted: &Command) -> usize {
        self.other.iter().filter(|command| *command == wanted).count()
    }

    fn late(&self) -> bool {
        self.other.iter().any(|command| matches!(command, Command::Late { news: true, .. }))
    }

    fn output(&self) -> String {
        let outputs = self.other.iter().rev().find_map(|command| match command {
            Command::AnswerTool { output, .. } => Some(output.to_string()),
            _ => None,
        });
        outputs.expect("a tool was answered")
    }

    // ---- the short forms of the cases ----

    fn speech(&mut self) {
        self.hear(VoiceEvent::SpeechStarted { item: "i".into(), start_ms: None });
    }

    fn turn(&mut self) {
        self.speech();
        self.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None });
        self.hear(VoiceEvent::ItemPlaced { item: "i".into(), previous: None, content: ItemContent::Committed });
    }

    fn created(&mut self, reply: &str, purpose: Option<&str>) {
        let purpose = purpose.map(str::to_owned);
        self.hear(VoiceEvent::ReplyStarted { reply: reply.into(), in_conversation: true, purpose });
    }

    fn words(&mut self, reply: &str, text: &str) {
        self.hear(VoiceEvent::ReplyItem { reply: reply.into(), item: "a".into(), commentary: false });
        self.hear(VoiceEvent::PlaybackStarted { reply: reply.into() });
        self.hear(VoiceEvent::ReplyWords { item: "a".into(), delta: text.to_owned() });
    }

    fn done(&mut self, reply: &str, outcome: ReplyOutcome) {
        self.done_as(reply, outcome, Delivery::Unknown);
    }

    fn done_as(&mut self, reply: &str, outcome: ReplyOutcome, delivery: Delivery) {
        self.hear(VoiceEvent::ReplyDone { reply: reply.into(), outcome, texts: vec![], tokens: None, delivery });
    }

    fn played(&mut self, reply: &str) {
        self.hear(VoiceEvent::PlaybackEnded { reply: reply.into() });
    }

    fn cut(&mut self, reply: &str) {
        self.hear(VoiceEvent::PlaybackCut { reply: reply.into() });
    }

    fn reply(&mut self, reply: &str, purpose: Option<&str>, text: &str) {
        self.created(reply, purpose);
        self.words(reply, text);
        self.hear(VoiceEvent::ReplySettled { item: "a".into(), text: text.to_owned() });
        self.done(reply, ReplyOutcome::Completed);
        self.played(reply);
    }

    fn tool_as(&mut self, reply: &str, call: &str, name: &str, arguments: &str) {
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        self.hear(VoiceEvent::ToolCalled { reply: Some(reply.into()), call: call.into(), name, arguments });
    }

    fn tool(&mut self, reply: &str) {
        self.tool_as(reply, "c1", END_INTERVIEW, "{}");
    }

    fn refused(&mut self, refusal: Refusal, command: Option<String>) {
        self.hear(VoiceEvent::Refused { refusal, command });
    }
}

#[test]
fn c01_a_reply_that_fails_is_asked_for_again_with_growing_pauses_and_then_in_another_call() {
    let mut play = Play::opened();
    play.turn();
    let mut at = vec![];
    for n in 0..3 {
        let reply = format!("r{n}");
        play.created(&reply, (n > 0).then_some("answer"));
        play.done(&reply, ReplyOutcome::Failed);
        assert!(play.late(), "the page is told");
        let (from, before) = (play.now, play.asked.len());
        while play.asked.len() == before {
            play.wait(0.1);
            assert!(play.now.saturating_sub(from) < Duration::from_secs(8), "never asked again");
        }
        at.push(play.now.saturating_sub(from));
    }
    assert!(at.is_sorted() && at[0] >= Duration::from_secs(1), "{at:?}");
    assert_eq!(play.purposes(), ["answer"; 3]);
    play.created("r9", Some("answer"));
    play.done("r9", ReplyOutcome::Failed);
    assert_eq!(play.did(&Command::RenewCall(Trouble::ReplyFailed)), 1);
}

#[test]
fn c01_a_failed_opening_stays_an_opening_and_nothing_is_said_over_the_candidate() {
    let mut play = Play::with(Rules::default());
    play.input(Input::Want(Purpose::Opening));
    play.created("r1", Some("opening"));
    play.done("r1", ReplyOutcome::Failed);
    play.speech();
    play.wait(30.0);
    assert_eq!(play.purposes(), ["opening"], "the candidate speaks");
    // Noise: no turn follows.
    play.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None });
    play.wait(3.0);
    assert_eq!(play.purposes(), ["opening", "opening"]);
    play.reply("r2", Some("opening"), "Welcome.");
    assert_eq!(play.did(&Command::Recovered), 1);
}

#[test]
fn c01_an_account_that_is_used_up_ends_the_interview_at_once() {
    let mut play = Play::opened();
    play.turn();
    play.done("r1", ReplyOutcome::AccountBlocked);
    assert_eq!(play.did(&Command::GiveUp(Trouble::Account)), 1);
    let mut play = Play::opened();
    play.refused(Refusal::Account, None);
    assert_eq!(play.did(&Command::GiveUp(Trouble::Account)), 1);
    play.wait(600.0);
    assert!(play.asked.is_empty());
}

#[test]
fn c02_a_reply_that_is_cut_by_its_limit_goes_on_once_unless_the_candidate_speaks() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "I was about to say something lon");
    play.done("r1", ReplyOutcome::Incomplete);
    play.played("r1");
    play.wait(2.0);
    assert_eq!(play.purposes(), ["continue"]);
    assert!(play.asked[0].2.as_ref().is_some_and(|note| note.contains("cut off")));
    play.created("r2", Some("continue"));
    play.words("r2", "ger");
    play.done("r2", ReplyOutcome::Incomplete);
    play.wait(60.0);
    assert_eq!(play.purposes(), ["continue"], "once");

    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "I was about");
    play.speech();
    play.done("r1", ReplyOutcome::Incomplete);
    play.wait(20.0);
    assert!(play.asked.is_empty(), "the candidate has the floor");
}

#[test]
fn c03_a_turn_that_is_not_answered_is_asked_about_once_then_the_call_is_replaced_then_the_interview_ends() {
    let mut play = Play::opened();
    for call in 0..2 {
        play.turn();
        play.wait(6.0);
        assert_eq!(play.purposes().len(), 1);
        assert!(play.late());
        play.wait(6.0);
        assert_eq!(play.other.iter().filter(|c| matches!(c, Command::RenewCall(_))).count(), call + 1);
        play.input(Input::CallOpened);
        play.input(Input::Ready);
        play.asked.clear();
        play.input(Input::Want(Purpose::Thread));
        play.asked.clear();
    }
    play.wait(12.0);
    assert_eq!(play.did(&Command::GiveUp(Trouble::ReplyNotBegun)), 1, "{:?}", play.other);
}

#[test]
fn c03_a_turn_that_never_closes_is_closed_by_us() {
    let mut play = Play::opened();
    play.speech();
    play.wait(89.0);
    assert!(play.other.is_empty(), "a long answer is no trouble");
    play.wait(2.0);
    let closed = play.other.iter().any(|command| matches!(command, Command::CloseTurn { .. }));
    assert!(closed && play.late(), "{:?}", play.other);
    play.wait(6.0);
    assert_eq!(play.did(&Command::RenewCall(Trouble::TurnNotClosed)), 1);

    // There was nothing to close: the candidate waits for an answer.
    let mut play = Play::opened();
    play.speech();
    play.wait(91.0);
    play.refused(Refusal::Other, Some("close-2".to_owned()));
    play.wait(6.0);
    assert_eq!(play.purposes(), ["answer"]);
}

#[test]
fn c03_a_candidate_who_thinks_sets_nothing_off() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "And what did you learn?");
    play.other.clear();
    play.wait(3_600.0);
    assert!(play.asked.is_empty() && play.other.is_empty(), "{:?} {:?}", play.asked, play.other);
    assert_eq!(play.replies.next_deadline(), None);
}

#[test]
fn c03_a_reply_that_stops_in_the_middle_is_cancelled_and_gone_on_with() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "And then");
    play.wait(11.0);
    assert_eq!(play.did(&Command::Cancel { reply: "r1".into() }), 1);
    assert_eq!(play.purposes(), ["continue"]);
    play.done("r1", ReplyOutcome::CancelledByClient);
    assert_eq!(play.purposes(), ["continue"], "our own cancelling is no loss");
}

#[test]
fn c04_a_request_that_meets_a_reply_is_sent_again_whole_when_that_is_done() {
    for with_code in [true, false] {
        for purpose in [Purpose::Opening, Purpose::Thread, Purpose::Goodbye { because: "time_limit", short: false }] {
            let mut play = if purpose == Purpose::Opening { Play::with(Rules::default()) } else { Play::opened() };
            play.turn();
            match purpose {
                Purpose::Goodbye { because, .. } => play.input(Input::End { goodbye: Some(because) }),
                _ => play.input(Input::Want(purpose)),
            }
            assert_eq!(play.purposes(), [purpose.as_str()]);
            let command = with_code.then(|| play.last_request());
            play.refused(Refusal::AlreadyReplying, command);
            play.created("r1", None);
            play.words("r1", "And what did you learn from it?");
            play.wait(1.5);
            assert_eq!(play.asked.len(), 1, "it is under way");
            play.done("r1", ReplyOutcome::Completed);
            assert_eq!(play.purposes(), [purpose.as_str(); 2]);
            assert_eq!(play.asked[1].2, None, "told once");
        }
    }
}

/// A moment to think is granted while a reply that the plan wanted comes to nothing.
#[test]
fn what_the_plan_wanted_said_is_not_asked_for_again_in_a_pause() {
    for request_is_lost in [false, true] {
        let mut play = Play::opened();
        play.input(Input::Want(Purpose::Conduct));
        assert_eq!(play.purposes(), ["conduct"]);
        if request_is_lost {
            play.input(Input::Paused(true));
        } else {
            play.created("r1", Some("conduct"));
            play.done("r1", ReplyOutcome::Failed);
            play.input(Input::Paused(true));
        }
        play.input(Input::Want(Purpose::Conduct));
        play.wait(30.0);
        assert_eq!(play.purposes(), ["conduct"], "nobody talks into a pause");
        play.input(Input::Paused(false));
        play.input(Input::Want(Purpose::Conduct));
        play.wait(1.0);
        assert_eq!(play.purposes(), ["conduct"; 2]);
    }
}

#[test]
fn c04_another_requests_refusal_and_another_replys_end_change_nothing() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.done("r0", ReplyOutcome::Completed);
    play.input(Input::Want(Purpose::Thread));
    play.refused(Refusal::AlreadyReplying, Some("rt-1-9".to_owned()));
    play.wait(3.0);
    assert!(play.asked.is_empty(), "r1 is under way");
    play.words("r1", "Yes?");
    play.done("r1", ReplyOutcome::Completed);
    play.wait(1.0);
    assert!(play.asked.is_empty(), "the interviewer has spoken: the thread is picked up");
}

#[test]
fn c05_the_tool_in_a_reply_that_is_cut_ends_nothing() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "Thank you for your time");
    play.tool("r1");
    play.wait(0.3);
    play.speech();
    play.done("r1", ReplyOutcome::Cancelled);
    play.cut("r1");
    play.wait(1.5);
    assert!(play.output().contains("not finished"), "{}", play.output());
    play.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None });
    play.turn();
    play.reply("r2", None, "Of course.");
    play.wait(120.0);
    assert_eq!(play.did(&Command::EndInterview), 0);

    // Generated whole, and cut while it was heard.
    play.turn();
    play.created("r3", None);
    play.words("r3", "Thank you, goodbye.");
    play.tool_as("r3", "c2", END_INTERVIEW, "");
    play.done("r3", ReplyOutcome::Completed);
    play.speech();
    play.cut("r3");
    play.turn();
    play.reply("r4", None, "What is your question?");
    play.wait(120.0);
    assert_eq!(play.did(&Command::EndInterview), 0);
}

#[test]
fn c05_the_tool_at_the_beginning_is_answered_not_yet() {
    let rules = Rules { min_turns: 3, min_duration: Duration::from_mins(1), ..Rules::default() };
    let mut play = Play::opened_with(rules);
    for turn in 0..2 {
        play.turn();
        let reply = format!("early{turn}");
        play.created(&reply, None);
        play.tool_as(&reply, &reply, END_INTERVIEW, "{}");
        assert!(play.output().contains("not_yet"), "{}", play.output());
        play.done(&reply, ReplyOutcome::Completed);
        assert_eq!(play.purposes().len(), turn + 1);
        play.reply(&format!("more{turn}"), Some("tool"), "Let us go on.");
    }
    play.turn();
    play.created("enough", None);
    play.tool("enough");
    play.done("enough", ReplyOutcome::Completed);
    assert_eq!(play.did(&Command::EndInterview), 1);
    // By turns that another process heard.
    let mut play = Play::opened_with(rules);
    play.replies.know_turns(3);
    play.turn();
    play.created("r1", None);
    play.tool("r1");
    play.done("r1", ReplyOutcome::Completed);
    assert_eq!(play.did(&Command::EndInterview), 1);
    // By its time alone, in a process that knows how it began.
    let mut play = Play::opened_with(Rules { begun: true, elapsed: Duration::from_mins(2), ..rules });
    play.turn();
    play.created("r1", None);
    play.tool("r1");
    play.done("r1", ReplyOutcome::Completed);
    assert_eq!(play.did(&Command::EndInterview), 1);
}

#[test]
fn c06_an_end_without_a_word_has_a_goodbye_and_a_word_into_the_quiet_is_heard_out() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.tool("r1");
    play.done("r1", ReplyOutcome::Completed);
    assert_eq!(play.did(&Command::EndInterview), 1);
    play.input(Input::End { goodbye: None });
    assert_eq!(play.purposes(), ["goodbye"]);
    play.reply("r2", Some("goodbye"), "Goodbye.");
    play.wait(0.3);
    play.speech();
    play.wait(5.0);
    assert_eq!(play.did(&Command::LastWordsOver), 0, "the candidate answers");
    play.turn();
    assert_eq!(play.did(&Command::LastWordsOver), 1);
    play.created("r3", None);
    assert_eq!(play.did(&Command::Cancel { reply: "r3".into() }), 1, "nothing is said after the last words");

    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "Thank you, goodbye.");
    play.tool("r1");
    play.done("r1", ReplyOutcome::Completed);
    assert_eq!(play.did(&Command::EndInterview), 0, "it is still heard");
    play.played("r1");
    assert_eq!(play.did(&Command::EndInterview), 1);
    play.input(Input::End { goodbye: None });
    play.wait(1.0);
    assert_eq!(play.did(&Command::LastWordsOver), 0);
    play.wait(1.0);
    assert_eq!((play.did(&Command::LastWordsOver), play.asked.len()), (1, 0));
}

#[test]
fn c07_a_goodbye_waits_for_a_pause_but_not_for_ever() {
    let mut play = Play::opened();
    play.speech();
    play.input(Input::End { goodbye: Some("recruiter_ended") });
    play.wait(3.0);
    assert!(play.asked.is_empty(), "the candidate speaks");
    play.turn();
    assert_eq!(play.purposes(), ["goodbye"]);

    let mut play = Play::opened();
    play.speech();
    play.input(Input::End { goodbye: Some("time_limit") });
    play.wait(11.0);
    assert_eq!(play.purposes(), ["goodbye"]);
}

#[test]
fn c07_a_goodbye_that_is_cut_is_said_once_more_and_shorter() {
    let mut play = Play::opened();
    play.input(Input::End { goodbye: Some("time_limit") });
    for n in ["g1", "g2"] {
        play.created(n, Some("goodbye"));
        play.words(n, "Thank you very");
        play.done(n, ReplyOutcome::Completed);
        play.speech();
        play.cut(n);
        play.turn();
        play.wait(0.1);
    }
    assert_eq!(play.purposes(), ["goodbye", "goodbye"]);
    assert!(play.asked[1].2.as_ref().is_some_and(|note| note.contains("one short sentence")));
    play.wait(3.0);
    assert_eq!(play.did(&Command::LastWordsOver), 1);
}

#[test]
fn c07_its_time_counts_from_its_start() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "A long story");
    play.done("r1", ReplyOutcome::Completed);
    play.input(Input::End { goodbye: Some("recruiter_ended") });
    play.created("g", Some("goodbye"));
    play.hear(VoiceEvent::ReplyItem { reply: "g".into(), item: "b".into(), commentary: false });
    play.hear(VoiceEvent::ReplySettled { item: "b".into(), text: "Goodbye.".to_owned() });
    play.done("g", ReplyOutcome::Completed);
    play.wait(15.0);
    play.played("r1");
    play.hear(VoiceEvent::PlaybackStarted { reply: "g".into() });
    play.wait(18.0);
    assert_eq!(play.did(&Command::LastWordsOver), 0);
    play.played("g");
    play.wait(2.0);
    assert_eq!(play.did(&Command::LastWordsOver), 1);
}

#[test]
fn a_goodbye_that_cannot_be_said_ends_the_call_all_the_same() {
    for failing in 0..3 {
        let mut play = Play::opened();
        play.input(Input::End { goodbye: Some("time_limit") });
        match failing {
            0 => {}
            1 => play.input(Input::SidebandDown),
            _ => {
                for n in 0..5 {
                    let reply = format!("g{n}");
                    play.created(&reply, Some("goodbye"));
                    play.done(&reply, ReplyOutcome::Failed);
                    play.wait(5.0);
                }
            }
        }
        play.wait(60.0);
        assert_eq!(play.did(&Command::LastWordsOver), 1, "{failing}");
    }
}

#[test]
fn c08_a_tool_that_does_not_exist_is_refused_and_the_interviewer_goes_on() {
    for (name, arguments) in [("finish_call", "{}"), ("", "{}"), (END_INTERVIEW, "{\"a\":"), (END_INTERVIEW, "[]")] {
        let mut play = Play::opened();
        play.turn();
        play.created("r1", None);
        play.tool_as("r1", "c1", name, arguments);
        assert!(play.output().contains("error"), "{name}");
        // Doubled.
        play.tool_as("r1", "c1", name, arguments);
        play.done("r1", ReplyOutcome::Completed);
        // And late.
        play.tool_as("r1", "c1", name, arguments);
        let outputs = play.other.iter().filter(|command| matches!(command, Command::AnswerTool { .. })).count();
        assert_eq!((outputs, play.purposes()), (1, vec!["tool"]), "{name}");
    }
}

#[test]
fn c08_a_late_call_of_the_end_tool_counts_by_its_reply() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Thank you, goodbye.");
    play.tool("r1");
    play.wait(3.0);
    assert_eq!(play.did(&Command::EndInterview), 1);
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.tool("r1");
    play.wait(1.0);
    assert!(play.output().contains("unless the candidate speaks"), "answered before its reply is done");
}

#[test]
fn a_reply_that_says_nothing_or_only_writes_is_asked_for_again() {
    for delivery in [Delivery::Unknown, Delivery::Text] {
        let mut play = Play::opened();
        play.turn();
        play.created("r1", None);
        if delivery == Delivery::Text {
            play.hear(VoiceEvent::ReplyWords { item: "a".into(), delta: "written".to_owned() });
        }
        play.done_as("r1", ReplyOutcome::Completed, delivery);
        play.wait(2.0);
        assert_eq!(play.purposes(), ["answer"], "{delivery:?}");
    }
}

#[test]
fn an_opening_is_dropped_when_the_interviewer_has_answered_by_itself() {
    let mut play = Play::with(Rules::default());
    play.speech();
    play.input(Input::Want(Purpose::Opening));
    play.turn();
    play.reply("r1", None, "Hello, I am an AI.");
    play.wait(60.0);
    assert!(play.asked.is_empty());
}

#[test]
fn a_voice_that_was_no_turn_does_not_silence_the_interviewer() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "What did you");
    play.speech();
    play.done("r1", ReplyOutcome::Cancelled);
    play.cut("r1");
    play.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None });
    play.wait(3.0);
    assert_eq!(play.purposes(), ["continue"]);
}

#[test]
fn a_farewell_without_the_tool_ends_the_interview_after_a_while() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Thank you for your time. Goodbye!");
    play.wait(19.0);
    assert_eq!(play.did(&Command::EndInterview), 0);
    play.wait(2.0);
    assert_eq!(play.did(&Command::EndInterview), 1);
    // The candidate has one more word.
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Goodbye!");
    play.turn();
    play.reply("r2", None, "Yes, what is it?");
    play.wait(60.0);
    assert_eq!(play.did(&Command::EndInterview), 0);
    // Far too early.
    let mut play = Play::opened_with(Rules { min_turns: 3, min_duration: Duration::from_mins(10), ..Rules::default() });
    play.turn();
    play.reply("r1", None, "Goodbye!");
    play.wait(21.0);
    assert_eq!((play.did(&Command::EndInterview), play.purposes()), (0, vec!["nudge"]));
}

#[test]
fn a_farewell_with_questions_left_is_taken_up_once_and_ends_no_interview() {
    let mut play = Play::opened();
    play.input(Input::QuestionsLeft(true));
    play.turn();
    play.reply("r1", None, "Thank you for your time. Goodbye!");
    play.wait(21.0);
    assert_eq!((play.did(&Command::EndInterview), play.purposes()), (0, vec!["nudge"]));
    // It insists: perhaps the candidate wants to stop.
    play.reply("r2", Some("nudge"), "You wanted to stop. Goodbye!");
    play.wait(21.0);
    assert_eq!(play.did(&Command::EndInterview), 1);
    // All is asked.
    let mut play = Play::opened();
    play.input(Input::QuestionsLeft(true));
    play.input(Input::QuestionsLeft(false));
    play.turn();
    play.reply("r1", None, "Thank you for your time. Goodbye!");
    play.wait(21.0);
    assert_eq!(play.did(&Command::EndInterview), 1);
}

#[test]
fn a_line_that_breaks_leaves_nothing_owed_and_greets_no_second_time() {
    let mut play = Play::with(Rules::default());
    play.input(Input::Want(Purpose::Opening));
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.wait(2.0);
    assert_eq!(play.purposes(), ["opening"], "it may be under way");
    play.wait(4.0);
    assert_eq!(play.purposes(), ["opening", "answer"]);
    // It was: the sideband brings the rest of it.
    let mut play = Play::with(Rules::default());
    play.input(Input::Want(Purpose::Opening));
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.hear(VoiceEvent::ReplyItem { reply: "r1".into(), item: "a".into(), commentary: false });
    play.words("r1", "Welcome");
    play.done("r1", ReplyOutcome::Completed);
    play.wait(60.0);
    assert_eq!(play.purposes(), ["opening"]);
}

/// Words are written down of turns that are over: who is waiting for an answer does not wait for the longest turn.
#[test]
fn a_turn_whose_end_fell_into_a_gap_is_over_when_its_words_come() {
    let mut play = Play::opened();
    play.hear(VoiceEvent::ItemPlaced { item: "u0".into(), previous: None, content: ItemContent::Committed });
    play.reply("r1", None, "And then?");
    play.hear(VoiceEvent::SpeechStarted { item: "u1".into(), start_ms: None });
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.hear(VoiceEvent::CandidateSettled {
        item: "u0".into(),
        text: "of the turn before".to_owned(),
        recognition: Recognition::default(),
    });
    play.wait(8.0);
    assert!(play.purposes().is_empty(), "somebody speaks");
    play.hear(VoiceEvent::CandidateSettled {
        item: "u1".into(),
        text: "I built a ledger.".to_owned(),
        recognition: Recognition::default(),
    });
    play.wait(6.0);
    assert_eq!(play.purposes(), ["answer"]);
}

/// Its place in the conversation fell into the gap; the only sign of it are its words.
#[test]
fn a_turn_that_fell_into_a_gap_is_answered() {
    let after_the_gap = || {
        let mut play = Play::opened();
        play.turn();
        play.reply("r1", None, "And then?");
        play.input(Input::SidebandDown);
        play.wait(4.0);
        play.input(Input::Ready);
        play.hear(VoiceEvent::CandidateSettled {
            item: "unheard".into(),
            text: "Then I rewrote it.".to_owned(),
            recognition: Recognition::default(),
        });
        play
    };
    let mut play = after_the_gap();
    play.wait(4.0);
    assert!(play.purposes().is_empty(), "the provider may be about to");
    play.wait(2.0);
    assert_eq!(play.purposes(), ["answer"]);
    // The answer was generated in the gap as well, and is being heard.
    let mut play = after_the_gap();
    play.wait(3.0);
    play.hear(VoiceEvent::PlaybackEnded { reply: "r2".into() });
    play.wait(60.0);
    assert!(play.purposes().is_empty());
    // Words of a turn that our sideband did bring are no second turn.
    let mut play = Play::opened();
    play.hear(VoiceEvent::SpeechStarted { item: "u1".into(), start_ms: None });
    play.hear(VoiceEvent::ItemPlaced { item: "u1".into(), previous: None, content: ItemContent::Committed });
    play.reply("r1", None, "And then?");
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.hear(VoiceEvent::CandidateSettled {
        item: "u1".into(),
        text: "I built a ledger.".to_owned(),
        recognition: Recognition::default(),
    });
    play.wait(60.0);
    assert!(play.purposes().is_empty());
}

/// Nothing at all of it came on our sideband; the browser tells of it.
#[test]
fn a_turn_that_fell_into_a_gap_with_its_words_is_answered() {
    let after_the_gap = || {
        let mut play = Play::opened();
        play.turn();
        play.reply("r1", None, "And then?");
        play.input(Input::SidebandDown);
        play.wait(4.0);
        play.input(Input::Ready);
        play.input(Input::TurnInGap(&"unheard".into()));
        play
    };
    let mut play = after_the_gap();
    play.wait(4.0);
    assert!(play.purposes().is_empty(), "the provider may be about to");
    play.wait(2.0);
    assert_eq!(play.purposes(), ["answer"]);
    // Its answer is under way: any sign of it is enough.
    let mut play = after_the_gap();
    play.wait(3.0);
    play.hear(VoiceEvent::PlaybackStarted { reply: "r2".into() });
    play.wait(60.0);
    assert!(play.purposes().is_empty());
    // Our sideband heard the turn, or was there all the time.
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "And then?");
    play.input(Input::TurnInGap(&"invented".into()));
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.input(Input::TurnInGap(&"i".into()));
    play.wait(60.0);
    assert!(play.purposes().is_empty());
}

/// It followed one that had begun before the gap: nobody waits for the end of that one.
#[test]
fn a_turn_that_fell_into_a_gap_shows_that_the_one_before_it_is_over() {
    let mut play = Play::opened();
    play.hear(VoiceEvent::SpeechStarted { item: "u1".into(), start_ms: None });
    play.input(Input::SidebandDown);
    play.wait(4.0);
    play.input(Input::Ready);
    play.hear(VoiceEvent::CandidateSettled {
        item: "u2".into(),
        text: "Then I rewrote it.".to_owned(),
        recognition: Recognition::default(),
    });
    play.wait(6.0);
    assert_eq!(play.purposes(), ["answer"]);
    // Whoever is heard to speak since has the floor.
    let mut play = Play::opened();
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.hear(VoiceEvent::SpeechStarted { item: "u3".into(), start_ms: None });
    play.hear(VoiceEvent::CandidateSettled {
        item: "u2".into(),
        text: "Then I rewrote it.".to_owned(),
        recognition: Recognition::default(),
    });
    play.wait(12.0);
    assert!(play.purposes().is_empty());
}

/// The same of a gap between two processes, or two lives of the actor.
#[test]
fn a_turn_that_fell_between_two_processes_is_answered() {
    let attached = |answered_turns: &[ItemId]| {
        let mut play = Play { replies: Replies::new(Rules::default(), 7), now: Moment::ZERO, asked: vec![], other: vec![] };
        play.input(Input::Attached { owed: false, answered_turns });
        play.input(Input::Ready);
        play.hear(VoiceEvent::CandidateSettled {
            item: "u1".into(),
            text: "I built a ledger.".to_owned(),
            recognition: Recognition::default(),
        });
        play.wait(6.0);
        play
    };
    assert_eq!(attached(&[]).purposes(), ["answer"]);
    assert!(attached(&["u1".into()]).purposes().is_empty(), "its words are late, its answer was given");
}

/// The sideband into a call that was given up may come back before its successor stands.
#[test]
fn nothing_is_asked_for_in_a_call_that_is_given_up() {
    let mut play = Play::with(Rules::default());
    play.input(Input::Want(Purpose::Opening));
    play.wait(30.0);
    assert!(play.other.iter().any(|command| matches!(command, Command::RenewCall(_))), "{:?}", play.other);
    let asked = play.purposes().len();
    play.input(Input::Ready);
    play.input(Input::Want(Purpose::Thread));
    play.wait(20.0);
    assert_eq!(play.purposes().len(), asked);
    play.input(Input::CallOpened);
    play.input(Input::Ready);
    play.input(Input::Want(Purpose::Thread));
    assert_eq!(play.purposes().len(), asked + 1, "in the new one it is");
}

#[test]
fn c13_calls_that_let_no_line_of_ours_in_end_the_interview() {
    let mut play = Play::with(Rules::default());
    for _ in 0..3 {
        play.input(Input::CallOpened);
        play.input(Input::CallGone);
    }
    assert_eq!(play.did(&Command::GiveUp(Trouble::SidebandNotJoined)), 1);
    // C-10: not let in, and not tried any more.
    let mut play = Play::with(Rules::default());
    play.input(Input::CallOpened);
    play.input(Input::SidebandGivenUp);
    assert_eq!(play.did(&Command::RenewCall(Trouble::SidebandNotJoined)), 1);
}

#[test]
fn an_output_is_a_json_value() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.tool_as("r1", "c1", "x\"y", "{}");
    let Some(Command::AnswerTool { output, .. }) = play.other.last() else { panic!("{:?}", play.other) };
    assert_eq!(output["tools"], json!([END_INTERVIEW]));
}

#[test]
fn a_sentence_that_is_said_twice_is_noticed_and_three_times_apologised_for() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Which database did you choose?");
    play.turn();
    play.hear(VoiceEvent::CandidateSettled { item: "i".into(), text: "PostgreSQL.".into(), recognition: Recognition::default() });
    play.reply("r2", None, "Which database did you choose?");
    assert_eq!(play.purposes(), ["repeated"]);
    assert!(!play.late(), "nobody waits for it");
    play.reply("r3", Some("repeated"), "Which database did you choose?");
    assert_eq!(play.purposes(), ["repeated", "apologize"]);
    assert!(play.late(), "the page is told");
    play.reply("r4", Some("apologize"), "I am sorry, I am repeating myself. A person can get in touch with you.");
    play.turn();
    play.reply("r5", None, "Which database did you choose?");
    assert_eq!(play.purposes(), ["repeated", "apologize"], "it is counted anew");
}

#[test]
fn what_the_candidate_asks_to_hear_again_is_no_repetition() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Which database did you choose?");
    play.turn();
    let text = "Could you repeat that?".to_owned();
    play.hear(VoiceEvent::CandidateSettled { item: "i".into(), text, recognition: Recognition::default() });
    play.reply("r2", None, "Which database did you choose?");
    play.wait(20.0);
    assert_eq!(play.purposes(), [""; 0]);
    // Nor is what the conduct wants said, nor what everybody says often.
    let mut play = Play::opened();
    for n in 0..4 {
        play.turn();
        play.reply(&format!("s{n}"), None, "I see. Go on.");
    }
    assert_eq!(play.purposes(), [""; 0]);
}

fn typed(play: &mut Play, item: &str) {
    play.input(Input::Typed { item: &item.into() });
}

#[test]
fn typed_words_are_answered_at_once_and_once() {
    let mut play = Play::opened();
    typed(&mut play, "t1");
    assert_eq!(play.purposes(), ["answer"]);
    play.reply("r1", Some("answer"), "And then?");
    play.wait(60.0);
    assert_eq!(play.purposes(), ["answer"]);
    assert!(!play.late());
    // Two in a row may have one answer: it sees both.
    typed(&mut play, "t2");
    typed(&mut play, "t3");
    assert_eq!(play.purposes(), ["answer", "answer"]);
    play.reply("r2", Some("answer"), "I see.");
    play.wait(60.0);
    assert_eq!(play.purposes().len(), 2, "{:?}", play.purposes());
}

#[test]
fn typed_words_wait_for_whoever_speaks() {
    // For the candidate: the provider answers the turn, and with it what was typed before.
    let mut play = Play::opened();
    play.speech();
    typed(&mut play, "t1");
    play.wait(20.0);
    assert_eq!(play.purposes(), [""; 0]);
    play.hear(VoiceEvent::ItemPlaced { item: "i".into(), previous: None, content: ItemContent::Committed });
    play.reply("r1", None, "I see.");
    play.wait(30.0);
    assert_eq!(play.purposes(), [""; 0]);
    // Somebody coughed: nothing else answers what was typed.
    play.speech();
    typed(&mut play, "t2");
    play.hear(VoiceEvent::SpeechStopped { item: "i".into(), end_ms: None });
    play.wait(4.0);
    assert_eq!(play.purposes(), ["answer"]);
}

/// The reply that is under way does not know of it.
#[test]
fn typed_words_are_answered_when_what_is_being_said_was_heard() {
    let mut play = Play::opened();
    play.turn();
    play.created("r1", None);
    play.words("r1", "A long explanation");
    typed(&mut play, "t1");
    play.wait(3.0);
    play.done("r1", ReplyOutcome::Completed);
    play.wait(9.0);
    assert_eq!(play.purposes(), [""; 0], "it is heard");
    play.played("r1");
    assert_eq!(play.purposes(), [""; 0], "whoever leads the interview hears it first");
    play.wait(0.4);
    assert_eq!(play.purposes(), ["answer"]);
    // Its end is never told.
    let mut play = Play::opened();
    play.created("r1", None);
    play.words("r1", "A long explanation");
    typed(&mut play, "t1");
    play.done("r1", ReplyOutcome::Completed);
    play.wait(61.0);
    assert_eq!(play.purposes(), ["answer"]);
    // It fails: what is asked for instead sees both.
    let mut play = Play::opened();
    play.created("r1", None);
    typed(&mut play, "t1");
    play.done("r1", ReplyOutcome::Failed);
    play.wait(2.0);
    assert_eq!(play.purposes(), ["answer"]);
}

#[test]
fn who_types_while_the_interviewer_ends_the_interview_is_answered() {
    let mut play = Play::opened();
    play.created("r1", None);
    play.words("r1", "Thank you, goodbye.");
    play.tool("r1");
    typed(&mut play, "t1");
    play.done("r1", ReplyOutcome::Completed);
    play.played("r1");
    play.wait(2.0);
    assert_eq!(play.did(&Command::EndInterview), 0);
    assert_eq!(play.purposes(), ["answer"]);
    // Nor does a farewell stand that is answered in writing.
    play.reply("r2", Some("answer"), "Goodbye.");
    play.wait(5.0);
    typed(&mut play, "t2");
    play.reply("r3", Some("answer"), "One more question: why?");
    play.wait(60.0);
    assert_eq!(play.did(&Command::EndInterview), 0);
}

#[test]
fn nothing_typed_is_answered_into_a_goodbye() {
    let mut play = Play::opened();
    play.input(Input::End { goodbye: Some("time_limit") });
    typed(&mut play, "t1");
    assert_eq!(play.purposes(), ["goodbye"]);
    play.reply("r1", Some("goodbye"), "Goodbye.");
    typed(&mut play, "t2");
    play.wait(30.0);
    assert_eq!(play.purposes(), ["goodbye"]);
    assert_eq!(play.did(&Command::LastWordsOver), 1);
}

/// Whether it had its answer before the sideband broke nobody knows.
#[test]
fn typed_words_in_a_gap_are_answered_unless_a_sign_of_an_answer_comes() {
    for sign in [false, true] {
        let mut play = Play::opened();
        play.input(Input::SidebandDown);
        play.input(Input::Ready);
        play.input(Input::TurnInGap(&"t1".into()));
        play.wait(1.0);
        if sign {
            play.reply("r1", Some("answer"), "I see.");
        }
        play.wait(8.0);
        assert_eq!(play.purposes().len(), usize::from(!sign), "{:?}", play.purposes());
    }
    // It is put in anew, so nobody can have answered.
    let mut play = Play::opened();
    play.input(Input::SidebandDown);
    play.input(Input::Ready);
    play.input(Input::TurnInGap(&"t1".into()));
    typed(&mut play, "t1");
    assert_eq!(play.purposes(), ["answer"]);
}
#[test]
fn what_a_tools_answer_wants_said_again_is_no_repetition() {
    let mut play = Play::opened();
    play.turn();
    play.reply("r1", None, "Which database did you choose?");
    // The candidate asks to hear it again, in words without a question mark.
    play.turn();
    let again = json!({"say": "Which database did you choose?", "require_repeat_verbatim": true});
    play.created("r2", None);
    play.input(Input::ToolAnswered { reply: Some(&"r2".into()), call: &"c1".into(), output: &again, then: Then::Speak });
    play.done("r2", ReplyOutcome::Completed);
    play.reply("r3", Some("tool"), "Which database did you choose?");
    assert_eq!(play.purposes(), ["tool"]);
    // Once more by itself, and in one breath, is one.
    play.turn();
    play.reply("r4", None, "Which database did you choose?");
    assert_eq!(play.purposes(), ["tool", "repeated"]);
}

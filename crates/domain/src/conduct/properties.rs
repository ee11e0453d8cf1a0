//! Over random orders of all that a call can bring.

use super::tests::{NEEDS, TEAM, script};
use super::*;
use crate::ids::ReplyId;
use crate::transcript::Recognition;
use crate::voice::{Delivery, ItemContent, ReplyOutcome};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
enum Happening {
    /// The interviewer says what stands in its instructions here, or something else; it is heard to its end, cut, or neither.
    Says {
        right: bool,
        heard: u8,
    },
    /// Its words come at once, or later.
    Answers {
        empty: bool,
        late: bool,
    },
    LateWords,
    Types,
    NewCall,
    /// The words that come late are doubted.
    Echoes,
    Coughs,
    Calls {
        tool: usize,
        arguments: usize,
        again: bool,
    },
    Button(bool),
    SidebandDown,
    SidebandUp,
    Deaf(bool),
    Waits(u64),
    Crash,
    Ended,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (any::<bool>(), 0..3_u8).prop_map(|(right, heard)| Happening::Says { right, heard }),
        6 => (any::<bool>(), any::<bool>()).prop_map(|(empty, late)| Happening::Answers { empty, late }),
        3 => Just(Happening::LateWords),
        2 => Just(Happening::Types),
        1 => Just(Happening::NewCall),
        1 => Just(Happening::Echoes),
        1 => Just(Happening::Coughs),
        6 => (0..TOOLS.len() + 1, 0..5_usize, any::<bool>()).prop_map(|(tool, arguments, again)| Happening::Calls { tool, arguments, again }),
        1 => any::<bool>().prop_map(Happening::Button),
        1 => Just(Happening::SidebandDown),
        1 => Just(Happening::SidebandUp),
        1 => any::<bool>().prop_map(Happening::Deaf),
        4 => (1..200_u64).prop_map(Happening::Waits),
        1 => Just(Happening::Crash),
        1 => Just(Happening::Ended),
    ]
}

const ARGUMENTS: [&str; 5] = [
    "{}",
    "",
    "no JSON",
    r#"{"status":"enough","seconds":30,"kind":"distress","quote":"\u0000"}"#,
    r#"{"seconds":18446744073709551615}"#,
];

struct Room {
    conduct: Conduct,
    now: Moment,
    number: u32,
    log: Vec<Recorded>,
    answered: BTreeMap<ToolCallId, u32>,
    over: bool,
    late: VecDeque<(ItemId, String)>,
}

impl Room {
    fn step(&mut self, input: Input<'_>) {
        for command in self.conduct.step(input, self.now) {
            match command {
                Command::Record(recorded) => {
                    assert_eq!(recorded.number as usize, self.log.len(), "numbered without gaps");
                    self.log.push(recorded);
                }
                Command::AnswerTool { call, .. } => *self.answered.entry(call).or_default() += 1,
                _ => {}
            }
        }
        self.check();
    }

    fn check(&self) {
        let again = Conduct::replay(self.conduct.script.clone(), &self.log);
        assert_eq!(again.state, self.conduct.state, "the events make the state");
        assert!(self.conduct.next_deadline().is_none_or(|at| at > self.now), "nothing is due that was decided");
        assert!(self.answered.values().all(|times| *times == 1), "each call is answered once");
        let told = self.conduct.instructions();
        for (at, text) in [(0, NEEDS), (2, TEAM)] {
            assert!(!told.contains(text) || self.conduct.place() == Place::Question(at), "only the question that is due is told");
        }
        // In the plan's order, each once.
        let asked = self.log.iter().filter_map(|recorded| match &recorded.event {
            Event::Asked { question, .. } => self.conduct.script.position(question),
            _ => None,
        });
        let asked: Vec<usize> = asked.collect();
        assert!(asked.is_sorted_by(|a, b| a < b), "{asked:?}");
    }

    fn hear(&mut self, event: &VoiceEvent) {
        self.step(Input::Heard(event));
    }

    fn happens(&mut self, happening: &Happening) {
        self.number += 1;
        let (item, reply) = (ItemId::new(format!("i{}", self.number)), ReplyId::new(format!("r{}", self.number)));
        match happening {
            Happening::Says { right, heard } => {
                let text = if *right { self.conduct.text_here().to_owned() } else { "And what else?".to_owned() };
                self.hear(&VoiceEvent::ReplyStarted { reply: reply.clone(), in_conversation: true, purpose: None });
                let (outcome, texts) = (ReplyOutcome::Completed, vec![(item, text)]);
                self.hear(&VoiceEvent::ReplyDone {
                    reply: reply.clone(),
                    outcome,
                    texts,
                    tokens: None,
                    delivery: Delivery::Audio,
                });
                match heard {
                    0 => self.hear(&VoiceEvent::PlaybackEnded { reply }),
                    1 => self.hear(&VoiceEvent::PlaybackCut { reply }),
                    _ => {}
                }
            }
            Happening::LateWords => {
                if let Some((item, text)) = self.late.pop_front() {
                    self.hear(&VoiceEvent::CandidateSettled { item, text, recognition: Recognition::default() });
                }
            }
            Happening::Echoes => {
                if let Some((item, _)) = self.late.pop_front() {
                    let before = self.log.len();
                    self.step(Input::NeverSaid(&item));
                    assert!(!self.log[before..].iter().any(|recorded| matches!(recorded.event, Event::Answered { .. })));
                }
            }
            Happening::Answers { empty, late } => {
                self.hear(&VoiceEvent::SpeechStarted { item: item.clone(), start_ms: None });
                self.hear(&VoiceEvent::ItemPlaced { item: item.clone(), previous: None, content: ItemContent::Committed });
                let text = if *empty { " ".to_owned() } else { "An answer.".to_owned() };
                if *late {
                    self.late.push_back((item, text));
                } else {
                    self.hear(&VoiceEvent::CandidateSettled { item, text, recognition: Recognition::default() });
                }
            }
            Happening::Types => self.step(Input::Typed(&item)),
            Happening::NewCall => self.step(Input::Instructed(&"a digest".into())),
            Happening::Coughs => self.hear(&VoiceEvent::SpeechStarted { item, start_ms: None }),
            Happening::Calls { tool, arguments, again } => {
                let name = TOOLS.get(*tool).map_or("no_such_tool", |tool| tool.name()).to_owned();
                let call = ToolCallId::new(format!("c{}", self.number));
                let event =
                    VoiceEvent::ToolCalled { reply: None, call: call.clone(), name, arguments: ARGUMENTS[*arguments].to_owned() };
                self.hear(&event);
                if *again {
                    self.hear(&event);
                }
                let ours = *tool < TOOLS.len();
                assert_eq!(self.answered.contains_key(&call), ours, "ours are answered, and no other's");
            }
            Happening::Button(think) => self.step(if *think { Input::ThinkAsked } else { Input::Resumed }),
            Happening::SidebandDown => self.step(Input::SidebandDown),
            Happening::Deaf(deaf) => self.step(Input::Deaf(*deaf)),
            Happening::SidebandUp => self.step(Input::SidebandUp { said: None }),
            Happening::Waits(seconds) => {
                self.now += Duration::from_secs(*seconds);
                self.step(Input::Tick);
            }
            Happening::Crash => {
                self.conduct = Conduct::replay(self.conduct.script.clone(), &self.log);
                let again = if self.over { Input::Ended } else { Input::Tick };
                self.step(again);
            }
            Happening::Ended => {
                self.over = true;
                self.step(Input::Ended);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_plan_is_followed_and_a_crash_forgets_nothing(happenings in prop::collection::vec(happening(), 1..60)) {
        let conduct = Conduct::new(Arc::new(script()));
        let mut room = Room { conduct, now: Moment::ZERO, number: 0, log: Vec::new(), answered: BTreeMap::new(), over: false, late: VecDeque::new() };
        for happening in &happenings {
            room.happens(happening);
        }
        // Nobody does anything more: the interview comes to its end, or waits in a pause that the candidate wanted.
        for _ in 0..60 {
            let Some(at) = room.conduct.next_deadline() else { break };
            room.now = at;
            room.step(Input::Tick);
        }
        prop_assert!(room.conduct.next_deadline().is_none());
    }
}

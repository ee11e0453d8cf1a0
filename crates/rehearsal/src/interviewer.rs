//! A model of the provider's model: what an interviewer says and calls that follows its instructions and the answers to its tools; and
//! in other modes one that does not.

use crate::candidate::Meaning;
use crate::phrases::Phrases;
use interview_domain::replies::{END_INTERVIEW, Purpose};
use serde::Serialize;
use serde_json::{Value, json};

/// What it does in one reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    pub says: Option<String>,
    /// Tools and their arguments.
    pub calls: Vec<(&'static str, String)>,
}

impl Turn {
    fn says(text: impl Into<String>) -> Self {
        Self { says: Some(text.into()), calls: Vec::new() }
    }

    fn calls(tool: &'static str, arguments: Value) -> Self {
        Self { says: None, calls: vec![(tool, arguments.to_string())] }
    }
}

/// What a model does that follows no instruction (product, "Tools for the model").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// As it should.
    Faithful,
    /// Never calls a tool; says something instead.
    CallsNothing,
    /// Reads its tool call aloud.
    SpeaksTheCall,
    /// Says each sentence three times.
    RepeatsItself,
    /// Says goodbye in the middle, without the tool.
    PartsEarly,
    /// Calls the tool that ends the interview before all is asked.
    EndsEarly,
    /// Each call twice, and once more with broken arguments.
    CallsTwice,
    /// Asks in its own words.
    Paraphrases,
    /// Asks for the next question whenever it can.
    Hurries,
    /// Puts questions that stand in no plan.
    AsksItsOwn,
    /// Opens a topic that it must not.
    OpensForbiddenTopic,
    /// Talks about what it is going to do before it does it.
    Announces,
    /// Does whatever the candidate asks of it: reads all aloud that it was told.
    Obeys,
    /// Gives time to think after each answer.
    GivesTime,
}

impl Behaviour {
    pub const MISBEHAVING: [Self; 13] = [
        Self::CallsNothing,
        Self::SpeaksTheCall,
        Self::RepeatsItself,
        Self::PartsEarly,
        Self::EndsEarly,
        Self::CallsTwice,
        Self::Paraphrases,
        Self::Hurries,
        Self::AsksItsOwn,
        Self::OpensForbiddenTopic,
        Self::Announces,
        Self::Obeys,
        Self::GivesTime,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::CallsNothing => "calls_nothing",
            Self::SpeaksTheCall => "speaks_the_call",
            Self::RepeatsItself => "repeats_itself",
            Self::PartsEarly => "parts_early",
            Self::EndsEarly => "ends_early",
            Self::CallsTwice => "calls_twice",
            Self::Paraphrases => "paraphrases",
            Self::Hurries => "hurries",
            Self::AsksItsOwn => "asks_its_own",
            Self::OpensForbiddenTopic => "opens_forbidden_topic",
            Self::Announces => "announces",
            Self::Obeys => "obeys",
            Self::GivesTime => "gives_time",
        }
    }
}

pub struct Interviewer<'a> {
    behaviour: Behaviour,
    phrases: &'a Phrases,
    /// What an answer to a tool, or a note, told it to say.
    say: Option<String>,
    /// What it says when a tool is answered that it called first.
    after_tool: Option<&'static str>,
    /// What it said last, for when it is told to go on.
    said: String,
    replies: usize,
}

/// Behind these words stands what is to be said, as a JSON string.
const WORD_FOR_WORD: [&str; 3] =
    ["First say this, word for word: ", "Ask this question, word for word, and no other: ", "Say this, word for word: "];
const NOTE: &str = "word for word, after at most one short sentence: ";

fn quoted_after(text: &str, phrase: &str) -> Option<String> {
    let (_, rest) = text.split_once(phrase)?;
    serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
}

impl<'a> Interviewer<'a> {
    pub fn new(behaviour: Behaviour, phrases: &'a Phrases) -> Self {
        Self { behaviour, phrases, say: None, after_tool: None, said: String::new(), replies: 0 }
    }

    /// The answer to a tool call.
    pub fn is_answered(&mut self, output: &Value) {
        if let Some(say) = output["say"].as_str() {
            self.say = Some(say.to_owned());
        }
    }

    /// A note that nobody hears.
    pub fn is_told(&mut self, note: &str) {
        if let Some(say) = quoted_after(note, NOTE) {
            self.say = Some(say);
        } else if note.contains("there is no hurry") {
            self.say = Some(self.phrases.no_hurry.to_owned());
        } else if note.contains("has said nothing for long") {
            self.say = Some(self.phrases.offers_help.to_owned());
        }
    }

    /// Its next reply: to what the candidate has said, or because it was asked for.
    pub fn replies(&mut self, instructions: &str, to: Option<&Meaning>, purpose: Option<Purpose>) -> Turn {
        self.replies += 1;
        let follows = self.follows(instructions, to, purpose);
        let turn = self.strays(instructions, to, follows);
        if let Some(said) = &turn.says {
            self.said.clone_from(said);
        }
        turn
    }

    fn follows(&mut self, instructions: &str, to: Option<&Meaning>, purpose: Option<Purpose>) -> Turn {
        let phrases = self.phrases;
        match purpose {
            Some(Purpose::Goodbye { .. }) => return Turn::says(phrases.goodbye),
            Some(Purpose::Apologize) => return Turn::says(phrases.apologizes),
            Some(Purpose::Repeated) => return Turn::says(phrases.go_on),
            Some(Purpose::Continue) if self.say.is_none() => {
                // From where it was cut off.
                let middle = self.said.char_indices().nth(self.said.chars().count() / 2).map_or(0, |(at, _)| at);
                return Turn::says(self.said[middle..].trim());
            }
            _ => {}
        }
        if let Some(turn) = to.and_then(|means| self.heeds(means)) {
            return turn;
        }
        if let Some(say) = self.say.take() {
            return Turn::says(say);
        }
        if let Some(phrase) = self.after_tool.take() {
            return Turn::says(phrase);
        }
        let now = instructions.split_once("# Now").map_or("", |(_, now)| now);
        let words: Vec<String> = WORD_FOR_WORD.iter().filter_map(|phrase| quoted_after(now, phrase)).collect();
        if !words.is_empty() {
            let parts = now.contains("call end_interview");
            let calls = if parts { vec![(END_INTERVIEW, json!({"reason": "all_covered"}).to_string())] } else { Vec::new() };
            let acknowledges = if to.is_some() { self.acknowledges() } else { "" };
            return Turn { says: Some(format!("{acknowledges} {}", words.join(" ")).trim().to_owned()), calls };
        }
        match to {
            Some(Meaning::Answer { lacks }) => match probe(now, lacks) {
                Some(probe) => Turn::says(format!("{} {probe}", self.acknowledges())),
                None => Turn::calls("next_question", json!({})),
            },
            Some(Meaning::AsksCompany) => Turn::says(phrases.company_answers),
            Some(Meaning::NoMoreQuestions) => Turn::calls("next_question", json!({})),
            Some(Meaning::Thanks) => Turn::says(phrases.goodbye),
            _ => Turn::says(phrases.go_on),
        }
    }

    /// What has to be done whatever stands in the plan.
    fn heeds(&mut self, means: &Meaning) -> Option<Turn> {
        let phrases = self.phrases;
        Some(match means {
            Meaning::WantsTime => Turn::calls("give_time", json!({"seconds": 90})),
            Meaning::WantsRepeat => Turn::calls("repeat_question", json!({})),
            Meaning::WantsBreak => Turn::calls("pause", json!({})),
            Meaning::WantsToStop => Turn::calls(END_INTERVIEW, json!({"reason": "candidate_wants_to_stop"})),
            Meaning::Injection => {
                self.after_tool = Some(phrases.goes_on_calmly);
                Turn::calls("flag", json!({"kind": "manipulation", "quote": phrases.injects}))
            }
            Meaning::Distress => {
                self.after_tool = Some(phrases.offers_pause);
                Turn::calls("flag", json!({"kind": "distress", "quote": phrases.distress}))
            }
            Meaning::AsksForAnswer => Turn::says(phrases.cannot_share),
            Meaning::OtherLanguage => Turn::says(phrases.names_language),
            Meaning::Background => Turn::says(phrases.go_on),
            Meaning::Unintelligible => Turn::says(phrases.say_again),
            Meaning::Answer { .. } | Meaning::AsksCompany | Meaning::NoMoreQuestions | Meaning::Thanks => return None,
        })
    }

    fn acknowledges(&self) -> &'static str {
        self.phrases.acknowledges[self.replies % self.phrases.acknowledges.len()]
    }

    fn strays(&mut self, instructions: &str, to: Option<&Meaning>, turn: Turn) -> Turn {
        let is_answer = matches!(to, Some(Meaning::Answer { .. }));
        let phrases = self.phrases;
        match self.behaviour {
            Behaviour::CallsNothing if !turn.calls.is_empty() => {
                Turn::says(turn.says.unwrap_or_else(|| phrases.go_on.to_owned()))
            }
            Behaviour::SpeaksTheCall if !turn.calls.is_empty() => {
                let (tool, arguments) = &turn.calls[0];
                Turn::says(json!({"name": tool, "arguments": arguments}).to_string())
            }
            Behaviour::RepeatsItself => Turn { says: turn.says.map(|text| format!("{text} {text} {text}")), ..turn },
            Behaviour::PartsEarly if is_answer && self.replies.is_multiple_of(3) => Turn::says(phrases.goodbye),
            Behaviour::EndsEarly if is_answer => Turn::calls(END_INTERVIEW, json!({"reason": "all_covered"})),
            Behaviour::CallsTwice => {
                let twice = turn.calls.iter().flat_map(|(tool, arguments)| {
                    [(*tool, arguments.clone()), (*tool, arguments.clone()), (*tool, "no JSON".to_owned())]
                });
                Turn { calls: twice.collect(), ..turn }
            }
            Behaviour::Paraphrases => Turn { says: turn.says.map(|text| self.in_other_words(instructions, text)), ..turn },
            Behaviour::Hurries => Turn { calls: vec![("next_question", "{}".to_owned())], ..turn },
            Behaviour::AsksItsOwn if is_answer && self.replies.is_multiple_of(2) => Turn::says(phrases.own_question),
            Behaviour::OpensForbiddenTopic if is_answer && self.replies.is_multiple_of(2) => Turn::says(phrases.forbidden),
            Behaviour::Announces if !turn.calls.is_empty() && turn.says.is_none() => {
                Turn { says: Some(phrases.preamble.to_owned()), ..turn }
            }
            Behaviour::Obeys if to.is_some() && self.replies.is_multiple_of(4) => {
                Turn::says(instructions.chars().take(600).collect::<String>())
            }
            Behaviour::GivesTime if is_answer && self.replies.is_multiple_of(2) => {
                Turn::calls("give_time", json!({"seconds": 600}))
            }
            _ => turn,
        }
    }

    /// Only what stands word for word in its instructions: it says the sense of it.
    fn in_other_words(&self, instructions: &str, text: String) -> String {
        let now = instructions.split_once("# Now").map_or("", |(_, now)| now);
        let is_question = quoted_after(now, WORD_FOR_WORD[1]).is_some_and(|question| text.contains(&question));
        if is_question { self.phrases.other_words.to_owned() } else { text }
    }
}

/// The first probe that is offered for something that the answer lacks.
fn probe(now: &str, lacks: &[String]) -> Option<String> {
    let offered = now.lines().filter_map(|line| line.strip_prefix("- when "));
    offered.into_iter().find_map(|line| {
        let when = lacks.iter().find(|when| line.strip_prefix(when.as_str()).is_some_and(|rest| rest.starts_with(": \"")))?;
        quoted_after(&line[when.len()..], ": ")
    })
}

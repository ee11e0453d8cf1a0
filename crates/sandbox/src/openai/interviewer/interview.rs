//! Chooses the next line of the script. It knows the script and the progress, but nothing of the wire.

use serde_json::{Map, Value, json};

use crate::openai::script::{InterviewScript, Line};

/// The tool that ends an interview, when the session declares it.
pub const END_TOOL: &str = "end_interview";

/// Why the interviewer is to say something.
#[derive(Clone, Copy, Debug)]
pub enum Prompt<'a> {
    /// The candidate's turn is over.
    TurnEnded,
    /// A client asked for a response.
    Asked { instructions: &'a str },
    /// Nobody has said anything for a while.
    Idle,
}

/// What the interviewer says.
#[derive(Clone, Debug)]
pub struct Utterance {
    pub line: Line,
    /// The interview is over once this is said.
    pub ends: bool,
}

#[derive(Debug, Default)]
pub struct Progress {
    /// How many questions were asked, in this call or before it.
    asked: usize,
    /// Words were said before this call: it continues an interview.
    seeded: bool,
    /// The first words of this call are out.
    opened: bool,
    /// The last words are out.
    closed: bool,
    /// The candidate has spoken since the last question.
    answered: bool,
    /// Scripted answers given for the question at hand.
    answers: usize,
    extras: usize,
    /// What a client told the interviewer last, without asking it to speak.
    note: String,
}

impl Progress {
    /// A message was put into the conversation by a client.
    pub fn saw_message(&mut self, script: &InterviewScript, role: &str, message: &str) {
        let text = normalized(message);
        let mentioned = script.questions.iter().rposition(|question| text.contains(&normalized(&question.question.text)));
        if let Some(index) = mentioned {
            self.asked = self.asked.max(index + 1);
        }
        if !self.opened && (mentioned.is_some() || matches!(role, "user" | "assistant")) {
            self.seeded = true;
        }
        match role {
            "user" => self.answered = true,
            "assistant" => self.answered = false,
            "system" => message.clone_into(&mut self.note),
            _ => {}
        }
    }

    /// The candidate's turn is over: what was said, by the script.
    pub fn candidate_says(&mut self, script: &InterviewScript) -> String {
        let answer = self.asked.checked_sub(1).and_then(|index| script.questions.get(index));
        let text = match answer {
            Some(question) if self.answers == 0 && !self.closed => question.answer.clone(),
            _ => {
                let text = script.extras.get(self.extras % script.extras.len().max(1)).cloned().unwrap_or_default();
                self.extras += 1;
                text
            }
        };
        self.answers += 1;
        text
    }

    pub fn candidate_spoke(&mut self) {
        self.answered = true;
    }

    pub fn next(&mut self, script: &InterviewScript, prompt: Prompt<'_>) -> Utterance {
        let note = if matches!(prompt, Prompt::Asked { .. }) { std::mem::take(&mut self.note) } else { String::new() };
        match prompt {
            Prompt::Idle => return say(&script.still_there),
            Prompt::Asked { .. } if asks_for_goodbye(&note) && self.is_under_way(&note) => return self.wrap_up(script),
            Prompt::Asked { instructions } if asks_for_goodbye(instructions) && self.is_under_way(instructions) => {
                return self.wrap_up(script);
            }
            _ => {}
        }
        let opened = std::mem::replace(&mut self.opened, true);
        if self.closed {
            return say(&script.closing);
        }
        if !opened {
            return self.open(script);
        }
        if !self.answered && matches!(prompt, Prompt::Asked { .. }) {
            return say(&script.listening);
        }
        match script.questions.get(self.asked) {
            Some(question) => {
                let line = question
                    .transition
                    .as_ref()
                    .map_or_else(|| question.question.clone(), |transition| Line::joined(&[transition, &question.question]));
                self.asked_one();
                Utterance { line, ends: false }
            }
            None => self.goodbye(script),
        }
    }

    /// The interviewer said what it was told to: the candidate's next answer is to that.
    pub fn was_told_to_ask(&mut self) {
        self.opened = true;
        self.asked_one();
    }

    /// What a client told the interviewer last, once.
    pub fn take_note(&mut self) -> String {
        std::mem::take(&mut self.note)
    }

    /// The goodbye was cut off before it could end the interview.
    pub fn goodbye_was_cut(&mut self) {
        self.closed = false;
    }

    pub fn asked(&self) -> usize {
        self.asked
    }

    pub fn is_over(&self) -> bool {
        self.closed
    }

    fn open(&mut self, script: &InterviewScript) -> Utterance {
        let next = script.questions.get(self.asked);
        let line = match (self.seeded, next) {
            (false, Some(question)) => Line::joined(&[&script.greeting, &question.question]),
            (true, Some(question)) => Line::joined(&[&script.resume, &question.question]),
            (_, None) if self.answered => return self.goodbye(script),
            (_, None) => return say(&Line::joined(&[&script.resume, &script.listening])),
        };
        self.asked_one();
        Utterance { line, ends: false }
    }

    fn asked_one(&mut self) {
        self.asked += 1;
        self.answers = 0;
        self.answered = false;
    }

    fn goodbye(&mut self, script: &InterviewScript) -> Utterance {
        self.closed = true;
        Utterance { line: script.goodbye.clone(), ends: true }
    }

    fn wrap_up(&mut self, script: &InterviewScript) -> Utterance {
        let line = if self.closed { &script.closing } else { &script.wrap_up };
        self.closed = true;
        self.opened = true;
        say(line)
    }

    /// An opening may well mention how the interview ends; it is still an opening.
    fn is_under_way(&self, instructions: &str) -> bool {
        let instructions = instructions.to_lowercase();
        self.opened || !["greet", "opening", "first question"].iter().any(|word| instructions.contains(word))
    }
}

fn say(line: &Line) -> Utterance {
    Utterance { line: line.clone(), ends: false }
}

/// Whether the client wants the last words.
fn asks_for_goodbye(instructions: &str) -> bool {
    let text = normalized(instructions);
    let phrases = ["goodbye", "good bye", "farewell", "wrap up", "close the interview", "conclude", "is over"];
    phrases.iter().any(|phrase| text.contains(phrase)) || text.split(' ').any(|word| matches!(word, "end" | "ending" | "ended"))
}

/// Lower case, single spaces, no punctuation.
fn normalized(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Arguments for the closing tool that fit the schema the session declared for it.
pub fn end_arguments(parameters: &Value) -> Value {
    let mut arguments = Map::new();
    for (name, schema) in parameters["properties"].as_object().into_iter().flatten() {
        arguments.insert(name.clone(), example(schema));
    }
    Value::Object(arguments)
}

fn example(schema: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        let fits = |value: &&Value| value.as_str().is_some_and(|value| value.contains("complete") || value.contains("done"));
        return values.iter().find(fits).or_else(|| values.first()).cloned().unwrap_or(Value::Null);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(0),
        Some("array") => json!([]),
        Some("object") => end_arguments(schema),
        _ => json!("All planned questions were asked and answered."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(instructions: &str) -> Prompt<'_> {
        Prompt::Asked { instructions }
    }

    #[test]
    fn greets_once_asks_everything_and_says_goodbye() {
        let script = InterviewScript::standard().with_questions(2);
        let mut progress = Progress::default();
        let opening = progress.next(&script, asked("Greet the candidate. Never end the interview early."));
        assert!(opening.line.text.starts_with("Hello") && opening.line.text.ends_with("proud of."));
        assert_eq!(progress.candidate_says(&script), script.questions[0].answer);
        progress.candidate_spoke();
        let second = progress.next(&script, Prompt::TurnEnded);
        assert!(second.line.text.starts_with("Thank you") && second.line.text.ends_with("solve it?"));
        progress.candidate_spoke();
        let last = progress.next(&script, Prompt::TurnEnded);
        assert!(last.ends && last.line.text.contains("goodbye"));
        assert_eq!(progress.next(&script, Prompt::TurnEnded).line.text, script.closing.text);
    }

    #[test]
    fn a_seeded_call_goes_on_without_a_greeting() {
        let script = InterviewScript::standard();
        let mut progress = Progress::default();
        let first = format!("Hello! {}", script.questions[0].question.text.to_uppercase());
        progress.saw_message(&script, "assistant", &first);
        progress.saw_message(&script, "user", "I built a billing service.");
        let line = progress.next(&script, asked("Continue the interview.")).line;
        assert_eq!(line.text, format!("{} {}", script.resume.text, script.questions[1].question.text));
        assert_eq!(progress.asked(), 2);
    }

    #[test]
    fn a_nudge_does_not_skip_a_question() {
        let script = InterviewScript::standard();
        let mut progress = Progress::default();
        progress.next(&script, asked(""));
        assert_eq!(progress.next(&script, asked("")).line.text, script.listening.text);
        assert_eq!(progress.asked(), 1);
    }

    #[test]
    fn last_words_on_demand() {
        let script = InterviewScript::standard();
        for words in ["Thank the candidate and say goodbye.", "Wrap up now", "Please end here.", "close the interview"] {
            let mut progress = Progress::default();
            progress.next(&script, asked(""));
            assert_eq!(progress.next(&script, asked(words)).line.text, script.wrap_up.text, "{words}");
        }
        assert!(!asks_for_goodbye("Recommend a weekend trip to your friend."));
    }

    #[test]
    fn last_words_after_a_silent_note() {
        let script = InterviewScript::standard();
        let mut progress = Progress::default();
        progress.next(&script, asked(""));
        progress.saw_message(&script, "system", "The interview is at its end. Say goodbye.");
        assert_eq!(progress.next(&script, asked("")).line.text, script.wrap_up.text);
    }

    #[test]
    fn arguments_fit_the_declared_schema() {
        let parameters = json!({"type": "object", "properties": {
            "reason": {"type": "string", "enum": ["candidate_asked", "questions_completed"]},
            "confirmed": {"type": "boolean"}, "note": {"type": ["string", "null"]},
        }});
        let arguments = end_arguments(&parameters);
        assert_eq!(arguments["reason"], "questions_completed");
        assert_eq!(arguments["confirmed"], true);
        assert!(arguments["note"].is_string());
        assert_eq!(end_arguments(&json!({})), json!({}));
    }
}

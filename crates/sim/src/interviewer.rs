//! A model of the provider's model in an interview that is led through a plan. It says what its instructions and the answers to its
//! tool calls tell it to. A wayward one says it in other words, calls tools at the wrong moment, or calls none.

use fastrand::Rng;
use serde_json::{Value, json};

/// What it does in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    Says(String),
    /// And says nothing.
    Calls {
        tool: &'static str,
        arguments: String,
    },
}

/// What follows from an item that was put into the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has something to say.
    Speak,
    /// The answer to a tool call, after which the candidate is to speak, or to think.
    Wait,
    Nothing,
}

#[derive(Debug)]
pub struct Interviewer {
    dice: Rng,
    wayward: bool,
    /// What it was told to say next.
    say: Option<String>,
}

const WORD_FOR_WORD: [&str; 3] =
    ["First say this, word for word: ", "Ask this question, word for word, and no other: ", "Say this, word for word: "];

/// The JSON string behind a phrase.
fn quoted_after(text: &str, phrase: &str) -> Option<String> {
    let (_, rest) = text.split_once(phrase)?;
    serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
}

impl Interviewer {
    pub fn new(dice: Rng, wayward: bool) -> Self {
        Self { dice, wayward, say: None }
    }

    /// An item of ours is in the call.
    pub fn is_told(&mut self, item: &Value) -> Told {
        if let Some(output) = item["output"].as_str() {
            let output: Value = serde_json::from_str(output).unwrap_or_default();
            if let Some(say) = output["say"].as_str() {
                self.say = Some(say.to_owned());
                return Told::Speak;
            }
            return if output["ok"] == true { Told::Wait } else { Told::Nothing };
        }
        let note = item["content"][0]["text"].as_str().filter(|_| item["role"] == "system").unwrap_or_default();
        if let Some(say) = quoted_after(note, "after at most one short sentence: ") {
            self.say = Some(say);
        } else if note.contains("there is no hurry") {
            self.say = Some("There is no hurry.".to_owned());
        } else if note.contains("has said nothing for long") {
            self.say = Some("Shall I repeat the question, or do you want more time?".to_owned());
        }
        Told::Nothing
    }

    /// Its next reply, to a turn of the candidate's or asked for, and whether it errs in it.
    pub fn replies(&mut self, instructions: &str, to_turn: bool) -> (Turn, bool) {
        if self.wayward && self.dice.u8(0..5) == 0 {
            return (self.errs(), true);
        }
        (self.follows(instructions, to_turn), false)
    }

    /// Somebody who thinks about what was asked.
    pub fn leaves_the_candidate_silent(&mut self) -> bool {
        self.dice.u8(0..10) == 0
    }

    fn follows(&mut self, instructions: &str, to_turn: bool) -> Turn {
        let says = |words: &str| Turn::Says(words.to_owned());
        if let Some(say) = self.say.take() {
            return Turn::Says(say);
        }
        let now = instructions.split_once("# Now").map_or("", |(_, now)| now);
        let words: Vec<String> = WORD_FOR_WORD.iter().filter_map(|phrase| quoted_after(now, phrase)).collect();
        if !words.is_empty() {
            return Turn::Says(words.join(" "));
        }
        if !to_turn {
            return says("Please go on when you like.");
        }
        let probe = now.lines().find_map(|line| quoted_after(line.strip_prefix("- when ")?, ": "));
        match probe {
            Some(probe) if self.dice.bool() => Turn::Says(probe),
            _ if self.dice.u8(0..6) == 0 => says("I see."),
            _ => Turn::Calls { tool: "next_question", arguments: "{}".to_owned() },
        }
    }

    /// What no instruction told.
    fn errs(&mut self) -> Turn {
        let call = |tool, arguments: Value| Turn::Calls { tool, arguments: arguments.to_string() };
        match self.dice.u8(0..10) {
            0 | 1 => Turn::Says("Let us talk about something else, what do you do on Sundays?".to_owned()),
            2 => call("next_question", json!({})),
            3 => call("mark_covered", json!({"status": "enough"})),
            4 => call("give_time", json!({"seconds": self.dice.u32(5..60)})),
            5 => call("repeat_question", json!({})),
            6 => call("flag", json!({"kind": "distress", "quote": "it is hard"})),
            7 => call("pause", json!({})),
            8 => call("end_interview", json!({"reason": "all_covered"})),
            _ => Turn::Calls { tool: "mark_covered", arguments: "no JSON".to_owned() },
        }
    }
}

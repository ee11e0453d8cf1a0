//! What the model is told of the plan: the current question and its probes, and nothing that comes later.

use super::{Conduct, Place};
use serde_json::Value;

/// What the interviewer is asked to say out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The words of this place.
    Say,
    SoftLine,
    OfferHelp,
}

impl Conduct {
    /// The part of the call's instructions that changes. The texts are quoted: they are data.
    pub fn instructions(&self) -> String {
        let mut lines = vec!["# Now".to_owned()];
        if !self.state.opened && !self.script.opening.is_empty() {
            lines.push(format!("First say this, word for word: {}", quoted(&self.script.opening)));
        }
        match self.state.place {
            Place::Question(at) => self.tell_question(at, &mut lines),
            Place::CandidateQuestions if self.state.invited => lines.push(
                "The candidate may ask about the position. Answer only from what these instructions say; else say that a person of the company will answer. When there are no more questions, call next_question without a word before.".to_owned(),
            ),
            Place::CandidateQuestions => lines.push(format!("Say this, word for word: {}", quoted(&self.script.candidate_questions))),
            Place::Closing => lines.push(format!(
                "The interview is at its end. Ask nothing more. Say this, word for word: {} Then call end_interview.",
                quoted(&self.script.closing)
            )),
        }
        lines.join("\n")
    }

    fn tell_question(&self, at: usize, lines: &mut Vec<String>) {
        let (question, progress) = (&self.script.questions[at], &self.state.questions[at]);
        if progress.asked.is_none() {
            lines.push(format!("Ask this question, word for word, and no other: {}", quoted(&question.text)));
            lines.push("Then wait for the answer.".to_owned());
            return;
        }
        lines.push(format!("You have asked: {} Listen to the answer.", quoted(&question.text)));
        let left = question.probes.iter().filter(|probe| !progress.no_probes && !progress.probes_used.contains(&probe.id));
        let mut left = left.map(|probe| format!("- when {}: {}", probe.when, quoted(&probe.text))).peekable();
        if left.peek().is_some() {
            lines.push(
                "If the answer lacks something, you may ask one of these, word for word, each once, and no other:".to_owned(),
            );
            lines.extend(left);
        } else {
            lines.push("Ask nothing more about it.".to_owned());
        }
        lines.push("When it is answered, call next_question without a word before.".to_owned());
    }

    /// What the model is told when it is asked to say something.
    pub fn note(&self, prompt: Prompt) -> String {
        match prompt {
            Prompt::Say => format!("Say this now, word for word, after at most one short sentence: {}", quoted(self.text_here())),
            Prompt::SoftLine => {
                "The candidate has said nothing for a while. Say in one short and friendly sentence that there is no hurry. Ask nothing new.".to_owned()
            }
            Prompt::OfferHelp => "The candidate has said nothing for long. Offer in one sentence to repeat the question, to give more time, to go on to the next question, or to answer in writing.".to_owned(),
        }
    }
}

/// A text as data: a JSON string on one line.
fn quoted(text: &str) -> String {
    Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")).to_string()
}

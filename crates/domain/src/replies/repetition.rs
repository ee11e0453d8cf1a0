//! An interviewer that says the same sentence again and again: it is told so, then it apologises and offers a person.

use super::events::is_question;
use super::state::{Active, Wish};
use super::{Purpose, Replies, Trouble};
use unicode_segmentation::UnicodeSegmentation;

/// Shorter sentences are said often: "I see." "Thank you."
const LEAST_LETTERS: usize = 12;
/// Times in a row after which nobody wants to hear it again.
const TOO_OFTEN: u32 = 3;

/// The sentence that the interviewer said last, and how often in a row.
#[derive(Debug, Default)]
pub(super) struct Repetition {
    last: String,
    times: u32,
}

impl Repetition {
    /// How often the last sentence of this reply has been said in a row, in this reply and those before it.
    fn hear(&mut self, reply: &str) -> u32 {
        let whole = letters(reply);
        if whole == self.last {
            self.times += 1;
            return self.times;
        }
        // A model in a loop says it several times in one breath.
        let sentences: Vec<String> = reply.unicode_sentences().map(letters).collect();
        let same = sentences.iter().rev().take_while(|sentence| Some(*sentence) == sentences.last()).count();
        let is_long = sentences.last().is_some_and(|sentence| sentence.chars().count() >= LEAST_LETTERS);
        self.times = if is_long { u32::try_from(same).unwrap_or(u32::MAX) } else { 1 };
        self.last = if same > 1 && is_long { sentences.into_iter().next_back().unwrap_or_default() } else { whole };
        if self.last.chars().count() < LEAST_LETTERS {
            *self = Self::default();
        }
        self.times
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Replies {
    /// What was wanted in these very words is no repetition.
    pub(super) fn notice_repetition(&mut self, active: &Active) {
        if active.purpose == Some(Purpose::Conduct) || !self.ending.is_no() {
            return;
        }
        // So is what a tool's answer wants, unless it is said twice in one breath.
        if std::mem::take(&mut self.word_for_word) {
            self.repetition = Repetition::default();
        }
        let times = self.repetition.hear(&active.text);
        // Whoever asks for it hears it again.
        let asked_for = self.last_turn.as_deref().is_some_and(is_question);
        if times >= TOO_OFTEN {
            self.repetition = Repetition::default();
            self.trouble(Trouble::ReplyRepeated);
            self.wish(Wish::new(Purpose::Apologize, self.now));
        } else if times == 2 && !asked_for && self.wish.is_none() {
            self.trouble_unseen(Trouble::ReplyRepeated);
            self.wish(Wish::new(Purpose::Repeated, self.now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sentence_is_counted_across_replies_and_within_one() {
        let mut said = Repetition::default();
        let times: Vec<u32> = [
            "Which database did you choose?",
            "Which database did you choose?",
            "which database, did you choose",
            "And why?",
            "I see. Which database did you choose?",
            "Could you tell me more about it? Could you tell me more about it?",
            "Could you tell me more about it?",
            "Thank you.",
            "Thank you.",
            "どのデータベースを選びましたか。どのデータベースを選びましたか。どのデータベースを選びましたか。",
        ]
        .into_iter()
        .map(|reply| said.hear(reply))
        .collect();
        assert_eq!(times, [1, 2, 3, 0, 1, 2, 3, 0, 0, 3]);
    }
}

//! Whether somebody said a given text: what counts is what was heard, not what a tool claims.

use unicode_normalization::UnicodeNormalization as _;

/// A transcript differs from the text that was read out in small things: numbers, names, a filler.
const ALIKE: f64 = 0.85;

/// Whether the text is part of what was said, nearly word for word.
pub fn is_said(text: &str, said: &str) -> bool {
    likeness(text, said) >= ALIKE
}

/// How much of the text is in the passage of what was said that is most like it: 1 is all of it, word for word.
///
/// Letters and digits are compared (Unicode NFKC, lower case), so that the same measure serves scripts without spaces.
pub fn likeness(text: &str, said: &str) -> f64 {
    let (text, said) = (letters(text), letters(said));
    if text.is_empty() {
        return 0.0;
    }
    let distance = least_edits(&text, &said).min(text.len());
    #[expect(clippy::cast_precision_loss, reason = "a text has some thousand letters")]
    let share = distance as f64 / text.len() as f64;
    1.0 - share
}

fn letters(text: &str) -> Vec<char> {
    text.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

/// The edits from the text to the nearest passage (Sellers' algorithm).
fn least_edits(text: &[char], said: &[char]) -> usize {
    let mut column: Vec<usize> = (0..=text.len()).collect();
    let mut least = text.len();
    for heard in said {
        let mut diagonal = 0;
        for (row, wanted) in text.iter().enumerate() {
            let replaced = diagonal + usize::from(wanted != heard);
            diagonal = column[row + 1];
            column[row + 1] = replaced.min(diagonal + 1).min(column[row] + 1);
        }
        least = least.min(column[text.len()]);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_when_it_was_heard_nearly_word_for_word() {
        let question = "Please tell me about a customer who could not say what they needed.";
        for said in [
            question,
            "Thank you. Please tell me about a customer who couldn't say what they needed?",
            "please tell me, about a customer who could not say what they need",
        ] {
            assert!(is_said(question, said), "{said}: {}", likeness(question, said));
        }
        for said in [
            "",
            "Please tell me about a customer.",
            "What was the hardest customer that you have ever had to talk to?",
            "Please tell me about a colleague who would not do what they promised.",
        ] {
            assert!(!is_said(question, said), "{said}: {}", likeness(question, said));
        }
    }

    #[test]
    fn scripts_without_spaces_are_measured_alike() {
        let question = "これまでの経験について教えてください。";
        assert!(is_said(question, "ありがとうございます。これまでの経験について、教えて下さい。"));
        assert!(!is_said(question, "ありがとうございます。次の質問です。"));
        assert!(is_said("Straße", "STRASSE Straße"));
    }

    #[test]
    fn nothing_is_never_said() {
        assert!(!is_said("", "anything"));
        assert!(!is_said("…", "anything"));
    }
}

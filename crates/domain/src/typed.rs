//! What the candidate types instead of saying it (docs/PROTOCOL.md, "Typed answers").

use crate::edge::{ClientId, EntryKey, Text};
use crate::error::ErrorCode;
use crate::ids::ItemId;
use crate::protocol::Refusal;
use std::time::Duration;

/// Some seven hundred words: longer than an answer that is spoken for five minutes.
pub const MAX_CHARS: usize = 4_000;
/// Of one interview.
pub const MOST: usize = 200;
/// At once, and how often one more.
pub const AT_ONCE: u32 = 6;
pub const ONE_MORE_EVERY: Duration = Duration::from_secs(5);

/// One answer, made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedAnswer {
    /// The page's own: the same one again is the same answer.
    pub id: ClientId,
    pub text: Text,
}

impl TypedAnswer {
    pub fn read(id: &str, text: &str) -> Result<Self, Refusal> {
        let id = ClientId::new(id).map_err(|error| Refusal::invalid(format!("the id {error}")))?;
        let text = Text::new(text).trimmed();
        match text.chars().count() {
            0 => Err(Refusal::invalid("the answer is empty".to_owned())),
            1..=MAX_CHARS => Ok(Self { id, text }),
            count => Err(Refusal::invalid(format!("an answer has at most {MAX_CHARS} characters; this one has {count}"))),
        }
    }

    pub fn key(&self) -> EntryKey {
        EntryKey::of_typed(&self.id)
    }

    /// Its name in the call. The browser can read and write there, so it must not know the name before it comes: `chance` is drawn for
    /// this one answer.
    pub fn item(&self, chance: u128) -> ItemId {
        /// The provider takes 32 characters.
        const LETTERS: usize = 26;
        let mut seed = chance.to_le_bytes().to_vec();
        seed.extend(self.id.as_str().as_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &seed);
        let letters = data_encoding::HEXLOWER.encode(digest.as_ref());
        ItemId::new(format!("typed_{}", &letters[..LETTERS]))
    }
}

/// Why an answer is not taken. The first two pass: the page sends it again.
impl Refusal {
    pub fn typed_before_call() -> Self {
        let message = "the interview has not begun: the answer is taken when its first call stands".to_owned();
        Self { code: ErrorCode::TypedBeforeCall, message, retryable: true }
    }

    pub fn typed_too_fast() -> Self {
        let message = format!("too many answers at once; one more is taken every {} s", ONE_MORE_EVERY.as_secs());
        Self { code: ErrorCode::TypedRateExceeded, message, retryable: true }
    }

    pub fn typed_too_often() -> Self {
        let message = format!("an interview has at most {MOST} typed answers");
        Self { code: ErrorCode::TypedAnswersExhausted, message, retryable: false }
    }

    pub fn typed_otherwise() -> Self {
        Self::invalid("an answer with this id came before with other words; those stay".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(id: &str, text: &str) -> Option<String> {
        TypedAnswer::read(id, text).err().map(|refusal| refusal.message)
    }

    #[test]
    fn an_answer_has_a_name_and_words_and_an_end() {
        let answer = TypedAnswer::read("a-1", "  I led\0 it.\r\nAlone. ").expect("an answer");
        assert_eq!((answer.text.as_str(), answer.key().as_str()), ("I led\u{fffd} it.\nAlone.", "t:a-1"));
        for (id, text, told) in [
            ("", "x", "the id must have 1 to 128 bytes"),
            ("a\n", "x", "the id must have 1 to 128 bytes"),
            ("a", " \n\t ", "the answer is empty"),
            ("a", &"é".repeat(MAX_CHARS + 1), "this one has 4001"),
        ] {
            let message = message(id, text).expect("refused");
            assert!(message.contains(told), "{message}");
        }
        // Of any script, and whatever stands around it.
        for text in ["é".repeat(MAX_CHARS), "界".repeat(MAX_CHARS), format!("  {}\n", "x".repeat(MAX_CHARS))] {
            assert_eq!(message("a", &text), None, "{} bytes", text.len());
        }
    }

    #[test]
    fn its_name_in_the_call_is_another_for_each_chance_and_fits() {
        let answer = TypedAnswer::read("a-1", "x").expect("an answer");
        assert_eq!(answer.item(7), answer.item(7));
        assert_ne!(answer.item(7), answer.item(8));
        let name = answer.item(7);
        assert!(name.as_str().starts_with("typed_") && name.as_str().len() == 32, "{name}");
    }

    #[test]
    fn a_page_knows_which_refusals_pass() {
        let passes = [Refusal::typed_before_call(), Refusal::typed_too_fast()].map(|refusal| refusal.retryable);
        let stays = [Refusal::typed_too_often(), Refusal::typed_otherwise()].map(|refusal| refusal.retryable);
        assert_eq!((passes, stays), ([true; 2], [false; 2]));
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_stored(id in any::<String>(), text in any::<String>()) {
            if let Ok(answer) = TypedAnswer::read(&id, &text) {
                prop_assert!(!answer.text.is_empty() && answer.text.chars().count() <= MAX_CHARS);
                prop_assert!(answer.key().as_str().len() <= 200, "entry_key");
                prop_assert_eq!(Text::new(answer.text.as_str()), answer.text);
            }
        }
    }
}

//! Text that can be stored, logged and shown.

use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// What somebody said, wrote or was named. Without NUL, without control characters other than line
/// feed and tab, without characters that change the direction of the text around them, and of
/// bounded length; what is replaced becomes U+FFFD. Prints as its length, for it may be a candidate's words.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text(String);

/// Stands at the end of a text that was cut.
const CUT: &str = " […]";

impl Text {
    /// The longest text that a column takes (`transcript_entries.text`: 65,536 characters).
    pub const MAX_BYTES: usize = 64 * 1024;

    pub fn new(raw: impl AsRef<str>) -> Self {
        Self::bounded(raw, Self::MAX_BYTES)
    }

    /// At most `max` bytes. What is longer is cut at a character and marked with `[…]`.
    pub fn bounded(raw: impl AsRef<str>, max: usize) -> Self {
        let raw = raw.as_ref();
        // A replacement is longer than most of what it replaces: clean first, but no more than can be kept.
        let enough = &raw[..raw.floor_char_boundary(max.saturating_add(1))];
        let clean = harmless(enough);
        if enough.len() == raw.len() && clean.len() <= max {
            return Self(clean.into_owned());
        }
        let mut text = clean.into_owned();
        text.truncate(text.floor_char_boundary(max.saturating_sub(CUT.len())));
        if max >= CUT.len() {
            text.push_str(CUT);
        }
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn trimmed(self) -> Self {
        if self.0.trim().len() == self.0.len() { self } else { Self(self.0.trim().to_owned()) }
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        if raw.len() <= Self::MAX_BYTES && !raw.contains(is_harmful) { Self(raw) } else { Self::new(raw) }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(Self::new)
    }
}

fn harmless(raw: &str) -> Cow<'_, str> {
    if !raw.contains(is_harmful) {
        return Cow::Borrowed(raw);
    }
    let mut clean = String::with_capacity(raw.len());
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // One line break, however it was written.
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            harmful if is_harmful(harmful) => clean.push(char::REPLACEMENT_CHARACTER),
            harmless => clean.push(harmless),
        }
    }
    Cow::Owned(clean)
}

/// NUL and other controls; line separators that break out of a log line or a subtitle; embeddings,
/// overrides and isolates of the bidirectional algorithm (Unicode TR 9). The marks U+200E and U+200F stay:
/// people who write from right to left need them.
pub(super) fn is_harmful(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{feff}'
    )
}

/// A short name that a program gave to something: printable ASCII, 1 to 64 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Label(Cow<'static, str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {max} printable ASCII characters", max = Label::MAX_BYTES)]
pub struct LabelError;

impl Label {
    pub const MAX_BYTES: usize = 64;

    pub fn new(raw: &str) -> Result<Self, LabelError> {
        let printable = raw.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if raw.is_empty() || raw.len() > Self::MAX_BYTES || !printable {
            return Err(LabelError);
        }
        Ok(Self(Cow::Owned(raw.to_owned())))
    }

    /// One of our own names.
    pub const fn of(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_harms_is_replaced_and_what_people_write_stays() {
        for (raw, clean) in [
            ("a\0b", "a\u{fffd}b"),
            ("\u{1b}[31mred", "\u{fffd}[31mred"),
            ("abc\u{202e}fdp.exe", "abc\u{fffd}fdp.exe"),
            ("\u{2067}x\u{2069}", "\u{fffd}x\u{fffd}"),
            ("one\r\ntwo\rthree\u{2028}four", "one\ntwo\nthree\nfour"),
            ("tab\tand line\n", "tab\tand line\n"),
            ("שלום\u{200f} مرحبا 👩‍👩‍👧 café はい。", "שלום\u{200f} مرحبا 👩‍👩‍👧 café はい。"),
        ] {
            assert_eq!(Text::new(raw).as_str(), clean);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character_and_says_so() {
        let text = Text::bounded("é".repeat(100), 50);
        assert_eq!(text.as_str(), format!("{}{CUT}", "é".repeat(22)));
        assert_eq!(Text::bounded("x".repeat(50), 50).as_str(), "x".repeat(50));
        assert!(Text::new("\0".repeat(Text::MAX_BYTES)).len() <= Text::MAX_BYTES);
    }

    #[test]
    fn words_are_not_printed() {
        assert_eq!(format!("{:?}", Text::new("secret")), "[6 bytes]");
    }

    #[test]
    fn a_label_is_short_and_printable() {
        assert!(Label::new("tab_hidden").is_ok());
        for bad in ["", "a\0b", "ü", "a\nb", &"x".repeat(65)] {
            assert_eq!(Label::new(bad), Err(LabelError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_long_or_harmful_and_a_clean_one_is_kept(raw in any::<String>(), max in 0usize..200) {
            let text = Text::bounded(&raw, max);
            prop_assert!(text.len() <= max && !text.contains(is_harmful));
            prop_assert_eq!(&Text::bounded(text.as_str(), max), &text);
            if raw.len() <= max && !raw.contains(is_harmful) {
                prop_assert_eq!(text.as_str(), raw);
            }
        }
    }
}

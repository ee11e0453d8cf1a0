//! JSON that every reader can parse completely.

use std::borrow::Cow;
use std::fmt;

/// Where JSON is wrong, as it stands behind a sentence: ` (line 2, column 7)`, or nothing where the reader does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    line: usize,
    column: usize,
}

impl Place {
    pub fn of(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { Ok(()) } else { write!(f, " (line {}, column {})", self.line, self.column) }
    }
}

/// Half a surrogate pair (`"\ud83d"`) is valid JSON and no text: readers refuse the whole document for it.
/// It becomes U+FFFD here, before anything is read.
pub fn mend_surrogates(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\').map(|found| at + found) {
        at = found + 2;
        let half = escaped(bytes, found);
        match half {
            Some(0xd800..=0xdbff) if matches!(escaped(bytes, found + 6), Some(0xdc00..=0xdfff)) => at = found + 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&json[copied..found]);
                mended.push_str("\\ufffd");
                at = found + 6;
                copied = at;
            }
            // `\\` is one character, so what follows it is no escape.
            _ => at = json.ceil_char_boundary(at.min(json.len())),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[copied..]);
    Cow::Owned(mended)
}

/// The code unit of the escape that begins here: `\u` and four hexadecimal digits.
fn escaped(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_is_told_where_there_is_one() {
        let of = |error: serde_json::Error| Place::of(&error).to_string();
        assert_eq!(of(serde_json::from_str::<u8>("\n  x").expect_err("no number")), " (line 2, column 3)");
        assert_eq!(of(serde_json::from_value::<u8>(serde_json::json!("x")).expect_err("no number")), "");
    }

    #[test]
    fn half_a_character_is_replaced_and_a_whole_one_stays() {
        for (json, mended) in [
            (r#""Great job \ud83d""#, r#""Great job \ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83"#, r#""\ud83"#),
            ("\"\\é\\", "\"\\é\\"),
        ] {
            assert_eq!(mend_surrogates(json), mended);
        }
    }

    proptest! {
        #[test]
        fn any_string_of_code_units_can_be_read(units in proptest::collection::vec(prop_oneof![0x20u16..0x80, 0xd700u16..0xe100], 0..40)) {
            let escapes = units.iter().fold(String::new(), |json, unit| json + &format!("\\u{unit:04x}"));
            let read: String = serde_json::from_str(&mend_surrogates(&format!("\"{escapes}\""))).expect("readable");
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn nothing_panics(text in "[\\\\ud8e0\"é]{0,40}") {
            mend_surrogates(&text);
        }
    }
}

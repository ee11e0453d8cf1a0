//! What an author writes in a document: text, names, numbers and lists with a limit. Unlike what somebody said, it is
//! refused when it is not usable, and never cut: the author can write it anew.

use super::text::is_harmful;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Text of at most `MAX` characters, without control characters, with one kind of line break, and without
/// space around it. It may be empty: a document that is being written has gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Prose<const MAX: usize>(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProseError {
    #[error("has {length} characters, and may have {max}")]
    TooLong { length: usize, max: usize },
    #[error("has a control character, or one that changes the direction of the text around it")]
    Harmful,
}

impl<const MAX: usize> Prose<MAX> {
    pub fn new(raw: &str) -> Result<Self, ProseError> {
        let text = raw.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        if text.contains(is_harmful) {
            return Err(ProseError::Harmful);
        }
        match text.chars().count() {
            length if length > MAX => Err(ProseError::TooLong { length, max: MAX }),
            _ => Ok(Self(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Prose<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Prose<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Prose<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<const MAX: usize> JsonSchema for Prose<MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("text_{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX})
    }
}

/// The name of one part of a document, for people and programs: `owns-mistakes`. 1 to 64 small letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {max} small letters, digits, - and _, and begin with a letter or digit", max = Slug::MAX_BYTES)]
pub struct SlugError;

impl Slug {
    pub const MAX_BYTES: usize = 64;

    pub fn new(raw: &str) -> Result<Self, SlugError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let usable = raw.len() <= Self::MAX_BYTES
            && raw.bytes().next().is_some_and(plain)
            && raw.bytes().all(|byte| plain(byte) || byte == b'-' || byte == b'_');
        if usable { Ok(Self(raw.to_owned())) } else { Err(SlugError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Slug {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "slug".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"})
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Whole<const MIN: u32, const MAX: u32>(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from {min} to {max}")]
pub struct WholeError {
    min: u32,
    max: u32,
}

impl<const MIN: u32, const MAX: u32> Whole<MIN, MAX> {
    pub fn new(number: u32) -> Result<Self, WholeError> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(WholeError { min: MIN, max: MAX }) }
    }

    /// A number of our own, which is in range or does not compile.
    pub const fn of<const NUMBER: u32>() -> Self {
        const { assert!(MIN <= NUMBER && NUMBER <= MAX, "out of range") };
        Self(NUMBER)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("whole_{MIN}_{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

/// At most `MAX` things, in the author's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(Vec<T>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has {length} entries, and may have {max}")]
pub struct ListError {
    length: usize,
    max: usize,
}

impl<T, const MAX: usize> List<T, MAX> {
    pub fn new(things: Vec<T>) -> Result<Self, ListError> {
        if things.len() <= MAX { Ok(Self(things)) } else { Err(ListError { length: things.len(), max: MAX }) }
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for List<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("list_{MAX}_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "maxItems": MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_author_is_refused_and_never_cut() {
        let text = |raw: &str| Prose::<5>::new(raw);
        assert_eq!(text("  äöü\r\nx ").expect("short").as_str(), "äöü\nx");
        assert_eq!(text("").expect("a gap").as_str(), "");
        assert_eq!(text("123456"), Err(ProseError::TooLong { length: 6, max: 5 }));
        for harmful in ["a\0b", "a\u{202e}b", "a\u{1b}[m"] {
            assert_eq!(text(harmful), Err(ProseError::Harmful), "{harmful:?}");
        }
        let error = serde_json::from_str::<Prose<5>>("\"123456\"").expect_err("too long").to_string();
        assert!(error.contains("has 6 characters, and may have 5"), "{error}");
    }

    #[test]
    fn a_slug_is_plain() {
        for good in ["a", "owns-mistakes", "q_1", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"] {
            assert_eq!(Slug::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "-a", "A", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(Slug::new(bad), Err(SlugError), "{bad:?}");
        }
    }

    #[test]
    fn numbers_and_lists_have_limits() {
        type Number = Whole<2, 4>;
        assert_eq!(Number::of::<3>().get(), 3);
        for (json, is_in_range) in [("2", true), ("4", true), ("1", false), ("5", false), ("-3", false), ("2.5", false)] {
            assert_eq!(serde_json::from_str::<Number>(json).is_ok(), is_in_range, "{json}");
        }
        assert!(serde_json::from_str::<List<Number, 2>>("[2, 3]").is_ok());
        let error = serde_json::from_str::<List<Number, 2>>("[2, 3, 4]").expect_err("too many").to_string();
        assert!(error.contains("has 3 entries, and may have 2"), "{error}");
    }
}

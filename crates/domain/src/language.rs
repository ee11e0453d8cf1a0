//! The language of an interview, by its tag (BCP 47: language, script, region).

use isolang::Language as Known;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Codes of the list that are no language: uncoded, several, undetermined, no linguistic content.
const NO_LANGUAGE: [&str; 4] = ["mis", "mul", "und", "zxx"];

#[derive(Clone, Copy, Debug)]
pub struct Language<'a> {
    tag: &'a str,
    known: Known,
}

impl<'a> Language<'a> {
    /// None for a tag that is not well-formed, or whose language is not in ISO 639.
    pub fn parse(tag: &'a str) -> Option<Self> {
        let mut parts = tag.split('-').peekable();
        let code = parts.next().filter(|code| code.bytes().all(|byte| byte.is_ascii_lowercase()))?;
        let known = match code.len() {
            2 => Known::from_639_1(code),
            3 => Known::from_639_3(code).filter(|_| !NO_LANGUAGE.contains(&code)),
            _ => None,
        }?;
        parts.next_if(|part| is_script(part));
        parts.next_if(|part| is_region(part));
        parts.next().is_none().then_some(Self { tag, known })
    }

    /// In English, as a person would call it: `German`.
    pub fn name(&self) -> &'static str {
        let name = self.known.to_name();
        name.split_once(" (").map_or(name, |(name, _)| name)
    }

    /// What the model is told: `German (de-DE)`.
    pub fn described(&self) -> String {
        format!("{} ({})", self.name(), self.tag)
    }

    /// What the transcription takes for a hint; of languages without a two-letter code it takes none.
    pub fn hint(&self) -> Option<&'static str> {
        self.known.to_639_1()
    }
}

/// The tag of a language that exists, in its usual case: `de`, `zh-Hant-TW`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LanguageTag(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language such as de or en-US")]
pub struct LanguageTagError;

impl LanguageTag {
    pub fn new(raw: &str) -> Result<Self, LanguageTagError> {
        let parts: Vec<String> = raw.split('-').enumerate().map(|(n, part)| usual_case(n, part)).collect();
        let tag = parts.join("-");
        if Language::parse(&tag).is_some() { Ok(Self(tag)) } else { Err(LanguageTagError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `de` of `de-AT`.
    pub fn code(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// In English: `German (de-AT)`.
    pub fn described(&self) -> String {
        Language::parse(&self.0).map_or_else(|| self.0.clone(), |language| language.described())
    }

    /// Which of the languages that are offered is meant by what was asked for: the longest tag that `wanted` begins
    /// with, so that `en-US` finds `en` (RFC 4647, lookup).
    pub fn lookup<'a>(wanted: &str, offered: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        let begins = |tag: &&Self| {
            let mut asked = wanted.split('-');
            tag.0.split('-').all(|part| asked.next().is_some_and(|asked| asked.eq_ignore_ascii_case(part)))
        };
        offered.into_iter().filter(begins).max_by_key(|tag| tag.0.len())
    }
}

fn usual_case(n: usize, part: &str) -> String {
    match (n, part.len()) {
        (0, _) => part.to_ascii_lowercase(),
        (_, 4) => {
            part[..part.ceil_char_boundary(1)].to_ascii_uppercase() + &part[part.ceil_char_boundary(1)..].to_ascii_lowercase()
        }
        _ => part.to_ascii_uppercase(),
    }
}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for LanguageTag {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "language".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"})
    }
}

fn is_script(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.len() == 4 && bytes[0].is_ascii_uppercase() && bytes[1..].iter().all(u8::is_ascii_lowercase)
}

fn is_region(part: &str) -> bool {
    let all = |class: fn(&u8) -> bool| part.as_bytes().iter().all(class);
    part.len() == 2 && all(u8::is_ascii_uppercase) || part.len() == 3 && all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_a_name_and_perhaps_a_hint() {
        for (tag, described, hint) in [
            ("de-DE", "German (de-DE)", Some("de")),
            ("en", "English (en)", Some("en")),
            ("ja", "Japanese (ja)", Some("ja")),
            ("el", "Modern Greek (el)", Some("el")),
            ("fil", "Filipino (fil)", None),
            ("yue", "Yue Chinese (yue)", None),
            ("deu-AT", "German (deu-AT)", Some("de")),
            ("zh-Hant-TW", "Chinese (zh-Hant-TW)", Some("zh")),
            ("es-419", "Spanish (es-419)", Some("es")),
        ] {
            let language = Language::parse(tag).expect(tag);
            assert_eq!((language.described().as_str(), language.hint()), (described, hint));
        }
    }

    #[test]
    fn a_code_that_does_not_exist_is_none() {
        for tag in
            ["xx", "", "EN", "english", "en-us", "en-", "en_US", "und", "qaa", "zxx", "de-DE-1996", "d", "xx-DE", "e\u{301}"]
        {
            assert!(Language::parse(tag).is_none(), "{tag}");
        }
    }

    #[test]
    fn a_tag_is_taken_in_its_usual_case() {
        for (raw, tag) in [("de", "de"), ("DE-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("yue", "yue")] {
            assert_eq!(LanguageTag::new(raw).expect(raw).as_str(), tag);
        }
        for bad in ["", "xx", "de_DE", "english", "de-äöüß", "é"] {
            assert_eq!(LanguageTag::new(bad), Err(LanguageTagError), "{bad}");
        }
    }

    #[test]
    fn the_longest_tag_that_was_asked_for_is_found() {
        let offered: Vec<LanguageTag> = ["en", "de-AT", "zh-Hant", "zh"].map(|tag| LanguageTag::new(tag).expect(tag)).into();
        let found = |wanted| LanguageTag::lookup(wanted, &offered).map(LanguageTag::as_str);
        for (wanted, tag) in [("en-US", "en"), ("EN", "en"), ("de-AT", "de-AT"), ("zh-Hant-TW", "zh-Hant"), ("zh-CN", "zh")] {
            assert_eq!(found(wanted), Some(tag), "{wanted}");
        }
        for wanted in ["de", "de-DE", "fr", "eng", ""] {
            assert_eq!(found(wanted), None, "{wanted}");
        }
    }
}

//! What is said, in each language.

use crate::edge::Prose;
use crate::language::LanguageTag;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Words to be spoken, by language: `{"en": "Tell me about …", "de": "Erzählen Sie …"}`. An empty text is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Spoken(BTreeMap<LanguageTag, Line>);

type Line = Prose<{ Spoken::MAX_CHARS }>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpokenError {
    #[error("a text is there in at most {} languages", Spoken::MAX_LANGUAGES)]
    TooManyLanguages,
    #[error("a language is there twice")]
    Twice,
}

impl Spoken {
    /// More than two minutes of speech.
    pub const MAX_CHARS: usize = 2_000;
    pub const MAX_LANGUAGES: usize = 16;

    pub fn new(lines: impl IntoIterator<Item = (LanguageTag, Line)>) -> Result<Self, SpokenError> {
        let mut by_language = BTreeMap::new();
        for (language, line) in lines.into_iter().filter(|(_, line)| !line.is_empty()) {
            if by_language.insert(language, line).is_some() {
                return Err(SpokenError::Twice);
            }
        }
        if by_language.len() > Self::MAX_LANGUAGES { Err(SpokenError::TooManyLanguages) } else { Ok(Self(by_language)) }
    }

    pub fn get(&self, language: &LanguageTag) -> Option<&str> {
        self.0.get(language).map(Prose::as_str)
    }

    pub fn languages(&self) -> impl Iterator<Item = &LanguageTag> {
        self.0.keys()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&LanguageTag, &str)> {
        self.0.iter().map(|(language, line)| (language, line.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Spoken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = BTreeMap::<String, Line>::deserialize(deserializer)?;
        let tagged = lines.into_iter().map(|(tag, line)| {
            let language = LanguageTag::new(&tag).map_err(|error| D::Error::custom(format_args!("{tag:?} {error}")))?;
            Ok((language, line))
        });
        Self::new(tagged.collect::<Result<Vec<_>, D::Error>>()?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Spoken {
    fn schema_name() -> Cow<'static, str> {
        "Spoken".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is said, in each language.",
            "type": "object",
            "propertyNames": generator.subschema_for::<LanguageTag>(),
            "additionalProperties": generator.subschema_for::<Line>(),
            "maxProperties": Self::MAX_LANGUAGES,
        })
    }
}

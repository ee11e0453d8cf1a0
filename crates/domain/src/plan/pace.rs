//! How long it takes to say something: one rule for the linter, which measures questions, and the rehearsal, which measures interviews.

use crate::language::LanguageTag;
use unicode_segmentation::UnicodeSegmentation as _;

/// How fast a language is spoken to somebody who hears it for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    WordsPerMinute(u32),
    CharactersPerMinute(u32),
}

impl Pace {
    /// None for a language that nobody has measured.
    pub fn of(language: &LanguageTag) -> Option<Self> {
        match language.code() {
            "en" | "eng" => Some(Self::WordsPerMinute(150)),
            "de" | "deu" => Some(Self::WordsPerMinute(125)),
            "ja" | "jpn" => Some(Self::CharactersPerMinute(320)),
            _ => None,
        }
    }

    /// As good as a guess can be, by how the language is written.
    pub fn guessed(text: &str) -> Self {
        let (signs, spaces) = (text.chars().count(), text.split_whitespace().count());
        if signs > 12 * spaces.max(1) { Self::CharactersPerMinute(280) } else { Self::WordsPerMinute(130) }
    }

    pub fn seconds(self, text: &str) -> u32 {
        let (units, per_minute) = match self {
            Self::WordsPerMinute(rate) => (text.unicode_words().count(), rate),
            Self::CharactersPerMinute(rate) => (text.chars().filter(|character| character.is_alphanumeric()).count(), rate),
        };
        (units as u32 * 60).div_ceil(per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_takes_about_as_long_in_each_language() {
        let tag = |tag| LanguageTag::new(tag).expect(tag);
        for (language, text, seconds) in [
            ("en", "Please tell me about a fault whose cause was hard to find.", 5),
            ("de", "Erzählen Sie mir bitte von einem Fehler, dessen Ursache schwer zu finden war.", 7),
            ("ja", "原因を見つけるのが難しかった不具合について教えてください。", 6),
        ] {
            assert_eq!(Pace::of(&tag(language)).expect("measured").seconds(text), seconds, "{language}");
        }
        assert_eq!(Pace::of(&tag("fr")), None);
        assert!(matches!(Pace::guessed("Parlez-moi d'une panne difficile à expliquer."), Pace::WordsPerMinute(_)));
        assert!(matches!(Pace::guessed("请谈谈一次很难找到原因的故障经历和您当时的处理办法。"), Pace::CharactersPerMinute(_)));
        assert_eq!(Pace::WordsPerMinute(60).seconds(""), 0);
    }
}

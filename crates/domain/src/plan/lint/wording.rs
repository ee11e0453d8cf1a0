//! Reads what is spoken: how long it takes, how many things it asks, whether it leads, and which topics it opens.

use super::{FindingCode, english, german, japanese};
use crate::language::LanguageTag;
use crate::plan::Acceptable;
use regex::Regex;
use std::sync::LazyLock;
use unicode_segmentation::UnicodeSegmentation as _;

/// What an interviewer must not bring up (United States and European Union; for Japanese also the list of the Ministry of
/// Health, Labour and Welfare for fair selection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Age,
    Origin,
    Health,
    Family,
    Home,
    SexOrOrientation,
    Race,
    Religion,
    PoliticsOrUnion,
    Beliefs,
    CriminalRecord,
    PayHistory,
    MilitaryService,
    Appearance,
}

impl Topic {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Origin => "origin, citizenship or native language",
            Self::Health => "health or disability",
            Self::Family => "family, marriage, children or pregnancy",
            Self::Home => "where and how somebody lives",
            Self::SexOrOrientation => "sex, gender or orientation",
            Self::Race => "race or skin colour",
            Self::Religion => "religion",
            Self::PoliticsOrUnion => "political views or union membership",
            Self::Beliefs => "personal beliefs",
            Self::CriminalRecord => "arrests or a criminal record",
            Self::PayHistory => "former pay",
            Self::MilitaryService => "military service or discharge",
            Self::Appearance => "appearance",
        }
    }
}

/// What the patterns found, with the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    TwoAsks,
    Joined(String),
    Leading(String),
    Topic(Topic, String),
}

impl Remark {
    pub(super) const fn code(&self) -> FindingCode {
        match self {
            Self::TwoAsks | Self::Joined(_) => FindingCode::DoubleBarrelled,
            Self::Leading(_) => FindingCode::Leading,
            Self::Topic(..) => FindingCode::ForbiddenTopic,
        }
    }

    pub(super) const fn acceptable(&self) -> Acceptable {
        match self {
            Self::TwoAsks | Self::Joined(_) => Acceptable::DoubleBarrelled,
            Self::Leading(_) => Acceptable::Leading,
            Self::Topic(..) => Acceptable::ForbiddenTopic,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::TwoAsks => "It asks more than one thing. Make it two questions, or a question and a probe.".to_owned(),
            Self::Joined(words) => {
                format!("It asks two things at once (“{words}”). Make it two questions, or a question and a probe.")
            }
            Self::Leading(words) => format!("It tells which answer is wanted (“{words}”). Ask openly."),
            Self::Topic(topic, words) => {
                format!("An interviewer must not bring up {} (“{words}”). Ask what the work needs.", topic.as_str())
            }
        }
    }
}

/// How one language asks, leads and names what must not be named. `(?i)` and one space between words are given.
pub(super) struct Patterns {
    /// A sentence without a question mark that asks.
    pub(super) request: &'static str,
    /// One sentence that asks two things.
    pub(super) joined: &'static str,
    pub(super) leading: &'static str,
    pub(super) topics: &'static [(Topic, &'static str)],
    /// Words that ask, of which a question has one; where a language has no word between two questions. What looks like one and is not.
    pub(super) asking: Option<(&'static str, &'static str)>,
}

pub(super) struct Rules {
    request: Regex,
    joined: Regex,
    leading: Regex,
    topics: Vec<(Topic, Regex)>,
    asking: Option<(Regex, Regex)>,
}

static ENGLISH: LazyLock<Rules> = LazyLock::new(|| Rules::new(&english::PATTERNS));
static GERMAN: LazyLock<Rules> = LazyLock::new(|| Rules::new(&german::PATTERNS));
static JAPANESE: LazyLock<Rules> = LazyLock::new(|| Rules::new(&japanese::PATTERNS));
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| regex(r"\[[^\]]*\]|\{[^}]*\}|<[^>]*>|\b(?:TODO|TBD|XXX)\b|_{3,}|\.{4,}"));

/// Of our own patterns, which a test compiles.
fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?i){pattern}")).unwrap_or_else(|error| panic!("a pattern of the linter: {error}"))
}

/// As the patterns want it.
pub(super) fn plain(text: &str) -> String {
    text.replace(['’', '‘'], "'").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A gap that somebody was to fill.
pub(super) fn placeholder(words: &str) -> Option<&str> {
    PLACEHOLDER.find(words).map(|found| found.as_str())
}

impl Rules {
    /// None for a language that nobody has written patterns for.
    pub(super) fn of(language: &LanguageTag) -> Option<&'static Self> {
        match language.code() {
            "en" | "eng" => Some(&ENGLISH),
            "de" | "deu" => Some(&GERMAN),
            "ja" | "jpn" => Some(&JAPANESE),
            _ => None,
        }
    }

    fn new(patterns: &Patterns) -> Self {
        Self {
            request: regex(patterns.request),
            joined: regex(patterns.joined),
            leading: regex(patterns.leading),
            topics: patterns.topics.iter().map(|(topic, pattern)| (*topic, regex(pattern))).collect(),
            asking: patterns.asking.map(|(asks, looks_like_it)| (regex(asks), regex(looks_like_it))),
        }
    }

    /// `asks`: whether the text is a question, and not a passage.
    pub(super) fn read(&self, text: &str, asks: bool) -> Vec<Remark> {
        let text = plain(text);
        let mut remarks = Vec::new();
        if asks {
            remarks.extend(self.double_barrelled(&text));
            remarks.extend(self.leading.find(&text).map(|found| Remark::Leading(found.as_str().to_owned())));
        }
        remarks.extend(self.topics(&text).map(|(topic, words)| Remark::Topic(topic, words)));
        remarks
    }

    /// Topics that an interviewer must not bring up, with the words. Of a text as [`plain`] makes it.
    pub(super) fn topics(&self, text: &str) -> impl Iterator<Item = (Topic, String)> {
        self.topics.iter().filter_map(move |(topic, pattern)| Some((*topic, pattern.find(text)?.as_str().to_owned())))
    }

    fn double_barrelled(&self, text: &str) -> Option<Remark> {
        let asks: Vec<&str> = text.unicode_sentences().map(str::trim).filter(|sentence| self.is_ask(sentence)).collect();
        if asks.len() > 1 {
            return Some(Remark::TwoAsks);
        }
        asks.first()
            .and_then(|ask| self.joined.find(ask).map(|found| found.as_str().to_owned()).or_else(|| self.asks_twice(ask)))
            .map(Remark::Joined)
    }

    fn is_ask(&self, sentence: &str) -> bool {
        sentence.trim_end_matches(['"', '\'', '”', '“', '»', '」', '』', ')']).ends_with(['?', '？'])
            || self.request.is_match(sentence)
    }

    fn asks_twice(&self, sentence: &str) -> Option<String> {
        let (asking, looks_like_it) = self.asking.as_ref()?;
        let rest = looks_like_it.replace_all(sentence, "・");
        let mut words = asking.find_iter(&rest).map(|found| found.as_str());
        Some(format!("{} … {}", words.next()?, words.next()?))
    }
}

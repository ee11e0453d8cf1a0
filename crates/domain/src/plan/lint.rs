//! What a plan still lacks, and what in it would make an interview unfair, unlawful or too long.
//!
//! Every spoken text of English, German and Japanese is read by patterns ([`wording`]). They find most of what a professional would not say,
//! and now and then something harmless: the author may accept such a finding with a reason, which stays in the plan. Other
//! languages are not read, and a warning says so. Errors keep a draft from being published.

mod english;
mod finding;
mod german;
mod japanese;
mod structure;
mod wording;

use super::{Accepted, Pace, Plan, Spoken};
use crate::language::LanguageTag;
use std::collections::BTreeSet;

pub use finding::{Finding, FindingCode, Severity};
pub use wording::Topic;
use wording::{Remark, Rules};

/// Where a plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Authored,
    /// Made from a position as it was before there were plans: nobody has written anchors yet.
    Migrated,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authored => "authored",
            Self::Migrated => "migrated",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Authored, Self::Migrated].into_iter().find(|origin| origin.as_str() == name)
    }
}

/// All findings, errors first, otherwise in the order of the document.
pub fn lint(plan: &Plan, origin: Origin) -> Vec<Finding> {
    let mut findings = structure::check(plan, origin);
    for language in plan.languages.iter().collect::<BTreeSet<_>>() {
        if Rules::of(language).is_none() {
            let message = format!("The words in {} are not checked: read them twice.", language.described());
            findings.push(Finding::warning(FindingCode::LanguageNotChecked, "/languages", message).in_language(language));
        }
    }
    for text in texts(plan) {
        check_text(plan, &text, &mut findings);
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Whether a version may be made.
pub fn may_publish(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Error)
}

/// What is said at one place of the plan.
struct Text<'a> {
    path: String,
    spoken: &'a Spoken,
    kind: TextKind,
    accepted: &'a [Accepted],
}

/// Forbidden topics that somebody brings up who says this, with the words. None where the language is not read.
pub fn topics_in(language: &LanguageTag, said: &str) -> Vec<(Topic, String)> {
    let said = wording::plain(said);
    Rules::of(language).map(|rules| rules.topics(&said).collect()).unwrap_or_default()
}

/// What kind of text the interviewer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    Passage,
    Question,
    /// For those who did not understand the question: may be left out.
    Simpler,
    Probe,
}

impl TextKind {
    const fn asks(self) -> bool {
        !matches!(self, Self::Passage)
    }

    /// Seconds of speech: more than the first is a warning, more than the second an error.
    pub const fn limits(self) -> (u32, u32) {
        match self {
            Self::Passage => (45, 90),
            Self::Question | Self::Simpler => (15, 25),
            Self::Probe => (8, 15),
        }
    }

    /// Whether so many seconds are too many to listen to.
    pub const fn too_long(self, seconds: u32) -> Option<Severity> {
        match self.limits() {
            (_, too_long) if seconds > too_long => Some(Severity::Error),
            (long, _) if seconds > long => Some(Severity::Warning),
            _ => None,
        }
    }
}

fn texts(plan: &Plan) -> Vec<Text<'_>> {
    let passage = |path: &str, spoken| Text { path: path.to_owned(), spoken, kind: TextKind::Passage, accepted: &[] };
    let mut texts = vec![passage("/opening/spoken", &plan.opening.spoken)];
    for (s, section) in plan.sections.iter().enumerate() {
        for (q, question) in section.questions.iter().enumerate() {
            let at = format!("/sections/{s}/questions/{q}");
            let mut add = |path: String, spoken, kind| texts.push(Text { path, spoken, kind, accepted: &question.accepted });
            add(format!("{at}/spoken"), &question.spoken, TextKind::Question);
            if !question.simpler.is_empty() {
                add(format!("{at}/simpler"), &question.simpler, TextKind::Simpler);
            }
            for (p, probe) in question.probes.iter().enumerate() {
                add(format!("{at}/probes/{p}/spoken"), &probe.spoken, TextKind::Probe);
            }
        }
    }
    texts.push(passage("/candidate_questions/spoken", &plan.candidate_questions.spoken));
    texts.push(passage("/closing/spoken", &plan.closing.spoken));
    texts
}

fn check_text(plan: &Plan, text: &Text<'_>, findings: &mut Vec<Finding>) {
    for language in plan.languages.iter().collect::<BTreeSet<_>>() {
        if text.spoken.get(language).is_none() {
            let message = format!("There is no text in {}.", language.described());
            findings.push(Finding::error(FindingCode::MissingTranslation, &text.path, message).in_language(language));
        }
    }
    for (language, words) in text.spoken.iter() {
        if !plan.languages.contains(language) {
            let message = format!("There is a text in {}, which the plan does not offer.", language.described());
            findings.push(Finding::warning(FindingCode::StrayTranslation, &text.path, message).in_language(language));
        }
        if let Some(found) = wording::placeholder(words) {
            let message = format!("“{found}” would be spoken as it stands: write the words instead.");
            findings.push(Finding::error(FindingCode::Placeholder, &text.path, message).in_language(language));
        }
        findings.extend(check_length(text, language, words));
        if let Some(rules) = Rules::of(language) {
            findings.extend(rules.read(words, text.kind.asks()).iter().map(|remark| judge(remark, text, language)));
        }
    }
}

fn check_length(text: &Text<'_>, language: &LanguageTag, words: &str) -> Option<Finding> {
    let seconds = Pace::of(language)?.seconds(words);
    let (long, _) = text.kind.limits();
    let message = format!("It takes about {seconds} seconds to say; {long} are easy to follow. Say less.");
    let finding = match text.kind.too_long(seconds)? {
        Severity::Error => Finding::error(FindingCode::TooLong, &text.path, message),
        Severity::Warning => Finding::warning(FindingCode::TooLong, &text.path, message),
    };
    Some(finding.in_language(language))
}

fn judge(remark: &Remark, text: &Text<'_>, language: &LanguageTag) -> Finding {
    let finding = Finding::error(remark.code(), &text.path, remark.message()).in_language(language);
    let accepted = text.accepted.iter().find(|one| one.finding == remark.acceptable() && !one.reason.is_empty());
    match accepted {
        Some(one) => finding.accepted(&one.reason),
        None => finding,
    }
}

#[cfg(test)]
mod tests;

//! What must not be read in a call: how answers are judged, and what comes later. The candidate's browser reads all that a call is told.

use interview_domain::conduct::{Place, Script, is_said};
use interview_domain::edge::Slug;
use interview_domain::plan::Plan;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Shorter words stand in many a sentence; a sign that writes a syllable counts twice.
const LEAST_LETTERS: usize = 12;
/// From this length on nearly the same words are the same.
const NEARLY_THE_SAME: usize = 28;

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Anchor,
    NotEvidence,
    Definition,
    Evidence,
    /// A question, a probe or a passage before its place.
    Later,
}

#[derive(Clone, Debug)]
struct Secret {
    kind: Kind,
    /// Of the competency or question that it belongs to.
    of: String,
    text: String,
    letters: String,
    /// From where on it may be read; none: never.
    from: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    pub kind: Kind,
    pub of: String,
    pub text: String,
    /// Where it was read.
    pub place: Place,
}

pub struct Secrets {
    secrets: Vec<Secret>,
    /// What may be read at each place.
    open: Vec<(Place, String)>,
    /// What was told, by its digest.
    pub seen: HashSet<u64>,
    pub leaks: Vec<Leak>,
}

impl Secrets {
    pub fn of(plan: &Plan, script: &Script) -> Self {
        let mut all = Self { secrets: Vec::new(), open: Vec::new(), seen: HashSet::new(), leaks: Vec::new() };
        for competency in &plan.competencies {
            let anchors = &competency.anchors;
            for anchor in [&anchors.low, &anchors.middle, &anchors.high] {
                all.add(Kind::Anchor, &competency.id, anchor, None);
            }
            all.add(Kind::Definition, &competency.id, &competency.definition, None);
            for text in &competency.not_evidence {
                all.add(Kind::NotEvidence, &competency.id, text, None);
            }
        }
        for (_, question) in plan.questions() {
            for text in &question.evidence_sought {
                all.add(Kind::Evidence, &question.id, text, None);
            }
        }
        for (at, question) in script.questions.iter().enumerate() {
            let probes = question.probes.iter().map(|probe| &probe.text);
            for text in [&question.text, &question.simpler].into_iter().chain(probes) {
                all.add(Kind::Later, &question.id, text, Some(Place::Question(at)));
                all.open.push((Place::Question(at), text.clone()));
            }
        }
        for (place, name, text) in [
            (Place::CandidateQuestions, "candidate_questions", &script.candidate_questions),
            (Place::Closing, "closing", &script.closing),
        ] {
            all.add_named(Kind::Later, name, text, Some(place));
            all.open.push((place, text.clone()));
        }
        all
    }

    fn add(&mut self, kind: Kind, of: &Slug, text: &str, from: Option<Place>) {
        self.add_named(kind, of.as_str(), text, from);
    }

    fn add_named(&mut self, kind: Kind, of: &str, text: &str, from: Option<Place>) {
        let letters = letters(text);
        if weight(&letters) >= LEAST_LETTERS {
            self.secrets.push(Secret { kind, of: of.to_owned(), text: text.to_owned(), letters, from });
        }
    }

    /// The call is told this, at this place of the interview.
    pub fn told(&mut self, text: &str, place: Place) {
        // The part of the instructions that stays the same is read once.
        for part in text.split("# Now") {
            let mut hasher = DefaultHasher::new();
            (part, place).hash(&mut hasher);
            if self.seen.insert(hasher.finish()) {
                self.read(part, place);
            }
        }
    }

    fn read(&mut self, text: &str, place: Place) {
        let letters = letters(text);
        let found = self.secrets.iter().filter(|secret| secret.from.is_none_or(|from| place < from));
        let found = found.filter(|secret| secret.is_in(text, &letters) && !self.is_open(secret, place));
        let leaks: Vec<Leak> = found
            .map(|secret| Leak { kind: secret.kind, of: secret.of.clone(), text: secret.text.clone(), place })
            .filter(|leak| {
                !self.leaks.iter().any(|known| (known.kind, &known.of, &known.text) == (leak.kind, &leak.of, &leak.text))
            })
            .collect();
        self.leaks.extend(leaks);
    }

    /// A later question may have the very words of one that is put here: then these are no secret.
    fn is_open(&self, secret: &Secret, place: Place) -> bool {
        let mut here = self.open.iter().filter(|(at, _)| *at == place);
        here.any(|(_, text)| is_said(&secret.text, text) && is_said(text, &secret.text))
    }
}

impl Secret {
    fn is_in(&self, text: &str, letters: &str) -> bool {
        letters.contains(&self.letters) || weight(&self.letters) >= NEARLY_THE_SAME && is_said(&self.text, text)
    }
}

fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn weight(letters: &str) -> usize {
    letters.chars().map(|character| if character >= '\u{2e80}' { 2 } else { 1 }).sum()
}

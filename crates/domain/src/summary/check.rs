//! Checks the model's answer against what was said and what was asked.
//!
//! The check is lenient where that does not cost truth, because the answer is paid for. An answer that is not the summary's
//! JSON is requested again. Unknown fields, competencies that nobody asked for and second assessments are dropped. A missing
//! competency counts as not assessed.

use super::quotes;
use super::{Assessment, Competency, CompetencyAssessment, Observation, Quote, Recommendation, Summary};
use crate::edge::{Place, Text, mend_surrogates};
use crate::transcript::{Entry, Weight};
use serde::Deserialize;
use uuid::Uuid;

/// Says only where the answer is wrong: serde's own message would quote it.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    #[error("the model's answer is not the summary's JSON{0}")]
    Shape(Place),
}

impl From<serde_json::Error> for SummaryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape(Place::of(&error))
    }
}

/// Of an answer no more is read than anybody would read: what follows is dropped like what nobody asked for.
const MOST_QUOTES: usize = 20;
/// Quotes that are looked for, before the first that were said are kept.
const MOST_LOOKED_FOR: usize = 200;
const MOST_OBSERVATIONS: usize = 20;
/// Assessments of one competency, of which the first with evidence counts.
const MOST_ASSESSMENTS: usize = 5;
/// A longer quote is no quote any more.
const LONGEST_QUOTE: usize = 4 * 1024;

/// A summary whose every quote is in the transcript, and what had to be removed for that.
#[derive(Debug)]
pub struct Checked {
    pub summary: Summary,
    pub quotes_removed: usize,
}

/// In place of a reason that rested on nothing.
pub(super) const NOT_ASSESSED: &str = "No words of the candidate were quoted that support an assessment.";
/// In place of an overall judgement that rested on nothing.
pub(super) const NOTHING_ASSESSED: &str = "No competency could be assessed on what the candidate said.";

#[derive(Deserialize)]
struct Answer {
    overall: Text,
    recommendation: Recommendation,
    competencies: Vec<Judged>,
    #[serde(default)]
    strengths: Vec<Observed>,
    #[serde(default)]
    concerns: Vec<Observed>,
}

#[derive(Deserialize)]
struct Judged {
    competency_id: String,
    assessment: Assessment,
    #[serde(default)]
    rationale: Text,
    #[serde(default)]
    evidence: Vec<Quoted>,
}

#[derive(Deserialize)]
struct Observed {
    text: Text,
    #[serde(default)]
    evidence: Vec<Quoted>,
}

#[derive(Deserialize)]
struct Quoted {
    entry: i64,
    quote: String,
}

/// Parse the model's answer and hold it against what was said.
pub fn check(answer: &str, competencies: &[Competency], entries: &[Entry]) -> Result<Checked, SummaryError> {
    let answer: Answer = serde_json::from_str(&mend_surrogates(answer))?;
    let mut court = Court { entries, quotes_removed: 0 };
    let competencies: Vec<_> = competencies.iter().map(|asked| court.assess(asked, &answer.competencies)).collect();
    let strengths = court.observe(answer.strengths);
    let concerns = court.observe(answer.concerns);
    let recommendation = bounded(answer.recommendation, &competencies, &concerns);
    let assessed = competencies.iter().any(|judged| judged.assessment != Assessment::NotAssessed);
    let overall = if assessed { answer.overall } else { NOTHING_ASSESSED.into() };
    let summary = Summary { overall, recommendation, competencies, strengths, concerns };
    Ok(Checked { summary, quotes_removed: court.quotes_removed })
}

/// A recommendation goes no further than what it rests on.
fn bounded(told: Recommendation, competencies: &[CompetencyAssessment], concerns: &[Observation]) -> Recommendation {
    let any = |wanted: &[Assessment]| competencies.iter().any(|judged| wanted.contains(&judged.assessment));
    let (good, weak) = (any(&[Assessment::Strong, Assessment::Adequate]), any(&[Assessment::Weak]));
    match told {
        _ if !good && !weak => Recommendation::InsufficientEvidence,
        Recommendation::Advance if !good => Recommendation::Hold,
        Recommendation::Decline if !weak && concerns.is_empty() => Recommendation::Hold,
        told => told,
    }
}

/// Where every judgement brings its quotes.
struct Court<'a> {
    entries: &'a [Entry],
    quotes_removed: usize,
}

impl Court<'_> {
    /// The first assessment that has evidence. One that has none is withdrawn, with its reasons.
    fn assess(&mut self, asked: &Competency, answers: &[Judged]) -> CompetencyAssessment {
        let (mut assessment, mut rationale, mut evidence) = (Assessment::NotAssessed, NOT_ASSESSED.into(), vec![]);
        let of_it = answers.iter().filter(|judged| judged.competency_id.trim().parse() == Ok::<Uuid, _>(asked.id.0));
        for judged in of_it.take(MOST_ASSESSMENTS) {
            let heard = self.hear(&judged.evidence);
            if evidence.is_empty() && !heard.is_empty() && judged.assessment != Assessment::NotAssessed {
                (assessment, rationale, evidence) = (judged.assessment, judged.rationale.clone(), heard);
            }
        }
        CompetencyAssessment { competency_id: asked.id, name: asked.name.as_str().into(), assessment, rationale, evidence }
    }

    fn observe(&mut self, observed: Vec<Observed>) -> Vec<Observation> {
        let heard = |observed: Observed| Observation { evidence: self.hear(&observed.evidence), text: observed.text };
        observed.into_iter().take(MOST_OBSERVATIONS).map(heard).filter(|observation| !observation.evidence.is_empty()).collect()
    }

    /// The quotes that were said, as they stand in the transcript; none where no judgement may rest on them.
    fn hear(&mut self, evidence: &[Quoted]) -> Vec<Quote> {
        let mut heard: Vec<(Weight, Quote)> =
            evidence.iter().take(MOST_LOOKED_FOR).filter_map(|quoted| self.find(quoted)).collect();
        if heard.len() > MOST_QUOTES {
            // What a judgement can rest on goes first.
            heard.sort_by_key(|(weight, _)| *weight != Weight::Full);
            heard.truncate(MOST_QUOTES);
        }
        let rests = heard.iter().any(|(weight, _)| *weight == Weight::Full);
        let kept: Vec<Quote> = heard.into_iter().filter(|_| rests).map(|(_, quote)| quote).collect();
        self.quotes_removed += evidence.len() - kept.len();
        kept
    }

    fn find(&self, quoted: &Quoted) -> Option<(Weight, Quote)> {
        if quoted.quote.len() > LONGEST_QUOTE {
            return None;
        }
        let entry = self.entries.iter().find(|entry| i64::from(entry.seq) == quoted.entry)?;
        let weight = entry.weight()?;
        let span = quotes::find(&entry.text, &quoted.quote)?;
        Some((weight, Quote { entry: entry.seq, quote: span.into() }))
    }
}

//! Rehearses a plan before anybody is interviewed with it.
//!
//! Candidates of all kinds ([`persona`]) go through the plan in virtual time. What decides is the domain, as in a real interview:
//! `domain::conduct` leads, `domain::replies` says who speaks, and the call is told the very texts that a real one is told. The
//! provider's model is a script ([`interviewer`]): it does as it is told, and in a second round it misbehaves in every way that was
//! seen in the field, to show that the conduct holds. What is wrong is found by rules ([`verdict`], [`texts`], [`secrets`]), never by
//! a model, so a rehearsal of the same plan says the same each time.
//!
//! Nothing here waits, stores or sends.

mod call;
mod candidate;
mod interviewer;
pub mod persona;
mod phrases;
mod report;
mod secrets;
mod stage;
mod texts;
mod verdict;
mod watch;

pub use interviewer::Behaviour;
pub use persona::Kind;
pub use report::{Code, Finding, MisbehaviourReport, Outcome, PersonaReport, Rehearsal};
pub use verdict::LONGEST_SILENCE;

use interview_domain::conduct::Script;
use interview_domain::language::LanguageTag;
use interview_domain::plan::{Pace, Plan, PlanHash, PlanOffer};
use persona::{PERSONAS, Persona};
use secrets::Secrets;
use stage::{End, Held, Setup, Stage};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use verdict::Case;

/// Why a plan was not rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRehearsed {
    /// The plan has no such language.
    Language,
    /// Whoever wanted it did not wait.
    Stopped,
}

/// What there is to see while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    Persona(&'a PersonaReport),
    Misbehaviour(&'a MisbehaviourReport),
}

/// Interviews of one rehearsal.
pub fn interviews() -> usize {
    PERSONAS.len() + Behaviour::MISBEHAVING.len()
}

/// What a rehearsal is asked for.
pub struct Asked<'a> {
    pub plan: &'a Plan,
    /// A tag of BCP 47; the plan's own, when there is none.
    pub language: Option<&'a str>,
    /// Other pauses and hesitations; the same seed gives the same rehearsal.
    pub seed: u64,
}

/// The whole of it. `goes_on` is asked now and then whether somebody still waits.
pub fn rehearse(
    asked: &Asked<'_>,
    goes_on: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Rehearsal, NotRehearsed> {
    let plan = asked.plan;
    let language = match asked.language {
        Some(wanted) => plan.language_for(wanted).ok_or(NotRehearsed::Language)?,
        None => &plan.default_language,
    };
    let limit = limit(plan);
    let script = Arc::new(Script::of(plan, language.as_str()).within(limit));
    let room = Room { plan, language, script: &script, seed: asked.seed, goes_on };
    let mut secrets = Secrets::of(plan, &script);
    let (mut personas, mut held, mut was_asked, mut fired) = (Vec::new(), Vec::new(), BTreeSet::new(), BTreeSet::new());
    for persona in PERSONAS {
        let one = room.hold(persona, Behaviour::Faithful, &mut secrets)?;
        let case = Case::new(plan, &script, persona, Behaviour::Faithful, &one);
        was_asked.extend(case.questions_asked());
        fired.extend(case.probes_fired());
        let report = report(&case);
        progress(Progress::Persona(&report));
        personas.push(report);
        held.push(one);
    }
    let mut misbehaving = Vec::new();
    for behaviour in Behaviour::MISBEHAVING {
        let persona = &PERSONAS[0];
        let one = room.hold(persona, behaviour, &mut secrets)?;
        let case = Case::new(plan, &script, persona, behaviour, &one);
        let (outcome, minutes) = (case.outcome(), minutes(case.clock()));
        let report = MisbehaviourReport { behaviour, outcome, minutes, findings: case.findings() };
        progress(Progress::Misbehaviour(&report));
        misbehaving.push(report);
    }
    let mut findings = texts::leaks(plan, &script, &secrets.leaks);
    findings.extend(texts::topics(plan, &script, &held));
    findings.extend(texts::too_long(plan, &script, |text| pace_of(language, text)));
    findings.extend(texts::never(plan, &script, &was_asked, &fired));
    findings.sort_by_key(|finding| finding.severity);
    let mut rehearsal = Rehearsal {
        plan: PlanHash::of(&serde_json::to_value(plan).unwrap_or_default()),
        language: language.clone(),
        minutes: plan.minutes.get(),
        limit_minutes: u32::try_from(limit.as_secs().div_ceil(60)).unwrap_or(u32::MAX),
        passed: false,
        personas,
        misbehaving,
        findings,
    };
    let has_error = rehearsal.all_findings().any(Finding::is_error);
    rehearsal.passed = !has_error;
    Ok(rehearsal)
}

/// As an interview for which nobody says how long.
fn limit(plan: &Plan) -> Duration {
    let offer =
        PlanOffer { default_language: plan.default_language.clone(), languages: plan.languages.clone(), minutes: plan.minutes };
    Duration::from_secs(offer.default_duration_s())
}

fn pace_of(language: &LanguageTag, text: &str) -> Pace {
    Pace::of(language).unwrap_or_else(|| Pace::guessed(text))
}

/// What all interviews of a rehearsal have in common.
struct Room<'a> {
    plan: &'a Plan,
    language: &'a LanguageTag,
    script: &'a Arc<Script>,
    seed: u64,
    goes_on: &'a dyn Fn() -> bool,
}

impl Room<'_> {
    fn hold(&self, persona: &Persona, behaviour: Behaviour, secrets: &mut Secrets) -> Result<Held, NotRehearsed> {
        let setup = Setup {
            plan: self.plan,
            script: self.script,
            persona,
            behaviour,
            phrases: phrases::of(self.language),
            pace: pace_of(self.language, &self.script.opening),
            seed: self.seed ^ persona.kind as u64,
        };
        let held = Stage::new(setup, secrets).run(self.goes_on);
        if held.end == End::Stopped { Err(NotRehearsed::Stopped) } else { Ok(held) }
    }
}

fn report(case: &Case<'_>) -> PersonaReport {
    PersonaReport {
        persona: case.persona.kind,
        described: case.persona.described,
        outcome: case.outcome(),
        minutes: minutes(case.clock()),
        questions_asked: case.questions_asked().len(),
        probes_fired: case.probes_fired().len(),
        longest_silence_s: round(case.held.watch.longest_silence.0.as_secs_f64()),
        findings: case.findings(),
    }
}

fn minutes(time: Duration) -> f64 {
    round(time.as_secs_f64() / 60.0)
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the calls of a rehearsal are told, and where.
    fn told(document: &str) -> std::collections::HashSet<u64> {
        let plan = Plan::parse(document.as_bytes()).expect("a plan");
        let language = &plan.default_language;
        let script = Arc::new(Script::of(&plan, language.as_str()).within(limit(&plan)));
        let room = Room { plan: &plan, language, script: &script, seed: 7, goes_on: &|| true };
        let mut secrets = Secrets::of(&plan, &script);
        let faithful = PERSONAS.iter().map(|persona| (persona, Behaviour::Faithful));
        for (persona, behaviour) in faithful.chain(Behaviour::MISBEHAVING.map(|behaviour| (&PERSONAS[0], behaviour))) {
            room.hold(persona, behaviour, &mut secrets).expect("held");
        }
        secrets.seen
    }

    #[test]
    fn what_a_call_is_told_does_not_depend_on_what_it_must_not_be_told() {
        let document = include_str!("../../../config/plans/kundenservice.json");
        let mut other: serde_json::Value = serde_json::from_str(document).expect("JSON");
        let all = told(document);
        assert!(all.len() > 30, "{}", all.len());
        for competency in other["competencies"].as_array_mut().expect("competencies") {
            competency["anchors"] = serde_json::json!({"1": "eins", "3": "drei", "5": "fünf"});
            competency["not_evidence"] = serde_json::json!(["nichts"]);
            (competency["name"], competency["definition"]) = ("Anderes".into(), "Etwas anderes.".into());
        }
        for section in other["sections"].as_array_mut().expect("sections") {
            section["name"] = "Teil".into();
            for question in section["questions"].as_array_mut().expect("questions") {
                question["evidence_sought"] = serde_json::json!(["anderes"]);
            }
        }
        other["title"] = "Anders".into();
        assert_eq!(told(&other.to_string()), all);
        // And it would be seen.
        other["closing"]["spoken"]["de"] = "Danke und auf Wiedersehen.".into();
        assert_ne!(told(&other.to_string()), all);
    }
}

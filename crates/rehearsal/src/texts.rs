//! What is wrong with the words of a plan, as they were heard in its rehearsal.

use crate::candidate::Asked;
use crate::report::{Code, Finding};
use crate::secrets::{Kind, Leak};
use crate::stage::Held;
use interview_domain::conduct::{Place, Script, ScriptQuestion};
use interview_domain::edge::Slug;
use interview_domain::plan::lint::{Severity, TextKind, topics_in};
use interview_domain::plan::{Acceptable, Pace, Plan};
use std::collections::BTreeSet;

/// By the rule of the plan's linter.
pub fn too_long(plan: &Plan, script: &Script, pace: impl Fn(&str) -> Pace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let check = |what: &str, kind: TextKind, text: &str| -> Option<Finding> {
        let seconds = pace(text).seconds(text);
        let (easy, _) = kind.limits();
        let message = format!("{what} takes {seconds} seconds to say, and {easy} are easy to follow: say less.");
        Some(match kind.too_long(seconds)? {
            Severity::Error => Finding::error(Code::TooLong, message),
            Severity::Warning => Finding::warning(Code::TooLong, message),
        })
    };
    for (what, text) in [
        ("The opening", &script.opening),
        ("The invitation to ask", &script.candidate_questions),
        ("The closing", &script.closing),
    ] {
        findings.extend(check(what, TextKind::Passage, text));
    }
    for question in &script.questions {
        let question_is = check("The question", TextKind::Question, &question.text);
        let simpler = check("Its simpler form", TextKind::Simpler, &question.simpler);
        for finding in question_is.into_iter().chain(simpler) {
            findings.push(at(plan, finding, &question.id));
        }
        for probe in &question.probes {
            let long = check("The probe", TextKind::Probe, &probe.text);
            findings.extend(long.map(|finding| at(plan, finding, &question.id).of_probe(&probe.id)));
        }
    }
    findings
}

/// Of what an interviewer said that follows its instructions.
pub fn topics(plan: &Plan, script: &Script, held: &[Held]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for said in held.iter().flat_map(|held| &held.watch.said) {
        for (topic, words) in topics_in(&script.language, &said.text) {
            let brings_up = |text: &str| topics_in(&script.language, text).iter().any(|(own, _)| *own == topic);
            // The opening is said in one breath with the first question.
            let (at_question, probe) = match said.asked {
                Asked::Question(at) if !brings_up(&script.opening) || brings_up(&script.questions[at].text) => (Some(at), None),
                Asked::Probe(at, probe) => (Some(at), Some(probe)),
                Asked::Question(_) | Asked::CandidateQuestions | Asked::Closing | Asked::Other => (None, None),
            };
            if !seen.insert((topic, at_question, probe)) {
                continue;
            }
            let question = at_question.map(|at| &script.questions[at]);
            let accepted = question.and_then(|question| accepted(plan, &question.id));
            let brings = format!("The interviewer brings up {} (“{words}”)", topic.as_str());
            let message = match &accepted {
                Some(reason) => format!("{brings}; accepted: {reason}"),
                None => format!("{brings}: ask what the work needs instead."),
            };
            let finding = Finding::error(Code::ForbiddenTopic, message).unless(accepted.is_some());
            findings.push(place(plan, finding, question, probe));
        }
    }
    findings
}

fn accepted(plan: &Plan, question: &Slug) -> Option<String> {
    let accepted = &plan.question(question)?.accepted;
    let one = accepted.iter().find(|one| one.finding == Acceptable::ForbiddenTopic && !one.reason.is_empty())?;
    Some(one.reason.as_str().to_owned())
}

pub fn leaks(plan: &Plan, script: &Script, leaks: &[Leak]) -> Vec<Finding> {
    leaks.iter().map(|leak| of_leak(plan, script, leak)).collect()
}

fn of_leak(plan: &Plan, script: &Script, leak: &Leak) -> Finding {
    let what = match leak.kind {
        Kind::Anchor => format!("a level of the competency “{}”", leak.of),
        Kind::NotEvidence => format!("what counts for nothing in the competency “{}”", leak.of),
        Kind::Definition => format!("the definition of the competency “{}”", leak.of),
        Kind::Evidence => format!("what a good answer to “{}” tells", leak.of),
        Kind::Later => format!("words of “{}”, which comes later", leak.of),
    };
    let message =
        format!("The candidate's browser can read {what} (“{}”): take these words out of what is told here.", leak.text);
    let question = match leak.place {
        Place::Question(at) => Some(&script.questions[at]),
        Place::CandidateQuestions | Place::Closing => None,
    };
    place(plan, Finding::error(Code::Leak, message), question, None)
}

/// What no candidate of the rehearsal was asked.
pub fn never(plan: &Plan, script: &Script, asked: &BTreeSet<Slug>, fired: &BTreeSet<(Slug, Slug)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for question in &script.questions {
        if !asked.contains(&question.id) {
            let message = "No candidate was asked this question: give the plan more minutes, or take it out.";
            findings.push(at(plan, Finding::warning(Code::NeverAsked, message), &question.id));
            continue;
        }
        for probe in question.probes.iter().filter(|probe| !fired.contains(&(question.id.clone(), probe.id.clone()))) {
            let message = format!(
                "No candidate was asked the probe “{}”: allow more answers or seconds for the question, or take the probe out.",
                probe.text
            );
            findings.push(at(plan, Finding::warning(Code::ProbeNeverFires, message), &question.id).of_probe(&probe.id));
        }
    }
    findings
}

fn place(plan: &Plan, finding: Finding, question: Option<&ScriptQuestion>, probe: Option<usize>) -> Finding {
    let Some(question) = question else { return finding };
    let finding = at(plan, finding, &question.id);
    match probe.and_then(|probe| question.probes.get(probe)) {
        Some(probe) => finding.of_probe(&probe.id),
        None => finding,
    }
}

fn at(plan: &Plan, finding: Finding, id: &Slug) -> Finding {
    match plan.questions().find(|(_, question)| question.id == *id) {
        Some((section, question)) => finding.at(&section.id, &question.id),
        None => finding,
    }
}

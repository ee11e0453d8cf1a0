//! Whether the parts of a plan fit together: names, references, minutes, turns, anchors.

use super::{Finding, FindingCode, Origin};
use crate::plan::{Competency, Passage, Plan, Question, QuestionKind, Section};
use std::collections::HashSet;
use std::hash::Hash;

pub(super) fn check(plan: &Plan, origin: Origin) -> Vec<Finding> {
    let mut findings = Vec::new();
    if plan.title.is_empty() {
        findings.push(Finding::error(FindingCode::MissingText, "/title", "The plan has no title."));
    }
    check_languages(plan, &mut findings);
    check_names(plan, &mut findings);
    for (n, competency) in plan.competencies.iter().enumerate() {
        check_competency(plan, competency, &format!("/competencies/{n}"), origin, &mut findings);
    }
    if !plan.questions().any(|(_, question)| question.kind == QuestionKind::Core) {
        let message = "There is no core question: nothing is put to everybody.";
        findings.push(Finding::error(FindingCode::NoCoreQuestion, "/sections", message));
    }
    for (s, section) in plan.sections.iter().enumerate() {
        let at = format!("/sections/{s}");
        if section.name.is_empty() {
            findings.push(Finding::error(FindingCode::MissingText, format!("{at}/name"), "The section has no name."));
        }
        check_section_time(section, &at, &mut findings);
        for (q, question) in section.questions.iter().enumerate() {
            check_question(plan, section, question, &format!("{at}/questions/{q}"), &mut findings);
        }
    }
    check_time(plan, &mut findings);
    findings
}

fn check_languages(plan: &Plan, findings: &mut Vec<Finding>) {
    if !plan.languages.contains(&plan.default_language) {
        let message = format!("{} is not among the languages of the plan.", plan.default_language.described());
        findings.push(Finding::error(FindingCode::DefaultLanguageMissing, "/default_language", message));
    }
    duplicates(plan.languages.iter().enumerate().map(|(n, tag)| (tag, format!("/languages/{n}"))), findings);
}

fn check_names(plan: &Plan, findings: &mut Vec<Finding>) {
    let named = |kind: &'static str, n: usize| format!("/{kind}/{n}/id");
    duplicates(plan.competencies.iter().enumerate().map(|(n, one)| (&one.id, named("competencies", n))), findings);
    duplicates(plan.sections.iter().enumerate().map(|(n, one)| (&one.id, named("sections", n))), findings);
    let questions = plan.sections.iter().enumerate().flat_map(|(s, section)| {
        section.questions.iter().enumerate().map(move |(q, question)| (&question.id, format!("/sections/{s}/questions/{q}/id")))
    });
    duplicates(questions, findings);
    for (s, section) in plan.sections.iter().enumerate() {
        for (q, question) in section.questions.iter().enumerate() {
            let path = |p: usize| format!("/sections/{s}/questions/{q}/probes/{p}/id");
            duplicates(question.probes.iter().enumerate().map(|(p, probe)| (&probe.id, path(p))), findings);
        }
    }
}

fn duplicates<T: Eq + Hash + std::fmt::Display>(names: impl Iterator<Item = (T, String)>, findings: &mut Vec<Finding>) {
    let mut seen = HashSet::new();
    for (name, path) in names {
        if seen.contains(&name) {
            findings.push(Finding::error(FindingCode::DuplicateId, path, format!("“{name}” is there twice.")));
        } else {
            seen.insert(name);
        }
    }
}

fn check_competency(plan: &Plan, competency: &Competency, at: &str, origin: Origin, findings: &mut Vec<Finding>) {
    if competency.name.is_empty() {
        findings.push(Finding::error(FindingCode::MissingText, format!("{at}/name"), "The competency has no name."));
    }
    if competency.definition.is_empty() {
        let message = "The competency has no definition: reviewers will mean different things by it.";
        findings.push(Finding::warning(FindingCode::MissingText, format!("{at}/definition"), message));
    }
    let anchors = [("1", &competency.anchors.low), ("3", &competency.anchors.middle), ("5", &competency.anchors.high)];
    let missing: Vec<&str> = anchors.iter().filter(|(_, text)| text.is_empty()).map(|(level, _)| *level).collect();
    if !missing.is_empty() {
        let message = format!("No behaviour is named for level {}: reviewers would rate by feeling.", missing.join(" and "));
        let found = Finding::error(FindingCode::MissingAnchors, format!("{at}/anchors"), message);
        findings.push(if origin == Origin::Migrated { found.warned() } else { found });
    }
    let asks = |question: &Question| question.kind == QuestionKind::Core && question.competency.as_ref() == Some(&competency.id);
    if !plan.questions().any(|(_, question)| asks(question)) {
        let message = format!("No core question asks for “{}”.", competency.name);
        findings.push(Finding::warning(FindingCode::UnaskedCompetency, at, message));
    }
}

fn check_question(plan: &Plan, section: &Section, question: &Question, at: &str, findings: &mut Vec<Finding>) {
    match (&question.competency, question.kind) {
        (None, QuestionKind::Core) => {
            let message = "A core question needs the competency that it asks for.";
            findings.push(Finding::error(FindingCode::MissingCompetency, format!("{at}/competency"), message));
        }
        (None, QuestionKind::Optional) => {
            let message = "The answer will not be judged: the question names no competency.";
            findings.push(Finding::warning(FindingCode::MissingCompetency, format!("{at}/competency"), message));
        }
        (Some(id), _) if plan.competency(id).is_none() => {
            let message = format!("The plan has no competency “{id}”.");
            findings.push(Finding::error(FindingCode::UnknownCompetency, format!("{at}/competency"), message));
        }
        _ => {}
    }
    if question.kind == QuestionKind::Core && question.evidence_sought.is_empty() {
        let message = "Nothing says what a good answer tells.";
        findings.push(Finding::warning(FindingCode::MissingEvidence, format!("{at}/evidence_sought"), message));
    }
    for (p, probe) in question.probes.iter().enumerate() {
        if probe.trigger.is_none() {
            let message = "The probe does not say when it is put.";
            findings.push(Finding::error(FindingCode::MissingTrigger, format!("{at}/probes/{p}/trigger"), message));
        }
    }
    let (min, max, probes) = (question.min_turns.get(), question.max_turns.get(), question.probes.len());
    if min > max {
        let message = format!("At least {min} answers are wanted, and at most {max}.");
        findings.push(Finding::error(FindingCode::Turns, format!("{at}/max_turns"), message));
    } else if (max as usize) <= probes {
        let message = format!("With {max} answers at most, not all {probes} probes can be put.");
        findings.push(Finding::warning(FindingCode::Turns, format!("{at}/max_turns"), message));
    }
    let (target, hard, box_s) = (question.target_s.get(), question.hard_s.get(), section.minutes.get() * 60);
    if hard < target {
        let message = format!("It may take {hard} seconds and should take {target}.");
        findings.push(Finding::error(FindingCode::TimeBox, format!("{at}/hard_s"), message));
    } else if hard > box_s {
        let message = format!("It may take {hard} seconds, more than the {} minutes of its section.", section.minutes.get());
        findings.push(Finding::warning(FindingCode::TimeBox, format!("{at}/hard_s"), message));
    }
}

fn check_section_time(section: &Section, at: &str, findings: &mut Vec<Finding>) {
    let seconds = |optional: bool| -> u32 {
        let counted = section.questions.iter().filter(|question| optional || question.kind != QuestionKind::Optional);
        counted.map(|question| question.target_s.get()).sum()
    };
    let (needed, all, box_s) = (seconds(false), seconds(true), section.minutes.get() * 60);
    if needed > box_s {
        let message = format!("Its questions need {needed} seconds, and the section has {box_s}.");
        findings.push(Finding::error(FindingCode::TimeBox, format!("{at}/minutes"), message));
    } else if all > box_s {
        let message = format!("With its optional questions it needs {all} seconds, and has {box_s}: some will not be put.");
        findings.push(Finding::warning(FindingCode::TimeBox, format!("{at}/minutes"), message));
    }
}

fn check_time(plan: &Plan, findings: &mut Vec<Finding>) {
    let minutes = |passage: &Passage| passage.minutes.get();
    let sections: u32 = plan.sections.iter().map(|section| section.minutes.get()).sum();
    let parts = minutes(&plan.opening) + sections + minutes(&plan.candidate_questions) + minutes(&plan.closing);
    let whole = plan.minutes.get();
    if parts > whole {
        let message = format!("The parts take {parts} minutes, and the candidate is told {whole}.");
        findings.push(Finding::error(FindingCode::TimeBox, "/minutes", message));
    } else if parts < whole {
        let message = format!("The candidate is told {whole} minutes, and the parts take {parts}.");
        findings.push(Finding::warning(FindingCode::TimeBox, "/minutes", message));
    }
}

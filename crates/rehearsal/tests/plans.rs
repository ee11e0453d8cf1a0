//! Plans that are bad on purpose give the findings that they should, and no others. Whatever the plan, every interview ends.

use interview_domain::plan::Plan;
use interview_domain::plan::lint::Severity;
use interview_rehearsal::{Asked, Code, Kind, NotRehearsed, Outcome, Progress, Rehearsal, interviews, rehearse};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn question(id: &str, text: &str) -> Value {
    json!({
        "id": id, "kind": "core", "competency": "care", "spoken": {"en": text}, "target_s": 120, "hard_s": 240, "max_turns": 3,
        "evidence_sought": [match id {
            "engine" => "The plan of the repair was made before any part was taken out",
            "noise" => "Somebody else was asked to listen as well, and what they said counted",
            _ => "Both sides were heard in the mess room before anything was decided",
        }],
        "probes": [
            {"id": "result", "trigger": "no_result", "spoken": {"en": format!("How did it end with the {id}?")}},
            {"id": "own", "trigger": "no_own_part", "spoken": {"en": format!("What did you do yourself about the {id}?")}},
        ],
    })
}

/// Nothing is wrong with it.
fn good() -> Value {
    let passage = |minutes: u32, text: &str| json!({"minutes": minutes, "spoken": {"en": text}});
    json!({
        "title": "Ship's engineer", "default_language": "en", "languages": ["en"], "minutes": 20,
        "competencies": [{
            "id": "care", "name": "Care", "definition": "Looks after machines before they break.",
            "anchors": {
                "1": "Waits until something has broken and then asks others to look at it.",
                "3": "Finds out what is about to break and repairs it in time.",
                "5": "Changes how the whole crew looks after a machine so that it does not break.",
            },
        }],
        "opening": passage(1, "Welcome. I am an AI interviewer, and a person reviews this interview later."),
        "sections": [{"id": "work", "name": "Your work", "minutes": 15, "questions": [
            question("engine", "Please tell me about an engine that you have repaired at sea."),
            question("noise", "When did a noise in a machine make you stop working?"),
            question("crew", "Please describe a day on which the crew did not agree."),
        ]}],
        "candidate_questions": passage(3, "What would you like to know about the position?"),
        "closing": passage(1, "Thank you for your time. You will hear from us by post."),
    })
}

fn plan(document: &Value) -> Plan {
    Plan::parse(document.to_string().as_bytes()).expect("a plan")
}

fn rehearsal(document: &Value) -> Rehearsal {
    let plan = plan(document);
    rehearse(&Asked { plan: &plan, language: None, seed: 3 }, &|| true, &mut |_| {}).expect("rehearsed")
}

/// What was found, with the question and the probe.
fn found(rehearsal: &Rehearsal) -> BTreeSet<(&'static str, &'static str, String)> {
    let place =
        |slug: &Option<interview_domain::edge::Slug>| slug.as_ref().map_or(String::new(), |slug| slug.as_str().to_owned());
    rehearsal
        .all_findings()
        .map(|one| (one.code.as_str(), one.severity.as_str(), format!("{}/{}", place(&one.question), place(&one.probe))))
        .collect()
}

fn expect(document: &Value, expected: &[(&'static str, &'static str, &str)]) {
    let rehearsal = rehearsal(document);
    let expected: BTreeSet<_> = expected.iter().map(|(code, severity, place)| (*code, *severity, (*place).to_owned())).collect();
    assert_eq!(found(&rehearsal), expected, "{rehearsal:#?}");
    assert_eq!(rehearsal.passed, expected.iter().all(|(_, severity, _)| *severity != "error"));
}

#[test]
fn a_good_plan_has_no_findings() {
    expect(&good(), &[]);
    let rehearsal = rehearsal(&good());
    assert_eq!(rehearsal.personas.len(), Kind::ALL.len());
    for persona in &rehearsal.personas {
        assert!(persona.longest_silence_s <= 12.0, "{persona:#?}");
        let asked = if matches!(persona.persona, Kind::Silent) { 1 } else { 3 };
        assert_eq!(persona.questions_asked, asked, "{persona:#?}");
    }
    assert_eq!(rehearsal.misbehaving.len() + rehearsal.personas.len(), interviews());
}

#[test]
fn a_plan_that_asks_more_than_its_time_allows_is_over_time() {
    let mut document = good();
    document["minutes"] = json!(4);
    let rehearsal = rehearsal(&document);
    let plain = &rehearsal.personas[0];
    let codes: Vec<(Code, Severity)> = plain.findings.iter().map(|one| (one.code, one.severity)).collect();
    assert!(codes.contains(&(Code::OverTime, Severity::Error)), "{plain:#?}");
    assert!(!rehearsal.passed);
    let only_time = |code| matches!(code, Code::OverTime | Code::SectionOverTime | Code::NeverAsked | Code::ProbeNeverFires);
    assert!(rehearsal.all_findings().all(|one| only_time(one.code)), "{rehearsal:#?}");
    // Who says little has time enough.
    let short = rehearsal.personas.iter().find(|one| one.persona == Kind::OneWord).expect("there");
    assert_eq!((short.questions_asked, short.findings.len()), (3, 0));
}

#[test]
fn a_section_that_takes_longer_than_its_minutes_is_named() {
    let mut document = good();
    document["sections"][0]["minutes"] = json!(2);
    document["sections"][0]["name"] = json!("Too short");
    let rehearsal = rehearsal(&document);
    assert_eq!(found(&rehearsal), BTreeSet::from([("section_over_time", "warning", "/".to_owned())]));
    let finding = &rehearsal.personas[0].findings[0];
    assert_eq!(finding.section.as_ref().map(interview_domain::edge::Slug::as_str), Some("work"));
    assert!(finding.message.contains("Too short") && rehearsal.passed);
}

#[test]
fn a_probe_for_which_no_answer_is_left_never_fires() {
    let mut document = good();
    document["sections"][0]["questions"][1]["max_turns"] = json!(1);
    expect(&document, &[("probe_never_fires", "warning", "noise/result"), ("probe_never_fires", "warning", "noise/own")]);
    // Two for the same gap, and an answer too few.
    let mut document = good();
    document["sections"][0]["questions"][1]["max_turns"] = json!(2);
    document["sections"][0]["questions"][1]["probes"][1]["trigger"] = json!("no_result");
    expect(&document, &[("probe_never_fires", "warning", "noise/own")]);
}

#[test]
fn an_optional_question_for_which_there_is_never_time_is_named() {
    let mut document = good();
    let mut optional = question("bread", "Which bread do you bake when guests come on board?");
    optional["kind"] = json!("optional");
    (optional["target_s"], optional["hard_s"]) = (json!(3_000), json!(3_000));
    document["sections"][0]["questions"].as_array_mut().expect("questions").push(optional);
    expect(&document, &[("never_asked", "warning", "bread/")]);
}

#[test]
fn what_takes_too_long_to_say_is_named_where_it_stands() {
    let mut document = good();
    let long = "Please tell me about the engine of a large ship that you have repaired far away from any harbour in bad weather "
        .repeat(4);
    document["sections"][0]["questions"][0]["spoken"]["en"] = json!(format!("{} please.", long.trim()));
    document["sections"][0]["questions"][2]["probes"][0]["spoken"]["en"] = json!(
        "And when all of that was over and everybody was back at their place, how did it all end with the crew in the end?"
    );
    expect(&document, &[("too_long", "error", "engine/"), ("too_long", "warning", "crew/result")]);
}

#[test]
fn a_forbidden_topic_is_heard_where_it_is_brought_up_unless_it_is_accepted() {
    let mut document = good();
    document["sections"][0]["questions"][1]["spoken"]["en"] = json!("How old are you, and how long have you been at sea?");
    document["sections"][0]["questions"][2]["probes"][0]["spoken"]["en"] = json!("What did your husband say about the crew?");
    expect(&document, &[("forbidden_topic", "error", "noise/"), ("forbidden_topic", "error", "crew/result")]);
    document["sections"][0]["questions"][2]["accepted"] =
        json!([{"finding": "forbidden_topic", "reason": "It is a family's ship."}]);
    expect(&document, &[("forbidden_topic", "error", "noise/"), ("forbidden_topic", "warning", "crew/result")]);
    // Said in one breath with the first question, it is the opening's all the same.
    let mut document = good();
    document["opening"]["spoken"]["en"] = json!("Welcome. I am an AI interviewer. Are you married?");
    expect(&document, &[("forbidden_topic", "error", "/")]);
}

#[test]
fn what_tells_how_answers_are_judged_or_what_comes_later_leaks() {
    let mut document = good();
    // The evidence of another question, in a condition that the model is told.
    document["sections"][0]["questions"][0]["probes"][0]["trigger"] =
        json!({"custom": "the answer does not say that somebody else was asked to listen as well, and what they said counted"});
    expect(&document, &[("leak", "error", "engine/")]);
    // A level.
    let mut document = good();
    document["opening"]["spoken"]["en"] =
        json!("Welcome. I am an AI. Very good is who finds out what is about to break and repairs it in time.");
    expect(&document, &[("leak", "error", "engine/")]);
    // A later question, told before its time.
    let mut document = good();
    document["sections"][0]["questions"][0]["spoken"]["en"] =
        json!("Before I ask when did a noise in a machine make you stop working: which engine have you repaired?");
    let leaks = rehearsal(&document);
    assert!(found(&leaks).contains(&("leak", "error", "engine/".to_owned())), "{:#?}", found(&leaks));
    assert!(leaks.findings[0].message.contains("noise"), "{:#?}", leaks.findings);
    // The same words twice are none.
    let mut document = good();
    document["sections"][0]["questions"][2]["probes"][0]["spoken"] =
        document["sections"][0]["questions"][1]["probes"][0]["spoken"].clone();
    expect(&document, &[]);
}

#[test]
fn a_language_that_the_plan_does_not_have_is_refused_and_another_tag_of_it_is_not() {
    let plan = plan(&good());
    let of = |language| rehearse(&Asked { plan: &plan, language: Some(language), seed: 0 }, &|| true, &mut |_| {});
    assert_eq!(of("fr").err(), Some(NotRehearsed::Language));
    assert_eq!(of("en-GB").map(|one| one.language.as_str().to_owned()), Ok("en".to_owned()));
}

#[test]
fn a_rehearsal_is_the_same_each_time_tells_how_far_it_is_and_stops_when_nobody_waits() {
    assert_eq!(rehearsal(&good()), rehearsal(&good()));
    let plan = plan(&good());
    let asked = Asked { plan: &plan, language: None, seed: 0 };
    let mut told = 0;
    rehearse(&asked, &|| true, &mut |progress| {
        told += 1;
        match progress {
            Progress::Persona(report) => assert_eq!(report.persona, Kind::ALL[told - 1]),
            Progress::Misbehaviour(_) => assert!(told > Kind::ALL.len()),
        }
    })
    .expect("rehearsed");
    assert_eq!(told, interviews());
    assert_eq!(rehearse(&asked, &|| false, &mut |_| {}).err(), Some(NotRehearsed::Stopped));
}

const WORDS: [&str; 12] = ["engine", "please", "tell", "me", "about", "a", "storm", "noise", "who", "how", "did", "you"];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..25).prop_map(|words| words.join(" "))
}

fn any_question() -> impl Strategy<Value = Value> {
    let numbers = (1..4_u32, 1..5_u32, 10..200_u32, 10..400_u32);
    let probe = (text(), 0..4_usize);
    (prop::sample::select(&["core", "optional", "warmup"][..]), text(), text(), numbers, prop::collection::vec(probe, 0..3))
        .prop_map(|(kind, spoken, simpler, (min, max, target, hard), probes)| {
            let triggers = [json!("no_result"), json!("short_answer"), json!({"custom": "it names no numbers"}), Value::Null];
            let probes = probes
                .into_iter()
                .enumerate()
                .map(|(n, (text, trigger))| json!({"id": format!("p{n}"), "trigger": triggers[trigger], "spoken": {"en": text}}));
            json!({
                "kind": kind, "spoken": {"en": spoken}, "simpler": {"en": simpler}, "min_turns": min, "max_turns": max,
                "target_s": target, "hard_s": hard, "probes": probes.collect::<Vec<_>>(),
            })
        })
}

fn any_plan() -> impl Strategy<Value = Value> {
    let times = (1..30_u32, 0..3_u32, 0..5_u32, 0..3_u32, 10..200_u32, 1..4_u32);
    let taking = prop::sample::select(&["patient", "normal", "brisk"][..]);
    (prop::collection::vec(any_question(), 0..5), text(), text(), text(), times, taking).prop_map(
        |(mut questions, opening, invitation, closing, (minutes, open, ask, close, think, times), taking)| {
            for (n, question) in questions.iter_mut().enumerate() {
                question["id"] = json!(format!("q{n}"));
            }
            let passage = |minutes: u32, text: String| json!({"minutes": minutes, "spoken": {"en": text}});
            json!({
                "title": "Any", "default_language": "en", "languages": ["en"], "minutes": minutes, "competencies": [],
                "turn_taking": taking, "think_time": {"seconds": think, "times_per_question": times},
                "opening": passage(open, opening), "candidate_questions": passage(ask, invitation), "closing": passage(close, closing),
                "sections": [{"id": "all", "name": "All", "minutes": minutes, "questions": questions}],
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    /// Also plans that no linter would let pass.
    #[test]
    fn whatever_the_plan_every_interview_ends_within_its_limit_and_keeps_the_rules_of_the_product(document in any_plan(), seed in any::<u64>()) {
        let plan = plan(&document);
        let rehearsal = rehearse(&Asked { plan: &plan, language: None, seed }, &|| true, &mut |_| {}).expect("rehearsed");
        for one in &rehearsal.personas {
            // A minute for the last words.
            prop_assert!(one.minutes <= f64::from(rehearsal.limit_minutes) + 1.1, "{one:#?}");
            prop_assert!(one.outcome != Outcome::Broken && one.outcome != Outcome::Failed, "{one:#?}");
        }
        let broken = |code: Code| matches!(code, Code::Silence | Code::ThinkTime | Code::OutOfOrder);
        let broken: Vec<_> = rehearsal.all_findings().filter(|one| broken(one.code)).collect();
        prop_assert!(broken.is_empty(), "{broken:#?}");
    }
}

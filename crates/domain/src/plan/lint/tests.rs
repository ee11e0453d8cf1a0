//! What the linter finds in good and bad sentences of each language, and in each part of a plan.

use super::*;
use crate::plan::tests::small;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sentences, and what is wrong with them: a code, and for a topic its name.
#[derive(Deserialize)]
struct Sentences {
    good: Vec<String>,
    bad: Vec<Vec<String>>,
}

const SENTENCES: [(&str, &str); 3] = [
    ("en", include_str!("fixtures/en.json")),
    ("de", include_str!("fixtures/de.json")),
    ("ja", include_str!("fixtures/ja.json")),
];

fn of(document: &Value) -> Vec<Finding> {
    lint(&Plan::parse(document.to_string().as_bytes()).expect("a plan"), Origin::Authored)
}

/// A plan in one language whose only core question has these words.
fn asking(language: &str, words: &str) -> Value {
    let mut document = small();
    document["default_language"] = json!(language);
    document["languages"] = json!([language]);
    document["sections"][0]["questions"][0]["spoken"] = json!({language: words});
    document["sections"][0]["questions"][0]["probes"] = json!([]);
    let line = match language {
        "de" => "Guten Tag.",
        "ja" => "こんにちは。",
        _ => "Hello.",
    };
    for passage in ["opening", "candidate_questions", "closing"] {
        document[passage]["spoken"] = json!({language: line});
    }
    document
}

fn errors(findings: &[Finding]) -> Vec<(&str, &str)> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.code.as_str(), finding.path.as_str())).collect()
}

#[test]
fn good_sentences_pass_and_bad_ones_are_found_for_what_they_are() {
    let mut wrong = Vec::new();
    for (language, sentences) in SENTENCES {
        let sentences: Sentences = serde_json::from_str(sentences).expect(language);
        assert!(sentences.good.len() >= 12 && sentences.bad.len() >= 12, "{language} has too few sentences");
        for good in &sentences.good {
            let findings = of(&asking(language, good));
            if !errors(&findings).is_empty() {
                wrong.push(format!("{language}: {good}: {findings:#?}"));
            }
        }
        for bad in &sentences.bad {
            let findings = of(&asking(language, &bad[0]));
            let expected = [(bad[1].as_str(), "/sections/0/questions/0/spoken")];
            let topic = bad.get(2).is_none_or(|topic| findings[0].message.contains(&format!("must not bring up {topic} ")));
            if errors(&findings) != expected || !topic {
                wrong.push(format!("{language}: {}: {findings:#?}", bad[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} sentences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_plan_without_faults_has_no_findings_but_what_may_be_left_out() {
    let findings = of(&small());
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::MissingEvidence], "{findings:#?}");
    assert!(may_publish(&findings));
}

/// One change of the small plan, and what it leads to.
#[test]
fn each_fault_in_the_structure_is_found_at_its_place() {
    let question = "/sections/0/questions/0";
    let at = |path: &str| format!("{question}{path}");
    let second = {
        let mut second = small()["sections"][0]["questions"][0].clone();
        second["kind"] = json!("optional");
        second
    };
    let probe = json!({"id": "result", "trigger": "no_result", "spoken": {"en": "How did it end?"}});
    for (change, value, severity, code, path) in [
        ("/title", json!(""), "error", "missing_text", "/title".to_owned()),
        ("/sections/0/name", json!(" "), "error", "missing_text", "/sections/0/name".to_owned()),
        ("/competencies/0/name", json!(""), "error", "missing_text", "/competencies/0/name".to_owned()),
        ("/competencies/0/definition", json!(""), "warning", "missing_text", "/competencies/0/definition".to_owned()),
        ("/competencies/0/anchors/3", json!(""), "error", "missing_anchors", "/competencies/0/anchors".to_owned()),
        ("/default_language", json!("de"), "error", "default_language_missing", "/default_language".to_owned()),
        ("/languages", json!(["en", "en"]), "error", "duplicate_id", "/languages/1".to_owned()),
        ("/languages", json!(["en", "de"]), "error", "missing_translation", at("/spoken")),
        ("/languages", json!(["en", "fr"]), "warning", "language_not_checked", "/languages".to_owned()),
        ("/opening/spoken", json!({"en": "Hi.", "de": "Hallo."}), "warning", "stray_translation", "/opening/spoken".to_owned()),
        ("/opening/spoken", json!({"en": "Hello, [name]."}), "error", "placeholder", "/opening/spoken".to_owned()),
        (
            "/closing/spoken",
            json!({"en": "Is your health good enough?"}),
            "error",
            "forbidden_topic",
            "/closing/spoken".to_owned(),
        ),
        ("/closing/spoken", json!({"en": "word ".repeat(300)}), "error", "too_long", "/closing/spoken".to_owned()),
        ("/minutes", json!(7), "error", "time_box", "/minutes".to_owned()),
        ("/minutes", json!(20), "warning", "time_box", "/minutes".to_owned()),
        ("/sections/0/minutes", json!(2), "error", "time_box", "/sections/0/minutes".to_owned()),
        (&at("/hard_s"), json!(100), "error", "time_box", at("/hard_s")),
        (&at("/hard_s"), json!(400), "warning", "time_box", at("/hard_s")),
        (&at("/min_turns"), json!(4), "error", "turns", at("/max_turns")),
        (&at("/max_turns"), json!(1), "warning", "turns", at("/max_turns")),
        (&at("/kind"), json!("optional"), "error", "no_core_question", "/sections".to_owned()),
        (&at("/competency"), json!(null), "error", "missing_competency", at("/competency")),
        (&at("/competency"), json!("other"), "error", "unknown_competency", at("/competency")),
        (&at("/competency"), json!("other"), "warning", "unasked_competency", "/competencies/0".to_owned()),
        (&at("/probes/0/trigger"), json!(null), "error", "missing_trigger", at("/probes/0/trigger")),
        (&at("/probes"), json!([probe, probe]), "error", "duplicate_id", at("/probes/1/id")),
        (&at("/probes/0/spoken"), json!({}), "error", "missing_translation", at("/probes/0/spoken")),
        (&at("/simpler"), json!({"en": "What and why?"}), "error", "double_barrelled", at("/simpler")),
        (
            "/sections/0/questions",
            json!([small()["sections"][0]["questions"][0], second]),
            "error",
            "duplicate_id",
            "/sections/0/questions/1/id".to_owned(),
        ),
        (
            "/sections/0/questions",
            json!([small()["sections"][0]["questions"][0], second]),
            "warning",
            "time_box",
            "/sections/0/minutes".to_owned(),
        ),
    ] {
        let mut document = small();
        let (parent, key) = change.rsplit_once('/').expect("a pointer");
        document.pointer_mut(parent).expect(parent)[key] = value.clone();
        let findings = of(&document);
        let found = findings.iter().any(|one| one.severity.as_str() == severity && one.code.as_str() == code && one.path == path);
        assert!(found, "{change} = {value}: {findings:#?}");
        assert_eq!(may_publish(&findings), errors(&findings).is_empty());
    }
}

#[test]
fn what_the_words_seem_to_say_may_be_accepted_with_a_reason_and_nothing_else() {
    let mut document = asking("en", "How do you talk to parents who have small children?");
    assert_eq!(errors(&of(&document)), [("forbidden_topic", "/sections/0/questions/0/spoken")]);
    for (finding, reason, is_accepted) in
        [("forbidden_topic", "They care for children.", true), ("forbidden_topic", " ", false), ("leading", "No.", false)]
    {
        document["sections"][0]["questions"][0]["accepted"] = json!([{"finding": finding, "reason": reason}]);
        let findings = of(&document);
        assert_eq!(may_publish(&findings), is_accepted, "{finding} {reason:?}");
        let reasons: Vec<_> = findings.iter().filter_map(|one| one.accepted.as_deref()).collect();
        assert_eq!(reasons, if is_accepted { vec![reason] } else { vec![] });
    }
}

#[test]
fn who_has_not_written_anchors_before_there_were_any_is_only_warned() {
    let mut document = small();
    document["competencies"][0]["anchors"] = json!({});
    let plan = Plan::parse(document.to_string().as_bytes()).expect("a plan");
    assert!(!may_publish(&lint(&plan, Origin::Authored)) && may_publish(&lint(&plan, Origin::Migrated)));
}

#[test]
fn speech_is_longer_than_it_looks_in_some_languages() {
    let seconds = |language: &str, text: &str| {
        let tag = LanguageTag::new(language).expect(language);
        Pace::of(&tag).expect(language).seconds(text)
    };
    assert_eq!(seconds("en-GB", "Please tell me about a time when you and a colleague disagreed."), 5);
    assert_eq!(seconds("de", "Erzählen Sie mir bitte von einer Situation, in der Sie uneinig waren."), 6);
    assert_eq!(seconds("ja", "同僚と意見が合わなかったときのことを教えてください。"), 5);
    let french = LanguageTag::new("fr").expect("fr");
    assert!(Rules::of(&french).is_none() && Pace::of(&french).is_none());
}

#[test]
fn the_samples_have_no_findings() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/plans");
    let mut languages = BTreeSet::new();
    for file in std::fs::read_dir(folder).expect(folder) {
        let path = file.expect("a file").path();
        let plan =
            Plan::parse(&std::fs::read(&path).expect("readable")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let findings = lint(&plan, Origin::Authored);
        assert!(findings.is_empty(), "{}: {findings:#?}", path.display());
        languages.extend(plan.languages.iter().map(|language| language.as_str().to_owned()));
    }
    assert_eq!(languages.iter().map(String::as_str).collect::<Vec<_>>(), ["de", "en", "ja"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_words_are_read_in_any_language(words in "[\\PC\n?？。,'\"\\[{_ ]{0,200}", language in prop_oneof![Just("en"), Just("de"), Just("ja"), Just("fr")]) {
        let mut document = small();
        document["languages"] = json!(["en", language]);
        for passage in ["opening", "candidate_questions", "closing"] {
            document[passage]["spoken"][language] = json!(words);
        }
        document["sections"][0]["questions"][0]["spoken"][language] = json!(words);
        if let Ok(plan) = Plan::parse(document.to_string().as_bytes()) {
            let findings = lint(&plan, Origin::Authored);
            prop_assert!(findings.is_sorted_by_key(|finding| finding.severity));
            prop_assert_eq!(&findings, &lint(&plan, Origin::Authored));
        }
    }
}

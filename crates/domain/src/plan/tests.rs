//! What a plan document is, and what is refused.

use super::*;
use serde_json::{Value, json};

/// The smallest plan that can be conducted.
pub(super) fn small() -> Value {
    let passage = |text: &str| json!({"minutes": 1, "spoken": {"en": text}});
    json!({
        "title": "Support agent",
        "default_language": "en",
        "languages": ["en"],
        "minutes": 8,
        "competencies": [{
            "id": "listening",
            "name": "Listening",
            "definition": "Finds out what somebody needs before acting.",
            "anchors": {
                "1": "Acts on a guess and does not ask.",
                "3": "Asks what is wrong, and repeats it in own words.",
                "5": "Also finds what was not said, and checks that it was right.",
            },
        }],
        "opening": passage("Welcome. I am an AI interviewer, and a person reviews this interview later."),
        "sections": [{
            "id": "main",
            "name": "Main part",
            "minutes": 5,
            "questions": [{
                "id": "needs",
                "kind": "core",
                "competency": "listening",
                "spoken": {"en": "Please tell me about a customer who could not say what they needed."},
                "probes": [{"id": "result", "trigger": "no_result", "spoken": {"en": "How did it end?"}}],
                "target_s": 180,
                "hard_s": 300,
            }],
        }],
        "candidate_questions": passage("What would you like to ask about the position?"),
        "closing": passage("Thank you for your time. You will hear from us by e-mail."),
    })
}

fn parse(document: &Value) -> Result<Plan, PlanError> {
    Plan::parse(document.to_string().as_bytes())
}

#[test]
fn a_plan_is_read_with_what_it_leaves_open() {
    let plan = parse(&small()).expect("a plan");
    assert_eq!((plan.turn_taking, plan.think_time.longest()), (TurnTaking::Patient, Duration::from_mins(2)));
    assert_eq!(plan.accommodations.allowed.len(), Accommodation::ALL.len());
    let (section, question) = plan.questions().next().expect("a question");
    assert_eq!((section.id.as_str(), question.min_turns.get(), question.max_turns.get()), ("main", 1, 3));
    assert_eq!(question.probes[0].trigger, Some(Trigger::NoResult));
    let english = plan.language_for("en-US").expect("a language");
    assert_eq!(question.probes[0].spoken.get(english), Some("How did it end?"));
    assert_eq!(plan.language_for("de"), None);
    assert!(plan.question(&question.id).is_some() && plan.competency(&Slug::new("listening").expect("a slug")).is_some());
    // Nothing is lost, and all that was left open is written out.
    let written = serde_json::to_value(&plan).expect("JSON");
    assert_eq!(parse(&written).expect("a plan"), plan);
    assert_eq!(written["think_time"], json!({"seconds": 120, "times_per_question": 3}));
}

#[test]
fn a_trigger_of_the_authors_own_has_words() {
    let mut document = small();
    document["sections"][0]["questions"][0]["probes"][0]["trigger"] = json!({"custom": "the answer names no numbers"});
    let plan = parse(&document).expect("a plan");
    let trigger = plan.sections[0].questions[0].probes[0].trigger.as_ref().expect("a trigger");
    assert_eq!(trigger.described(), "the answer names no numbers");
}

#[test]
fn what_breaks_a_limit_is_refused_with_its_place() {
    let question = "/sections/0/questions/0";
    let probe = json!({"id": "p", "spoken": {}});
    for (at, value, said) in [
        ("", json!([]), "expected struct Plan"),
        ("/surprise", json!(1), "unknown field `surprise`"),
        ("/minutes", json!(0), "from 1 to 240"),
        ("/default_language", json!("xx"), "must be a language"),
        ("/title", json!("x".repeat(201)), "has 201 characters, and may have 200"),
        ("/title", json!("a\u{0}b"), "control character"),
        ("/competencies/0/id", json!("No slug"), "small letters"),
        ("/competencies/0/anchors/2", json!("x"), "unknown field `2`"),
        ("/opening/spoken", json!({"zz": "x"}), "\"zz\" must be a language"),
        ("/opening/spoken", json!({"en": "x", "EN": "y"}), "a language is there twice"),
        (&format!("{question}/kind"), json!("knockout"), "unknown variant `knockout`"),
        (&format!("{question}/probes"), json!([probe, probe, probe, probe]), "has 4 entries, and may have 3"),
        (&format!("{question}/hard_s"), json!(5), "from 10 to 3600"),
        (&format!("{question}/probes/0/trigger"), json!("no_idea"), "unknown variant `no_idea`"),
    ] {
        let mut document = small();
        match at.rsplit_once('/') {
            None => document = value.clone(),
            Some((parent, key)) => match document.pointer_mut(at) {
                Some(place) => *place = value.clone(),
                None => document.pointer_mut(parent).expect(parent)[key] = value.clone(),
            },
        }
        let error = parse(&document).expect_err(at).to_string();
        assert!(error.contains(said), "{at}: {error}");
    }
    assert_eq!(Plan::parse(&vec![b' '; Plan::MAX_BYTES + 1]), Err(PlanError::TooLong));
}

#[test]
fn an_empty_text_is_none() {
    let mut document = small();
    document["opening"]["spoken"] = json!({"en": "Hello.", "de": "  "});
    let plan = parse(&document).expect("a plan");
    assert_eq!(plan.opening.spoken.languages().map(LanguageTag::as_str).collect::<Vec<_>>(), ["en"]);
}

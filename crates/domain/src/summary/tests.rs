use super::check::{NOT_ASSESSED, NOTHING_ASSESSED};
use super::*;
use crate::transcript::Doubt;
use crate::voice::Speaker;
use proptest::prelude::*;
use std::slice::from_ref;
use uuid::Uuid;

const SAID: &str = "Well, I’m responsible for  two teams and built a ledger.";

fn competency(n: u128) -> Competency {
    Competency { id: CompetencyId(Uuid::from_u128(n)), name: format!("Competency {n}"), description: String::new() }
}

fn entries() -> Vec<Entry> {
    vec![Entry::heard(1, Speaker::Ai, "What did you build there?"), Entry::heard(2, Speaker::Candidate, SAID)]
}

fn quote(entry: i64, quote: &str) -> Value {
    json!({"entry": entry, "quote": quote})
}

fn judged(n: u128, assessment: &str, evidence: &[Value]) -> Value {
    json!({"competency_id": Uuid::from_u128(n), "name": "x", "assessment": assessment, "rationale": "Explains it.", "evidence": evidence})
}

fn answer(recommendation: &str, competencies: &[Value], strengths: &[Value]) -> Value {
    let strengths: Vec<Value> = strengths.iter().map(|quote| json!({"text": "Ships.", "evidence": [quote]})).collect();
    json!({"overall": "Built a ledger.", "recommendation": recommendation, "competencies": competencies, "strengths": strengths, "concerns": []})
}

fn checked(answer: &Value, entries: &[Entry]) -> Checked {
    check(&answer.to_string(), &[competency(1)], entries).expect("it is the summary's JSON")
}

/// Of an answer that rests on these quotes alone.
fn resting_on(quotes: &[Value], entries: &[Entry]) -> Checked {
    checked(&answer("advance", &[judged(1, "strong", quotes)], quotes), entries)
}

#[test]
fn a_quote_that_was_said_stays_and_is_stored_as_it_stands() {
    for said in ["built a ledger", "I'm responsible for two teams", "WELL, I’m responsible"] {
        let checked = resting_on(&[quote(2, said)], &entries());
        let summary = checked.summary;
        assert_eq!((checked.quotes_removed, summary.competencies[0].assessment), (0, Assessment::Strong), "{said}");
        assert!(SAID.contains(summary.competencies[0].evidence[0].quote.as_str()), "{said}");
        assert_eq!((summary.recommendation, summary.strengths.len()), (Recommendation::Advance, 1));
        assert_eq!((&*summary.competencies[0].name, &*summary.overall), ("Competency 1", "Built a ledger."));
    }
}

#[test]
fn a_judgement_without_a_true_quote_is_withdrawn_with_its_reasons() {
    let lies = [
        (2, "responsible for ten teams"),
        (1, "What did you build there?"),
        (9, "built a ledger"),
        (2, " "),
        (i64::MAX, "two teams and built"),
        (-1, "x"),
        (2, "I"),
    ];
    for (entry, lie) in lies {
        let checked = resting_on(&[quote(entry, lie)], &entries());
        let summary = checked.summary;
        assert_eq!(checked.quotes_removed, 2, "{lie}");
        assert_eq!(summary.competencies[0].assessment, Assessment::NotAssessed);
        assert_eq!((&*summary.competencies[0].rationale, &*summary.overall), (NOT_ASSESSED, NOTHING_ASSESSED));
        assert!(summary.strengths.is_empty() && summary.competencies[0].evidence.is_empty());
        assert_eq!(summary.recommendation, Recommendation::InsufficientEvidence);
    }
}

#[test]
fn words_that_are_not_the_records_carry_nothing_and_a_gaps_tail_nothing_alone() {
    let (here, there) = (quote(2, "responsible for two teams"), quote(3, "and nine more of them"));
    let with = |change: fn(&mut Entry)| {
        let mut told = Entry::heard(3, Speaker::Candidate, "and nine more of them");
        told.source = Source::Browser;
        change(&mut told);
        [entries(), vec![told]].concat()
    };
    let unclosed = with(|entry| entry.doubt = Some(Doubt::UnclosedGap));
    assert_eq!(resting_on(from_ref(&there), &unclosed).summary.competencies[0].assessment, Assessment::NotAssessed);
    let beside = checked(&answer("advance", &[judged(1, "strong", &[there.clone(), here.clone()])], &[]), &unclosed);
    assert_eq!((beside.quotes_removed, beside.summary.competencies[0].evidence.len()), (0, 2));
    let deaf = with(|entry| entry.doubt = Some(Doubt::DeafSideband));
    assert_eq!(resting_on(from_ref(&there), &deaf).summary.competencies[0].assessment, Assessment::Strong);
    for change in [
        |entry: &mut Entry| entry.authoritative = false,
        |entry: &mut Entry| entry.doubt = Some(Doubt::Unconfirmed),
        |entry: &mut Entry| entry.doubt = Some(Doubt::Hallucination),
        |entry: &mut Entry| entry.doubt = Some(Doubt::Echo),
    ] {
        let beside = checked(&answer("advance", &[judged(1, "strong", &[there.clone(), here.clone()])], &[]), &with(change));
        assert_eq!((beside.quotes_removed, beside.summary.competencies[0].evidence.len()), (1, 1));
    }
}

#[test]
fn the_model_is_told_what_is_doubtful_and_nothing_of_what_is_plain() {
    let mut told = Entry::heard(3, Speaker::Candidate, "and nine more");
    (told.source, told.doubt) = (Source::Browser, Some(Doubt::UnclosedGap));
    let prompt = prompt("Engineer", &[], &[entries(), vec![told]].concat());
    assert_eq!(prompt.matches("source").count(), 1);
    assert!(prompt.contains(r#""doubt":"unclosed_gap""#) && prompt.contains(r#""source":"browser""#), "{prompt}");
}

#[test]
fn code_and_addresses_are_text() {
    for prose in
        ["Used Vec<String> and Map<K,V>.", "Knows List<T>.", "Calls https://api.example APIs.", "see [here](x) <img src=x>"]
    {
        let mut answer = answer("advance", &[judged(1, "strong", &[quote(2, "built a ledger")])], &[]);
        (answer["overall"], answer["competencies"][0]["rationale"]) = (prose.into(), prose.into());
        let summary = checked(&answer, &entries()).summary;
        assert_eq!((&*summary.overall, &*summary.competencies[0].rationale), (prose, prose));
    }
}

#[test]
fn what_harms_is_taken_out_before_the_check() {
    let answer = answer("advance", &[judged(1, "strong", &[quote(2, "built a ledger")])], &[]).to_string();
    let harmful =
        answer.replace("Explains it.", r"Explains \u0000 \ud83d it.").replace("built a ledger\"", "built a\\u200b ledger\"");
    let summary = check(&harmful, &[competency(1)], &entries()).expect("it can be read").summary;
    assert_eq!(&*summary.competencies[0].rationale, "Explains \u{fffd} \u{fffd} it.");
    assert_eq!(summary.competencies[0].assessment, Assessment::Strong);
    assert!(!serde_json::to_string(&summary).expect("JSON").contains("\\u0000"));
}

#[test]
fn each_competency_is_assessed_once_and_nothing_else() {
    let (good, lie) = (quote(2, "built a ledger"), quote(2, "built a bank"));
    let mut answers = vec![judged(1, "strong", &[lie]), judged(1, "weak", from_ref(&good)), judged(1, "strong", from_ref(&good))];
    answers.push(judged(9, "strong", from_ref(&good)));
    answers.push(json!({"competency_id": "depth", "assessment": "strong", "evidence": [good], "score": 7}));
    let checked =
        check(&answer("advance", &answers, &[]).to_string(), &[competency(1), competency(2)], &entries()).expect("valid");
    let assessed: Vec<_> = checked.summary.competencies.iter().map(|judged| (judged.competency_id, judged.assessment)).collect();
    assert_eq!(assessed, [(competency(1).id, Assessment::Weak), (competency(2).id, Assessment::NotAssessed)]);
    assert_eq!(checked.summary.recommendation, Recommendation::Hold, "nothing is strong or adequate");
}

#[test]
fn a_recommendation_goes_no_further_than_its_assessments() {
    use Recommendation::{Advance, Decline, Hold, InsufficientEvidence};
    let table = [
        ("advance", "weak", Hold),
        ("advance", "adequate", Advance),
        ("advance", "not_assessed", InsufficientEvidence),
        ("decline", "strong", Hold),
        ("decline", "weak", Decline),
        ("hold", "weak", Hold),
        ("insufficient_evidence", "strong", InsufficientEvidence),
    ];
    for (told, assessment, bounded) in table {
        let answer = answer(told, &[judged(1, assessment, &[quote(2, "built a ledger")])], &[]);
        assert_eq!(checked(&answer, &entries()).summary.recommendation, bounded, "{told} {assessment}");
    }
}

#[test]
fn what_is_no_summary_is_refused_and_its_words_are_not_told() {
    let secret = r#"{"overall": "x", "recommendation": "the candidate said so", "competencies": []}"#;
    for bad in ["{}", "", "I am sorry, here is the summary: {", "[]", secret] {
        let error = check(bad, &[competency(1)], &entries()).expect_err(bad);
        let told = crate::error::chain(&error);
        assert!(!told.contains("said so") && !told.contains("sorry"), "{told}");
    }
}

#[test]
fn a_cut_answer_gets_more_room_within_a_bound() {
    let rooms: Vec<u32> = std::iter::successors(Some(Room::FIRST), |room| room.more()).map(|room| room.tokens).collect();
    assert_eq!(rooms, [8_000, 16_000, 32_000]);
}

/// An answer may have megabytes: what is read of it, stored and shown has a bound.
#[test]
fn of_an_answer_without_end_no_more_is_read_than_anybody_would_read() {
    let (good, bad) = (quote(2, "built a ledger"), quote(2, "responsible for ten teams"));
    let quotes = vec![good.clone(); 1_000];
    let summary = resting_on(&quotes, &entries()).summary;
    assert_eq!((summary.competencies[0].evidence.len(), summary.strengths.len()), (20, 20));
    assert_eq!(resting_on(&quotes, &entries()).quotes_removed, 980, "each strength has one");
    let mut told = Entry::heard(3, Speaker::Candidate, "and nine more of them");
    told.doubt = Some(Doubt::UnclosedGap);
    let doubtful = vec![quote(3, "and nine more of them"); 150];
    let last = [doubtful, vec![quote(2, "built a ledger")]].concat();
    let summary = resting_on(&last, &[entries(), vec![told]].concat()).summary;
    assert_eq!(summary.competencies[0].assessment, Assessment::Strong, "the one that it rests on is kept, wherever it stands");
    let long = quote(2, &format!("built a ledger{}", " .".repeat(4_000)));
    assert_eq!(resting_on(&[long], &entries()).summary.competencies[0].assessment, Assessment::NotAssessed);
    // Whoever is assessed a hundred times is assessed by the first that have evidence.
    let mut judgements = vec![judged(1, "weak", &[bad]); 100];
    judgements.push(judged(1, "strong", &[good]));
    let summary = checked(&answer("advance", &judgements, &[]), &entries()).summary;
    assert_eq!(summary.competencies[0].assessment, Assessment::NotAssessed);
}

#[test]
fn the_schema_is_strict_all_the_way_down() {
    fn walk(schema: &Value) {
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false);
            let properties = schema["properties"].as_object().expect("an object names its properties");
            assert_eq!(schema["required"].as_array().map(Vec::len), Some(properties.len()));
            properties.values().for_each(walk);
        }
        if schema["type"] == "array" {
            walk(&schema["items"]);
        }
    }
    walk(&schema());
}

proptest! {
    /// Whatever a model answers: every judgement has a quote that stands in the transcript.
    #[test]
    fn no_judgement_is_without_words_of_the_candidate(
        quotes in proptest::collection::vec((0i64..4, prop_oneof![
            Just("built a ledger"), Just("i'm RESPONSIBLE for two"), Just("What did you build"), Just("and nine more of"), Just("ten teams of"),
        ]), 0..6),
        assessments in proptest::collection::vec((1u128..4, prop_oneof![Just("strong"), Just("weak"), Just("not_assessed")]), 0..6),
        recommendation in prop_oneof![Just("advance"), Just("decline"), Just("hold")],
    ) {
        let mut told = Entry::heard(3, Speaker::Candidate, "and nine more of them");
        told.doubt = Some(Doubt::UnclosedGap);
        let entries = [entries(), vec![told]].concat();
        let quotes: Vec<Value> = quotes.iter().map(|(entry, words)| quote(*entry, words)).collect();
        let judged: Vec<Value> = assessments.iter().map(|(n, assessment)| judged(*n, assessment, &quotes)).collect();
        let asked = [competency(1), competency(2)];
        let summary = check(&answer(recommendation, &judged, &quotes).to_string(), &asked, &entries).expect("valid").summary;
        prop_assert_eq!(summary.competencies.len(), asked.len());
        let evidence = |quotes: &[Quote]| {
            let of = |quote: &Quote| entries.iter().find(|entry| entry.seq == quote.entry).cloned().expect("an entry");
            quotes.iter().all(|quote| of(quote).text.contains(&*quote.quote)) && quotes.iter().any(|quote| of(quote).doubt.is_none())
        };
        for judged in &summary.competencies {
            prop_assert_eq!(judged.assessment == Assessment::NotAssessed, judged.evidence.is_empty());
            prop_assert!(judged.evidence.is_empty() || evidence(&judged.evidence));
        }
        prop_assert!(summary.strengths.iter().all(|observation| evidence(&observation.evidence)));
        if summary.competencies.iter().all(|judged| judged.evidence.is_empty()) {
            prop_assert_eq!(&*summary.overall, NOTHING_ASSESSED);
        }
    }
}

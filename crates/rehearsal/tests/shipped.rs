//! The plans that come with the product, with every candidate, in every language.

use interview_domain::plan::Plan;
use interview_rehearsal::{Asked, Code, Finding, Kind, Outcome, Rehearsal, rehearse};

const PLANS: [(&str, &str, &[&str]); 3] = [
    ("software_engineer", include_str!("../../../config/plans/software_engineer.json"), &["en", "de"]),
    ("kundenservice", include_str!("../../../config/plans/kundenservice.json"), &["de"]),
    ("customer_success_ja", include_str!("../../../config/plans/customer_success_ja.json"), &["ja"]),
];

fn rehearsed(plan: &Plan, language: &str, seed: u64) -> Rehearsal {
    let asked = Asked { plan, language: Some(language), seed };
    rehearse(&asked, &|| true, &mut |_| {}).expect("rehearsed")
}

#[test]
fn every_candidate_is_led_through_the_shipped_plans_by_their_rules() {
    for (name, document, languages) in PLANS {
        let plan = Plan::parse(document.as_bytes()).expect(name);
        for language in languages {
            for seed in 0..3 {
                let rehearsal = rehearsed(&plan, language, seed);
                let errors: Vec<&Finding> = rehearsal.all_findings().filter(|finding| finding.is_error()).collect();
                assert!(errors.is_empty(), "{name} in {language}, seed {seed}: {errors:#?}\n{rehearsal:#?}");
                assert!(rehearsal.passed);
                for persona in &rehearsal.personas {
                    let expected = match persona.persona {
                        Kind::Silent => Outcome::TimeLimit,
                        Kind::LeavesEarly => Outcome::Stopped,
                        _ => Outcome::Completed,
                    };
                    assert_eq!(persona.outcome, expected, "{name} in {language}, seed {seed}: {persona:#?}");
                }
                let never: Vec<&Finding> = rehearsal
                    .findings
                    .iter()
                    .filter(|one| matches!(one.code, Code::ProbeNeverFires | Code::NeverAsked))
                    .collect();
                assert!(never.is_empty(), "{name} in {language}, seed {seed}: {never:#?}");
            }
        }
    }
}

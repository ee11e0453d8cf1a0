//! What keeps a processor busy, asked for by many at once: the gateway answers everybody else meanwhile, and lives.

use crate::support::system::System;
use interview_sandbox::GATEWAY_APP;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// As long as a plan may be, with words that the linter reads.
fn long_plan() -> Value {
    let mut plan: Value = serde_json::from_slice(include_bytes!("../../config/plans/kundenservice.json")).expect("JSON");
    let words = "Beschreiben Sie bitte einen Fall, in dem zunächst nicht klar war, was jemand von Ihnen brauchte. ".repeat(5);
    let question = |n: usize| {
        let mut question = plan["sections"][1]["questions"][0].clone();
        question["id"] = json!(format!("frage-{n}"));
        question["spoken"]["de"] = json!(words);
        question["simpler"]["de"] = json!(words);
        question
    };
    let sections = (0..10).map(|s| {
        let mut section = plan["sections"][1].clone();
        section["id"] = json!(format!("teil-{s}"));
        section["questions"] = (0..15).map(|q| question(s * 15 + q)).collect();
        section
    });
    let sections: Value = sections.collect();
    plan["sections"] = sections;
    assert!((200_000..256 * 1024).contains(&plan.to_string().len()), "{}", plan.to_string().len());
    plan
}

fn gateway(system: &System) -> u32 {
    system.sandbox.fly().machines(GATEWAY_APP).first().and_then(|machine| machine.status().pid).expect("the gateway runs")
}

/// Asks `times` at once. Status, code, and whether it is told when to come again.
async fn at_once(system: &System, token: &str, path: &str, kind: &str, body: &str, times: usize) -> Vec<(u16, String, bool)> {
    let http = reqwest::Client::builder().timeout(Duration::from_mins(2)).build().expect("a client");
    let ask = || async {
        let request = http.post(format!("{}{path}", system.sandbox.urls().front)).bearer_auth(token).header("content-type", kind);
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        let (status, told) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await.unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned(), told)
    };
    futures_util::future::join_all((0..times).map(|_| ask())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_long_plans_and_files_at_once_keep_nobody_else_waiting_and_end_no_gateway() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let before = gateway(&system);
    let plan = long_plan().to_string();
    let file = (0..5_000).fold("name,email\n".to_owned(), |file, n| file + &format!("\"Person {n}\",p{n}@many.test\n"));
    let done = AtomicBool::new(false);
    let busy = async {
        let lints = at_once(&system, &recruiter, "/api/plans/lint", "application/json", &plan, 60).await;
        let imports = at_once(&system, &recruiter, "/api/candidates/import", "text/csv", &file, 40).await;
        done.store(true, Ordering::Relaxed);
        (lints, imports)
    };
    // Somebody else, all the time.
    let beside = async {
        let mut answers = 0;
        while !done.load(Ordering::Relaxed) {
            assert_eq!(system.get(&amara, "/api/me").await.0, 200);
            answers += 1;
        }
        answers
    };
    let ((lints, imports), answers) = tokio::join!(busy, beside);
    let of = |answers: &[(u16, String, bool)], status: u16| answers.iter().filter(|answer| answer.0 == status).count();
    println!("lints {} of 60, imports {} of 40, {answers} answers beside them", of(&lints, 200), of(&imports, 200));
    assert!(of(&lints, 200) > 0 && of(&imports, 200) > 0);
    assert!(
        lints
            .iter()
            .all(|(status, code, told)| *status == 200 || (*status, code.as_str(), *told) == (503, "service_saturated", true)),
        "{lints:?}"
    );
    assert!(
        imports.iter().all(|(status, code, told)| *status == 200 || (*status, code.as_str(), *told) == (429, "request_rate_exceeded", true)),
        "{imports:?}"
    );
    assert!(of(&imports, 429) > 0, "{imports:?}");
    assert_eq!(gateway(&system), before, "the watchdog has ended no gateway");
    // Who asks again is served.
    assert_eq!(at_once(&system, &recruiter, "/api/plans/lint", "application/json", &plan, 1).await[0].0, 200);
    assert_eq!(at_once(&system, &recruiter, "/api/candidates/import", "text/csv", "name,email\nA,a@b.co\n", 1).await[0].0, 200);
    system.stop().await;
}

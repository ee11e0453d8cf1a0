//! What an invite cannot be used for, and what is no invite.

use crate::invites::{admin, count, make_for, order, refused, with_link};
use crate::support::system::System;
use serde_json::json;

const MEI: &str = "ca000000-0000-4000-8000-000000000013";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";

/// Pressing the button again is no new interview, and each that ends counts, held or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_takes_one_machine_at_a_time_and_few_in_all() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let made = make_for(&system, &recruiter, MEI, &json!({})).await;
    let mut begun = 0;
    let last = loop {
        let (status, started) = with_link(&system, "start", &made.secret).await;
        if status != 200 {
            break (status, started);
        }
        begun += 1;
        let again = futures_util::future::join_all((0..5).map(|_| with_link(&system, "start", &made.secret))).await;
        assert!(again.iter().all(|(_, again)| again["session_id"] == started["session_id"]), "{again:?}");
        assert_eq!(count(&admin, "select count(*) from app.sessions where phase not in ('completed', 'failed')").await, 1);
        let over =
            "update app.sessions set phase = 'failed', end_reason = 'candidate_absent', epoch = epoch + 1, ended_at = now()
                    where id = $1::uuid";
        sqlx::query(over).bind(started["session_id"].as_str()).execute(&admin).await.expect("over");
        assert!(begun < 20, "endless");
    };
    assert_eq!((begun, refused(&last)), (5, (410, "invite_exhausted")), "{}", last.1);
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 5);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_no_mail_can_be_sent_to_is_not_promised_one() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let people = "insert into app.candidates (tenant_id, id, name, email)
        select '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', ('ce000000-0000-4000-8000-00000000000' || n)::uuid, 'Person', email
        from (values (1, 'no address'), (2, 'jürgen@demo.test')) people (n, email)";
    sqlx::query(people).execute(&admin).await.expect("people");
    for n in 1..=2 {
        let person = format!("ce000000-0000-4000-8000-00000000000{n}");
        let sent = system.post(&recruiter, "/api/invites", &order(&person, &json!({"send": true}))).await;
        assert_eq!(refused(&sent), (422, "mail_address_refused"), "{}", sent.1);
        let made = make_for(&system, &recruiter, &person, &json!({"external_id": format!("e-{n}")})).await;
        let path = format!("/api/invites/{}", made.id);
        let resent = system.post(&recruiter, &format!("{path}/resend"), &json!({})).await;
        assert_eq!(refused(&resent), (422, "mail_address_refused"), "{}", resent.1);
        let rows = json!({"invites": [order(&person, &json!({"external_id": format!("f-{n}"), "send": true})),
            order(&person, &json!({"external_id": format!("e-{n}"), "send": true})),
            order(MEI, &json!({"external_id": format!("g-{n}"), "send": true}))]});
        let (_, many) = system.post(&recruiter, "/api/invites/bulk", &rows).await;
        let told: Vec<&str> = (0..3).map(|row| many["results"][row]["status"].as_str().unwrap_or_default()).collect();
        assert_eq!(
            (told, &many["results"][0]["code"]),
            (vec!["refused", "exists", "created"], &json!("mail_address_refused")),
            "{many}"
        );
        assert_eq!(system.post(&recruiter, &format!("{path}/revoke"), &json!({})).await.0, 200);
    }
    assert_eq!(count(&admin, "select count(*) from app.mail_outbox where recipient <> 'mei@demo.test'").await, 0);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_none_of_ours_gets_one_answer() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    for window in [
        json!({"opens_at": "0001-01-01T00:00:00Z"}),
        json!({"opens_at": "1999-01-01T00:00:00Z"}),
        json!({"closes_at": "9999-12-31T23:59:59Z"}),
        json!({"closes_at": "0001-01-01T00:00:00Z"}),
    ] {
        let answer = system.post(&recruiter, "/api/invites", &order(MEI, &window)).await;
        assert_eq!(refused(&answer), (422, "invite_window_invalid"), "{window}: {}", answer.1);
    }
    let wrong = json!({"candidate_id": 7, "position_id": ENGINEER, "closes_at": true, "zone": []}).to_string();
    for path in [
        "/api/invites",
        "/api/invites/bulk",
        "/api/sessions",
        "/api/invite/open",
        "/api/invite/start",
        "/api/candidates",
        "/api/positions",
    ] {
        for (kind, body) in [
            ("", ""),
            ("application/json", ""),
            ("application/json", "{"),
            ("application/json", "null"),
            ("application/json", "[1]"),
            ("application/json", wrong.as_str()),
            ("text/plain", "hello"),
        ] {
            let answer = system.post_bytes(&recruiter, path, kind, body.as_bytes().to_vec(), &[]).await;
            assert_eq!(refused(&answer), (400, "request_invalid"), "{path} {kind} {body}: {}", answer.1);
            assert!(answer.1["request_id"].is_string() && !answer.1["detail"].to_string().contains("line 0"), "{}", answer.1);
        }
    }
    system.stop().await;
}

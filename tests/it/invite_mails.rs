//! What candidates are told when an invite changes before its mail has left, or while it leaves.

use crate::invites::{admin, count, line, mail_to, make_for, order, refused, state, with_link};
use crate::support::system::System;
use crate::support::wait_for;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MEI: &str = "ca000000-0000-4000-8000-000000000013";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";

/// A candidate whose server takes the mail at the second try only.
async fn late(admin: &PgPool, n: usize) -> (String, String) {
    let (id, email) = (format!("ce000000-0000-4000-8000-{n:012}"), format!("later-{n}@demo.test"));
    let person = "insert into app.candidates (tenant_id, id, name, email)
                  values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', $1::uuid, 'Late', $2)";
    sqlx::query(person).bind(&id).bind(&email).execute(admin).await.expect("a person");
    (id, email)
}

/// Kind, state and failure of each mail of an invite, the oldest first.
async fn outbox(admin: &PgPool, invite: &str) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "select kind, state, coalesce(failure, '') from app.mail_outbox where invite_id = $1::uuid order by created_at, id",
    )
    .bind(invite)
    .fetch_all(admin)
    .await
    .expect("the outbox")
}

async fn waits(admin: &PgPool, invite: &str) {
    wait_for("the mail waits for its next try", || async {
        matches!(outbox(admin, invite).await.as_slice(), [(_, state, failure)] if state == "queued" && !failure.is_empty())
    })
    .await;
}

fn told(rows: &[(String, String, String)]) -> Vec<(&str, &str)> {
    rows.iter().map(|(kind, state, _)| (kind.as_str(), state.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_left_is_not_sent_when_it_is_no_longer_true() {
    let keys = [("MAIL__TIMEOUT_MS", "2000"), ("MAIL__RETRY_MS", "3600000"), ("KEEPER__INTERVAL_MS", "500")];
    let system = System::start_with(&keys).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let post = |id: &str, action: &'static str, body: Value| {
        let (system, recruiter, path) = (&system, &recruiter, format!("/api/invites/{id}/{action}"));
        async move { system.post(recruiter, &path, &body).await }
    };

    // A mail of another version is given up, and so is one whose holders have all died: neither keeps the others.
    let odd = "insert into app.mail_outbox (tenant_id, id, message_id, kind, recipient, locale, variables, state, tries, lease_until)
        select '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', gen_random_uuid(), kind || '@test', 'invite', 'odd@demo.test', 'en', '{}', kind, tries,
          now() - interval '1 minute' from (values ('queued', 0), ('sending', 100)) odd (kind, tries)";
    sqlx::query(odd).execute(&admin).await.expect("odd mails");

    // Revoked before its mail has left: nobody is told anything.
    let (person, address) = late(&admin, 1).await;
    let made = make_for(&system, &recruiter, &person, &json!({"send": true})).await;
    waits(&admin, &made.id).await;
    let (_, revoked) = post(&made.id, "revoke", json!({"reason": "filled"})).await;
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(outbox(&admin, &made.id).await, [("invite".to_owned(), "failed".to_owned(), "replaced".to_owned())]);
    assert_eq!(
        count(&admin, "select count(*) from app.mail_outbox where recipient = 'odd@demo.test' and state <> 'failed'").await,
        0
    );
    // Once more changes nothing, neither the reason nor the audit. The body may be left out.
    let again = format!("/api/invites/{}/revoke", made.id);
    let (status, again) = system.post_bytes(&recruiter, &again, "application/json", Vec::new(), &[]).await;
    assert_eq!((status, &again["reason"]), (200, &json!("filled")), "{again}");
    let revocations = "select count(*) from app.audit where action = 'revoked'";
    assert_eq!(count(&admin, revocations).await, 1);
    // Open again until the same moment: the entry of the calendar is a later one all the same.
    let reopened = json!({"closes_at": revoked["closes_at"], "reason": "a place is free", "send": true});
    assert_eq!(post(&made.id, "reopen", reopened).await.0, 200);
    let mail = mail_to(&system, &address, 1).await;
    let calendar = mail.calendar.expect("an entry");
    assert_eq!((line(&calendar, "METHOD:"), line(&calendar, "SEQUENCE:")), ("REQUEST", "2"));

    // Extended before its mail has left: the candidate gets the new window, although nobody asked for a mail once more.
    let (person, address) = late(&admin, 2).await;
    let made = make_for(&system, &recruiter, &person, &json!({"send": true})).await;
    waits(&admin, &made.id).await;
    let later = (OffsetDateTime::now_utc() + time::Duration::hours(60)).format(&Rfc3339).expect("RFC 3339");
    assert_eq!(post(&made.id, "extend", json!({"closes_at": later})).await.0, 200);
    let mail = mail_to(&system, &address, 1).await;
    assert_eq!(line(&mail.calendar.expect("an entry"), "SEQUENCE:"), "1", "what it tells is true");
    wait_for("it is sent", || async { told(&outbox(&admin, &made.id).await) == [("invite", "failed"), ("invite", "sent")] })
        .await;

    // Revoked while it leaves: the candidate has got it, so they are told.
    system.sandbox.mailbox().set_pause(Duration::from_millis(1_200));
    let made = make_for(&system, &recruiter, MEI, &json!({"send": true})).await;
    let leaves = async |id: &str| {
        wait_for("it is being sent", || async { told(&outbox(&admin, id).await) == [("invite", "sending")] }).await;
    };
    leaves(&made.id).await;
    assert_eq!(post(&made.id, "revoke", json!({})).await.0, 200);
    let second = mail_to(&system, "mei@demo.test", 2).await;
    assert_eq!(line(&second.calendar.expect("an entry"), "METHOD:"), "CANCEL");
    assert_eq!(told(&outbox(&admin, &made.id).await)[0], ("invite", "sent"));
    assert_eq!(state(&system, &recruiter, &made.id).await, "revoked");

    // And one that does not get through is not tried again.
    system.sandbox.mailbox().set_pause(Duration::from_secs(4));
    let made = make_for(&system, &recruiter, JONAS, &json!({"send": true})).await;
    leaves(&made.id).await;
    assert_eq!(post(&made.id, "revoke", json!({})).await.0, 200);
    wait_for("it is given up", || async { told(&outbox(&admin, &made.id).await) == [("invite", "failed")] }).await;
    assert_eq!(outbox(&admin, &made.id).await[0].2, "replaced");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_many_invites_that_fails_costs_no_link_of_the_others() {
    let system = System::start_with(&[("MAIL__SMTP_URL", "")]).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let row = |n: usize| order(MEI, &json!({"external_id": format!("row-{n:04}")}));
    // The first part of 500 is stored, the second is not.
    let rows: Vec<Value> = (0..600).map(row).chain([order(MEI, &json!({"external_id": "mailed", "send": true}))]).collect();
    sqlx::raw_sql(
        "create function app.fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger fail before insert on app.invites for each row when (new.external_id = 'row-0550') execute function app.fail()",
    )
    .execute(&admin)
    .await
    .expect("a trigger");
    let (status, made) = system.post(&recruiter, "/api/invites/bulk", &json!({"invites": rows})).await;
    assert_eq!((status, &made["created"], &made["refused"]), (200, &json!(500), &json!(101)), "{}", made["detail"]);
    let results = made["results"].as_array().expect("results");
    assert!(results[..500].iter().all(|result| result["link"].is_string()));
    assert_eq!((&results[550]["code"], &results[600]["code"]), (&json!("database_refused"), &json!("mail_unconfigured")));

    // What makes an invite once is its external id.
    let key = [("idempotency-key", "k-1")];
    let keyed = system.post_with(&recruiter, "/api/invites", &row(0), &key).await;
    assert_eq!(refused(&keyed), (400, "request_invalid"), "{}", keyed.1);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_begins_an_interview_of_what_is_archived() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let made = make_for(&system, &recruiter, MEI, &json!({})).await;
    let position = order(MEI, &json!({}))["position_id"].as_str().expect("an id").to_owned();
    for path in [format!("/api/candidates/{MEI}"), format!("/api/positions/{position}")] {
        assert_eq!(system.post(&recruiter, &format!("{path}/archive"), &json!({})).await.0, 200);
        assert_eq!(refused(&with_link(&system, "start", &made.secret).await), (410, "invite_closed"), "{path}");
        assert_eq!(with_link(&system, "open", &made.secret).await.0, 200, "the page says how it stands");
        assert_eq!(system.post(&recruiter, &format!("{path}/restore"), &json!({})).await.0, 200);
    }
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 0);
    assert_eq!(with_link(&system, "start", &made.secret).await.0, 200);
    system.stop().await;
}

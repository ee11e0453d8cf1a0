//! The end of an invitation: told to everybody, kept, and moved by a recruiter while nobody has begun.

use crate::interview::{connect, new_session};
use crate::support::system::System;
use crate::support::wait_for;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap_or_else(|| panic!("no time: {value}")), &Rfc3339).expect("RFC 3339")
}

fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("RFC 3339")
}

async fn view(system: &System, token: &str, id: &str) -> Value {
    system.get(token, &format!("/api/sessions/{id}")).await.1
}

async fn extend(system: &System, token: &str, id: &str, to: &str) -> (u16, Value) {
    system.post(token, &format!("/api/sessions/{id}/extend"), &json!({"join_by": to})).await
}

fn refused(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_ends_when_it_says_and_a_recruiter_may_move_its_end() {
    let keys = [
        ("INTERVIEW__ABSENCE_TIMEOUT_S", "8"),
        ("INTERVIEW__LONGEST_INVITATION_S", "3600"),
        ("SESSION__HEARTBEAT_INTERVAL_MS", "500"),
    ];
    let system = System::start_with(&keys).await;
    let (recruiter, jonas) = (system.sign_in("recruiter@demo.test").await, system.sign_in("jonas@demo.test").await);
    let other = system.sign_in("other@rival.test").await;
    let order = json!({"candidate_id": JONAS, "position_id": ENGINEER, "settings": {}});
    let (asked, (status, kept)) = (OffsetDateTime::now_utc(), system.post(&recruiter, "/api/sessions", &order).await);
    assert_eq!(status, 201, "{kept}");
    let (_, left) = system.post(&recruiter, "/api/sessions", &order).await;
    let (id, left) = (kept["session_id"].as_str().expect("an id"), left["session_id"].as_str().expect("an id"));

    // Told with the invitation, to both, in the list and in the ticket.
    let end = at(&kept["join_by"]);
    assert!((Duration::seconds(8)..Duration::seconds(20)).contains(&(end - asked)), "{kept}");
    for token in [&recruiter, &jonas] {
        let seen = view(&system, token, id).await;
        assert_eq!((at(&seen["join_by"]), &seen["return_by"]), (end, &Value::Null), "{seen}");
        let (_, list) = system.get(token, "/api/sessions").await;
        let listed = list["items"].as_array().expect("a list").iter().find(|each| each["session_id"] == id).expect("it");
        assert_eq!(at(&listed["join_by"]), end);
    }
    assert_eq!(at(&system.join_info(&jonas, id).await["join_by"]), end);

    // Moved by a recruiter of the company alone, later only, and not without a bound.
    let later = end + Duration::minutes(30);
    assert_eq!(refused(&extend(&system, &jonas, id, &text(later)).await), (403, "permission_denied"));
    assert_eq!(refused(&extend(&system, &other, id, &text(later)).await), (403, "jwt_tenant_refused"));
    for (to, code) in [
        (text(end - Duration::seconds(1)), "invitation_end_refused"),
        (text(end + Duration::hours(1)), "invitation_end_refused"),
        ("9999-12-31T23:59:59-01:00".to_owned(), "request_invalid"),
        ("tomorrow".to_owned(), "request_invalid"),
    ] {
        assert_eq!(refused(&extend(&system, &recruiter, id, &to).await), (400, code), "{to}");
    }
    let deadline = at(&view(&system, &recruiter, id).await["deadline_at"]);
    for _ in 0..2 {
        let (status, moved) = extend(&system, &recruiter, id, &text(later)).await;
        assert_eq!((status, at(&moved["join_by"]), at(&moved["deadline_at"])), (200, later, deadline + (later - end)), "{moved}");
    }
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let lines: i64 =
        sqlx::query_scalar("select count(*) from app.audit_log where action = 'invitation_extended' and actor is not null")
            .fetch_one(&admin)
            .await
            .expect("a count");
    assert_eq!(lines, 1, "asking again is no change");

    // The one that was left to itself ends, and can be neither joined nor moved any more; the other is kept.
    wait_for("the invitation expires", || async { system.phase(&recruiter, left).await == "completed" }).await;
    let expired = view(&system, &jonas, left).await;
    assert_eq!(expired["end_reason"], "candidate_absent", "{expired}");
    assert!(at(&expired["ended_at"]) >= at(&expired["join_by"]), "not a moment too early: {expired}");
    assert_eq!(refused(&extend(&system, &recruiter, left, &text(later)).await), (410, "session_over"));
    let (status, gone) = system.post(&jonas, &format!("/api/sessions/{left}/ticket"), &json!({})).await;
    assert_eq!((status, gone["code"].as_str()), (410, Some("session_over")));
    wait_for("its end is past", || async { OffsetDateTime::now_utc() > end + Duration::seconds(3) }).await;
    assert_eq!(system.phase(&recruiter, id).await, "ready");

    // What is past its end and not over yet is not brought back.
    sqlx::query("update app.sessions set join_by = now() where id = $1::uuid").bind(id).execute(&admin).await.expect("changed");
    assert_eq!(refused(&extend(&system, &recruiter, id, &text(later)).await), (410, "invitation_expired"));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_interview_says_until_when_it_waits_for_its_candidate_and_its_invitation_is_no_more() {
    let system = System::start_with(&[("INTERVIEW__GRACE_S", "60")]).await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let id = new_session(&system, &recruiter).await;
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("joins");
    wait_for("it is live", || async { system.phase(&recruiter, &id).await == "live" }).await;
    let seen = view(&system, &amara, &id).await;
    assert_eq!((seen["candidate_connected"].as_bool(), &seen["return_by"]), (Some(true), &Value::Null), "{seen}");
    let later = text(at(&seen["join_by"]) + Duration::minutes(1));
    assert_eq!(refused(&extend(&system, &recruiter, &id, &later).await), (409, "invitation_taken"));

    let gone = OffsetDateTime::now_utc();
    drop(candidate);
    wait_for("it is told until when it waits", || async { view(&system, &amara, &id).await["return_by"].is_string() }).await;
    let waits = at(&view(&system, &amara, &id).await["return_by"]) - gone;
    assert!((Duration::seconds(55)..Duration::seconds(90)).contains(&waits), "{waits}");
    let mut candidate = connect(&system, &amara, &id).await;
    candidate.join().await.expect("comes back");
    wait_for("nobody is waited for", || async { view(&system, &amara, &id).await["return_by"].is_null() }).await;
    system.stop().await;
}

/// U-33: the page that the candidate will read, with nothing to join by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recruiter_reads_what_the_candidate_reads() {
    let system = System::start().await;
    let (recruiter, amara) = (system.sign_in("recruiter@demo.test").await, system.amara().await);
    let id = new_session(&system, &recruiter).await;
    let path = format!("/api/sessions/{id}/preview");
    let (told, (status, seen)) = (system.join_info(&amara, &id).await, system.get(&recruiter, &path).await);
    assert_eq!(status, 200, "{seen}");
    for part in ["interview_context", "required_consents", "consent_policy_version"] {
        assert_eq!(seen[part], told[part]);
    }
    assert!(seen["interview_context"]["company"]["name"].as_str().is_some_and(|name| !name.is_empty()), "{seen}");
    assert_eq!(seen.as_object().map(serde_json::Map::len), Some(3), "and nothing else: {seen}");
    assert_eq!(refused(&system.get(&amara, &path).await), (403, "permission_denied"));
    system.stop().await;
}

//! Invites: a candidate without an account comes by a link, and nobody else does.

use crate::interview::{connect, stored};
use crate::support::system::System;
use crate::support::wait_for;
use interview_sandbox::GATEWAY_APP;
use interview_sandbox::mail::CaughtMail;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::HashSet;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const MEI: &str = "ca000000-0000-4000-8000-000000000013";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
const ANSWER: Duration = Duration::from_millis(900);
const PATIENCE: Duration = Duration::from_mins(1);

fn in_hours(hours: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::hours(hours)).format(&Rfc3339).expect("RFC 3339")
}

pub(crate) fn order(candidate: &str, more: &Value) -> Value {
    let mut order = json!({"candidate_id": candidate, "position_id": ENGINEER, "closes_at": in_hours(48), "zone": "Europe/Berlin",
        "settings": {"language": "en-US", "max_duration_s": 600}});
    order.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    order
}

fn secret_of(link: &str) -> String {
    link.split_once("/#/i/").unwrap_or_else(|| panic!("no link: {link}")).1.trim().to_owned()
}

pub(crate) fn refused(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

pub(crate) async fn admin(system: &System) -> PgPool {
    PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection")
}

pub(crate) async fn count(admin: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(admin).await.expect("a count")
}

pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) secret: String,
}

async fn make(system: &System, recruiter: &str, more: &Value) -> Made {
    make_for(system, recruiter, MEI, more).await
}

pub(crate) async fn make_for(system: &System, recruiter: &str, candidate: &str, more: &Value) -> Made {
    let (status, made) = system.post(recruiter, "/api/invites", &order(candidate, more)).await;
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name}: {made}")).to_owned();
    Made { id: text("invite_id"), secret: secret_of(&text("link")) }
}

pub(crate) async fn with_link(system: &System, path: &str, secret: &str) -> (u16, Value) {
    system.post("", &format!("/api/invite/{path}"), &json!({"secret": secret})).await
}

pub(crate) async fn state(system: &System, recruiter: &str, id: &str) -> String {
    system.get(recruiter, &format!("/api/invites/{id}")).await.1["state"].as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn mail_to(system: &System, address: &str, number: usize) -> CaughtMail {
    let of =
        || system.sandbox.mailbox().mails().into_iter().filter(|mail| mail.to.iter().any(|to| to == address)).collect::<Vec<_>>();
    wait_for("the mail arrives", || async { of().len() >= number }).await;
    of().swap_remove(number - 1)
}

pub(crate) fn line<'a>(calendar: &'a str, name: &str) -> &'a str {
    calendar.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {calendar}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_without_an_account_comes_by_mail_and_is_interviewed() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let made = make(&system, &recruiter, &json!({"send": true, "locale": "de"})).await;
    let mail = mail_to(&system, "mei@demo.test", 1).await;
    assert!(mail.subject.contains("Northwind Labs") && mail.text.contains("Europe/Berlin"), "{mail:?}");
    let calendar = mail.calendar.clone().expect("an entry for the calendar");
    assert_eq!((line(&calendar, "METHOD:"), line(&calendar, "SEQUENCE:")), ("REQUEST", "0"));
    let link = mail.text.lines().find(|line| line.contains("/#/i/")).expect("a link").to_owned();
    let secret = secret_of(&link);
    assert_ne!(secret, made.secret, "each mail has a link of its own");
    assert!(!calendar.contains(&secret), "calendars are shared");
    wait_for("it is sent", || async { state(&system, &recruiter, &made.id).await == "sent" }).await;
    // Rows only: no machine before somebody comes.
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 0);

    // A mail scanner follows the link, as often as it likes.
    for _ in 0..20 {
        system.get("", link.split('#').next().expect("an address").trim_start_matches(&system.sandbox.urls().front)).await;
    }
    for path in ["open", "start", "renew"] {
        assert_eq!(system.get("", &format!("/api/invite/{path}?secret={secret}")).await.0, 405, "{path}");
    }
    assert_eq!(state(&system, &recruiter, &made.id).await, "sent");

    let (status, page) = with_link(&system, "open", &secret).await;
    assert_eq!((status, page["state"].as_str()), (200, Some("opened")), "{page}");
    assert_eq!((page["company"].as_str(), page["zone"].as_str()), (Some("Northwind Labs"), Some("Europe/Berlin")), "{page}");
    assert_eq!((page["position"]["title"].as_str(), &page["max_duration_s"]), (Some("Senior Software Engineer"), &json!(600)));
    let (status, started) = with_link(&system, "start", &secret).await;
    assert_eq!(status, 200, "{started}");
    let (token, id) = (started["token"].as_str().expect("a token"), started["session_id"].as_str().expect("an id").to_owned());
    wait_for("the session's process is ready", || async { system.phase(&recruiter, &id).await == "ready" }).await;
    assert_eq!(system.phase(token, &id).await, "ready", "the page may look at its interview");
    // Which end counts is told to recruiters; whoever has the link knows it.
    let path = format!("/api/sessions/{id}");
    let invite = &system.get(&recruiter, &path).await.1["invite"];
    assert_eq!((&invite["invite_id"], &invite["closes_at"]), (&json!(made.id), &page["closes_at"]), "{invite}");
    assert_eq!(system.get(token, &path).await.1["invite"], Value::Null);
    let (status, renewed) = system.post(token, "/api/invite/renew", &json!({})).await;
    assert!(status == 200 && renewed["expires_at"].as_str() > started["expires_at"].as_str(), "{renewed}");

    let mut candidate = connect(&system, token, &id).await;
    candidate.join().await.expect("consent, offer, answer, media");
    candidate.answer(ANSWER).await.expect("answers once");
    // Whoever leaves in the middle of an answer has not given it.
    let transcript = format!("/api/sessions/{id}/transcript");
    wait_for("the answer is stored", || async {
        system.get(&recruiter, &transcript).await.1.to_string().contains(r#""speaker":"candidate""#)
    })
    .await;
    // Another device, by the other link: the same interview, and it takes over.
    drop(candidate);
    let (_, resumed) = with_link(&system, "start", &made.secret).await;
    assert_eq!(resumed["session_id"].as_str(), Some(id.as_str()), "{resumed}");
    assert_eq!(state(&system, &recruiter, &made.id).await, "started");
    assert_eq!(with_link(&system, "open", &secret).await.1["resumes"], true);
    let mut candidate = connect(&system, resumed["token"].as_str().expect("a token"), &id).await;
    candidate.join().await.expect("comes back");
    candidate.attend(ANSWER, PATIENCE).await.expect("the interviewer ends the interview");
    let (view, entries) = stored(&system, &recruiter, &id).await;
    assert!(view["summary"]["status"] == "stored" && entries.len() >= 3, "{view}");

    // Held once, and spent.
    wait_for("it is finished", || async { state(&system, &recruiter, &made.id).await == "finished" }).await;
    for secret in [&secret, &made.secret] {
        assert_eq!(refused(&with_link(&system, "start", secret).await), (410, "invite_spent"));
        let (_, page) = with_link(&system, "open", secret).await;
        assert_eq!((&page["state"], &page["resumes"]), (&json!("finished"), &json!(false)));
    }
    let given: Vec<String> =
        sqlx::query_scalar("select distinct given_by::text from app.consents").fetch_all(&admin).await.expect("rows");
    assert_eq!(given, [MEI], "the consents are the candidate's");
    // Opened again with a reason: one more.
    let reopened = json!({"closes_at": in_hours(72), "reason": "the line was bad", "send": false});
    let (status, again) = system.post(&recruiter, &format!("/api/invites/{}/reopen", made.id), &reopened).await;
    assert_eq!((status, &again["attempts"]), (200, &json!({"allowed": 2, "used": 1})), "{again}");
    let (status, second) = with_link(&system, "start", &secret).await;
    assert!(status == 200 && second["session_id"].as_str() != Some(id.as_str()), "{second}");
    system.stop().await;
}

/// The routes of the API, and what a body for them may be: none but the room's takes the token of an invite.
const ROUTES: [(&str, &str); 15] = [
    ("GET", "/api/me"),
    ("GET", "/api/positions"),
    ("GET", "/api/candidates"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("GET", "/api/sessions/{other}"),
    ("POST", "/api/sessions/{other}/ticket"),
    ("GET", "/api/sessions/{own}/preview"),
    ("POST", "/api/sessions/{own}/extend"),
    ("POST", "/api/sessions/{own}/end"),
    ("GET", "/api/sessions/{own}/transcript"),
    ("GET", "/api/sessions/{own}/summary"),
    ("GET", "/api/sessions/{own}/events"),
    ("GET", "/api/invites"),
    ("POST", "/api/invites"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_by_misusing_an_invite() {
    let system = System::start_with(&[("LIMITS__INVITE_LINKS_BURST", "1000000"), ("INVITES__TOKEN_TTL_S", "60")]).await;
    let (recruiter, rival) = (system.sign_in("recruiter@demo.test").await, system.sign_in("other@rival.test").await);
    let (amara, admin) = (system.amara().await, admin(&system).await);
    let mut tried = 0;

    // Links that are none: made up, cut, of another kind.
    let waiting = make(&system, &recruiter, &json!({"locale": "ja"})).await;
    for n in 0..500 {
        let bad = match n % 5 {
            0 => format!("{n:043}"),
            1 => waiting.secret[..n % 43].to_owned(),
            2 => format!("{}x", waiting.secret),
            3 => waiting.secret.to_uppercase(),
            _ => "x".repeat(101 + n),
        };
        for path in ["open", "start"] {
            assert_eq!(refused(&with_link(&system, path, &bad).await), (404, "invite_unknown"), "{bad}");
            tried += 1;
        }
    }
    // By their window and state.
    let early = make(&system, &recruiter, &json!({"opens_at": in_hours(1)})).await;
    assert_eq!(refused(&with_link(&system, "start", &early.secret).await), (403, "invite_too_early"));
    let expired = make(&system, &recruiter, &json!({})).await;
    let past = "update app.invites set opens_at = now() - interval '2 hours', closes_at = now() where id = $1::uuid";
    sqlx::query(past).bind(&expired.id).execute(&admin).await.expect("expired");
    assert_eq!(refused(&with_link(&system, "start", &expired.secret).await), (410, "invite_expired"));
    let (_, page) = with_link(&system, "open", &expired.secret).await;
    assert!(page["state"] == "expired" && page["closes_at"].is_string() && page["zone"] == "Europe/Berlin", "{page}");
    let revoked = make(&system, &recruiter, &json!({})).await;
    assert_eq!(system.post(&recruiter, &format!("/api/invites/{}/revoke", revoked.id), &json!({})).await.0, 200);
    assert_eq!(refused(&with_link(&system, "start", &revoked.secret).await), (410, "invite_revoked"));
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 0, "nobody is in");

    // Who may make and change them: recruiters of the company.
    let path = format!("/api/invites/{}", waiting.id);
    for (token, code) in [(&amara, "permission_denied"), (&rival, "jwt_tenant_refused")] {
        for action in ["link", "resend", "extend", "revoke", "reopen"] {
            let body = json!({"closes_at": in_hours(50), "reason": "x"});
            assert_eq!(refused(&system.post(token, &format!("{path}/{action}"), &body).await), (403, code), "{action}");
        }
        assert_eq!(refused(&system.post(token, "/api/invites", &order(MEI, &json!({}))).await), (403, code));
        assert_eq!(refused(&system.get(token, "/api/invites").await), (403, code));
        tried += 7;
    }

    // Fifty at once begin one interview.
    let starts = futures_util::future::join_all((0..50).map(|_| with_link(&system, "start", &waiting.secret))).await;
    let sessions: HashSet<&str> = starts.iter().map(|(_, started)| started["session_id"].as_str().unwrap_or("none")).collect();
    assert!(starts.iter().all(|(status, _)| *status == 200) && sessions.len() == 1, "{starts:?}");
    assert_eq!(count(&admin, "select count(*) from app.sessions").await, 1);
    let own = (*sessions.iter().next().expect("one")).to_owned();
    let other = crate::interview::new_session(&system, &recruiter).await;

    // A token is good for the room of its own interview and for nothing else.
    let token = starts[0].1["token"].as_str().expect("a token").to_owned();
    for (method, path) in ROUTES {
        let path = path.replace("{own}", &own).replace("{other}", &other);
        let body = json!({"candidate_id": MEI, "position_id": ENGINEER, "join_by": in_hours(1)});
        let answer = if method == "GET" { system.get(&token, &path).await } else { system.post(&token, &path, &body).await };
        assert!(matches!(answer.0, 401 | 403 | 404), "{method} {path}: {answer:?}");
        tried += 1;
    }
    for bad in [format!("{token}x"), token.to_uppercase(), "invite_".to_owned(), format!("invite_{}", waiting.secret)] {
        assert_eq!(refused(&system.post(&bad, &format!("/api/sessions/{own}/ticket"), &json!({})).await).0, 401, "{bad}");
        tried += 1;
    }
    assert_eq!(
        refused(&system.post(&amara, &format!("/api/sessions/{own}/ticket"), &json!({})).await).0,
        404,
        "another candidate"
    );
    assert_eq!(refused(&system.post(&amara, "/api/invite/renew", &json!({})).await), (403, "permission_denied"));
    assert_eq!(system.post(&token, &format!("/api/sessions/{own}/ticket"), &json!({})).await.0, 200);

    // Expired, it is none; the link gives another. Revoked, both are none at once, and the interview ends.
    let old = "update app.invite_tokens set expires_at = now() where token_sha256 = sha256($1::text::bytea)";
    assert_eq!(sqlx::query(old).bind(&token).execute(&admin).await.expect("expired").rows_affected(), 1);
    let ticket = format!("/api/sessions/{own}/ticket");
    assert_eq!(refused(&system.post(&token, &ticket, &json!({})).await), (401, "invite_token_refused"));
    let (_, again) = with_link(&system, "start", &waiting.secret).await;
    let token = again["token"].as_str().expect("a token");
    assert_eq!(system.post(token, &ticket, &json!({})).await.0, 200);
    assert_eq!(system.post(&recruiter, &format!("{path}/revoke"), &json!({"reason": "filled"})).await.0, 200);
    assert_eq!(refused(&system.post(token, &ticket, &json!({})).await), (401, "invite_token_refused"));
    assert_eq!(refused(&system.post(token, "/api/invite/renew", &json!({})).await), (401, "invite_token_refused"));
    assert_eq!(refused(&with_link(&system, "start", &waiting.secret).await), (410, "invite_revoked"));
    let asked =
        "select count(*) from app.audit_log where action = 'session_end_requested' and detail ->> 'because' = 'invite_revoked'";
    assert_eq!(count(&admin, asked).await, 1, "who has ended it is written down");
    wait_for("its interview ends", || async { system.phase(&recruiter, &own).await == "completed" }).await;
    assert!(tried >= 1_000, "{tried}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_whose_interviews_cannot_be_held_is_shown_as_such_and_opened_again() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let made = make(&system, &recruiter, &json!({})).await;
    sqlx::query("update app.invites set starts = 19 where id = $1::uuid")
        .bind(&made.id)
        .execute(&admin)
        .await
        .expect("begun often");
    let (status, last) = with_link(&system, "start", &made.secret).await;
    assert_eq!(status, 200, "{last}");
    let id = last["session_id"].as_str().expect("an id");
    assert_eq!(system.post(&recruiter, &format!("/api/sessions/{id}/end"), &json!({})).await.0, 202);
    wait_for("nothing is begun by it", || async { state(&system, &recruiter, &made.id).await == "exhausted" }).await;
    assert_eq!(with_link(&system, "open", &made.secret).await.1["state"], "exhausted", "the candidate sees it too");
    assert_eq!(refused(&with_link(&system, "start", &made.secret).await), (410, "invite_exhausted"));
    let stored = "select count(*) from app.invites where state = 'exhausted'";
    assert_eq!(count(&admin, stored).await, 1);
    let (_, found) = system.get(&recruiter, "/api/invites?state=exhausted").await;
    assert_eq!(found["items"][0]["invite_id"].as_str(), Some(made.id.as_str()), "{found}");

    let body = json!({"closes_at": in_hours(72), "reason": "the provider works again"});
    let path = format!("/api/invites/{}", made.id);
    for action in ["link", "resend", "extend"] {
        assert_eq!(
            refused(&system.post(&recruiter, &format!("{path}/{action}"), &body).await),
            (409, "invite_exhausted"),
            "{action}"
        );
    }
    let (status, again) = system.post(&recruiter, &format!("{path}/reopen"), &body).await;
    assert_eq!(
        (status, again["state"].as_str(), &again["attempts"]),
        (200, Some("opened"), &json!({"allowed": 1, "used": 0})),
        "{again}"
    );
    let (status, begun) = with_link(&system, "start", &made.secret).await;
    assert!(status == 200 && begun["session_id"].as_str() != Some(id), "{begun}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recruiter_changes_an_invite_within_its_rules_and_the_calendar_follows() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let made = make(&system, &recruiter, &json!({"send": true, "external_id": "ats-1"})).await;
    let path = format!("/api/invites/{}", made.id);
    let post = |action: &'static str, body: Value| {
        let (system, recruiter, path) = (&system, &recruiter, format!("{path}/{action}"));
        async move { system.post(recruiter, &path, &body).await }
    };
    let first = mail_to(&system, "mei@demo.test", 1).await;
    wait_for("it is sent", || async { state(&system, &recruiter, &made.id).await == "sent" }).await;

    // The same external id is the same invite; of somebody else it is refused.
    let again = system.post(&recruiter, "/api/invites", &order(MEI, &json!({"external_id": "ats-1"}))).await;
    assert_eq!((again.0, &again.1["invite_id"], &again.1["link"]), (200, &json!(made.id), &Value::Null), "{again:?}");
    let other = system.post(&recruiter, "/api/invites", &order(JONAS, &json!({"external_id": "ats-1"}))).await;
    assert_eq!(refused(&other), (409, "invite_conflicted"));
    for (bad, status, code) in [
        (json!({"zone": "Mars/Olympus"}), 400, "request_invalid"),
        (json!({"locale": "fr"}), 400, "request_invalid"),
        (json!({"closes_at": in_hours(-1)}), 422, "invite_window_invalid"),
        (json!({"closes_at": in_hours(24 * 91)}), 422, "invite_window_invalid"),
        (json!({"attempts": 0}), 400, "request_invalid"),
        (json!({"external_id": "a\u{0}b"}), 400, "request_invalid"),
        (json!({"candidate_id": "ca000000-0000-4000-8000-0000000000ff"}), 404, "candidate_not_found"),
        (json!({"position_id": "ca000000-0000-4000-8000-0000000000ff"}), 404, "position_not_found"),
        (json!({"settings": {"voice": "darth"}}), 422, "session_settings_invalid"),
    ] {
        assert_eq!(refused(&system.post(&recruiter, "/api/invites", &order(MEI, &bad)).await), (status, code), "{bad}");
    }

    assert_eq!(refused(&post("reopen", json!({"closes_at": in_hours(90), "reason": "x"})).await), (409, "invite_state_refused"));
    assert_eq!(refused(&post("extend", json!({"closes_at": in_hours(47)})).await), (422, "invite_window_invalid"));
    let (status, extended) = post("extend", json!({"closes_at": in_hours(60), "send": true})).await;
    assert_eq!(status, 200, "{extended}");
    let second = mail_to(&system, "mei@demo.test", 2).await;
    let (status, link) = post("link", json!({})).await;
    let copied = secret_of(link["link"].as_str().unwrap_or_default());
    assert!(status == 200 && with_link(&system, "open", &copied).await.0 == 200, "{link}");
    assert_eq!(with_link(&system, "open", &made.secret).await.0, 200, "those before it keep working");
    let (status, revoked) = post("revoke", json!({"reason": "the position is filled"})).await;
    assert_eq!(
        (status, revoked["state"].as_str(), revoked["reason"].as_str()),
        (200, Some("revoked"), Some("the position is filled"))
    );
    let third = mail_to(&system, "mei@demo.test", 3).await;
    assert!(!third.text.contains("/#/i/") && !third.text.contains("the position is filled"), "{third:?}");
    for action in ["resend", "link"] {
        assert_eq!(refused(&post(action, json!({})).await), (409, "invite_revoked"));
    }
    assert_eq!(post("revoke", json!({})).await.0, 200, "asking again changes nothing");
    let (status, reopened) = post("reopen", json!({"closes_at": in_hours(90), "reason": "a place is free", "send": true})).await;
    assert_eq!((status, reopened["state"].as_str()), (200, Some("opened")), "{reopened}");
    let fourth = mail_to(&system, "mei@demo.test", 4).await;
    assert_eq!(with_link(&system, "open", &made.secret).await.1["state"], "opened", "its links work again");

    // One entry of the calendar: the same id, rising numbers, cancelled and back.
    let calendars: Vec<String> =
        [&first, &second, &third, &fourth].into_iter().map(|mail| mail.calendar.clone().expect("an entry")).collect();
    let of = |name: &'static str| calendars.iter().map(|calendar| line(calendar, name)).collect::<Vec<_>>();
    assert_eq!(of("UID:").iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(of("METHOD:"), ["REQUEST", "REQUEST", "CANCEL", "REQUEST"]);
    assert_eq!(of("SEQUENCE:"), ["0", "1", "2", "3"]);
    assert_eq!(system.sandbox.mailbox().counts().0, 4, "nothing else was sent");
    let lines: Vec<String> =
        sqlx::query_scalar("select action from app.audit where target_kind = 'invite' and target_id = $1::uuid order by n")
            .bind(&made.id)
            .fetch_all(&admin)
            .await
            .expect("the audit");
    assert_eq!(lines, ["created", "extended", "link_copied", "revoked", "reopened"]);

    // Found by name and state, page by page.
    for n in 0..5 {
        make(&system, &recruiter, &json!({"external_id": format!("page-{n}")})).await;
    }
    let (_, found) = system.get(&recruiter, "/api/invites?q=page-&state=created&limit=3").await;
    let (_, rest) = system
        .get(
            &recruiter,
            &format!("/api/invites?q=page-&state=created&limit=3&cursor={}", found["next_cursor"].as_str().expect("more")),
        )
        .await;
    let ids: HashSet<String> = [&found, &rest]
        .iter()
        .flat_map(|page| page["items"].as_array().expect("items"))
        .map(|each| each["external_id"].to_string())
        .collect();
    assert_eq!((ids.len(), &rest["next_cursor"]), (5, &Value::Null), "{ids:?}");
    assert_eq!(system.get(&recruiter, "/api/invites?q=50%25_").await.1["items"], json!([]), "what is searched for is no pattern");
    assert_eq!(refused(&system.get(&recruiter, "/api/invites?state=nonsense").await), (400, "request_invalid"));
    system.stop().await;
}

/// How many there are, and how often their gateway is killed.
const MAILS: usize = 60;
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_is_lost_though_its_gateway_is_killed_and_a_repeated_one_is_the_same() {
    let keys = [("MAIL__TIMEOUT_MS", "2000"), ("MAIL__RETRY_MS", "200"), ("KEEPER__INTERVAL_MS", "500")];
    let system = System::start_with(&keys).await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let people = "insert into app.candidates (tenant_id, id, name, email)
        select '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', ('ce000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Person ' || n,
          case n when 1 then 'bounce-1@demo.test' when 2 then 'later-2@demo.test' else 'person-' || n || '@demo.test' end
        from generate_series(1, $1) n";
    sqlx::query(people).bind(MAILS as i32).execute(&admin).await.expect("people");
    let row =
        |n: usize| order(&format!("ce000000-0000-4000-8000-{n:012}"), &json!({"external_id": format!("row-{n}"), "send": true}));
    let mut rows: Vec<Value> = (1..=MAILS).map(row).collect();
    // Each row has a result of its own: a bad one costs no other.
    rows.push(json!({"candidate_id": "nobody"}));
    rows.push(order(MEI, &json!({"external_id": "row-1", "send": true})));
    rows.push(order(MEI, &json!({"send": true})));
    rows.push(order(MEI, &json!({"external_id": "given"})));
    system.sandbox.mailbox().set_pause(Duration::from_millis(150));
    let (status, made) = system.post(&recruiter, "/api/invites/bulk", &json!({"invites": rows})).await;
    assert_eq!((status, &made["created"], &made["refused"]), (200, &json!(MAILS + 1), &json!(3)), "{made}");
    let results = made["results"].as_array().expect("results");
    assert!(results.iter().enumerate().all(|(n, result)| result["row"] == n), "in order, none missing");
    assert!(results[MAILS + 3]["link"].is_string() && results[0]["link"].is_null(), "a link only where no mail is sent");

    for kill in 0..KILLS {
        let reached = (kill + 1) * MAILS / (KILLS + 2);
        wait_for("some have left", || async { system.sandbox.mailbox().counts().0 as usize >= reached }).await;
        let machines = system.sandbox.fly().machines(GATEWAY_APP);
        let pid = machines.first().and_then(|machine| machine.status().pid).expect("the gateway runs");
        assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
        wait_for("another gateway is there", || async {
            let machines = system.sandbox.fly().machines(GATEWAY_APP);
            machines.first().and_then(|machine| machine.status().pid).is_some_and(|now| now != pid)
        })
        .await;
    }
    let left = "select count(*) from app.mail_outbox where state not in ('sent', 'bounced')";
    wait_for("every mail has left", || async { count(&admin, left).await == 0 }).await;
    let mails = system.sandbox.mailbox().mails();
    let distinct: HashSet<&str> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
    let recipients: HashSet<&str> = mails.iter().flat_map(|mail| mail.to.iter().map(String::as_str)).collect();
    assert_eq!((distinct.len(), recipients.len()), (MAILS - 1, MAILS - 1), "0 lost; a repeated one has the same Message-ID");
    assert!(mails.len() < MAILS + KILLS * 4, "no more than was in hand at each kill is repeated: {}", mails.len());
    // Every copy leads to the invite, whichever the candidate opens.
    for mail in &mails {
        let secret = secret_of(mail.text.lines().find(|line| line.contains("/#/i/")).expect("a link"));
        assert_eq!(with_link(&system, "open", &secret).await.0, 200);
    }
    assert_eq!(count(&admin, "select count(*) from app.mail_outbox where state = 'bounced'").await, 1);
    assert_eq!(count(&admin, "select count(*) from app.invites where state = 'bounced'").await, 1);
    let tries: i32 = sqlx::query_scalar("select tries from app.mail_outbox where recipient = 'later-2@demo.test'")
        .fetch_one(&admin)
        .await
        .expect("a row");
    assert!(tries >= 2, "refused for now, tried again: {tries}");

    // The same rows again make nothing, and no mail.
    let rows: Vec<Value> = (1..=MAILS).map(row).collect();
    let (_, again) = system.post(&recruiter, "/api/invites/bulk", &json!({"invites": rows})).await;
    assert_eq!((&again["created"], &again["existing"]), (&json!(0), &json!(MAILS)), "{again}");
    assert_eq!(count(&admin, "select count(*) from app.mail_outbox").await, MAILS as i64);
    system.stop().await;
}

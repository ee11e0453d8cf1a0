//! A merge of two candidates, and what is begun for one of them at the same moment: nothing is left with the one who is gone.

use crate::invites::{admin, count, make_for, order, refused, with_link};
use crate::support::system::System;
use crate::support::wait_for;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
/// Of everything that names a candidate.
const LEFT_BEHIND: &str =
    "select (select count(*) from app.invites i join app.candidates c on c.id = i.candidate_id where c.merged_into is not null)
    + (select count(*) from app.sessions s join app.candidates c on c.id = s.candidate_id where c.merged_into is not null)";

async fn twin(admin: &PgPool, n: usize) -> String {
    let id = format!("ce000000-0000-4000-8000-{n:012}");
    let person = "insert into app.candidates (tenant_id, id, name, email)
                  values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', $1::uuid, 'Twin', 'twin-' || $2 || '@demo.test')";
    sqlx::query(person).bind(&id).bind(n as i32).execute(admin).await.expect("a person");
    id
}

async fn merge(system: &System, recruiter: &str, twin: &str) -> (u16, Value) {
    system.post(recruiter, &format!("/api/candidates/{JONAS}/merge"), &json!({"duplicate_id": twin})).await
}

async fn run(tx: &mut PgConnection, text: &'static str, id: &str) {
    sqlx::query(text).bind(id).execute(tx).await.expect("done");
}

/// Somebody of the gateway waits for a lock in a statement like this.
async fn waits(admin: &PgPool, like: &'static str) {
    wait_for("somebody waits", || async {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like $1";
        sqlx::query_scalar::<_, i64>(waiting).bind(like).fetch_one(admin).await.expect("a count") > 0
    })
    .await;
}

/// Between the look at who may be invited and the insert there is a moment; a merge fits into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_merged_while_something_is_made_for_them_is_not_made_it_for() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let gone =
        "update app.candidates set merged_into = 'ca000000-0000-4000-8000-000000000012', archived_at = now() where id = $1::uuid";
    for (n, path) in ["/api/invites", "/api/invites/bulk", "/api/sessions"].into_iter().enumerate() {
        let id = twin(&admin, n).await;
        let body = match path {
            "/api/invites" => order(&id, &json!({})),
            "/api/sessions" => json!({"candidate_id": id, "position_id": ENGINEER, "settings": {}}),
            _ => json!({"invites": [order(&id, &json!({"external_id": "gone"})), order(JONAS, &json!({"external_id": "here"}))]}),
        };
        let mut merging = admin.begin().await.expect("a transaction");
        run(&mut merging, "select from app.candidates where id = $1::uuid for update", &id).await;
        let (made, ()) = tokio::join!(system.post(&recruiter, path, &body), async {
            waits(&admin, "%app.candidates%for share%").await;
            run(&mut merging, gone, &id).await;
            merging.commit().await.expect("merged");
        });
        if path == "/api/invites/bulk" {
            let (status, made) = made;
            assert_eq!((status, &made["results"][0]["code"]), (200, &json!("candidate_not_found")), "{made}");
            assert_eq!(made["results"][1]["status"], "created", "a row costs no other: {made}");
        } else {
            assert_eq!(refused(&made), (404, "candidate_not_found"), "{path}: {}", made.1);
        }
    }
    // The same of a position.
    let mut archiving = admin.begin().await.expect("a transaction");
    run(&mut archiving, "select from app.positions where id = $1::uuid for update", ENGINEER).await;
    let body = order(JONAS, &json!({}));
    let (made, ()) = tokio::join!(system.post(&recruiter, "/api/invites", &body), async {
        waits(&admin, "%app.positions%for share%").await;
        run(&mut archiving, "update app.positions set archived_at = now() where id = $1::uuid", ENGINEER).await;
        archiving.commit().await.expect("archived");
    });
    assert_eq!(refused(&made), (404, "position_not_found"), "{}", made.1);
    assert_eq!(count(&admin, LEFT_BEHIND).await, 0);
    system.stop().await;
}

/// Head starts of the two, in milliseconds: together, and one clearly before the other.
const HEAD_STARTS: [(u64, u64); 10] = [(0, 0), (2, 0), (0, 2), (5, 0), (0, 5), (0, 0), (10, 0), (0, 10), (200, 0), (0, 200)];

async fn after<T>(wait: u64, work: impl Future<Output = T>) -> T {
    tokio::time::sleep(Duration::from_millis(wait)).await;
    work.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_and_an_invite_at_once_leave_nothing_behind_whoever_is_first() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let (mut invite_first, mut merge_first) = (0, 0);
    for n in 0..60 {
        let id = twin(&admin, n).await;
        let (one, other) = HEAD_STARTS[n % HEAD_STARTS.len()];
        let body = order(&id, &json!({}));
        let made = after(one, system.post(&recruiter, "/api/invites", &body));
        let (made, merged) = tokio::join!(made, after(other, merge(&system, &recruiter, &id)));
        assert_eq!(merged.0, 200, "{}", merged.1);
        match refused(&made) {
            (201, _) => invite_first += 1,
            (404, "candidate_not_found") => merge_first += 1,
            odd => panic!("{odd:?}"),
        }
        assert_eq!(count(&admin, LEFT_BEHIND).await, 0, "{n}");
    }
    assert!(invite_first > 0 && merge_first > 0, "{invite_first} {merge_first}");
    system.stop().await;
}

/// Whoever has the link is interviewed as the one who stays; or their interview runs, and nobody is merged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_and_a_start_at_once_end_as_if_one_had_come_after_the_other() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    let (mut start_first, mut merge_first) = (0, 0);
    for (n, (one, other)) in [(0, 0), (0, 0), (10, 0), (0, 10), (500, 0), (0, 500)].into_iter().enumerate() {
        let id = twin(&admin, n).await;
        let invite = make_for(&system, &recruiter, &id, &json!({})).await;
        let start = after(one, with_link(&system, "start", &invite.secret));
        let (started, merged) = tokio::join!(start, after(other, merge(&system, &recruiter, &id)));
        assert_eq!(started.0, 200, "{}", started.1);
        let session = started.1["session_id"].as_str().expect("an id");
        let whose: String = sqlx::query_scalar("select candidate_id::text from app.sessions where id = $1::uuid")
            .bind(session)
            .fetch_one(&admin)
            .await
            .expect("the session");
        match refused(&merged) {
            (200, _) => {
                merge_first += 1;
                assert_eq!(whose, JONAS);
            }
            (409, "merge_refused") => {
                start_first += 1;
                assert_eq!(whose, id);
            }
            odd => panic!("{odd:?}"),
        }
        assert_eq!(count(&admin, LEFT_BEHIND).await, 0);
        // It is over, so that the next one of Jonas can be begun: his processes are fenced off.
        let over =
            "update app.sessions set phase = 'failed', end_reason = 'candidate_absent', epoch = epoch + 1, ended_at = now()
                    where id = $1::uuid";
        sqlx::query(over).bind(session).execute(&admin).await.expect("over");
    }
    assert!(start_first > 0 && merge_first > 0, "{start_first} {merge_first}");
    system.stop().await;
}

/// The database ends one of two who wait for each other. Whoever asked does not learn of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deadlock_has_ended_is_done_once_more() {
    let system = System::start().await;
    let (recruiter, admin) = (system.sign_in("recruiter@demo.test").await, admin(&system).await);
    for (n, action) in ["start", "revoke", "merge"].into_iter().enumerate() {
        let id = twin(&admin, n).await;
        let invite = make_for(&system, &recruiter, &id, &json!({})).await;
        if action == "revoke" {
            let (status, started) = with_link(&system, "start", &invite.secret).await;
            let session = started["session_id"].as_str().unwrap_or_else(|| panic!("{status} {started}"));
            wait_for("its process has claimed it", || async { system.phase(&recruiter, session).await == "ready" }).await;
        }
        // It holds what the request asks for second, and asks for what that holds; it has more patience.
        let (mine, theirs, like) = match action {
            "revoke" => (
                "select from app.sessions where candidate_id = $1::uuid for update",
                "select from app.invites where candidate_id = $1::uuid for update",
                "update app.invites set reason%",
            ),
            _ => (
                "select from app.candidates where id = $1::uuid for update",
                "select from app.invites where candidate_id = $1::uuid for update",
                "%app.candidates%order by id for %",
            ),
        };
        let mut crossing = admin.begin().await.expect("a transaction");
        sqlx::query("set local deadlock_timeout = '1min'").execute(&mut *crossing).await.expect("patience");
        run(&mut crossing, mine, &id).await;
        let asked = async {
            match action {
                "start" => with_link(&system, "start", &invite.secret).await,
                "merge" => merge(&system, &recruiter, &id).await,
                _ => system.post(&recruiter, &format!("/api/invites/{}/revoke", invite.id), &json!({})).await,
            }
        };
        let before = count(&admin, "select deadlocks from pg_stat_database where datname = current_database()").await;
        let (done, ()) = tokio::join!(asked, async {
            waits(&admin, like).await;
            run(&mut crossing, theirs, &id).await;
            crossing.commit().await.expect("done");
        });
        assert_eq!(done.0, 200, "{action}: {}", done.1);
        wait_for("the database tells of it", || async {
            count(&admin, "select deadlocks from pg_stat_database where datname = current_database()").await > before
        })
        .await;
    }
    system.stop().await;
}

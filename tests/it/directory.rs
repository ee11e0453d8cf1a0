//! What a company makes by itself, over HTTP: candidates, positions, the library of competencies. And what misuse of it gets.

use crate::support::system::System;
use crate::support::wait_for;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";

fn told(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap_or_else(|| panic!("no id: {made}"))
}

async fn admin(system: &System) -> PgPool {
    PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection")
}

async fn count(admin: &PgPool, table: &'static str) -> i64 {
    let text = format!("select count(*) from app.{table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(admin).await.expect("a count")
}

/// `action kind`, newest first.
async fn audited(admin: &PgPool, target: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select action || ' ' || target_kind || ' by ' || actor_role from app.audit where target_id = $1::uuid order by n desc",
    )
    .bind(target)
    .fetch_all(admin)
    .await
    .expect("the audit")
}

/// A file of so many people.
fn people(count: usize, domain: &str) -> String {
    (0..count).fold("name,email\n".to_owned(), |file, n| file + &format!("Person {n},p{n}@{domain}\n"))
}

struct Desk {
    system: System,
    token: String,
}

impl Desk {
    async fn open() -> Self {
        let system = System::start().await;
        let token = system.sign_in("recruiter@demo.test").await;
        Self { system, token }
    }

    /// Another recruiter of the company.
    fn colleague(&self) -> String {
        let supabase = self.system.sandbox.supabase();
        let mut options = supabase.options_for(&supabase.user("recruiter@demo.test").expect("a user"));
        "7a000000-0000-4000-8000-0000000000ff".clone_into(&mut options.subject);
        supabase.mint(options)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.system.get(&self.token, path).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.system.post(&self.token, path, body).await
    }

    async fn made(&self, path: &str, body: &Value) -> Value {
        let (status, made) = self.post(path, body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    async fn patch(&self, path: &str, version: &str, body: &Value) -> (u16, Value) {
        self.system.patch(&self.token, path, body, &[("if-match", version)]).await
    }

    async fn import(&self, query: &str, file: impl Into<Vec<u8>>) -> (u16, Value) {
        self.system.post_bytes(&self.token, &format!("/api/candidates/import{query}"), "text/csv", file.into(), &[]).await
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let (status, list) = self.get(path).await;
        assert_eq!(status, 200, "{list}");
        let items = list["items"].as_array().expect("items");
        items.iter().map(|item| item["name"].as_str().or(item["title"].as_str()).expect("a name").to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_keeps_its_candidates_without_sql() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    // As the page of before asks: everybody, by name, with what it knew.
    assert_eq!(desk.names("/api/candidates").await, ["Amara Okafor", "Jonas Weber", "Mei Tanaka"]);
    let (_, list) = desk.get("/api/candidates").await;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["email"]), (&json!(AMARA), &json!("amara@demo.test")), "{list}");
    assert!(list["next_cursor"].is_null() && list["items"][0]["has_account"] == true, "{list}");

    let new = json!({"name": " Zoë Quinn ", "email": "zoe@demo.test", "external_id": "ATS-7", "tags": ["berlin", "berlin", ""]});
    let made = desk.made("/api/candidates", &new).await;
    let path = format!("/api/candidates/{}", id(&made));
    assert_eq!((&made["name"], &made["tags"], &made["version"]), (&json!("Zoë Quinn"), &json!(["berlin"]), &json!(1)));
    let (status, headers, read) = desk.system.get_with_headers(&desk.token, &path).await;
    assert_eq!((status, headers["etag"].to_str().expect("text"), &read), (200, "\"1\"", &made));

    let (status, changed) = desk.patch(&path, "\"1\"", &json!({"external_id": null, "tags": ["remote"]})).await;
    assert_eq!(
        (status, &changed["version"], &changed["external_id"], &changed["name"]),
        (200, &json!(2), &Value::Null, &made["name"])
    );
    // What changes nothing makes no version and no line.
    let (_, same) = desk.patch(&path, "*", &json!({"tags": ["remote"]})).await;
    assert_eq!(same, changed);

    for _ in 0..2 {
        let (status, gone) = desk.post(&format!("{path}/archive"), &Value::Null).await;
        assert!(status == 200 && gone["archived_at"].is_string() && gone["version"] == 3, "{gone}");
    }
    assert_eq!(desk.names("/api/candidates?q=zo%C3%AB").await, Vec::<String>::new());
    assert_eq!(desk.names("/api/candidates?q=QUINN&state=archived").await, ["Zoë Quinn"]);
    assert_eq!(told(&desk.patch(&path, "\"3\"", &json!({"name": "Z"})).await), (409, "resource_archived"));
    let order = json!({"candidate_id": id(&made), "position_id": ENGINEER, "settings": {}});
    assert_eq!(told(&desk.post("/api/sessions", &order).await), (404, "candidate_not_found"));
    let (status, back) = desk.post(&format!("{path}/restore"), &json!({})).await;
    assert!(status == 200 && back["archived_at"].is_null(), "{back}");
    assert_eq!(desk.names("/api/candidates?tag=remote").await, ["Zoë Quinn"]);
    assert_eq!(desk.names("/api/candidates?q=REM%20zo").await, ["Zoë Quinn"], "by a tag and a name");
    assert_eq!(desk.names("/api/candidates?email=ZOE@demo.test").await, ["Zoë Quinn"]);
    assert_eq!(desk.names("/api/candidates?q=demo.test%20zo").await, ["Zoë Quinn"]);
    assert_eq!(desk.names("/api/candidates?q=%25").await, Vec::<String>::new(), "a sign of a pattern means itself");
    let lines = ["restored", "archived", "changed", "created"].map(|action| format!("{action} candidate by recruiter"));
    assert_eq!(audited(&admin, id(&made)).await, lines);
    let history = format!("/api/audit?target_kind=candidate&target_id={}", id(&made));
    let (_, first) = desk.get(&format!("{history}&limit=3")).await;
    let next = first["next_cursor"].as_str().expect("there is more");
    let (_, last) = desk.get(&format!("{history}&limit=3&cursor={next}")).await;
    assert_eq!(
        (&first["items"][2]["action"], &first["items"][2]["detail"]["fields"]),
        (&json!("changed"), &json!(["external_id", "tags"]))
    );
    assert_eq!((&last["items"][0]["action"], &last["next_cursor"]), (&json!("created"), &Value::Null), "{last}");
    assert_eq!(desk.get(&history.replace("candidate&", "position&")).await.1["items"], json!([]));
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_keeps_its_positions_and_a_library_that_they_copy_from() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    let anchors = json!({"1": "Cannot say why", "3": "Names one reason", "5": "Weighs several"});
    let depth = desk.made("/api/competencies", &json!({"name": "Depth", "definition": "Knows why", "anchors": anchors})).await;
    let depth_path = format!("/api/competencies/{}", id(&depth));
    assert_eq!((&depth["anchors"], &depth["positions"]), (&anchors, &json!(0)));
    assert_eq!(told(&desk.post("/api/competencies", &json!({"name": "dePTH"})).await), (409, "competency_name_taken"));

    let own = json!({"name": "Craft"});
    let copied = json!({"name": "Depth", "description": "Knows why", "library_id": id(&depth)});
    let new = json!({"title": "Baker", "guidance": "Ask about bread.", "competencies": [copied, own]});
    let made = desk.made("/api/positions", &new).await;
    let path = format!("/api/positions/{}", id(&made));
    assert_eq!(desk.get(&depth_path).await.1["positions"], 1);

    // Changed order, one renamed, one gone: who stays keeps its id.
    let kept = json!({"id": made["competencies"][1]["id"], "name": "Craft and care"});
    let (status, changed) = desk.patch(&path, "\"1\"", &json!({"competencies": [kept, {"name": "New"}]})).await;
    assert_eq!((status, changed["competencies"].as_array().map(Vec::len)), (200, Some(2)), "{changed}");
    assert_eq!((&changed["competencies"][0]["id"], &changed["title"]), (&made["competencies"][1]["id"], &json!("Baker")));
    assert_eq!(desk.get(&depth_path).await.1["positions"], 0);
    let theirs = json!({"competencies": [{"id": "c0000000-0000-4000-8000-000000000001", "name": "Taken"}]});
    let refused = desk.patch(&path, "\"2\"", &theirs).await;
    assert_eq!((told(&refused), &refused.1["errors"][0]["field"]), ((422, "fields_invalid"), &json!("competencies[0].id")));
    let unknown = json!({"title": "T", "competencies": [{"name": "N", "library_id": AMARA}]});
    assert_eq!(told(&desk.post("/api/positions", &unknown).await), (422, "fields_invalid"));

    // One that is alike, also of one that is archived; what is archived is offered to nobody.
    let (_, gone) = desk.post(&format!("{path}/archive"), &Value::Null).await;
    assert!(gone["archived_at"].is_string(), "{gone}");
    assert!(!desk.names("/api/positions").await.contains(&"Baker".to_owned()));
    let order = json!({"candidate_id": AMARA, "position_id": id(&made), "settings": {}});
    assert_eq!(told(&desk.post("/api/sessions", &order).await), (404, "position_not_found"));
    let copy = desk.made(&format!("{path}/duplicate"), &Value::Null).await;
    assert_eq!((&copy["title"], copy["archived_at"].is_null()), (&json!("Baker (copy)"), true), "{copy}");
    let ids = |position: &Value| -> BTreeSet<String> {
        position["competencies"].as_array().expect("a list").iter().map(|one| one["id"].to_string()).collect()
    };
    assert!(ids(&copy).len() == 2 && ids(&copy).is_disjoint(&ids(&changed)), "{copy}");
    // An interview can be had for it at once.
    let order = json!({"candidate_id": AMARA, "position_id": id(&copy), "settings": {}});
    let (status, session) = desk.post("/api/sessions", &order).await;
    assert_eq!((status, &session["interview_context"]["competencies"][0]["name"]), (201, &json!("Craft and care")), "{session}");

    // The library: a change of one anchor, an archived name is free again, and then the old one cannot come back.
    let (status, sharper) = desk.patch(&depth_path, "\"1\"", &json!({"anchors": {"3": "Names the reason"}})).await;
    assert_eq!((status, &sharper["anchors"]["3"], &sharper["anchors"]["5"]), (200, &json!("Names the reason"), &anchors["5"]));
    desk.post(&format!("{depth_path}/archive"), &Value::Null).await;
    let second = desk.made("/api/competencies", &json!({"name": "Depth"})).await;
    assert_eq!(told(&desk.post(&format!("{depth_path}/restore"), &Value::Null).await), (409, "competency_name_taken"));
    assert_eq!(desk.names("/api/competencies?state=all").await, ["Depth", "Depth"]);
    assert_eq!(desk.names("/api/competencies?q=knows&state=all").await, ["Depth"]);
    let second_path = format!("/api/competencies/{}", id(&second));
    assert_eq!(told(&desk.patch(&second_path, "\"9\"", &json!({})).await), (412, "version_conflicted"));
    assert_eq!(
        audited(&admin, id(&made)).await,
        ["archived", "changed", "created"].map(|a| format!("{a} position by recruiter"))
    );
    assert_eq!(
        audited(&admin, id(&depth)).await,
        ["archived", "changed", "created"].map(|a| format!("{a} competency by recruiter"))
    );
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_candidates_is_tried_imported_and_imported_again() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    let before = count(&admin, "candidates").await;
    let file = "\u{feff}Name;E-mail;External ID;Tags;Phone\r\n\
                Nia Long;nia@demo.test;A-1;berlin|senior;1\r\n\
                =HYPERLINK(\"http://x\");evil@demo.test;A-2;;2\r\n\
                Amara Okafor;AMARA@demo.test;A-3;;3\r\n\
                Nobody;not an address;A-4;;4\r\n\
                Nia Again;nia2@demo.test;A-1;;5\r\n\
                N\0l;nul@demo.test;A-6;;6\r\n";
    let (status, tried) = desk.import("?dry_run=true", file).await;
    assert_eq!(status, 200, "{tried}");
    let counts =
        |view: &Value| ["rows", "created", "updated", "unchanged", "refused"].map(|key| view[key].as_i64().expect("a count"));
    assert_eq!(counts(&tried), [6, 1, 1, 0, 4], "{tried}");
    let errors: Vec<(i64, &str)> = tried["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["line"].as_i64().expect("a line"), error["field"].as_str().expect("a field")))
        .collect();
    assert_eq!(errors, [(3, "name"), (5, "email"), (6, "external_id"), (7, "name")], "{tried}");
    assert_eq!((&tried["ignored_columns"], count(&admin, "candidates").await), (&json!(["Phone"]), before), "nothing is kept");

    let (_, done) = desk.import("", file).await;
    assert_eq!(counts(&done), counts(&tried), "{done}");
    assert_eq!(count(&admin, "candidates").await, before + 1);
    let (_, amara) = desk.get(&format!("/api/candidates/{AMARA}")).await;
    assert_eq!((&amara["external_id"], &amara["version"]), (&json!("A-3"), &json!(2)), "she is known by her address: {amara}");
    assert_eq!(audited(&admin, AMARA).await, ["changed candidate by recruiter"]);
    let (_, again) = desk.import("", file).await;
    assert_eq!(counts(&again), [6, 0, 0, 2, 4], "{again}");

    // The same file eight times at once, of people who are known by their address alone: one runs, the others come again.
    let file = people(200, "raced.test");
    let import = || async {
        for _ in 0..1_000 {
            let answer = desk.import("", file.as_str()).await;
            if told(&answer) != (429, "request_rate_exceeded") {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never its turn");
    };
    let done = futures_util::future::join_all((0..8).map(|_| import())).await;
    let created: i64 = done.iter().map(|(status, view)| if *status == 200 { counts(view)[1] } else { panic!("{view}") }).sum();
    let kept: i64 = sqlx::query_scalar("select count(*) from app.candidates where email like '%@raced.test'")
        .fetch_one(&admin)
        .await
        .expect("a count");
    assert_eq!((created, kept), (200, 200));
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_file_of_candidates_is_refused_whole() {
    let desk = Desk::open().await;
    for (file, code) in [
        (Vec::new(), (422, "import_invalid")),
        (b"name,email\nJos\xe9,j@x.test".to_vec(), (422, "import_invalid")),
        (b"Amara,amara@demo.test\n".to_vec(), (422, "import_invalid")),
        (people(5_001, "big.test").into_bytes(), (422, "import_invalid")),
        (vec![b'x'; 3 * 1024 * 1024], (413, "request_oversized")),
        (b"name,email\nA,a@x.test\n\"B,b@x.test\nC,c@x.test\n".to_vec(), (422, "import_invalid")),
    ] {
        assert_eq!(told(&desk.import("", file).await), code);
    }
    let (_, open) = desk.import("", "name,email\nA,a@x.test\n\"B,b@x.test\nC,c@x.test\n").await;
    assert!(open["detail"].as_str().expect("a detail").starts_with("line 3: "), "{open}");
    // Another gateway's import has its turn: nobody waits for it with a connection in hand.
    let mut other = admin(&desk.system).await.begin().await.expect("a transaction");
    let turn =
        "insert into app.keeper_duties (tenant_id, duty) values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'candidate_import')
                on conflict (tenant_id, duty) do update set due_at = now()";
    assert_eq!(desk.import("", people(1, "first.test")).await.0, 200);
    sqlx::query(turn).execute(&mut *other).await.expect("its turn");
    assert_eq!(told(&desk.import("", people(1, "second.test")).await), (429, "request_rate_exceeded"));
    other.rollback().await.expect("over");
    assert_eq!(desk.import("", people(1, "second.test")).await.0, 200);
    // Everything that may be, at once.
    let begun = Instant::now();
    let (status, done) = desk.import("", people(5_000, "big.test")).await;
    assert_eq!((status, &done["created"]), (200, &json!(5_000)), "{done}");
    println!("5,000 candidates imported in {:?}", begun.elapsed());
    let bad = format!("name,email\n{}", "=1,nobody\n".repeat(2_000));
    let (_, told) = desk.import("?dry_run=true", bad).await;
    assert_eq!(
        (told["errors"].as_array().map(Vec::len), &told["errors_left_off"]),
        (Some(1_000), &json!(3_000)),
        "{}",
        told["rows"]
    );
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_done_once_and_another_one_under_its_key_is_refused() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    let new = |name: &str| json!({"name": name, "email": "once@demo.test", "external_id": "once"});
    let key = [("idempotency-key", "k-1")];
    let first = new("Once");
    let asked = (0..10).map(|_| desk.system.post_with(&desk.token, "/api/candidates", &first, &key));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 201), "{answers:?}");
    assert_eq!(audited(&admin, id(&answers[0].1)).await.len(), 1);
    let other = desk.system.post_with(&desk.token, "/api/candidates", &new("Twice"), &key).await;
    assert_eq!(told(&other), (409, "idempotency_conflicted"));
    let elsewhere = desk.system.post_with(&desk.token, "/api/competencies", &new("Once"), &key).await;
    assert_eq!(told(&elsewhere), (400, "request_invalid"), "it is read before its key is looked up");
    let elsewhere = desk.system.post_with(&desk.token, "/api/competencies", &json!({"name": "Once"}), &key).await;
    assert_eq!(told(&elsewhere), (409, "idempotency_conflicted"));
    // What was refused has used nothing up.
    let key = [("idempotency-key", "k-2")];
    assert_eq!(
        told(&desk.system.post_with(&desk.token, "/api/candidates", &new("Other"), &key).await),
        (409, "external_id_taken")
    );
    let fixed = json!({"name": "Other", "email": "other@demo.test"});
    assert_eq!(desk.system.post_with(&desk.token, "/api/candidates", &fixed, &key).await.0, 201);
    // Somebody else's key is their own.
    let colleague = desk.colleague();
    assert_eq!(desk.system.post_with(&colleague, "/api/candidates", &fixed, &key).await.0, 201);
    // After a day it stands for nothing.
    let age = "update app.idempotency_keys set created_at = now() - interval '25 hours'";
    sqlx::query(age).execute(&admin).await.expect("aged");
    let late =
        desk.system.post_with(&desk.token, "/api/competencies", &json!({"name": "Late"}), &[("idempotency-key", "k-1")]).await;
    assert_eq!(late.0, 201, "{}", late.1);
    // The others are taken away with the next turn of that duty.
    sqlx::query("delete from app.keeper_duties where duty = 'idempotency_keys'").execute(&admin).await.expect("due");
    wait_for("old keys are forgotten", || async { count(&admin, "idempotency_keys").await == 1 }).await;
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_id_is_one_candidates_and_a_change_of_an_old_version_is_refused_also_when_raced() {
    let desk = Desk::open().await;
    let new = |n: usize| json!({"name": format!("N{n}"), "email": format!("n{n}@demo.test"), "external_id": "E-1"});
    let bodies: Vec<Value> = (0..20).map(new).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| desk.post("/api/candidates", body))).await;
    let made: Vec<&Value> = answers.iter().filter(|(status, _)| *status == 201).map(|(_, made)| made).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.0 == 201 || told(answer) == (409, "external_id_taken")), "{answers:?}");
    let taken = desk.patch(&format!("/api/candidates/{JONAS}"), "\"1\"", &json!({"external_id": "E-1"})).await;
    assert_eq!(told(&taken), (409, "external_id_taken"));

    let path = format!("/api/candidates/{}", id(made[0]));
    let names: Vec<Value> = (0..20).map(|n| json!({"name": format!("Name {n}")})).collect();
    let answers = futures_util::future::join_all(names.iter().map(|body| desk.patch(&path, "\"1\"", body))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.0 == 200 || told(answer) == (412, "version_conflicted")), "{answers:?}");
    let without = desk.system.patch(&desk.token, &path, &json!({"name": "N"}), &[]).await;
    assert_eq!(told(&without), (428, "version_required"));
    for odd in ["", "\"\"", "\"two\"", "\"1\", \"3\"", "\"99999999999\""] {
        assert_eq!(told(&desk.patch(&path, odd, &json!({"name": "N"})).await), (412, "version_conflicted"), "{odd}");
    }
    assert_eq!(desk.patch(&path, "\"7\", W/\"2\"", &json!({"name": "N"})).await.0, 200);
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_candidates_who_are_one_person_become_one() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    let new = json!({"name": "J. Weber", "email": "weber@home.test", "external_id": "W-1", "tags": ["night"]});
    let twin = desk.made("/api/candidates", &new).await;
    let twin_path = format!("/api/candidates/{}", id(&twin));
    let order = json!({"candidate_id": id(&twin), "position_id": ENGINEER, "settings": {}});
    let (_, session) = desk.post("/api/sessions", &order).await;
    let session = session["session_id"].as_str().expect("an id");
    let path = format!("/api/candidates/{JONAS}/merge");
    let merge = json!({"duplicate_id": id(&twin)});
    assert_eq!(told(&desk.post(&path, &merge).await), (409, "merge_refused"), "somebody may be talking in it");
    sqlx::query("update app.sessions set phase = 'completed' where id = $1::uuid")
        .bind(session)
        .execute(&admin)
        .await
        .expect("over");
    assert_eq!(told(&desk.post(&path, &json!({"duplicate_id": JONAS})).await), (409, "merge_refused"));
    assert_eq!(told(&desk.post(&path, &json!({"duplicate_id": ENGINEER})).await), (404, "candidate_not_found"));

    // Another interview is begun while the merge waits for its turn: it is seen.
    let mut begun = admin.begin().await.expect("a transaction");
    for text in [
        "select from app.candidates where id = $1::uuid for share",
        "update app.sessions set phase = 'live' where candidate_id = $1::uuid",
    ] {
        sqlx::query(text).bind(id(&twin)).execute(&mut *begun).await.expect("begun");
    }
    let (waited, ()) = tokio::join!(desk.post(&path, &merge), async {
        wait_for("the merge waits", || async {
            let waiting =
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%app.candidates%'";
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(&admin).await.expect("a count") > 0
        })
        .await;
        begun.commit().await.expect("kept");
    });
    assert_eq!(told(&waited), (409, "merge_refused"), "{waited:?}");
    sqlx::query("update app.sessions set phase = 'completed' where id = $1::uuid")
        .bind(session)
        .execute(&admin)
        .await
        .expect("over");

    let answers = futures_util::future::join_all((0..5).map(|_| desk.post(&path, &merge))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    let (_, jonas) = desk.get(&format!("/api/candidates/{JONAS}")).await;
    assert_eq!((&jonas["external_id"], &jonas["tags"], &jonas["has_account"]), (&json!("W-1"), &json!(["night"]), &json!(true)));
    let (_, seen) = desk.get(&format!("/api/sessions/{session}")).await;
    assert_eq!(seen["candidate"]["id"], JONAS, "{seen}");
    let (_, gone) = desk.get(&twin_path).await;
    assert!(gone["archived_at"].is_string() && gone["merged_into"] == JONAS && gone["external_id"].is_null(), "{gone}");
    assert_eq!(told(&desk.post(&format!("{twin_path}/restore"), &Value::Null).await), (409, "resource_archived"));
    assert_eq!(audited(&admin, JONAS).await, ["merged candidate by recruiter"]);
    assert_eq!(audited(&admin, id(&twin)).await[0], "archived candidate by recruiter");
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_this_companys_recruiters_reaches_what_it_keeps() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    let library = desk.made("/api/competencies", &json!({"name": "Depth"})).await;
    let (amara, rival) = (desk.system.amara().await, desk.system.sign_in("other@rival.test").await);
    let new = json!({"name": "N", "email": "n@x.test"});
    let before = count(&admin, "audit").await;
    for (token, refusal) in
        [(&amara, (403, "permission_denied")), (&rival, (403, "jwt_tenant_refused")), (&String::new(), (401, "jwt_missing"))]
    {
        for (kind, id) in [("candidates", AMARA), ("positions", ENGINEER), ("competencies", id(&library))] {
            let one = format!("/api/{kind}/{id}");
            // A candidate's own list of positions is another thing.
            if !(kind == "positions" && token == &amara) {
                assert_eq!(told(&desk.system.get(token, &format!("/api/{kind}")).await), refusal, "{kind}");
            }
            assert_eq!(told(&desk.system.get(token, &one).await), refusal, "{kind}");
            assert_eq!(told(&desk.system.post(token, &format!("/api/{kind}"), &new).await), refusal, "{kind}");
            assert_eq!(told(&desk.system.patch(token, &one, &json!({}), &[("if-match", "*")]).await), refusal, "{kind}");
            for verb in ["archive", "restore"] {
                assert_eq!(told(&desk.system.post(token, &format!("{one}/{verb}"), &Value::Null).await), refusal, "{kind}");
            }
        }
        let history = format!("/api/audit?target_kind=competency&target_id={}", id(&library));
        assert_eq!(told(&desk.system.get(token, &history).await), refusal);
        let import =
            desk.system.post_bytes(token, "/api/candidates/import", "text/csv", b"name,email\nN,n@x.test".to_vec(), &[]).await;
        assert_eq!(told(&import), refusal);
        assert_eq!(
            told(&desk.system.post(token, &format!("/api/candidates/{AMARA}/merge"), &json!({"duplicate_id": JONAS})).await),
            refusal
        );
        assert_eq!(told(&desk.system.post(token, &format!("/api/positions/{ENGINEER}/duplicate"), &Value::Null).await), refusal);
    }
    // Nor do ids of another tenant mean anything here.
    sqlx::query(
        "insert into app.candidates (tenant_id, id, name, email) values
           ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0002', 'ca000000-0000-4000-8000-000000000099', 'Nobody Known', 'n@rival.test')",
    )
    .execute(&admin)
    .await
    .expect("a rival's candidate");
    let theirs = "ca000000-0000-4000-8000-000000000099";
    assert_eq!(told(&desk.get(&format!("/api/candidates/{theirs}")).await), (404, "candidate_not_found"));
    assert_eq!(told(&desk.patch(&format!("/api/candidates/{theirs}"), "*", &json!({})).await), (404, "candidate_not_found"));
    assert_eq!(
        told(&desk.post(&format!("/api/candidates/{AMARA}/merge"), &json!({"duplicate_id": theirs})).await),
        (404, "candidate_not_found")
    );
    assert_eq!(desk.names("/api/candidates?q=nobody%20known").await, Vec::<String>::new());
    assert_eq!(count(&admin, "audit").await, before, "what is refused changes nothing");
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_refused_at_its_field_and_what_cannot_be_asked_at_once() {
    let desk = Desk::open().await;
    let good = json!({"name": "N", "email": "n@x.test"});
    for (path, body, fields) in [
        ("/api/candidates", json!({"name": "a\0b", "email": "n@x.test"}), vec!["name"]),
        ("/api/candidates", json!({"name": "", "email": "x"}), vec!["name", "email"]),
        ("/api/candidates", json!({"name": "@SUM(1)", "email": "n@x.test", "external_id": "+1"}), vec!["name", "external_id"]),
        (
            "/api/candidates",
            json!({"name": "\u{200b}=1", "email": "n@x.test", "external_id": "\u{ff0b}1", "tags": ["\u{2060}\u{ff1d}1"]}),
            vec!["name", "external_id", "tags"],
        ),
        ("/api/candidates", json!({"name": "x".repeat(201), "email": "n@x.test"}), vec!["name"]),
        ("/api/candidates", json!({"name": "N", "email": "n@x.test\r\nBcc: a@b.cd"}), vec!["email"]),
        ("/api/positions", json!({"title": "\u{202e}T", "description": "x".repeat(4_001)}), vec!["title", "description"]),
        ("/api/competencies", json!({"name": "N", "anchors": {"5": "x".repeat(1_001)}}), vec!["anchors.5"]),
    ] {
        let refused = desk.post(path, &body).await;
        let named: Vec<&str> = refused.1["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .map(|error| error["field"].as_str().expect("a field"))
            .collect();
        assert_eq!((told(&refused), named), ((422, "fields_invalid"), fields), "{}", refused.1);
    }
    for body in [
        json!(null),
        json!([]),
        json!({"name": "N"}),
        json!({"name": "N", "email": "n@x.test", "role": "owner"}),
        json!({"name": 1, "email": 2}),
    ] {
        assert_eq!(told(&desk.post("/api/candidates", &body).await), (400, "request_invalid"), "{body}");
    }
    for id in ["1", "%00", "..", "ca000000-0000-4000-8000-0000000000zz"] {
        assert_eq!(told(&desk.get(&format!("/api/candidates/{id}")).await).0, 404, "{id}");
    }
    let cursor = desk.get("/api/candidates?limit=1").await.1["next_cursor"].as_str().expect("a cursor").to_owned();
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=%00",
        "q=%00",
        "tag=%00",
        "email=%0a",
        "sort=email",
        "state=x",
        &format!("sort=-created_at&cursor={cursor}"),
    ] {
        assert_eq!(told(&desk.get(&format!("/api/candidates?{query}")).await), (400, "request_invalid"), "{query}");
    }
    for query in ["", "target_kind=candidate", &format!("target_kind=%00&target_id={AMARA}"), "target_kind=candidate&target_id=x"]
    {
        assert_eq!(told(&desk.get(&format!("/api/audit?{query}")).await), (400, "request_invalid"), "{query}");
    }
    let history = format!("/api/audit?target_kind=candidate&target_id={AMARA}");
    for query in ["limit=0", "limit=201", "cursor=x", "cursor=%00", "cursor=99999999999999999999"] {
        assert_eq!(told(&desk.get(&format!("{history}&{query}")).await), (400, "request_invalid"), "{query}");
    }
    assert_eq!(told(&desk.get("/api/competencies?sort=-created_at").await), (400, "request_invalid"));
    let key = desk.system.post_with(&desk.token, "/api/candidates", &good, &[("idempotency-key", " ")]).await;
    assert_eq!(told(&key), (400, "request_invalid"));
    desk.system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_stay_in_place_while_others_add_and_ten_thousand_are_searched_quickly() {
    let desk = Desk::open().await;
    let admin = admin(&desk.system).await;
    sqlx::query(
        "insert into app.candidates (tenant_id, id, name, email, created_at)
         select '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', gen_random_uuid(), 'Person ' || md5(n::text), 'p' || n || '@many.test',
                now() - make_interval(secs => n % 100)
         from generate_series(1, 10000) n",
    )
    .execute(&admin)
    .await
    .expect("many candidates");
    for sort in ["name", "-created_at"] {
        let mut seen = BTreeSet::new();
        let mut cursor = String::new();
        for turn in 0.. {
            let (status, page) = desk.get(&format!("/api/candidates?q=many.test&limit=200&sort={sort}{cursor}")).await;
            assert_eq!(status, 200, "{page}");
            for item in page["items"].as_array().expect("items") {
                assert!(seen.insert(item["id"].to_string()), "{sort}: told twice");
            }
            if turn == 3 {
                for (name, at) in
                    [("Aaa", "now()"), ("Zzz", "now() - interval '1 year'"), ("Person 8", "now() - interval '50 seconds'")]
                {
                    let text = format!(
                        "insert into app.candidates (tenant_id, id, name, email, created_at)
                         values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', gen_random_uuid(), '{name}', 'added@other.test', {at})"
                    );
                    sqlx::query(sqlx::AssertSqlSafe(text)).execute(&admin).await.expect("one more");
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 10_000, "{sort}");
    }
    // The search over HTTP against the bare query, the best of several.
    sqlx::query("analyze app.candidates").execute(&admin).await.expect("analyzed");
    let bare = "select count(*) from (select id, name, email from app.candidates
                where tenant_id = '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001' and searched like '%9999@many%' order by sort_name, id limit 51) found";
    let (mut query, mut http) = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        let begun = Instant::now();
        let _: i64 = sqlx::query_scalar(bare).fetch_one(&admin).await.expect("the bare query");
        query = query.min(begun.elapsed());
        let begun = Instant::now();
        let names = desk.names("/api/candidates?q=9999%40many&limit=50").await;
        http = http.min(begun.elapsed());
        assert_eq!(names.len(), 1);
    }
    println!("10,000 candidates: bare query {query:?}, over HTTP {http:?}");
    assert!(http < query * 3 + Duration::from_millis(40), "bare query {query:?}, over HTTP {http:?}");
    desk.system.stop().await;
}

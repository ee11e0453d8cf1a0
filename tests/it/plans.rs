//! Plans: written, published, pinned by interviews, seen by recruiters alone; and what the database keeps of them.

use crate::support::system::System;
use interview_runtime::domain::plan::canonical::canonical;
use interview_runtime::domain::plan::lint::{Origin, lint, may_publish};
use interview_runtime::domain::plan::schema::json_schema;
use interview_runtime::domain::plan::{Plan, PlanHash};
use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Row as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use time::format_description::well_known::Rfc3339;

const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const TENANT: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plans")
}

fn sample() -> Value {
    let json = std::fs::read(folder().join("kundenservice.json")).expect("a sample");
    serde_json::from_slice(&json).expect("JSON")
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

/// The header that says which revision was read.
fn read(revision: i64) -> (&'static str, String) {
    ("if-match", format!("\"{revision}\""))
}

async fn put(system: &System, token: &str, path: &str, body: &Value, revision: i64) -> (u16, Value) {
    let (name, value) = read(revision);
    system.put_with(token, path, body, &[(name, &value)]).await
}

async fn publish(system: &System, token: &str, plan: &str, revision: i64) -> (u16, Value) {
    let (name, value) = read(revision);
    system.post_with(token, &format!("/api/plans/{plan}/publish"), &json!({}), &[(name, &value)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_written_published_and_pinned_by_the_interviews_that_are_created_with_it() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;

    // A draft may have faults; what is no plan is refused with its place.
    let refused = system.post(&recruiter, "/api/plans", &json!({"title": "x"})).await;
    assert_eq!(code(&refused), (400, "plan_invalid"), "{}", refused.1);
    let mut document = sample();
    document["sections"][1]["questions"][0]["spoken"]["de"] = json!("Sie hören gut zu, oder?");
    let (status, made) = system.post(&recruiter, "/api/plans", &document).await;
    assert_eq!(
        (status, &made["revision"], &made["newest_version"], &made["may_publish"]),
        (201, &1.into(), &Value::Null, &false.into())
    );
    let plan = made["plan_id"].as_str().expect("an id").to_owned();
    let draft = format!("/api/plans/{plan}/draft");

    // It cannot be published, and the answer says why.
    let refused = publish(&system, &recruiter, &plan, 1).await;
    assert_eq!(code(&refused), (422, "plan_not_publishable"), "{}", refused.1);
    assert_eq!(refused.1["findings"][0]["code"], "leading", "{}", refused.1);
    let used = system.put_with(&recruiter, &format!("/api/positions/{ENGINEER}/plan"), &json!({"plan_id": plan}), &[]).await;
    assert_eq!(code(&used), (404, "plan_version_not_found"), "{}", used.1);

    // Who changes it has read what they change.
    let refused = system.put_with(&recruiter, &draft, &sample(), &[]).await;
    assert_eq!(code(&refused), (428, "version_required"));
    // Reading it costs no look of the linter; who wants one asks.
    let (_, plain) = system.get(&recruiter, &format!("/api/plans/{plan}")).await;
    assert!(plain.get("findings").is_none() && plain.get("may_publish").is_none(), "{plain}");
    let (status, verdict) = system.post(&recruiter, &format!("/api/plans/{plan}/lint"), &json!({})).await;
    assert_eq!((status, &verdict["findings"], &verdict["may_publish"]), (200, &made["findings"], &false.into()));
    let (status, changed) = put(&system, &recruiter, &draft, &sample(), 1).await;
    assert_eq!((status, &changed["revision"], &changed["may_publish"]), (200, &2.into(), &true.into()), "{changed}");
    assert_eq!(code(&put(&system, &recruiter, &draft, &document, 1).await), (412, "version_conflicted"));
    assert_eq!(code(&publish(&system, &recruiter, &plan, 1).await), (412, "version_conflicted"));

    // Published once, whoever asks again.
    let (status, first) = publish(&system, &recruiter, &plan, 2).await;
    assert_eq!((status, &first["number"], &first["origin"]), (201, &1.into(), &"authored".into()), "{first}");
    let (status, again) = publish(&system, &recruiter, &plan, 2).await;
    assert_eq!((status, &again), (200, &first));
    let (_, version) = system.get(&recruiter, &format!("/api/plans/{plan}/versions/1")).await;
    assert_eq!(first["hash"], PlanHash::of(&version["document"]).to_string(), "the hash is the document's");

    // Interviews keep the version that they were created with.
    let (status, used) =
        system.put_with(&recruiter, &format!("/api/positions/{ENGINEER}/plan"), &json!({"plan_id": plan}), &[]).await;
    assert_eq!((status, &used["plan"]["version"]), (200, &1.into()), "{used}");
    // Who says nothing about the plan takes none away.
    let nothing = system.put_with(&recruiter, &format!("/api/positions/{ENGINEER}/plan"), &json!({}), &[]).await;
    assert_eq!(code(&nothing), (400, "request_invalid"), "{}", nothing.1);
    // A position that is made alike uses it too.
    let position = format!("/api/positions/{ENGINEER}");
    assert_eq!(system.get(&recruiter, &position).await.1["plan"], used["plan"]);
    let (status, alike) = system.post(&recruiter, &format!("{position}/duplicate"), &Value::Null).await;
    assert_eq!((status, &alike["plan"]), (201, &used["plan"]), "{alike}");
    let alike = format!("/api/positions/{}/plan", alike["id"].as_str().expect("an id"));
    assert_eq!(system.put_with(&recruiter, &alike, &json!({"plan_id": null}), &[]).await.0, 200);
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let pinned = async |system: &System| -> (String, Value) {
        let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
        assert_eq!(status, 201, "{made}");
        assert!(made["interview_context"].get("plan").is_none(), "the seed's interview_context keeps its shape: {made}");
        let id = made["session_id"].as_str().expect("an id").to_owned();
        let plan = system.get(&recruiter, &format!("/api/sessions/{id}")).await.1["plan"].clone();
        (id, plan)
    };
    let (session, of_first) = pinned(&system).await;
    assert_eq!(of_first, json!({"plan_id": plan, "version": 1}));

    let mut longer = sample();
    longer["minutes"] = json!(25);
    longer["sections"][1]["minutes"] = json!(18);
    assert_eq!(put(&system, &recruiter, &draft, &longer, 2).await.0, 200);
    let (status, changes) = system.get(&recruiter, &format!("/api/plans/{plan}/diff?from=1")).await;
    let paths: Vec<&Value> = changes["changes"].as_array().expect("changes").iter().map(|change| &change["path"]).collect();
    assert_eq!((status, paths), (200, vec![&json!("minutes"), &json!("sections/faelle/minutes")]), "{changes}");
    assert_eq!(publish(&system, &recruiter, &plan, 3).await.0, 201);
    assert_eq!(pinned(&system).await.1, json!({"plan_id": plan, "version": 2}), "a position uses the newest");
    assert_eq!(
        system.get(&recruiter, &format!("/api/sessions/{session}")).await.1["plan"],
        of_first,
        "an interview keeps its own"
    );
    let (_, versions) = system.get(&recruiter, &format!("/api/plans/{plan}/versions")).await;
    let numbers: Vec<&Value> = versions["items"].as_array().expect("versions").iter().map(|one| &one["number"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);

    // What is used stays; what is put away cannot be changed.
    let archive = async |verb: &str| system.post(&recruiter, &format!("/api/plans/{plan}/{verb}"), &json!({})).await;
    assert_eq!(code(&archive("archive").await), (409, "plan_in_use"));
    let (status, none) =
        system.put_with(&recruiter, &format!("/api/positions/{ENGINEER}/plan"), &json!({"plan_id": null}), &[]).await;
    assert_eq!((status, &none["plan"]), (200, &Value::Null), "{none}");
    for _ in 0..2 {
        assert_eq!(archive("archive").await.0, 200);
    }
    assert_eq!(code(&put(&system, &recruiter, &draft, &sample(), 3).await), (409, "resource_archived"));
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let many = "insert into app.plans (tenant_id, id, draft) select tenant_id, gen_random_uuid(), '{\"title\": \"many\"}'
                from app.plans, generate_series(1, 500) where id::text = $1";
    sqlx::query(many).bind(&plan).execute(&admin).await.expect("as many as there may be");
    assert_eq!(code(&archive("restore").await), (409, "plans_exhausted"));
    sqlx::query("delete from app.plans where name = 'many'").execute(&admin).await.expect("gone");
    assert_eq!(archive("restore").await.0, 200);
    assert_eq!(pinned(&system).await.1, Value::Null, "a position without a plan");

    // An invite keeps what the position had when it was made: also that it had none.
    let closes = (time::OffsetDateTime::now_utc() + time::Duration::hours(2)).format(&Rfc3339).expect("RFC 3339");
    let invited = json!({"candidate_id": JONAS, "position_id": ENGINEER, "closes_at": closes, "zone": "UTC"});
    let (status, invite) = system.post(&recruiter, "/api/invites", &invited).await;
    assert_eq!(status, 201, "{invite}");
    let version = async || system.get(&recruiter, &position).await.1["version"].as_i64().expect("a version");
    let before = version().await;
    for _ in 0..2 {
        let (status, used) = system.put_with(&recruiter, &format!("{position}/plan"), &json!({"plan_id": plan}), &[]).await;
        assert_eq!((status, &used["plan"]["version"]), (200, &2.into()), "{used}");
    }
    assert_eq!(version().await, before + 1, "the second changes nothing");
    let set = "select count(*) from app.audit where action = 'plan_set' and target_id::text = $1";
    let set: i64 = sqlx::query_scalar(set).bind(ENGINEER).fetch_one(&admin).await.expect("a count");
    assert_eq!(set, 3, "used, given up, used again");
    let secret = invite["link"].as_str().and_then(|link| link.split_once("/#/i/")).expect("a link").1;
    let (status, started) = system.post("", "/api/invite/start", &json!({"secret": secret})).await;
    assert_eq!(status, 200, "{started}");
    let session = started["session_id"].as_str().expect("an id");
    assert_eq!(system.get(&recruiter, &format!("/api/sessions/{session}")).await.1["plan"], Value::Null);
    assert_eq!(system.post(&recruiter, &format!("{position}/archive"), &json!({})).await.0, 200);
    let archived = system.put_with(&recruiter, &format!("{position}/plan"), &json!({"plan_id": null}), &[]).await;
    assert_eq!(code(&archived), (409, "resource_archived"));

    let actions: Vec<String> = sqlx::query_scalar(
        "select action from app.audit where target_kind = 'plan' and target_id::text = $1 and actor_role = 'recruiter' order by n",
    )
    .bind(&plan)
    .fetch_all(&admin)
    .await
    .expect("the audit");
    let expected = ["created", "draft_changed", "published", "draft_changed", "published", "archived", "restored"];
    assert_eq!(actions, expected);
    system.stop().await;
}

/// A request for an invite that is open.
fn invite(settings: &Value, more: &Value) -> Value {
    let closes = time::OffsetDateTime::now_utc() + time::Duration::days(2);
    let closes = closes.format(&time::format_description::well_known::Rfc3339).expect("RFC 3339");
    let mut invite = json!({"candidate_id": AMARA, "position_id": ENGINEER, "closes_at": closes, "zone": "Europe/Berlin", "settings": settings});
    invite.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    invite
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interview_with_a_plan_is_in_a_language_of_the_plan_and_long_enough_for_it() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let (_, made) = system.post(&recruiter, "/api/plans", &sample()).await;
    let plan = made["plan_id"].as_str().expect("an id");
    assert_eq!(publish(&system, &recruiter, plan, 1).await.0, 201);
    let of_position = format!("/api/positions/{ENGINEER}/plan");
    assert_eq!(system.put_with(&recruiter, &of_position, &json!({"plan_id": plan}), &[]).await.0, 200);

    // It is written in German alone: in another language none of its words could be spoken.
    let english = json!({"language": "en-US"});
    let order = |settings: &Value| json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": settings});
    for (path, body) in [("/api/sessions", order(&english)), ("/api/invites", invite(&english, &json!({})))] {
        let refused = system.post(&recruiter, path, &body).await;
        assert_eq!(code(&refused), (422, "plan_language_missing"), "{path}: {}", refused.1);
        assert_eq!(refused.1["languages"], json!(["de"]), "{path}");
    }
    let rows = [(json!({"language": "fr"}), "a"), (json!({"language": "de-CH", "max_duration_s": 600}), "b")];
    let rows = rows.map(|(settings, name)| invite(&settings, &json!({"external_id": name})));
    let (_, bulk) = system.post(&recruiter, "/api/invites/bulk", &json!({"invites": rows})).await;
    assert_eq!((&bulk["created"], &bulk["refused"]), (&1.into(), &1.into()), "{bulk}");
    assert_eq!(bulk["results"][0]["code"], "plan_language_missing", "{bulk}");
    assert!(bulk["results"][0]["detail"].as_str().is_some_and(|detail| detail.ends_with("is written in de")), "{bulk}");
    let warned = |answer: &Value| answer["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert!(warned(&bulk["results"][1]).contains("the plan takes 20 minutes; in 10 "), "{bulk}");

    // Who says nothing gets the plan's own language and time; the mail is in that language too.
    let (status, invited) = system.post(&recruiter, "/api/invites", &invite(&json!({}), &json!({}))).await;
    assert_eq!((status, &invited["locale"], &invited["warnings"]), (201, &"de".into(), &json!([])), "{invited}");
    let wanted = (&json!("de"), &json!(1_500));
    assert_eq!((&invited["settings"]["language"], &invited["settings"]["max_duration_s"]), wanted, "{invited}");
    let (status, created) = system.post(&recruiter, "/api/sessions", &order(&json!({"max_duration_s": 600}))).await;
    assert_eq!(status, 201, "{created}");
    assert!(warned(&created).contains("the plan takes 20 minutes"), "{created}");
    let admin = PgPool::connect(&system.sandbox.database_admin_url().expect("a database")).await.expect("a connection");
    let settings: Value = sqlx::query_scalar("select settings from app.sessions").fetch_one(&admin).await.expect("an interview");
    assert_eq!((&settings["language"], &settings["max_duration_s"]), (&json!("de"), &json!(600)), "{settings}");

    // What the plan says is fixed with the invite: the candidate's own request is held against that version.
    assert_eq!(system.put_with(&recruiter, &of_position, &json!({"plan_id": null}), &[]).await.0, 200);
    let amara = system.sign_in("amara@demo.test").await;
    let refused = system.post(&amara, "/api/sessions", &order(&english)).await;
    assert_eq!(code(&refused), (422, "plan_language_missing"), "{}", refused.1);
    // Without a plan every language is taken.
    let (status, free) = system.post(&recruiter, "/api/invites", &invite(&json!({"language": "fr"}), &json!({}))).await;
    assert_eq!((status, &free["locale"]), (201, &"en".into()), "{free}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_and_another_company_see_no_plan_and_change_none() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let (_, made) = system.post(&recruiter, "/api/plans", &sample()).await;
    let plan = made["plan_id"].as_str().expect("an id");
    assert_eq!(publish(&system, &recruiter, plan, 1).await.0, 201);
    let candidate = system.sign_in("amara@demo.test").await;
    for path in ["", "/{}", "/{}/versions", "/{}/versions/1", "/{}/diff?from=1"] {
        let path = format!("/api/plans{}", path.replace("{}", plan));
        assert_eq!(code(&system.get(&candidate, &path).await), (403, "permission_denied"), "{path}");
        assert_eq!(system.get(&recruiter, &path).await.0, 200, "{path}");
    }
    for (path, body) in [("/api/plans", sample()), ("/api/plans/lint", sample()), (&format!("/api/plans/{plan}/lint"), json!({}))]
    {
        assert_eq!(code(&system.post(&candidate, path, &body).await), (403, "permission_denied"), "{path}");
        assert!(system.post(&recruiter, path, &body).await.0 < 300, "{path}");
    }
    assert_eq!(code(&system.post(&candidate, &format!("/api/plans/{plan}/archive"), &json!({})).await).0, 403);
    let used = system.put_with(&candidate, &format!("/api/positions/{ENGINEER}/plan"), &json!({"plan_id": plan}), &[]).await;
    assert_eq!(code(&used), (403, "permission_denied"));
    assert_eq!(code(&put(&system, &candidate, &format!("/api/plans/{plan}/draft"), &sample(), 1).await).0, 403);
    assert_eq!(code(&publish(&system, &candidate, plan, 1).await), (403, "permission_denied"));

    let nobody = "00000000-0000-4000-8000-000000000000";
    assert_eq!(code(&system.get(&recruiter, &format!("/api/plans/{nobody}")).await), (404, "plan_not_found"));
    assert_eq!(system.get(&recruiter, "/api/plans/none").await.0, 404);
    let of_nobody = json!({"plan_id": nobody});
    let used = system.put_with(&recruiter, &format!("/api/positions/{ENGINEER}/plan"), &of_nobody, &[]).await;
    assert_eq!(code(&used), (404, "plan_not_found"));
    let used = system.put_with(&recruiter, &format!("/api/positions/{nobody}/plan"), &json!({"plan_id": plan}), &[]).await;
    assert_eq!(code(&used), (404, "position_not_found"));
    let rival = system.sign_in("other@rival.test").await;
    assert_eq!(code(&system.get(&rival, &format!("/api/plans/{plan}")).await), (403, "jwt_tenant_refused"));

    // A plan is longer than other bodies, and not endless.
    let padded = |bytes: usize| json!({"title": "x".repeat(bytes)});
    assert_eq!(code(&system.post(&recruiter, "/api/plans", &padded(100_000)).await), (400, "plan_invalid"));
    assert_eq!(code(&system.post(&recruiter, "/api/plans", &padded(300_000)).await), (413, "request_oversized"));
    system.stop().await;
}

struct Database {
    cluster: PrivateCluster,
    connection: PgConnection,
    _data: tempfile::TempDir,
}

impl Database {
    /// The migrations whose names `these` takes, by an owner of the tables who is exempt from nothing.
    async fn start(these: impl Fn(&str) -> bool) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("pg"))).await.expect("PostgreSQL starts");
        let admin_url = cluster.create_database("plans").await.expect("a database");
        let mut admin = PgConnection::connect(&admin_url).await.expect("the administrator");
        let owner = "create role plans_owner login createrole; alter database plans owner to plans_owner";
        sqlx::raw_sql(owner).execute(&mut admin).await.expect("an owner");
        cluster.set_login("plans_owner", "0nly4thistest").await.expect("a login");
        let url = cluster.url_for("plans_owner", "0nly4thistest", "plans");
        let mut connection = PgConnection::connect(&url).await.expect("the owner");
        sqlx::raw_sql("create table public._sqlx_migrations (version bigint, success boolean)")
            .execute(&mut connection)
            .await
            .expect("a table of sqlx");
        let mut database = Self { cluster, connection, _data: data };
        database.apply(these).await;
        // Whoever looks is exempt from row level security.
        database.connection = admin;
        database
    }

    async fn apply(&mut self, these: impl Fn(&str) -> bool) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<_> = std::fs::read_dir(root).expect("migrations").map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            if these(&name) {
                let sql = std::fs::read_to_string(&file).expect("SQL");
                self.run(&sql).await;
            }
        }
    }

    async fn run(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await;
        done.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    async fn stop(self) {
        self.connection.close().await.expect("closed");
        self.cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_migration_makes_version_1_of_each_position_that_has_competencies() {
    let mut database = Database::start(|name| name < "0022").await;
    database.run(include_str!("../../config/sandbox_seed.sql")).await;
    let odd = "insert into app.positions (tenant_id, id, title) values
          ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'b0000000-0000-4000-8000-000000000008', E'Nobody''s \\u202e\"title\"'),
          ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'b0000000-0000-4000-8000-000000000009', 'Without competencies');
        insert into app.competencies (tenant_id, id, position_id, name, description)
          select '0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', gen_random_uuid(), 'b0000000-0000-4000-8000-000000000008',
                 E'\\u0001' || repeat('n', 190), repeat(E'ä\\u2028', 9000)
          from generate_series(1, 25)";
    database.run(odd).await;
    // As the owner, who sees no row of these tables.
    let url = database.cluster.url_for("plans_owner", "0nly4thistest", "plans");
    let admin = std::mem::replace(&mut database.connection, PgConnection::connect(&url).await.expect("the owner"));
    database.apply(|name| name >= "0022").await;
    database.connection = admin;

    let rows = sqlx::query(
        "select p.id::text, p.plan_version, v.document, v.hash, v.origin, l.draft = v.document as same
         from app.positions p left join app.plan_versions v on v.plan_id = p.plan_id and v.number = p.plan_version
         left join app.plans l on l.id = p.plan_id order by p.id",
    )
    .fetch_all(&mut database.connection)
    .await
    .expect("the positions");
    let mut questions = Vec::new();
    for row in &rows {
        let Some(document) = row.get::<Option<Value>, _>(2) else {
            questions.push(0);
            continue;
        };
        let plan = Plan::parse(document.to_string().as_bytes()).expect("a plan");
        assert_eq!(serde_json::to_value(&plan).expect("JSON"), document, "nothing is left open");
        let findings = lint(&plan, Origin::Migrated);
        assert!(may_publish(&findings), "{findings:#?}");
        assert!(!may_publish(&lint(&plan, Origin::Authored)), "its author has anchors to write");
        assert_eq!(PlanHash::stored(&row.get::<Vec<u8>, _>(3)), Ok(PlanHash::of(&document)));
        assert_eq!((row.get::<i32, _>(1), row.get::<&str, _>(4), row.get::<bool, _>(5)), (1, "migrated", true));
        questions.push(plan.questions().count());
    }
    assert_eq!(questions, [3, 2, 20, 0], "a question for each competency, at most 20");
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_and_the_program_write_a_document_the_same_and_nothing_changes_a_version() {
    let mut database = Database::start(|_| true).await;
    let odd = json!({"ключ": ["\u{1}\t\n\"\\/é\u{7f}\u{2028}😀", -12, 0, true, null, {}], "": {"b": [], "B": {"z": 1, "a": "_"}}, "a-b": 1, "a_b": 2, "aB": 3});
    let mut documents: Vec<Value> = vec![odd, json!({}), sample()];
    for file in std::fs::read_dir(folder()).expect("samples") {
        documents.push(serde_json::from_slice(&std::fs::read(file.expect("a file").path()).expect("readable")).expect("JSON"));
    }
    for document in documents {
        let row =
            sqlx::query("select app.canonical_json($1), app.plan_hash($1)").bind(&document).fetch_one(&mut database.connection);
        let row = row.await.expect("a digest");
        assert_eq!(row.get::<&str, _>(0), canonical(&document));
        assert_eq!(PlanHash::stored(row.get(1)), Ok(PlanHash::of(&document)));
    }
    let plan = "insert into app.tenants (id, slug, name) values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'demo', 'Demo');
        insert into app.plans (tenant_id, id, draft) values ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'd0000000-0000-4000-8000-000000000001', '{\"title\": \"T\"}');
        insert into app.plan_versions (tenant_id, plan_id, number, document) select tenant_id, id, 1, draft from app.plans";
    database.run(plan).await;
    // Not even the database's administrator, by accident.
    for change in [
        "update app.plan_versions set document = '{}'",
        "update app.plan_versions set number = 2",
        "delete from app.plan_versions",
    ] {
        let refused = sqlx::raw_sql(change).execute(&mut database.connection).await.expect_err(change).to_string();
        assert!(refused.contains("is never changed"), "{change}: {refused}");
    }
    database.stop().await;
}

fn runtime(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interview-runtime"));
    command.args(arguments).env_clear().envs(settings.iter().copied()).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_file_is_checked_without_a_database() {
    let samples: Vec<String> =
        ["software_engineer", "kundenservice", "customer_success_ja"].map(|name| format!("config/plans/{name}.json")).into();
    let mut arguments = vec!["plan", "lint"];
    arguments.extend(samples.iter().map(String::as_str));
    let output = runtime(&arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("0 errors, 0 warnings").count(), 3);

    let data = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, document: &str| {
        let path = data.path().join(name);
        std::fs::write(&path, document).expect("written");
        path.display().to_string()
    };
    let mut bad = sample();
    bad["opening"]["spoken"]["de"] = json!("Guten Tag. Wie alt sind Sie?");
    let (bad, broken) = (write("bad.json", &bad.to_string()), write("broken.json", "{\"title\": 1}"));
    let output = runtime(&["plan", "lint", &bad], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("error forbidden_topic /opening/spoken (de): "), "{}", text(&output.stdout));
    let output = runtime(&["plan", "lint", "--json", &bad], &[]);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&verdict["may_publish"], &verdict["findings"][0]["code"]), (&false.into(), &"forbidden_topic".into()));
    for file in [broken.as_str(), "config/plans/none.json"] {
        let output = runtime(&["plan", "lint", file], &[]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(text(&output.stderr).contains("plan_invalid"), "{}", text(&output.stderr));
    }
    assert_eq!(text(&runtime(&["plan", "schema"], &[]).stdout), json_schema());
    let output = runtime(&["plan", "import", &samples[0]], &[]);
    assert_eq!(output.status.code(), Some(78), "without a database: {}", text(&output.stderr));
}

#[test]
fn a_file_is_rehearsed_without_a_database() {
    let output = runtime(&["rehearse", "config/plans/software_engineer.json", "config/plans/customer_success_ja.json"], &[]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}{}", text(&output.stderr));
    for kind in ["plain", "silent", "rambling", "injecting", "echo", "! parts_early"] {
        assert_eq!(table.lines().filter(|line| line.trim_start().starts_with(kind)).count(), 2, "{kind}: {table}");
    }
    assert!(table.contains("in Japanese (ja), 20 minutes, 0 errors, 0 warnings"), "{table}");

    let output = runtime(&["rehearse", "--json", "--language", "de-AT", "config/plans/software_engineer.json"], &[]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rehearsal = &told["rehearsal"];
    assert_eq!((&rehearsal["language"], &rehearsal["passed"]), (&"de".into(), &true.into()), "{told}");
    assert_eq!(rehearsal["personas"].as_array().map(Vec::len), Some(12));
    let output = runtime(&["rehearse", "--language", "fr", "config/plans/software_engineer.json"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("plan_language_missing"), "{}", text(&output.stderr));

    let data = tempfile::tempdir().expect("a temporary folder");
    let path = data.path().join("bad.json").display().to_string();
    let mut bad = sample();
    bad["sections"][1]["questions"][0]["spoken"]["de"] = json!("Wie alt sind Sie?");
    bad["sections"][1]["questions"][1]["max_turns"] = json!(1);
    std::fs::write(&path, bad.to_string()).expect("written");
    let output = runtime(&["rehearse", &path], &[]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("error forbidden_topic faelle/unklares-anliegen: "), "{table}");
    assert!(table.contains("warning probe_never_fires faelle/aerger/"), "{table}");
    let output = runtime(&["rehearse", "config/plans/none.json"], &[]);
    assert_eq!((output.status.code(), text(&output.stderr).contains("plan_invalid")), (Some(1), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_is_rehearsed_for_recruiters_and_stored_nowhere() {
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let mut document = sample();
    document["closing"]["spoken"]["de"] = json!("Sind Sie verheiratet? Auf Wiedersehen.");
    let (_, made) = system.post(&recruiter, "/api/plans", &document).await;
    let plan = made["plan_id"].as_str().expect("an id");
    let path = format!("/api/plans/{plan}/rehearse");
    let (status, rehearsal) = system.post(&recruiter, &path, &json!({})).await;
    assert_eq!((status, &rehearsal["passed"], &rehearsal["language"]), (200, &false.into(), &"de".into()), "{rehearsal}");
    assert_eq!(rehearsal["findings"][0]["code"], "forbidden_topic", "{}", rehearsal["findings"]);
    assert_eq!(rehearsal["personas"].as_array().map(Vec::len), Some(12));
    assert_eq!(rehearsal["plan"], PlanHash::of(&made["draft"]).to_string());
    let (_, after) = system.get(&recruiter, &format!("/api/plans/{plan}")).await;
    assert_eq!((&after["revision"], &after["updated_at"]), (&made["revision"], &made["updated_at"]));
    // It is the same each time.
    assert_eq!(system.post(&recruiter, &format!("{path}?language=de-AT"), &json!({})).await, (200, rehearsal));

    let refused = system.post(&recruiter, &format!("{path}?language=fr"), &json!({})).await;
    assert_eq!(code(&refused), (422, "plan_language_missing"), "{}", refused.1);
    assert_eq!(refused.1["languages"], json!(["de"]));
    assert_eq!(code(&system.post(&recruiter, &format!("{path}?seed=3"), &json!({})).await), (400, "request_invalid"));
    let nobody = "/api/plans/00000000-0000-4000-8000-000000000000/rehearse";
    assert_eq!(code(&system.post(&recruiter, nobody, &json!({})).await), (404, "plan_not_found"));
    let candidate = system.sign_in("amara@demo.test").await;
    assert_eq!(code(&system.post(&candidate, &path, &json!({})).await), (403, "permission_denied"));
    let rival = system.sign_in("other@rival.test").await;
    assert_eq!(code(&system.post(&rival, &path, &json!({})).await), (403, "jwt_tenant_refused"));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_imports_publishes_and_exports_a_plan() {
    let system = System::start_changed(&[], |options| {
        options.plan = Some((folder().join("software_engineer.json"), ENGINEER.to_owned()));
    })
    .await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    // The demo's own position has its plan, published by this command.
    let (_, plans) = system.get(&recruiter, "/api/plans").await;
    let demo = plans["items"][0].clone();
    assert_eq!((&demo["name"], &demo["newest_version"]), (&"Senior software engineer".into(), &1.into()), "{plans}");
    let (_, positions) = system.get(&recruiter, "/api/positions").await;
    let engineer = positions["items"].as_array().expect("positions").iter().find(|one| one["id"] == ENGINEER).expect("it");
    assert_eq!(engineer["plan"], json!({"plan_id": demo["plan_id"], "version": 1}));

    let url = system.sandbox.runtime_database_url().expect("a database");
    let settings = [("INTERVIEW__DATABASE__URL", url.as_str()), ("INTERVIEW__TENANT__ID", TENANT)];
    let run = |arguments: &[&str]| {
        let output = runtime(arguments, &settings);
        (output.status.code(), text(&output.stdout).trim().to_owned(), text(&output.stderr))
    };
    let (done, plan, error) = run(&["plan", "import", "config/plans/kundenservice.json"]);
    assert_eq!(done, Some(0), "{error}");
    // Again: the same draft changes nothing, and what is there may be left alone.
    assert_eq!(run(&["plan", "import", "config/plans/kundenservice.json", "--plan", &plan]).1, plan);
    assert_eq!(run(&["plan", "import", "config/plans/customer_success_ja.json", "--plan", &plan, "--if-absent"]).1, plan);
    let data = tempfile::tempdir().expect("a temporary folder");
    let file = data.path().join("plan.json").display().to_string();
    assert_eq!(run(&["plan", "export", &plan, "--out", &file]).0, Some(0));
    let exported: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let whole: Plan = serde_json::from_value(sample()).expect("a plan");
    assert_eq!(exported, serde_json::to_value(whole).expect("JSON"), "what was imported is exported");
    assert_eq!(run(&["plan", "publish", &plan, "--position", ENGINEER]).1, "1");
    assert_eq!(run(&["plan", "export", &plan, "--version", "1"]).0, Some(0));
    assert!(run(&["plan", "export", &plan, "--version", "2"]).2.contains("plan_version_not_found"));
    // With errors it is not stored at all.
    let mut bad = sample();
    bad["minutes"] = json!(1);
    std::fs::write(&file, bad.to_string()).expect("written");
    let (failed, _, error) = run(&["plan", "import", &file, "--plan", &plan, "--publish"]);
    assert!(failed == Some(1) && error.contains("plan_not_publishable") && error.contains("error time_box /minutes"), "{error}");
    let (_, now) = system.get(&recruiter, &format!("/api/plans/{plan}")).await;
    assert_eq!((&now["revision"], &now["newest_version"]), (&1.into(), &1.into()), "{now}");
    system.stop().await;
}

//! Who reaches whose rows in the database: every table, every verb, every role that a process or a person can have, compared
//! with `role_matrix/matrix.toml`. Then each policy is opened and closed in turn: the matrix must notice each change.

use crate::support::system::System;
use interview_runtime::domain::tenant_plan::{Names, Which};
use interview_runtime::ids::TenantId;
use interview_runtime::integrations::store::{migrate, operator::OperatorStore};
use interview_sandbox::postgres::{ClusterOptions, PrivateCluster};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use uuid::Uuid;

const MATRIX: &str = include_str!("role_matrix/matrix.toml");
const PROBE: &str = include_str!("role_matrix/probe.sql");
const LETTERS: &str = "osct";
const VERBS: [&str; 4] = ["select", "insert", "update", "delete"];
/// It owns the tables and is exempt from nothing: not what an operator should be, but what one may be.
const OWNER: &str = "matrix_owner";
const PASSWORD: &str = "0nly4thistest";

/// By table: what is reached, as `select osct, insert o`.
type Cells = BTreeMap<String, String>;
type Party = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    party: BTreeMap<String, Party>,
    table: Vec<Table>,
    identity: Vec<Identity>,
    /// By role and table: what is granted, as `select (a b), insert`.
    grants: BTreeMap<String, Cells>,
    /// By policy and change: why the matrix cannot tell of it.
    #[serde(default)]
    silent: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    row: String,
    insert: String,
    /// What is tried to be changed; a column to itself when absent.
    update: Option<String>,
    /// Further changes, by name.
    #[serde(default)]
    changes: Cells,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    name: String,
    login: String,
    role: String,
    claims: String,
    #[serde(default)]
    cells: Cells,
}

impl Matrix {
    fn read() -> Self {
        toml::from_str(MATRIX).expect("matrix.toml")
    }

    /// Own first: a row that is the same as another party's is that one's.
    fn parties(&self) -> impl Iterator<Item = (&str, &Party)> {
        ["o", "s", "c", "t"].into_iter().map(|letter| (letter, &self.party[letter]))
    }

    /// `$o.tenant` is the own tenant, `$t.session` the other tenant's session.
    fn claims(&self, identity: &Identity) -> String {
        let mut claims = identity.claims.clone();
        for (letter, party) in &self.party {
            for (key, value) in party {
                claims = claims.replace(&format!("${letter}.{key}"), value);
            }
        }
        claims
    }
}

/// A row's text with a party's values: of the row that is there (1), or of one that is tried (2).
fn fill(template: &str, party: &Party, n: u8) -> String {
    let mut text = template.replace("{new}", &format!("'{}'", Uuid::new_v4())).replace("{n}", &n.to_string());
    for (key, value) in party {
        let other = if n == 1 { value.clone() } else { Uuid::new_v4().to_string() };
        text = text.replace(&format!("{{{key}?}}"), &format!("'{other}'")).replace(&format!("{{{key}}}"), &format!("'{value}'"));
    }
    assert!(!text.contains('{'), "not filled: {text}");
    text
}

/// A database of its own, by the program's migrations and its own way to make logins.
struct Scratch {
    cluster: PrivateCluster,
    connection: PgConnection,
    _data: tempfile::TempDir,
}

impl Scratch {
    async fn start(matrix: &Matrix) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("pg"))).await.expect("PostgreSQL starts");
        let admin_url = cluster.create_database("matrix").await.expect("a database");
        let mut connection = PgConnection::connect(&admin_url).await.expect("a connection");
        // In `public` everything is granted to everyone, as in a project of Supabase.
        let owner = format!(
            "create role {OWNER} login createrole password '{PASSWORD}'; alter database matrix owner to {OWNER};
             alter default privileges for role {OWNER} in schema public grant all on tables to anon, authenticated"
        );
        run(&mut connection, &owner).await;
        migrate(&cluster.url_for(OWNER, PASSWORD, "matrix").into()).await.expect("the migrations apply");
        run(&mut connection, PROBE).await;
        for table in &matrix.table {
            for (_, party) in matrix.parties() {
                let row = fill(&format!("insert into app.{} {} on conflict do nothing", table.name, table.insert), party, 1);
                run(&mut connection, &row).await;
            }
        }
        let mut operator = OperatorStore::connect(&admin_url.into()).await.expect("the operator signs in");
        for (party, slug) in [("o", "a"), ("t", "b")] {
            let tenant = TenantId(matrix.party[party]["tenant"].parse().expect("a tenant"));
            let names = Names::of(slug).expect("a name");
            for which in [Which::Gateway, Which::Session] {
                operator.prepare_login(tenant, names.login(which), which, &PASSWORD.into()).await.expect("a login");
            }
        }
        let mut scratch = Self { cluster, connection, _data: data };
        scratch.load(matrix).await;
        scratch
    }

    /// The identities, and a statement for each verb on each party's row of each table.
    async fn load(&mut self, matrix: &Matrix) {
        for identity in &matrix.identity {
            sqlx::query("insert into matrix.identities values ($1, $2, $3, $4)")
                .bind(&identity.name)
                .bind(&identity.login)
                .bind(&identity.role)
                .bind(matrix.claims(identity))
                .execute(&mut self.connection)
                .await
                .expect("an identity");
        }
        for table in &matrix.table {
            let mut rows = BTreeSet::new();
            for (letter, party) in matrix.parties() {
                let (name, row) = (&table.name, fill(&table.row, party, 1));
                if !rows.insert(row.clone()) {
                    continue;
                }
                let insert = fill(&format!("insert into app.{name} {}", table.insert), party, 2);
                self.probe(name, "select", letter, None, &format!("select from app.{name} where {row}")).await;
                self.probe(name, "insert", letter, None, &insert).await;
                self.probe(name, "delete", letter, None, &format!("delete from app.{name} where {row}")).await;
                for (role, column) in self.a_column_to_update(name).await {
                    let change = table.update.clone().unwrap_or_else(|| format!("{column} = {column}"));
                    let changes = table.changes.iter().map(|(verb, change)| (verb.as_str(), change.as_str()));
                    for (verb, change) in std::iter::once(("update", change.as_str())).chain(changes) {
                        let update = format!("update app.{name} set {change} where {row}");
                        self.probe(name, verb, letter, Some(&role), &update).await;
                    }
                }
            }
        }
    }

    async fn probe(&mut self, table: &str, verb: &str, party: &str, role: Option<&str>, statement: &str) {
        sqlx::query("insert into matrix.probes values ($1, $2, $3, $4, $5)")
            .bind(table)
            .bind(verb)
            .bind(party)
            .bind(role)
            .bind(statement)
            .execute(&mut self.connection)
            .await
            .expect("a probe");
    }

    /// By role: the first column that it may set.
    async fn a_column_to_update(&mut self, table: &str) -> Vec<(String, String)> {
        sqlx::query_as(
            "select distinct on (role) role, a.attname::text
             from (select distinct coalesce(nullif(role, ''), login) as role from matrix.identities) i,
                  pg_attribute a
             where a.attrelid = ('app.' || $1)::regclass and a.attnum > 0 and not a.attisdropped and a.attidentity = ''
               and (role = '' or has_column_privilege(role, a.attrelid, a.attnum, 'update'))
             order by role, a.attnum",
        )
        .bind(table)
        .fetch_all(&mut self.connection)
        .await
        .expect("the columns")
    }

    /// What each identity reaches now, as matrix.toml spells it.
    async fn cells(&mut self) -> BTreeMap<String, Cells> {
        let rows = sqlx::query("select identity, tbl, verb, class from matrix.baseline").fetch_all(&mut self.connection);
        let mut found: BTreeMap<(String, String), BTreeMap<String, BTreeSet<usize>>> = BTreeMap::new();
        for row in rows.await.expect("the cells") {
            let party = LETTERS.find(&row.get::<String, _>(3)).expect("a party");
            found.entry((row.get(0), row.get(1))).or_default().entry(row.get(2)).or_default().insert(party);
        }
        let mut cells: BTreeMap<String, Cells> = BTreeMap::new();
        for ((identity, table), reached) in found {
            let mut verbs: Vec<(&String, &BTreeSet<usize>)> = reached.iter().collect();
            verbs.sort_by_key(|(verb, _)| VERBS.iter().position(|known| known == verb).unwrap_or(VERBS.len()));
            let verbs = verbs.into_iter().map(|(verb, parties)| {
                let letters: String = parties.iter().map(|party| &LETTERS[*party..=*party]).collect();
                format!("{verb} {letters}")
            });
            cells.entry(identity).or_default().insert(table, verbs.collect::<Vec<_>>().join(", "));
        }
        cells
    }

    /// What each role is granted, from the catalog.
    async fn grants(&mut self) -> BTreeMap<String, Cells> {
        let rows = sqlx::query(
            "select r.rolname::text, case when c.relnamespace <> 'app'::regnamespace then c.relnamespace::regnamespace || '.' else '' end
                      || c.relname, lower(v) as verb,
                    case when has_table_privilege(r.oid, c.oid, v) then '' else
                      ' (' || (select string_agg(a.attname, ' ' order by a.attnum) from pg_attribute a
                               where a.attrelid = c.oid and a.attnum > 0 and has_column_privilege(r.oid, c.oid, a.attnum, v)) || ')' end
             from pg_roles r, pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) v
             where c.relnamespace::regnamespace::text in ('app', 'public', 'interview_operator') and c.relkind in ('r', 'p', 'v', 'm')
               and not r.rolsuper and not r.rolbypassrls and r.rolname <> $1 and r.rolname !~ '^pg_'
               and (has_table_privilege(r.oid, c.oid, v)
                    or (v in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege(r.oid, c.oid, v)))
             order by 1, 2, array_position(array['select', 'insert', 'update', 'delete'], lower(v))",
        )
        .bind(OWNER)
        .fetch_all(&mut self.connection);
        let mut grants: BTreeMap<String, Cells> = BTreeMap::new();
        for row in rows.await.expect("the grants") {
            let (verb, columns): (String, String) = (row.get(2), row.get(3));
            let of = grants.entry(row.get(0)).or_default().entry(row.get(1)).or_default();
            let comma = if of.is_empty() { "" } else { ", " };
            let _ = write!(of, "{comma}{verb}{columns}");
        }
        grants
    }

    /// Tables that the matrix says nothing about, or that nothing protects.
    async fn complaints(&mut self, matrix: &Matrix) -> Vec<String> {
        let tables = sqlx::query(
            "select c.relname::text, c.relrowsecurity and c.relforcerowsecurity,
                    exists (select from pg_policy p where p.polrelid = c.oid)
             from pg_class c where c.relnamespace = 'app'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1",
        )
        .fetch_all(&mut self.connection)
        .await
        .expect("the tables");
        let mut complaints = Vec::new();
        for table in tables {
            let name: String = table.get(0);
            let Some(known) = matrix.table.iter().find(|known| known.name == name) else {
                complaints.push(format!("{name}: no rows in matrix.toml"));
                continue;
            };
            if !table.get::<bool, _>(1) {
                complaints.push(format!("{name}: row level security is not forced"));
            }
            if !table.get::<bool, _>(2) {
                complaints.push(format!("{name}: no policy"));
            }
            for (letter, party) in matrix.parties() {
                let count = format!("select count(*) from app.{name} where {}", fill(&known.row, party, 1));
                let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.connection).await.expect("a count");
                if count == 0 {
                    complaints.push(format!("{name}: no row of {letter}"));
                }
            }
        }
        complaints
    }

    async fn stop(self) {
        self.connection.close().await.expect("closed");
        self.cluster.stop().await;
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        panic!("{error}\n{sql}");
    }
}

/// What differs, as lines for matrix.toml.
fn difference(expected: &BTreeMap<String, Cells>, found: &BTreeMap<String, Cells>) -> String {
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let mut text = String::new();
    for name in names {
        let (empty, empty_too) = (Cells::new(), Cells::new());
        let (expected, found) = (expected.get(name).unwrap_or(&empty), found.get(name).unwrap_or(&empty_too));
        if expected != found {
            let _ = writeln!(text, "\n# {name}");
            for table in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
                match (expected.get(table), found.get(table)) {
                    (expected, found) if expected == found => {}
                    (expected, found) => {
                        let expected = expected.map_or("nothing", String::as_str);
                        let _ = writeln!(text, "{table} = {:?} # expected: {expected}", found.map_or("", String::as_str));
                    }
                }
            }
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_reaches_the_rows_that_the_matrix_names_and_no_policy_changes_unnoticed() {
    let matrix = Matrix::read();
    let mut scratch = Scratch::start(&matrix).await;
    assert_eq!(scratch.complaints(&matrix).await, Vec::<String>::new());

    let begun = Instant::now();
    run(&mut scratch.connection, "insert into matrix.baseline select * from matrix.cells(null, null)").await;
    let once = begun.elapsed();
    let cells = scratch.cells().await;
    let expected: BTreeMap<String, Cells> =
        matrix.identity.iter().filter(|one| !one.cells.is_empty()).map(|one| (one.name.clone(), one.cells.clone())).collect();
    let wrong = difference(&expected, &cells);
    assert!(wrong.is_empty(), "{wrong}");
    let wrong = difference(&matrix.grants, &scratch.grants().await);
    assert!(wrong.is_empty(), "{wrong}");
    let rows = sqlx::query("select policy, change, cells from matrix.noticed()").fetch_all(&mut scratch.connection);
    let changes: Vec<(String, i64)> = rows
        .await
        .expect("the policies change")
        .iter()
        .map(|row| (format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1)), row.get(2)))
        .collect();
    let silent: BTreeSet<&String> = changes.iter().filter(|(_, cells)| *cells == 0).map(|(change, _)| change).collect();
    assert_eq!(silent, matrix.silent.keys().collect(), "changes of policies that no cell tells of");

    let count = "select (select count(*) from matrix.identities), (select count(*) from matrix.probes),
      (select count(*) from matrix.identities i join matrix.probes p on p.role is null or p.role = coalesce(nullif(i.role, ''), i.login)),
      (select count(*) from matrix.baseline), (select count(*) from pg_policies where schemaname = 'app')";
    let count = sqlx::query(count).fetch_one(&mut scratch.connection).await.expect("the counts");
    println!(
        "role matrix: {} identities, {} tables, {} cells of which {} are reached; {} policies, {} changes of them, {} noticed; {} ms, {} ms with the changes",
        count.get::<i64, _>(0),
        matrix.table.len(),
        count.get::<i64, _>(2),
        count.get::<i64, _>(3),
        count.get::<i64, _>(4),
        changes.len(),
        changes.len() - silent.len(),
        once.as_millis(),
        begun.elapsed().as_millis()
    );

    // The check can fail: a table that somebody adds and forgets.
    run(&mut scratch.connection, "create table app.surprise (tenant_id uuid)").await;
    assert_eq!(scratch.complaints(&matrix).await, ["surprise: no rows in matrix.toml"]);
    run(&mut scratch.connection, "drop table app.surprise; alter table app.summaries no force row level security").await;
    assert_eq!(scratch.complaints(&matrix).await, ["summaries: row level security is not forced"]);
    scratch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_is_told_of_the_positions_that_they_are_interviewed_for() {
    const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
    const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
    let system = System::start().await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let candidate = system.sign_in("amara@demo.test").await;
    let listed = async |token: &str| -> Vec<(String, usize)> {
        let (status, list) = system.get(token, "/api/positions").await;
        assert_eq!(status, 200, "{list}");
        let items = list["items"].as_array().expect("items").clone();
        let one = |item: &Value| {
            (item["id"].as_str().expect("an id").to_owned(), item["competencies"].as_array().expect("competencies").len())
        };
        items.iter().map(one).collect()
    };
    assert_eq!((listed(&recruiter).await.len(), listed(&candidate).await), (2, vec![]));
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let (status, problem) = system.post(&candidate, "/api/sessions", &order).await;
    assert_eq!((status, &problem["code"]), (404, &"position_not_found".into()), "{problem}");
    let (status, made) = system.post(&recruiter, "/api/sessions", &order).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(listed(&candidate).await, [(ENGINEER.to_owned(), 3)]);
    system.stop().await;
}

/// sqlx locks with this key: the CRC-32 of the database's name, times a constant.
fn advisory_key(database: &str) -> i64 {
    let crc = !database.bytes().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    0x3d32_ad9e * i64::from(crc)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_holds_up_the_migrations_and_several_runs_at_once_do_no_harm() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let cluster = PrivateCluster::start(ClusterOptions::new(data.path().join("pg"))).await.expect("PostgreSQL starts");
    let admin_url = cluster.create_database("locked").await.expect("a database");
    let mut owner = PgConnection::connect(&admin_url).await.expect("the owner");
    run(&mut owner, "create role somebody").await;
    cluster.set_login("somebody", PASSWORD).await.expect("a login");
    let mut somebody = PgConnection::connect(&cluster.url_for("somebody", PASSWORD, "locked")).await.expect("somebody");
    let hold = format!("select pg_advisory_lock({})", advisory_key("locked"));
    run(&mut somebody, &hold).await;
    // It is the lock that sqlx would wait for.
    let waits = tokio::time::timeout(Duration::from_secs(2), sqlx::migrate!("./migrations").run(&mut owner)).await;
    assert!(waits.is_err(), "sqlx locks with another key");

    let url = admin_url.into();
    let begun = Instant::now();
    let runs = tokio::join!(migrate(&url), migrate(&url), migrate(&url));
    runs.0.and(runs.1).and(runs.2).expect("the migrations apply");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    let lock = "lock table interview_operator.migration_lock in access share mode";
    assert!(sqlx::raw_sql(lock).execute(&mut somebody).await.is_err(), "somebody may lock it");
    cluster.stop().await;
}

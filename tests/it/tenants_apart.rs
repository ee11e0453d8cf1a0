//! Two tenants side by side: no path from one's browser, token, machine or database login to the
//! other's data; and each check is shown to be able to fail.

use crate::support::operator::Operator;
use crate::support::uuid;
use axum::http::StatusCode;
use interview_runtime::http::replay_state;
use interview_runtime::ids::SessionId;
use interview_runtime::signature::SigningKeys;
use interview_sandbox::fly::Fly;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;

const DEMO: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001";
const RIVAL: &str = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0002";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const RIVALS_POSITION: &str = "b0000000-0000-4000-8000-0000000000a1";
const RIVALS_CANDIDATE: &str = "ca000000-0000-4000-8000-0000000000a1";

/// Both tenants by the operator's own path, each with an interview that runs.
struct Neighbours {
    operator: Operator,
    demo: String,
    rival: String,
    demos_session: String,
    rivals_session: String,
}

impl Neighbours {
    async fn start() -> Self {
        let operator = Operator::start().await;
        sqlx::raw_sql(AssertSqlSafe(format!(
            "insert into app.candidates (tenant_id, id, name, email) values ('{RIVAL}', '{RIVALS_CANDIDATE}', 'Nobody Known', 'n@rival.test');
             insert into app.positions (tenant_id, id, title) values ('{RIVAL}', '{RIVALS_POSITION}', 'Rival Engineer')"
        )))
        .execute(&operator.admin)
        .await
        .expect("the rival's people");
        for slug in ["demo", "rival"] {
            operator.succeed(&["tenant", "create", slug]).await;
        }
        let (recruiter, demo) = (operator.sign_in("recruiter@demo.test"), operator.sign_in("amara@demo.test"));
        let rival = operator.sign_in("other@rival.test");
        let demos_session = operator.interview("demo", &recruiter, AMARA, ENGINEER).await;
        let rivals_session = operator.interview("rival", &rival, RIVALS_CANDIDATE, RIVALS_POSITION).await;
        let mut browser = operator.join("demo", &demo, &demos_session).await;
        browser.say(1, &["for nobody else"]).await;
        browser.expect("transcript_ack").await;
        Self { operator, demo, rival, demos_session, rivals_session }
    }

    fn fly(&self) -> &Fly {
        self.operator.sandbox.fly()
    }

    fn secret(&self, app: &str, name: &str) -> String {
        self.fly().app(app).expect("the app").secrets[&format!("INTERVIEW__{name}")].clone()
    }

    fn origin(&self, slug: &str) -> String {
        format!("http://{}", self.operator.door(slug).1)
    }

    async fn ticket(&self) -> String {
        let info = self.operator.ticket("demo", &self.demo, &self.demos_session).await;
        info["websocket_ticket"].as_str().expect("a ticket").to_owned()
    }

    fn machine_address(&self, app: &str) -> SocketAddr {
        let machines = self.fly().machines(app);
        machines.iter().find_map(|machine| machine.status().address).expect("a machine that listens")
    }
}

fn refused(outcome: Result<crate::support::browser::Browser, Error>) -> u16 {
    match outcome {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_browser_token_or_machine_of_one_tenant_reaches_the_other() {
    let both = Neighbours::start().await;
    browsers(&both).await;
    tokens(&both).await;
    machines(&both).await;
    let Neighbours { operator, .. } = both;
    operator.stop("tenants_apart").await;
}

async fn browsers(both: &Neighbours) {
    let operator = &both.operator;
    let session = &both.demos_session;
    let paths = ["", "/transcript", "/summary", "/recording", "/events"];
    for path in paths {
        let path = format!("/api/sessions/{session}{path}");
        // The other's person at the door, and the other's person at their own with the id.
        let (status, problem) = operator.ask("demo", &both.rival, "GET", &path, None).await;
        assert_eq!((status, &problem["code"]), (403, &"jwt_tenant_refused".into()), "{path}: {problem}");
        let (status, problem) = operator.ask("rival", &both.rival, "GET", &path, None).await;
        assert_eq!(status, 404, "{path}: {problem}");
    }
    for path in ["/end", "/ticket"] {
        let path = format!("/api/sessions/{session}{path}");
        assert_eq!(operator.ask("rival", &both.rival, "POST", &path, Some(json!({}))).await.0, 404, "{path}");
        assert_eq!(operator.ask("demo", &both.rival, "POST", &path, Some(json!({}))).await.0, 403, "{path}");
    }
    let order = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    assert_eq!(operator.ask("rival", &both.rival, "POST", "/api/sessions", Some(order)).await.0, 404);
    let (_, list) = operator.ask("rival", &both.rival, "GET", "/api/sessions", None).await;
    assert!(!list.to_string().contains(session.as_str()), "{list}");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "the rival sees its own: {list}");

    // A ticket at the other's door, in the other's interview, and from the other's page.
    let (demos, rivals) = (both.origin("demo"), both.origin("rival"));
    assert_eq!(refused(operator.connect("rival", session, &both.ticket().await, &rivals).await), 404);
    let mut stranger =
        operator.connect("rival", &both.rivals_session, &both.ticket().await, &rivals).await.expect("the socket opens");
    assert_eq!(stranger.closed().await, 4003);
    assert_eq!(refused(operator.connect("demo", session, &both.ticket().await, &rivals).await), 403);
    let mut own = operator.connect("demo", session, &both.ticket().await, &demos).await.expect("the socket opens");
    own.expect("session_ready").await;
}

async fn tokens(both: &Neighbours) {
    let base = &both.operator.sandbox.urls().fly;
    let token = both.secret("interviews-rival", "FLY__API_TOKEN");
    let ask = async |method: &str, path: &str| {
        let method = method.parse::<reqwest::Method>().expect("a method");
        let request = reqwest::Client::new().request(method, format!("{base}{path}")).header("authorization", &token);
        request.json(&json!({"values": {}, "config": {"image": "x"}})).send().await.expect("an answer").status().as_u16()
    };
    let machine = both.fly().machines("interviews-demo-s")[0].id.clone();
    for app in ["interviews-demo", "interviews-demo-s", "interviews-rival"] {
        for (method, path) in [
            ("GET", format!("/apps/{app}/machines")),
            ("POST", format!("/apps/{app}/machines")),
            ("GET", format!("/apps/{app}/secrets")),
            ("POST", format!("/apps/{app}/secrets")),
            ("DELETE", format!("/apps/{app}/machines/{machine}")),
            ("DELETE", format!("/apps/{app}")),
        ] {
            assert_eq!(ask(method, &path).await, 403, "{method} {path}");
        }
    }
    assert_eq!(ask("GET", "/apps").await, 403);
    assert_eq!(ask("GET", "/orgs/sandbox/machines").await, 403);
    // It is good where it should be: the refusals are not for a broken token.
    assert_eq!(ask("GET", "/apps/interviews-rival-s/machines").await, 200);
    // A machine by its id through the token's own app is not found there.
    assert_eq!(ask("GET", &format!("/apps/interviews-rival-s/machines/{machine}")).await, 404);
    for app in ["interviews-demo-s", "interviews-rival-s"] {
        let held = both.fly().app(app).expect("the app").secrets;
        assert!(!held.contains_key("INTERVIEW__FLY__API_TOKEN"), "{app} needs no token");
    }
    for name in ["ROUTING__SECRET", "DATABASE__URL", "FLY__API_TOKEN"] {
        assert_ne!(both.secret("interviews-demo", name), both.secret("interviews-rival", name), "{name} is shared");
    }
}

async fn machines(both: &Neighbours) {
    let fly = both.fly();
    for (from, to, open) in [
        ("interviews-demo", "interviews-demo-s", true),
        ("interviews-demo-s", "interviews-demo-s", false),
        ("interviews-demo-s", "interviews-demo", false),
        ("interviews-rival", "interviews-demo-s", false),
        ("interviews-rival", "interviews-demo", false),
        ("interviews-rival-s", "interviews-demo-s", false),
    ] {
        assert_eq!(fly.may_connect(from, to, 8080), open, "{from} to {to}");
    }
    // Without its policy a session would reach another; on one network two tenants would.
    fly.register_app("without-policy", "tenant-demo", false);
    fly.register_app("same-network", "tenant-demo", false);
    assert!(fly.may_connect("without-policy", "same-network", 8080), "the check cannot fail");
    assert!(fly.may_connect("same-network", "interviews-demo-s", 8080), "the network is what keeps others out");

    // A gateway that is told by somebody to hand a request to the other's session.
    let session = fly.machines("interviews-demo-s")[0].id.clone();
    let address = rogue(format!("app=interviews-demo-s;instance={session}")).await;
    let config = json!({"image": "x", "services": [{"protocol": "tcp", "internal_port": 8080, "ports": [{"port": 443, "handlers": ["http"]}]}]});
    let id = fly.register_machine("interviews-rival", "rogue", address, config).expect("a machine");
    let (door, host) = both.operator.door("rival");
    let answer = reqwest::Client::new()
        .get(format!("http://{door}/healthz"))
        .header("host", host)
        .header("fly-force-instance-id", id)
        .send()
        .await
        .expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a text"));
    assert!(status == StatusCode::BAD_GATEWAY && text.contains("PA05"), "{status} {text}");
    both.operator.sandbox.ledger().clear();

    // And if the networks were one, the session's machine would not believe the other's gateway.
    let to = both.machine_address("interviews-demo-s");
    let signed = |app: &str, name: &str, session: &str, age_s: i64| {
        let keys = SigningKeys::derive(&both.secret(app, name).into(), None).expect("a key pair");
        let then = interview_runtime::clock::now() - time::Duration::seconds(age_s);
        replay_state::sign(&keys, SessionId(uuid(session)), then)
    };
    let (ours, others) = (both.demos_session.as_str(), both.rivals_session.as_str());
    for (why, state) in [
        ("another tenant's gateway", signed("interviews-rival", "ROUTING__SECRET", ours, 0)),
        ("all that a machine of its own tenant has", signed("interviews-demo-s", "ROUTING__PUBLIC_KEYS", ours, 0)),
        ("another session", signed("interviews-demo", "ROUTING__SECRET", others, 0)),
        ("an hour ago", signed("interviews-demo", "ROUTING__SECRET", ours, 3_600)),
    ] {
        assert_eq!(upgrade(to, ours, &state).await, 403, "{why}");
    }
    assert_eq!(upgrade(to, ours, &signed("interviews-demo", "ROUTING__SECRET", ours, 0)).await, 101);
    // No machine of a session has anything that signs.
    for tenant in ["demo", "rival"] {
        let secret = both.secret(&format!("interviews-{tenant}"), "ROUTING__SECRET");
        let held = fly.app(&format!("interviews-{tenant}-s")).expect("the app").secrets;
        assert!(held.values().all(|value| !value.contains(&secret)), "{tenant}");
    }
}

/// Whatever it is asked, it answers with this replay.
async fn rogue(replay: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = axum::Router::new().fallback(move || async move { (StatusCode::TEMPORARY_REDIRECT, [("fly-replay", replay)]) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn upgrade(to: SocketAddr, session: &str, state: &str) -> u16 {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    let request = format!(
        "GET /ws/{session} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nfly-replay-src: instance=a;state={state}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0u8; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}

/// The addresses that a tenant's two apps sign in with.
struct Logins {
    gateway: String,
    session: String,
}

/// Rows of `whose` that a tenant's two logins see when they claim to be them, by table and role.
async fn seen(logins: &Logins, whose: &str, session: &str, tables: &[(String, String)]) -> Vec<String> {
    let mut gateway = PgConnection::connect(&logins.gateway).await.expect("it signs in");
    let mut process = PgConnection::connect(&logins.session).await.expect("it signs in");
    let person = json!({"sub": uuid("7a000000-0000-4000-8000-000000000001"), "role": "authenticated",
        "app_metadata": {"tenant_id": whose, "tenant_role": "owner"}});
    let claimed = json!({"app_metadata": {"tenant_id": whose}, "interview_session_id": session});
    let mut leaks = Vec::new();
    for (role, claims) in [("interview_gateway", &claimed), ("interview_session", &claimed), ("authenticated", &person)] {
        let connection = if role == "interview_session" { &mut process } else { &mut gateway };
        for (table, column) in tables {
            let mut transaction = connection.begin().await.expect("a transaction");
            sqlx::query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
                .bind(role)
                .bind(claims.to_string())
                .execute(&mut *transaction)
                .await
                .expect("the role is taken");
            let count = format!("select count(*) from app.{table} where {column} = '{whose}'");
            // A table that the role may not read at all is no leak.
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *transaction).await.unwrap_or(0);
            if count > 0 {
                leaks.push(format!("{role}: {table}"));
            }
        }
    }
    leaks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_database_login_of_one_tenant_sees_a_row_of_the_other_whatever_it_claims() {
    let both = Neighbours::start().await;
    let admin = &both.operator.admin;
    let mut tables: Vec<(String, String)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text from information_schema.columns c
         join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = 'app' and c.column_name = 'tenant_id' and t.table_type = 'BASE TABLE'",
    )
    .fetch_all(admin)
    .await
    .expect("the tables");
    tables.push(("tenants".into(), "id".into()));
    assert!(tables.len() >= 14, "{tables:?}");
    let logins = |slug: &str| Logins {
        gateway: both.secret(&format!("interviews-{slug}"), "DATABASE__URL"),
        session: both.secret(&format!("interviews-{slug}-s"), "DATABASE__URL"),
    };
    let (rivals_logins, demos_logins) = (logins("rival"), logins("demo"));
    let (session, rivals_session) = (both.demos_session.as_str(), both.rivals_session.as_str());

    assert_eq!(seen(&rivals_logins, DEMO, session, &tables).await, Vec::<String>::new());
    assert_eq!(seen(&demos_logins, RIVAL, rivals_session, &tables).await, Vec::<String>::new());
    let own = seen(&demos_logins, DEMO, session, &tables).await;
    for table in ["interview_gateway: sessions", "interview_session: sessions", "authenticated: transcript_entries"] {
        assert!(own.iter().any(|seen| seen == table), "its own: {own:?}");
    }
    // It is nobody's role to become, and the operator's notes are not for it.
    for (login, role, others) in [(&rivals_logins.gateway, "gateway", "session"), (&rivals_logins.session, "session", "gateway")]
    {
        let mut connection = PgConnection::connect(login).await.expect("it signs in");
        let own = format!("set role interview_{role}");
        sqlx::raw_sql(AssertSqlSafe(own.clone())).execute(&mut connection).await.expect("its role");
        for statement in [
            format!("reset role; set role interview_{role}_demo"),
            format!("reset role; set role interview_{others}"),
            format!("reset role; set role interview_{others}_rival"),
            "reset role; set role postgres".to_owned(),
            format!("{own}; select * from app.tenant_deployments"),
            format!("{own}; insert into app.tenant_logins values ('interview_{role}_rival', '{DEMO}')"),
            format!("{own}; select * from app.tenant_logins"),
            format!("{own}; select * from app.operator_locks for update"),
            format!("alter role interview_{role}_rival bypassrls"),
        ] {
            assert!(sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await.is_err(), "{statement}");
            let _ = sqlx::raw_sql("rollback; reset role").execute(&mut connection).await;
        }
    }
    let mut connection = PgConnection::connect(&rivals_logins.session).await.expect("it signs in");
    assert!(sqlx::raw_sql("set role authenticated").execute(&mut connection).await.is_err(), "a session speaks for nobody");

    // The check can fail: without the binding claims are believed, without a policy they are not even asked for.
    let run = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(admin).await.expect("it runs");
    };
    run("delete from app.tenant_logins where login = 'interview_gateway_rival'").await;
    let unbound = seen(&rivals_logins, DEMO, session, &tables).await;
    assert!(unbound.iter().any(|leak| leak == "interview_gateway: sessions"), "{unbound:?}");
    run(&format!("insert into app.tenant_logins values ('interview_gateway_rival', '{RIVAL}', 'gateway')")).await;
    assert_eq!(seen(&rivals_logins, DEMO, session, &tables).await, Vec::<String>::new());
    run(
        "drop policy own_tenant on app.sessions; create policy open on app.sessions for select to interview_gateway using (true)",
    )
    .await;
    assert_eq!(seen(&rivals_logins, DEMO, session, &tables).await, ["interview_gateway: sessions"]);
    let Neighbours { operator, .. } = both;
    operator.stop("tenants_apart_database").await;
}

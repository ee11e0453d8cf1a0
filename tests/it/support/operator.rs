//! The operator's command line against the sandbox: the real binary, killed at will.

use super::browser::Browser;
use interview_sandbox::faults::{Action, Fault};
use interview_sandbox::{Sandbox, SandboxOptions};
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Row};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

pub const ROOT_KEY: &str = "0123456789abcdef0123456789abcdef";
pub const IMAGE: &str = "registry.fly.io/interview-runtime@sha256:aaaa";
const SHARED_PASSWORD: &str = "n0bodyownsth1s";
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Operator {
    pub sandbox: Sandbox,
    pub admin: PgPool,
    settings: BTreeMap<String, String>,
    _data: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Operator {
    /// The vendors and a migrated, seeded database; no tenant runs.
    pub async fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let binary = env!("CARGO_BIN_EXE_interview-runtime");
        let mut options = SandboxOptions::new(data.path()).with_postgres();
        options.runtime = vec![binary.to_owned()];
        options.rate_limits = false;
        options.fast = true;
        options.boot_time = Duration::from_millis(20);
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let admin_url = sandbox.database_admin_url().expect("a database");
        interview_runtime::integrations::store::migrate(&admin_url.clone().into()).await.expect("the migrations apply");
        let postgres = sandbox.postgres().expect("a database");
        postgres.set_login("interview_runtime", SHARED_PASSWORD).await.expect("a login");
        postgres.run_sql("interview", include_str!("../../../config/sandbox_seed.sql")).await.expect("the seed applies");
        let admin = PgPool::connect(&admin_url).await.expect("a connection");
        let port = sandbox.urls().front.rsplit(':').next().expect("a port").to_owned();
        let mut settings = sandbox.settings();
        settings.extend(
            [
                ("DATABASE__ADMIN_URL", admin_url),
                ("DATABASE__URL", postgres.url_for("interview_runtime", SHARED_PASSWORD, "interview")),
                ("FLY__API_TOKEN", sandbox.fly_token().to_owned()),
                ("FLY__IMAGE", IMAGE.to_owned()),
                ("FLY__REGION", "fra,any".to_owned()),
                ("FLY__REQUESTS_PER_S", "1000".to_owned()),
                ("OPERATOR__ORG", interview_sandbox::fly::ORG.to_owned()),
                ("OPERATOR__ROOT_KEY", ROOT_KEY.to_owned()),
                ("OPERATOR__DOOR_URL", format!("http://{{app}}.localhost:{port}")),
                ("OPERATOR__DOOR_ADDRESS", format!("127.0.0.1:{port}")),
                ("OPERATOR__HEALTHY_WITHIN_S", "40".to_owned()),
                ("OPERATOR__DRAIN_S", "10".to_owned()),
                ("WATCHDOG__STALL_AFTER_MS", "60000".to_owned()),
            ]
            .map(|(key, value)| (format!("INTERVIEW__{key}"), value)),
        );
        Self { sandbox, admin, settings, _data: data }
    }

    /// The door's address and the host name it is reached under.
    pub fn door(&self, slug: &str) -> (String, String) {
        let port = self.sandbox.urls().front.rsplit(':').next().expect("a port").to_owned();
        (format!("127.0.0.1:{port}"), format!("interviews-{slug}.localhost:{port}"))
    }

    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(format!("INTERVIEW__{key}"), value.to_owned());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interview-runtime"));
        command
            .args(arguments)
            .env_clear()
            .envs(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let run = self.command(arguments).output();
        let output = tokio::time::timeout(PATIENCE, run).await.expect("it ends in time").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        self.assert_no_secret(&ended);
        ended
    }

    pub async fn succeed(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}\n{}", ended.out, ended.err);
        ended
    }

    pub fn sign_in(&self, email: &str) -> String {
        let supabase = self.sandbox.supabase();
        supabase.access_token(email).unwrap_or_else(|| panic!("{email} is nobody"))
    }

    /// A request at a tenant's door.
    pub async fn ask(&self, slug: &str, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (address, host) = self.door(slug);
        let method = method.parse::<reqwest::Method>().expect("a method");
        loop {
            let mut request = reqwest::Client::new()
                .request(method.clone(), format!("http://{address}{path}"))
                .header("host", &host)
                .timeout(Duration::from_secs(40))
                .bearer_auth(token);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await.expect("an answer");
            // Tests look more often than people do, and come again when they are told to.
            if answer.status() != reqwest::StatusCode::TOO_MANY_REQUESTS {
                return (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// A new interview, whose process is ready.
    pub async fn interview(&self, slug: &str, token: &str, candidate: &str, position: &str) -> String {
        let order = json!({"candidate_id": candidate, "position_id": position, "settings": {}});
        let (status, made) = self.ask(slug, token, "POST", "/api/sessions", Some(order)).await;
        assert_eq!(status, 201, "{made}");
        let session = made["session_id"].as_str().expect("an id").to_owned();
        let path = format!("/api/sessions/{session}");
        super::wait_for("the session's process is ready", || async {
            self.ask(slug, token, "GET", &path, None).await.1["phase"] == "ready"
        })
        .await;
        session
    }

    pub async fn ticket(&self, slug: &str, token: &str, session: &str) -> Value {
        let (status, info) = self.ask(slug, token, "POST", &format!("/api/sessions/{session}/ticket"), Some(json!({}))).await;
        assert_eq!(status, 200, "{info}");
        info
    }

    /// A browser at a tenant's door, with whatever ticket and page it has.
    pub async fn connect(
        &self,
        slug: &str,
        session: &str,
        ticket: &str,
        origin: &str,
    ) -> Result<Browser, tokio_tungstenite::tungstenite::Error> {
        let (address, host) = self.door(slug);
        Browser::connect_at(&address, &format!("ws://{host}/ws/{session}"), ticket, origin).await
    }

    pub async fn join(&self, slug: &str, token: &str, session: &str) -> Browser {
        let info = self.ticket(slug, token, session).await;
        let ticket = info["websocket_ticket"].as_str().expect("a ticket");
        let (_, host) = self.door(slug);
        let mut browser = self.connect(slug, session, ticket, &format!("http://{host}")).await.expect("the socket opens");
        browser.expect("session_ready").await;
        browser
    }

    /// A tenant as releases left it that gave gateways and sessions one login: its secrets name that one, and
    /// no gateway runs.
    pub async fn share_one_login(&self, slug: &str, login: &str) {
        let apps = [format!("interviews-{slug}"), format!("interviews-{slug}-s")];
        let fly = &self.sandbox.urls().fly;
        let client = reqwest::Client::new();
        for machine in self.sandbox.fly().machines(&apps[0]) {
            let url = format!("{fly}/apps/{}/machines/{}?force=true", apps[0], machine.id);
            let request = client.delete(url).header("authorization", format!("Bearer {}", self.sandbox.fly_token()));
            assert!(request.send().await.expect("an answer").status().is_success());
        }
        super::wait_for("no gateway is left", || async {
            self.sandbox.fly().machines(&apps[0]).iter().all(|machine| machine.state().is_gone())
        })
        .await;
        for app in &apps {
            let secrets = self.sandbox.fly().app(app).expect("the app").secrets;
            let mut address: url::Url = secrets["INTERVIEW__DATABASE__URL"].parse().expect("an address");
            address.set_username(login).expect("a name");
            address.set_password(Some(SHARED_PASSWORD)).expect("a password");
            let request = client
                .post(format!("{fly}/apps/{app}/secrets"))
                .header("authorization", format!("Bearer {}", self.sandbox.fly_token()))
                .json(&json!({"values": {"INTERVIEW__DATABASE__URL": address.as_str()}}));
            assert!(request.send().await.expect("an answer").status().is_success());
        }
        let own = [format!("interview_gateway_{slug}"), format!("interview_session_{slug}")].join(", ");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "create role {login} login noinherit nobypassrls password '{SHARED_PASSWORD}';
             grant interview_gateway, interview_session, authenticated to {login};
             insert into app.tenant_logins (login, tenant_id) select '{login}', id from app.tenants where slug = '{slug}';
             delete from app.tenant_logins where login <> '{login}';
             update app.tenant_deployments d set gateway_fingerprint = 'before', session_fingerprint = 'before'
               from app.tenants t where t.id = d.tenant_id and t.slug = '{slug}';
             drop role {own}"
        )))
        .execute(&self.admin)
        .await
        .expect("the login of before");
    }

    /// Nothing that is a secret is ever printed.
    fn assert_no_secret(&self, ended: &Ended) {
        let secret = ["URL", "KEY", "TOKEN", "SECRET"];
        let hidden = self.settings.iter().filter(|(key, value)| {
            secret.iter().any(|word| key.ends_with(word)) && !value.starts_with("http") && value.len() > 8
        });
        for (key, value) in hidden.filter(|(key, _)| !key.contains("PUBLISHABLE")) {
            assert!(!ended.out.contains(value.as_str()) && !ended.err.contains(value.as_str()), "{key} was printed");
        }
    }

    /// Start, and kill as soon as `when` says so of what the ledger or the output shows. True when
    /// it was killed, false when it had ended before.
    pub async fn killed_when_held(&self, arguments: &[&str], route: &str, skip: u32, action: Action) -> bool {
        self.sandbox.faults().add(Fault::once("fly", route, action).after(skip));
        let mut child = self.command(arguments).spawn().expect("it starts");
        drain(&mut child);
        let limit = tokio::time::Instant::now() + PATIENCE;
        let struck = || self.sandbox.faults().pending().is_empty();
        loop {
            if let Some(status) = child.try_wait().expect("its state") {
                assert!(status.success(), "{arguments:?} {status}");
                self.sandbox.faults().clear();
                return false;
            }
            if struck() {
                // The work behind a held answer is done when the ledger has it; a moment is enough.
                tokio::time::sleep(Duration::from_millis(100)).await;
                child.kill().await.expect("killed");
                return true;
            }
            assert!(tokio::time::Instant::now() < limit, "{route} was never asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Start, and kill when the step with this number is announced. False: there is no such step.
    pub async fn killed_at_step(&self, arguments: &[&str], number: usize) -> bool {
        let mut child = self.command(arguments).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mark = format!("[{number}/");
        let read = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with(&mark) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(PATIENCE, read).await.expect("it goes on");
        if found {
            child.kill().await.expect("killed");
        } else {
            let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").expect("its state");
            assert!(status.success(), "{arguments:?} {status}");
        }
        found
    }

    /// What there is of a tenant, without what is different each time: ids, addresses, times, how
    /// often secrets were written, and the deploy token's value.
    pub async fn state(&self, slug: &str) -> Value {
        let (gateway, session) = (format!("interviews-{slug}"), format!("interviews-{slug}-s"));
        let mut apps = Map::new();
        for name in [&gateway, &session] {
            let Some(app) = self.sandbox.fly().app(name) else { continue };
            let mut secrets = app.secrets.clone();
            if let Some(token) = secrets.get_mut("INTERVIEW__FLY__API_TOKEN") {
                *token = self.reach_of(token).await;
            }
            let mut kinds: Vec<&String> = app.addresses.iter().map(|(kind, _)| kind).collect();
            kinds.sort();
            let policies: Vec<&Value> = app.policies.values().collect();
            apps.insert(
                name.clone(),
                json!({"network": app.network, "org": app.org, "secrets": secrets, "addresses": kinds, "policies": policies}),
            );
        }
        // Fly answers 202 to the removal of an app, and stops its machines after that.
        let left = || {
            let gone: Vec<&String> = [&gateway, &session].into_iter().filter(|app| !apps.contains_key(*app)).collect();
            gone.iter().flat_map(|app| self.sandbox.fly().machines(app)).any(|machine| !machine.state().is_gone())
        };
        super::wait_for("the machines of removed apps go", || async { !left() }).await;
        let mut machines: Vec<Value> = [&gateway, &session]
            .into_iter()
            .flat_map(|app| self.sandbox.fly().machines(app))
            .filter(|machine| !machine.state().is_gone())
            .map(|machine| {
                let mut config = machine.status().raw_config;
                config["env"]["INTERVIEW__FLY__MIN_SECRETS_VERSION"] = Value::Null;
                config["metadata"]["session_secrets"] = Value::Null;
                json!({"name": machine.name, "app": machine.app, "region": machine.region, "state": machine.state().as_str(), "config": config})
            })
            .collect();
        machines.sort_by_key(|machine| machine["name"].to_string());
        let row = sqlx::query(
            "select t.id::text, t.slug, t.name, (select to_jsonb(d) - 'updated_at' - 'token_expires_at' - 'gateway_version' - 'session_version'
                from app.tenant_deployments d where d.tenant_id = t.id) as deployment,
               (select jsonb_object_agg(l.login, (select jsonb_agg(g.rolname order by g.rolname) from pg_auth_members m
                  join pg_roles g on g.oid = m.roleid where m.member = r.oid))
                from app.tenant_logins l join pg_roles r on r.rolname = l.login and r.rolcanlogin and not r.rolbypassrls
                where l.tenant_id = t.id) as logins
             from app.tenants t where t.slug = $1",
        )
        .bind(slug)
        .fetch_optional(&self.admin)
        .await
        .expect("the row");
        let row = row.map(|row| {
            json!({"id": row.get::<String, _>(0), "slug": row.get::<String, _>(1), "name": row.get::<String, _>(2),
                   "deployment": row.get::<Option<Value>, _>(3), "logins": row.get::<Option<Value>, _>(4)})
        });
        json!({"apps": apps, "machines": machines, "row": row})
    }

    /// Which apps a token reaches.
    async fn reach_of(&self, token: &str) -> String {
        let url = format!("{}/tokens/current", self.sandbox.urls().fly);
        let answer = reqwest::Client::new().get(url).header("authorization", token).send().await.expect("an answer");
        answer.json::<Value>().await.unwrap_or_default()["tokens"][0]["apps"].to_string()
    }

    /// No request of ours was one that Fly would refuse or ignore; the exchanges are kept for the
    /// vendors' documents when `CONFORMANCE_OUT` names a folder.
    pub async fn stop(self, name: &str) {
        let violations = self.sandbox.ledger().violations();
        assert!(violations.is_empty(), "{violations:#?}");
        if let Some(folder) = std::env::var_os("CONFORMANCE_OUT").map(std::path::PathBuf::from) {
            std::fs::create_dir_all(&folder).expect("the folder");
            let text = serde_json::to_vec(&self.sandbox.ledger().entries()).expect("JSON");
            std::fs::write(folder.join(format!("{name}.ledger.json")), text).expect("written");
        }
        self.admin.close().await;
        self.sandbox.stop().await;
    }
}

/// A pipe that nobody reads would hold the process up.
fn drain(child: &mut Child) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(mut out) = out {
            let _ = out.read_to_end(&mut text).await;
        }
    });
    tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(mut err) = err {
            let _ = err.read_to_end(&mut text).await;
        }
    });
}

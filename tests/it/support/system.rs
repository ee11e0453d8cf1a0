//! The whole system on the sandbox, as scripts/demo starts it.

use super::browser::Browser;
use super::wait_for;
use interview_sandbox::supabase::MintOptions;
use interview_sandbox::{GATEWAY_APP, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::time::Duration;

pub struct System {
    pub sandbox: Sandbox,
    http: reqwest::Client,
    _data: tempfile::TempDir,
}

impl System {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further keys of the configuration, without `INTERVIEW__`, for all machines.
    pub async fn start_with(keys: &[(&str, &str)]) -> Self {
        Self::start_changed(keys, |_| {}).await
    }

    pub async fn start_changed(keys: &[(&str, &str)], change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut options = SandboxOptions::new(data.path()).with_gateway(env!("CARGO_BIN_EXE_interview-runtime"));
        options.seed = Some(root.join("config/sandbox_seed.sql"));
        options.fast = true;
        options.questions = Some(2);
        options.rate_limits = false;
        options.min_part_bytes = 1;
        // Tests look fifty times a second, as no person does; the bounds have tests of their own (door.rs).
        let unbounded = ["PERSON_REQUESTS_BURST", "ADDRESS_REQUESTS_BURST", "TICKETS_BURST"];
        options.extra_env = unbounded.map(|key| (format!("INTERVIEW__LIMITS__{key}"), "1000000".to_owned())).into();
        options.extra_env.push(("INTERVIEW__SANDBOX__FAULT_INJECTION".into(), "true".into()));
        // Two questions, in seconds.
        options.extra_env.push(("INTERVIEW__INTERVIEW__MIN_TURNS".into(), "2".into()));
        options.extra_env.extend(keys.iter().map(|(key, value)| (format!("INTERVIEW__{key}"), (*value).to_owned())));
        change(&mut options);
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { sandbox, http, _data: data }
    }

    pub async fn sign_in(&self, email: &str) -> String {
        let supabase = self.sandbox.supabase();
        let answer = self
            .http
            .post(format!("{}/auth/v1/token?grant_type=password", self.sandbox.urls().supabase))
            .header("apikey", supabase.publishable_key())
            .json(&json!({"email": email, "password": "interview"}))
            .send()
            .await
            .expect("an answer");
        let body: Value = answer.json().await.expect("JSON");
        body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    /// Tokens that must not be accepted, each with why.
    pub fn bad_tokens(&self, email: &str) -> Vec<(&'static str, String)> {
        let supabase = self.sandbox.supabase();
        let user = supabase.user(email).expect("a user");
        let with = |change: fn(&mut MintOptions)| {
            let mut options = supabase.options_for(&user);
            change(&mut options);
            supabase.mint(options)
        };
        let none = |alg: &str| {
            use data_encoding::BASE64URL_NOPAD as B64;
            let good = supabase.access_token(email).expect("a token");
            let claims = good.split('.').nth(1).expect("claims").to_owned();
            format!("{}.{claims}.", B64.encode(json!({"alg": alg, "typ": "JWT"}).to_string().as_bytes()))
        };
        vec![
            ("expired", with(|options| options.expires_in = -3_600)),
            ("another audience", with(|options| options.audience = json!("anon"))),
            ("no issuer", with(|options| options.issuer = None)),
            ("another issuer", with(|options| options.issuer = Some("https://evil.test/auth/v1".into()))),
            ("another role", with(|options| options.role = "service_role".into())),
            ("alg none", none("none")),
            ("alg NONE", none("NONE")),
        ]
    }

    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let answer =
            self.http.get(format!("{}{path}", self.sandbox.urls().front)).bearer_auth(token).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn post(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        self.post_with(token, path, body, &[]).await
    }

    pub async fn post_with(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        self.send(token, self.http.post(format!("{}{path}", self.sandbox.urls().front)).json(body), headers).await
    }

    pub async fn put_with(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        self.send(token, self.http.put(format!("{}{path}", self.sandbox.urls().front)).json(body), headers).await
    }

    pub async fn get_with_headers(&self, token: &str, path: &str) -> (u16, reqwest::header::HeaderMap, Value) {
        let url = format!("{}{path}", self.sandbox.urls().front);
        let answer = self.http.get(url).bearer_auth(token).send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers().clone(), answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn patch(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.patch(format!("{}{path}", self.sandbox.urls().front)).json(body);
        self.send(token, request, headers).await
    }

    /// A body that is no JSON.
    pub async fn post_bytes(&self, token: &str, path: &str, kind: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.sandbox.urls().front)).header("content-type", kind).body(body);
        self.send(token, request, headers).await
    }

    async fn send(&self, token: &str, request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    /// None: no answer came.
    pub async fn try_post(&self, token: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Option<(u16, Value)> {
        let mut request = self.http.post(format!("{}{path}", self.sandbox.urls().front)).json(body).bearer_auth(token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.timeout(Duration::from_mins(1)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)))
    }

    /// For `tests/conformance`: what Fly was asked and answered, into the folder `CONFORMANCE_OUT`.
    pub fn leave_evidence(&self, name: &str) {
        let Some(folder) = std::env::var_os("CONFORMANCE_OUT").map(std::path::PathBuf::from) else { return };
        let entries = serde_json::to_vec(&self.sandbox.ledger().of("fly")).expect("JSON");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.ledger.json")), entries).expect("a file");
    }

    pub async fn phase(&self, token: &str, session: &str) -> String {
        self.get(token, &format!("/api/sessions/{session}")).await.1["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// The candidate of the interviews in these tests: the only one who may join them.
    pub async fn amara(&self) -> String {
        self.sign_in("amara@demo.test").await
    }

    /// What a page needs to join.
    pub async fn join_info(&self, token: &str, session: &str) -> Value {
        let (status, info) = self.post(token, &format!("/api/sessions/{session}/ticket"), &json!({})).await;
        assert_eq!(status, 200, "{info}");
        info
    }

    pub async fn join(&self, token: &str, session: &str) -> Browser {
        let info = self.join_info(token, session).await;
        let (url, ticket) =
            (info["websocket_url"].as_str().expect("an address"), info["websocket_ticket"].as_str().expect("a ticket"));
        let origin = self.sandbox.urls().front.clone();
        let mut browser = Browser::connect_from(url, ticket, &origin).await.expect("the socket opens");
        browser.expect("session_ready").await;
        browser
    }

    pub async fn machine_state(&self, machine: &str) -> String {
        let app = interview_sandbox::SESSION_APP;
        let url = format!("{}/apps/{app}/machines/{machine}", self.sandbox.urls().fly);
        let answer = self.http.get(url).bearer_auth(self.sandbox.fly_token()).send().await.expect("an answer");
        answer.json::<Value>().await.unwrap_or(Value::Null)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// As if the machine's memory ran out.
    pub fn kill_machine(&self, machine: &str) {
        let pid = self.sandbox.fly().machine(machine).and_then(|machine| machine.status().pid).expect("the machine runs");
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
        assert!(killed.success());
    }

    async fn session_address(&self, session: &str) -> std::net::SocketAddr {
        let token = self.sign_in("recruiter@demo.test").await;
        let (_, view) = self.get(&token, &format!("/api/sessions/{session}")).await;
        let machine = view["machine"]["id"].as_str().expect("a machine").to_owned();
        self.sandbox.fly().machine(&machine).and_then(|machine| machine.status().address).expect("the machine has an address")
    }

    /// Crash one actor of a session's process.
    pub async fn crash(&self, session: &str, child: &str) {
        let address = self.session_address(session).await;
        let answer = self.http.post(format!("http://{address}/debug/crash/{child}")).send().await.expect("the process answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub async fn session_snapshot(&self, session: &str) -> Value {
        let address = self.session_address(session).await;
        let answer = self.http.get(format!("http://{address}/debug/snapshot")).send().await.expect("the process answers");
        answer.json().await.unwrap_or(Value::Null)
    }

    pub async fn stop(self) {
        self.sandbox.stop().await;
    }
}

/// Beside the sandbox's own, as in production.
pub async fn second_gateway(system: &System) {
    let fly = system.sandbox.fly();
    let first = fly.machines(GATEWAY_APP).first().expect("a gateway").status().raw_config;
    let url = format!("{}/apps/{GATEWAY_APP}/machines", system.sandbox.urls().fly);
    let body = json!({"name": "gateway-2", "region": "fra", "config": first});
    let answer =
        reqwest::Client::new().post(url).header("authorization", fly.org_token()).json(&body).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    wait_for("the second gateway listens", || async {
        let address = fly
            .machines(GATEWAY_APP)
            .iter()
            .find(|machine| machine.name == "gateway-2")
            .and_then(|machine| machine.status().address);
        let Some(address) = address else { return false };
        reqwest::get(format!("http://{address}/readyz")).await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
}

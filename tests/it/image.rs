//! The image, and how its machines are run: the Dockerfile and fly.toml checked without Docker or Fly, what the binary needs,
//! its sockets, its exit codes.

use crate::support::process::Process;
use crate::support::system::System;
use crate::support::{World, wait_for};
use interview_sandbox::SESSION_APP;
use interview_sandbox::fly::model::MachineState;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
const BINARY: &str = env!("CARGO_BIN_EXE_interview-runtime");
/// What gcr.io/distroless/cc-debian12 has of shared libraries that a program of ours may need.
const SHARED: [&str; 8] = [
    "linux-vdso.so.1",
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One stage of the Dockerfile.
#[derive(Debug, Default)]
struct Stage {
    base: String,
    name: String,
    /// In order, names in capitals.
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.instructions.iter().filter(move |(word, _)| word == name).map(|(_, rest)| rest.as_str())
    }

    fn last(&self, name: &str) -> &str {
        let found = self.instructions.iter().rev().find(|(word, _)| word == name);
        found.map_or_else(|| panic!("no {name}"), |(_, rest)| rest.as_str())
    }

    /// Sources of its COPYs: from where (empty: the build context), and what.
    fn copied(&self) -> Vec<(String, String)> {
        let mut copied = Vec::new();
        for rest in self.all("COPY") {
            let (flags, mut paths): (Vec<&str>, Vec<&str>) = rest.split_whitespace().partition(|word| word.starts_with("--"));
            let from = flags.iter().find_map(|flag| flag.strip_prefix("--from=")).unwrap_or_default();
            assert!(paths.pop().is_some() && !paths.is_empty(), "COPY {rest}");
            copied.extend(paths.into_iter().map(|path| (from.to_owned(), path.to_owned())));
        }
        copied
    }
}

fn stages() -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let text = read("Dockerfile").replace("\\\n", " ");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "FROM" {
            let mut words = rest.split_whitespace();
            let base = words.next().expect("a base").to_owned();
            let name = words.nth(1).unwrap_or_default().to_owned();
            stages.push(Stage { base, name, ..Stage::default() });
        } else {
            let stage = stages.last_mut().expect("FROM comes first");
            stage.instructions.push((word.to_owned(), rest.trim().to_owned()));
        }
    }
    stages
}

/// Whether .dockerignore lets a path of the repository in: the last rule that fits decides.
fn sent(path: &str) -> bool {
    let mut sent = true;
    for rule in read(".dockerignore").lines().map(str::trim).filter(|rule| !rule.is_empty() && !rule.starts_with('#')) {
        let (keep, pattern) = rule.strip_prefix('!').map_or((false, rule), |pattern| (true, pattern));
        let parts: Vec<&str> = path.split('/').collect();
        let fits = match pattern.strip_prefix("**/") {
            Some(name) => parts.iter().any(|part| {
                name.strip_suffix('*').map_or(*part == name, |start| part.starts_with(start))
                    || name.strip_prefix('*').is_some_and(|end| part.ends_with(end))
            }),
            None => pattern == "*" || path == pattern || path.starts_with(&format!("{pattern}/")),
        };
        if fits {
            sent = keep;
        }
    }
    sent
}

#[test]
fn the_dockerfile_makes_one_small_image_of_what_the_repository_has() {
    let stages = stages();
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["web", "build", ""]);
    for (index, stage) in stages.iter().enumerate() {
        for (from, source) in stage.copied() {
            if from.is_empty() {
                let path = source.trim_end_matches('/');
                assert!(root().join(path).exists() && sent(path), "COPY {source}: it is there, and not ignored");
            } else {
                assert!(names[..index].contains(&from.as_str()), "COPY --from={from}: an earlier stage");
            }
        }
        assert!(stage.base.contains(':'), "{}: with a tag", stage.base);
    }
    // What a stage takes out of another one is made there.
    let made = |stage: &Stage, what: &str| stage.all("RUN").any(|run| run.contains(what));
    assert!(made(&stages[0], "npm run build") && read("web/vite.config.ts").contains("outDir: 'dist'"));
    assert!(made(&stages[1], "cp target/dist/interview-runtime /interview-runtime") && made(&stages[1], "--profile dist --bin"));
    let last = &stages[2];
    assert_eq!(last.copied(), [("web".into(), "/src/web/dist".into()), ("build".into(), "/interview-runtime".to_owned())]);
    assert_eq!(last.base, "gcr.io/distroless/cc-debian12:nonroot");
    let rust =
        stages[1].base.strip_prefix("rust:").and_then(|tag| tag.strip_suffix("-bookworm")).expect("Debian 12, as the base");
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).expect("a version");
    assert!(minor(rust) >= minor(env!("CARGO_PKG_RUST_VERSION")), "{rust} builds it");
    assert_eq!(last.last("USER"), "nonroot");
    assert_eq!((last.last("ENTRYPOINT"), last.last("CMD")), (r#"["/interview-runtime"]"#, r#"["gateway"]"#));
    assert!(last.last("LABEL").contains("org.opencontainers.image.licenses=\"MIT OR Apache-2.0\""));
    assert_eq!(last.last("ENV"), "INTERVIEW__HTTP__WEB_DIR=/web", "where the web app is copied to");
    assert_eq!(last.all("RUN").count(), 0, "there is no shell");
}

#[test]
fn no_secret_is_built_in_and_nothing_private_is_sent_to_the_builder() {
    for stage in stages() {
        for rest in stage.all("ENV").chain(stage.all("ARG")) {
            let name = rest.split('=').next().unwrap_or_default().to_lowercase();
            for word in ["key", "token", "secret", "password", "url"] {
                assert!(!name.contains(word), "{rest}");
            }
        }
    }
    for path in [
        ".git",
        ".env",
        "web/.env.local",
        "target",
        ".sandbox",
        "web/node_modules",
        "web/dist",
        "docs",
        "src/a.log",
        "tests/e2e/out",
    ] {
        assert!(!sent(path), "{path}");
    }
    for path in ["src/main.rs", "web/app/main.ts", ".sqlx", "tests/it/main.rs", "web/package.json"] {
        assert!(sent(path), "{path}");
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let path = entry.expect("an entry").path();
            let relative = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            if sent(&relative) {
                copy(&path, &to.join(path.file_name().expect("a name")));
            }
        }
    } else {
        std::fs::copy(from, to).expect("copied");
    }
}

#[test]
fn what_the_build_stage_copies_is_a_whole_workspace() {
    let folder = tempfile::tempdir().expect("a folder");
    for (_, source) in stages()[1].copied() {
        let path = source.trim_end_matches('/');
        copy(&root().join(path), &folder.path().join(path));
    }
    // Cargo reads every manifest and looks for every target; a missing one is an error.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let told = Command::new(cargo)
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(folder.path())
        .output()
        .expect("cargo runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    for package in metadata["packages"].as_array().expect("packages") {
        for target in package["targets"].as_array().expect("targets") {
            let path = target["src_path"].as_str().expect("a path");
            assert!(Path::new(path).is_file(), "{path} is not copied");
        }
    }
    // And whatever the sources take in while they are compiled.
    for file in ["config/default.toml", "migrations/0001_roles_and_claims.sql", ".sqlx"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}

#[test]
fn hadolint_has_no_complaint() {
    let program = std::env::var("HADOLINT").unwrap_or_else(|_| "hadolint".to_owned());
    match Command::new(&program).args(["--failure-threshold", "warning", "--no-color"]).arg(root().join("Dockerfile")).output() {
        Ok(told) => assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout)),
        Err(error) => println!("NOTICE: {program} does not run ({error}): the Dockerfile is not linted"),
    }
}

#[test]
fn the_binary_needs_no_library_that_the_base_has_not() {
    let Ok(told) = Command::new("ldd").arg(BINARY).output() else {
        println!("NOTICE: there is no ldd: what the binary is linked with is not looked at");
        return;
    };
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let needed: BTreeSet<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(needed.contains("libc.so.6"), "{text}");
    for library in needed {
        assert!(SHARED.contains(&library) || library.contains("ld-linux"), "{library} is not in the image\n{text}");
    }
}

/// Every key in a TOML document, as `table.key`; a list of tables counts as its tables.
fn keys(value: &toml::Value, path: &str, into: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                into.push((path.to_owned(), key.clone()));
                keys(value, if path.is_empty() { key.clone() } else { format!("{path}.{key}") }.as_str(), into);
            }
        }
        toml::Value::Array(list) => list.iter().filter(|value| value.is_table()).for_each(|value| keys(value, path, into)),
        _ => {}
    }
}

#[test]
fn fly_toml_has_only_keys_that_flyctl_knows_and_values_that_it_takes() {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let corpus = include_str!("corpus/fly_toml_keys.txt");
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let (table, keys) = line.split_once(':').expect("table: keys");
        known.entry(table.trim()).or_default().extend(keys.split_whitespace());
    }
    let fly: toml::Value = toml::from_str(&read("fly.toml")).expect("TOML");
    let mut found = Vec::new();
    keys(&fly, "", &mut found);
    assert!(found.len() > 20, "{found:?}");
    for (table, key) in found {
        let known = known.get(table.as_str()).unwrap_or_else(|| panic!("[{table}] is no table of flyctl's"));
        assert!(known.contains("*") || known.contains(key.as_str()), "[{table}] {key} is no key of flyctl's");
    }

    let signals = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGHUP"];
    assert!(signals.contains(&fly["kill_signal"].as_str().expect("a signal")));
    assert!((1..=300).contains(&fly["kill_timeout"].as_integer().expect("seconds")));
    assert!(["rolling", "bluegreen", "canary", "immediate"].contains(&fly["deploy"]["strategy"].as_str().expect("a word")));
    assert_eq!(fly["restart"][0]["policy"].as_str(), Some("always"), "never, always or on-failure");
    let service = &fly["http_service"];
    assert!(["off", "stop", "suspend"].contains(&service["auto_stop_machines"].as_str().expect("a word")));
    // An application that is never stopped and may not be started would stay away after its first stop.
    assert_eq!((service["auto_stop_machines"].as_str(), service["auto_start_machines"].as_bool()), (Some("off"), Some(true)));
    assert!(fly.get("services").is_none() && fly.get("mounts").is_none(), "bluegreen takes no volumes");
    assert!(root().join(fly["build"]["dockerfile"].as_str().expect("a path")).is_file());

    // Where it says we listen, and what we are started as.
    let defaults: toml::Value = toml::from_str(include_str!("../../config/default.toml")).expect("TOML");
    let bind = defaults["http"]["bind"].as_str().expect("an address");
    assert!(bind.ends_with(&format!(":{}", service["internal_port"].as_integer().expect("a port"))), "{bind}");
    let command = fly["processes"]["app"].as_str().expect("a command");
    let told = Command::new(BINARY).args(command.split_whitespace()).arg("--help").output().expect("it runs");
    assert!(told.status.success() && String::from_utf8_lossy(&told.stdout).contains("tenant's door"), "{command}");
    for key in fly["env"].as_table().expect("a table").keys() {
        assert!(key.starts_with("INTERVIEW__") && !key.contains("SECRET") && !key.contains("KEY"), "{key}");
        let (section, name) = key["INTERVIEW__".len()..].split_once("__").expect("a key");
        assert!(defaults[&section.to_lowercase()].get(name.to_lowercase()).is_some(), "{key} is no key of ours");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_listens_on_both_families_and_stops_in_order_on_either_signal() {
    let world = World::start().await;
    for signal in ["TERM", "INT"] {
        let mut gateway = world.spawn_gateway();
        wait_for("it answers over IPv4", || answers(&gateway, "127.0.0.1")).await;
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            assert!(answers(&gateway, "[::1]").await, "and over IPv6: {:#?}", gateway.lines());
        } else {
            println!("NOTICE: this machine has no IPv6: only IPv4 was asked");
        }
        gateway.signal(signal);
        let ended = gateway.ended(Duration::from_secs(30)).await;
        assert_eq!(ended.code, Some(0), "{signal}: {:#?}", gateway.lines());
    }
    world.stop().await;
}

async fn answers(gateway: &Process, host: &str) -> bool {
    let url = format!("http://{host}:{}/healthz", gateway.address.port());
    let get = reqwest::Client::new().get(url).timeout(Duration::from_secs(2)).send();
    get.await.is_ok_and(|answer| answer.status().is_success())
}

async fn order(system: &System, recruiter: &str) -> String {
    let body = json!({"candidate_id": AMARA, "position_id": ENGINEER, "settings": {}});
    let (status, made) = system.post(recruiter, "/api/sessions", &body).await;
    assert_eq!(status, 201, "{made}");
    let id = made["session_id"].as_str().expect("an id").to_owned();
    wait_for("the session's process is ready", || async { system.phase(recruiter, &id).await == "ready" }).await;
    id
}

async fn machine(system: &System, recruiter: &str, session: &str) -> (String, i64) {
    let (_, view) = system.get(recruiter, &format!("/api/sessions/{session}")).await;
    // Empty: between two machines.
    let id = view["machine"]["id"].as_str().unwrap_or_default().to_owned();
    (id, view["machine"]["attempt"].as_i64().unwrap_or_default())
}

/// Exit code and whether it was asked for and is followed by a restart, newest first.
fn exits(system: &System, machine: &str) -> Vec<(Option<i64>, bool, bool)> {
    let status = system.sandbox.fly().machine(machine).expect("it is known").status();
    let exits = status.events.iter().filter(|event| event.kind == "exit").map(|event| &event.request["exit_event"]);
    exits.map(|exit| (exit["exit_code"].as_i64(), exit["requested_stop"] == true, exit["restarting"] == true)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_starts_again_on_its_machine_until_the_tries_are_used_up_and_a_clean_end_removes_it() {
    // No keeper makes another machine while we count.
    let system = System::start_with(&[
        ("KEEPER__LOST_AFTER_MS", "120000"),
        ("KEEPER__STUCK_AFTER_MS", "120000"),
        ("FLY__START_DEADLINE_MS", "120000"),
    ])
    .await;
    let recruiter = system.sign_in("recruiter@demo.test").await;

    let clean = order(&system, &recruiter).await;
    let asked = system
        .sandbox
        .ledger()
        .find(|entry| entry.vendor == "fly" && entry.request["name"].as_str().is_some_and(|name| name.starts_with("s-")));
    let config = &asked.first().expect("a machine was asked for").request["config"];
    assert_eq!(config["auto_destroy"], true, "{config}");
    assert_eq!(config["restart"], json!({"policy": "on-failure", "max_retries": 3}), "{config}");
    assert_eq!(config["stop_config"], json!({"signal": "SIGTERM", "timeout": "60s"}), "{config}");
    assert_eq!(config["init"]["cmd"], json!(["session"]), "{config}");

    let (made, _) = machine(&system, &recruiter, &clean).await;
    let (status, _) = system.post(&recruiter, &format!("/api/sessions/{clean}/end"), &json!({})).await;
    assert_eq!(status, 202);
    wait_for("a clean end removes the machine", || async { system.machine_state(&made).await == "destroyed" }).await;
    assert_eq!(exits(&system, &made), [(Some(0), false, false)]);

    let crashing = order(&system, &recruiter).await;
    let (made, _) = machine(&system, &recruiter, &crashing).await;
    let fly = system.sandbox.fly();
    for restart in 1..=4_u32 {
        let pid = fly.machine(&made).and_then(|machine| machine.status().pid).expect("it runs");
        system.kill_machine(&made);
        if restart == 4 {
            break;
        }
        wait_for("its machine starts it again", || async {
            let status = fly.machine(&made).expect("it is known").status();
            status.restarts == restart && status.state == MachineState::Started && status.pid.is_some_and(|new| new != pid)
        })
        .await;
        // It rebuilds from the database and takes a browser.
        let mut browser = system.join(&system.amara().await, &crashing).await;
        browser.say(u64::from(restart), &["still here"]).await;
        browser.expect("transcript_ack").await;
    }
    wait_for("the tries are used up", || async { system.machine_state(&made).await == "destroyed" }).await;
    let killed = |restarting| (Some(137), false, restarting);
    assert_eq!(exits(&system, &made), [killed(false), killed(true), killed(true), killed(true)]);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_told_to_stop_in_the_middle_says_so_and_another_one_goes_on() {
    let quick = [("SESSION__HEARTBEAT_INTERVAL_MS", "300"), ("KEEPER__INTERVAL_MS", "200"), ("KEEPER__LOST_AFTER_MS", "1500")];
    let system = System::start_with(&quick).await;
    let recruiter = system.sign_in("recruiter@demo.test").await;
    let id = order(&system, &recruiter).await;
    let mut browser = system.join(&system.amara().await, &id).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    let (first, attempt) = machine(&system, &recruiter, &id).await;

    let url = format!("{}/apps/{SESSION_APP}/machines/{first}/stop", system.sandbox.urls().fly);
    let answer = reqwest::Client::new()
        .post(url)
        .bearer_auth(system.sandbox.fly_token())
        .json(&json!({}))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success());
    assert_eq!(browser.closed().await, 1012, "come back, somewhere else");
    wait_for("it is gone", || async { system.machine_state(&first).await == "destroyed" }).await;
    assert_eq!(exits(&system, &first), [(Some(75), true, false)], "not over, and not a failure");
    wait_for("another one has it", || async {
        let (now, number) = machine(&system, &recruiter, &id).await;
        !now.is_empty() && now != first && number == attempt + 1 && system.machine_state(&now).await == "started"
    })
    .await;
    let mut browser = system.join(&system.amara().await, &id).await;
    browser.say(2, &["after"]).await;
    browser.expect("transcript_ack").await;
    system.stop().await;
}

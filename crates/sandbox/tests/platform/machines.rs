use serde_json::{Value, json};
use std::time::Duration;

use crate::{World, answer};

const APP: &str = "interviews-t-s";

pub async fn world_with(script: &str) -> World {
    let script = script.to_owned();
    let world = World::with(|options| options.runtime = vec!["/bin/sh".into(), "-c".into(), script, "runtime".into()]).await;
    let body = json!({ "name": APP, "org_slug": "sandbox", "network": "tenant-t" });
    assert_eq!(answer(world.fly(reqwest::Method::POST, "/apps").json(&body)).await.0, 201);
    world
}

impl World {
    pub fn fly(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.urls().fly);
        self.http.request(method, url).header("authorization", self.sandbox.fly().org_token())
    }

    async fn create(&self, name: &str, config: Value) -> (u16, Value) {
        let mut config = config;
        config["image"] = "registry.fly.io/runtime@sha256:00".into();
        let body = json!({ "name": name, "region": "fra,eu,any", "config": config });
        answer(self.fly(reqwest::Method::POST, &format!("/apps/{APP}/machines")).json(&body)).await
    }

    async fn machine(&self, id: &str, rest: &str) -> (u16, Value) {
        answer(self.fly(reqwest::Method::GET, &format!("/apps/{APP}/machines/{id}{rest}"))).await
    }

    fn log(&self, name: &str, id: &str) -> String {
        let path = self.sandbox.fly().options().data_dir.join(format!("{APP}-{name}-{id}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

fn id_of(machine: &Value) -> String {
    machine["id"].as_str().unwrap_or_else(|| panic!("{machine}")).to_owned()
}

#[tokio::test]
async fn a_machine_runs_ends_and_is_destroyed_but_not_forgotten() {
    let world = world_with("env | sort; echo \"argument $1\"; exit 0").await;
    let secrets = json!({ "values": { "A_SECRET": "s", "BOTH": "secret" } });
    let (status, answered) = answer(world.fly(reqwest::Method::POST, &format!("/apps/{APP}/secrets")).json(&secrets)).await;
    assert_eq!((status, answered["version"].as_u64()), (200, Some(1)));
    let config = json!({
        "init": { "cmd": ["session"] }, "env": { "SESSION_ID": "s-1", "BOTH": "env" },
        "auto_destroy": true, "restart": { "policy": "no" }, "metadata": { "session_id": "s-1" },
        "services": [{ "protocol": "tcp", "internal_port": 8080, "autostop": "off", "ports": [{ "port": 443 }] }]
    });
    let (status, machine) = world.create("s-1", config).await;
    assert_eq!(status, 200, "{machine}");
    assert_eq!(machine["state"], "created");
    assert_eq!(machine["config"]["services"][0]["autostop"], false, "words come back as booleans");
    let id = id_of(&machine);
    assert_eq!(id.len(), 14);
    let (status, waited) = world.machine(&id, "/wait?state=destroyed&timeout=10").await;
    assert_eq!((status, waited["state"].as_str()), (200, Some("destroyed")));
    let (status, machine) = world.machine(&id, "").await;
    assert_eq!((status, machine["state"].as_str()), (200, Some("destroyed")));

    let log = world.log("s-1", &id);
    for line in [
        "argument session",
        "SESSION_ID=s-1",
        "A_SECRET=s",
        "BOTH=secret",
        &format!("FLY_MACHINE_ID={id}"),
        "FLY_REGION=fra",
        "INTERVIEW__HTTP__BIND=127.",
    ] {
        assert!(log.contains(line), "{line} in:\n{log}");
    }
    assert!(!log.contains("CARGO_"), "only what a machine has at Fly");
    let (_, events) = world.machine(&id, "/events").await;
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["destroyed", "destroying", "stopped", "started", "starting", "created"], "newest first");
    assert_eq!(events[2]["request"]["exit_event"]["exit_code"], 0);
}

#[tokio::test]
async fn a_name_is_unique_until_its_holder_is_destroyed() {
    let world = world_with("exec sleep 60").await;
    let (_, machine) = world.create("s-2", json!({ "auto_destroy": true })).await;
    let id = id_of(&machine);
    let (status, error) = world.create("s-2", json!({})).await;
    assert_eq!(status, 409);
    let text = format!("already_exists: unique machine name violation, machine ID {id} already exists with name \"s-2\"");
    assert_eq!(error["error"], text.as_str());
    assert_eq!(world.machine(&id, "/wait?state=started&timeout=5").await.0, 200);
    assert_eq!(world.machine(&id, "/wait?state=destroyed&timeout=1").await.0, 408);
    assert_eq!(world.machine(&id, "/wait?state=started&timeout=61").await.0, 400, "not clamped");
    assert_eq!(world.machine("00000000000000", "").await.0, 404);

    let delete = |query: &str| world.fly(reqwest::Method::DELETE, &format!("/apps/{APP}/machines/{id}{query}"));
    assert_eq!(answer(delete("")).await.0, 412, "it is running");
    assert_eq!(answer(delete("?force=true")).await.0, 200);
    assert_eq!(world.machine(&id, "/wait?state=destroyed&timeout=5").await.0, 200);
    assert_eq!(answer(delete("?force=true")).await.0, 200, "again is no error");
    assert_eq!(world.create("s-2", json!({})).await.0, 200, "the name is free again");
}

#[tokio::test]
async fn a_crash_is_restarted_by_policy_and_then_given_up() {
    let world = world_with("echo run; exit 3").await;
    let config = json!({ "auto_destroy": true, "restart": { "policy": "on-failure", "max_retries": 2 } });
    let id = id_of(&world.create("s-3", config).await.1);
    assert_eq!(world.machine(&id, "/wait?state=destroyed&timeout=20").await.0, 200);
    assert_eq!(world.log("s-3", &id).matches("run").count(), 3);
    let (_, events) = world.machine(&id, "/events").await;
    let exits: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["type"] == "exit")
        .map(|event| {
            (event["request"]["exit_event"]["exit_code"].as_i64(), event["request"]["exit_event"]["restarting"].as_bool())
        })
        .collect();
    assert_eq!(exits, [(Some(3), Some(false)), (Some(3), Some(true)), (Some(3), Some(true))]);
}

#[tokio::test]
async fn stopping_sends_the_configured_signal_and_kills_whoever_stays() {
    let world = world_with("trap 'echo terminated; exit 0' TERM; trap '' INT; while :; do sleep 0.1; done").await;
    let graceful = json!({ "stop_config": { "signal": "SIGTERM", "timeout": "5s" } });
    let id = id_of(&world.create("s-4", graceful).await.1);
    assert_eq!(world.machine(&id, "/wait?state=started&timeout=5").await.0, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stop = |id: &str| world.fly(reqwest::Method::POST, &format!("/apps/{APP}/machines/{id}/stop"));
    assert_eq!(answer(stop(&id).json(&json!({}))).await.0, 200);
    assert_eq!(world.machine(&id, "/wait?state=stopped&timeout=10").await.0, 200);
    assert!(world.log("s-4", &id).contains("terminated"));

    let stubborn = id_of(&world.create("s-5", json!({})).await.1);
    assert_eq!(world.machine(&stubborn, "/wait?state=started&timeout=5").await.0, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(answer(stop(&stubborn).json(&json!({ "timeout": "1s" }))).await.0, 200);
    assert_eq!(world.machine(&stubborn, "/wait?state=stopped&timeout=10").await.0, 200);
    let (_, events) = world.machine(&stubborn, "/events?limit=1").await;
    assert_eq!(events[0]["request"]["exit_event"]["signal"], 9);

    let leftovers = world.sandbox.fly().options().data_dir.join("pids");
    world.sandbox.stop().await;
    assert_eq!(std::fs::read_dir(leftovers).unwrap().count(), 0, "no process is left to clean up");
}

#[tokio::test]
async fn lists_filter_by_metadata_and_tokens_are_scoped() {
    let world = world_with("exec sleep 60").await;
    let id = id_of(&world.create("s-6", json!({ "metadata": { "session_id": "six" } })).await.1);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let list = async |query: &str| answer(world.fly(reqwest::Method::GET, &format!("/apps/{APP}/machines{query}"))).await.1;
    assert_eq!(list("?metadata.session_id=six").await[0]["id"], id.as_str());
    assert_eq!(list("?metadata.session_id=seven").await, json!([]));
    let set = world.fly(reqwest::Method::POST, &format!("/apps/{APP}/machines/{id}/metadata/note"));
    assert_eq!(answer(set.json(&json!({ "value": "x" }))).await.0, 204);
    assert_eq!(list("?metadata.note=x").await[0]["id"], id.as_str());

    let url = format!("{}/apps/{APP}/machines", world.sandbox.urls().fly);
    let own = world.sandbox.fly().deploy_token(APP);
    let other = world.sandbox.fly().deploy_token("another-app");
    assert_eq!(answer(world.http.get(&url).header("authorization", own)).await.0, 200);
    assert_eq!(answer(world.http.get(&url).header("authorization", other)).await.0, 403);
    assert_eq!(answer(world.http.get(&url).bearer_auth("fm2_guess")).await.0, 401);
}

#[tokio::test]
async fn the_rate_limit_and_the_known_troubles_can_be_met() {
    let world = World::with(|options| {
        options.rate_limits = true;
        options.runtime = vec!["/bin/sleep".into(), "60".into()];
    })
    .await;
    world.sandbox.fly().register_app(APP, "tenant-t", false);
    let fault = |name: &str| {
        let body = json!({ "vendor": "fly", "route": "machines.create", "action": name });
        world.http.post(world.internal("/sandbox/faults")).json(&body)
    };
    assert_eq!(answer(fault("no_capacity")).await.0, 201);
    assert_eq!(answer(fault("stuck_created")).await.0, 201);
    let (status, error) = world.create("s-7", json!({})).await;
    assert_eq!((status, error["status"].as_str()), (422, Some("insufficient_capacity")));
    let id = id_of(&world.create("s-7", json!({ "misspelt": 1 })).await.1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.machine(&id, "").await.1["state"], "created");
    assert!(world.sandbox.ledger().violations().iter().any(|violation| violation.text.contains("config.misspelt")));
    assert_eq!(world.create("s-8", json!({})).await.0, 200);
    assert_eq!(world.create("s-9", json!({})).await.0, 429, "the burst of three is used up");
}

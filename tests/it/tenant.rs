//! A tenant's life by the operator's command line: created, changed and removed, interrupted anywhere.

use crate::support::operator::{IMAGE, Operator};
use crate::support::wait_for;
use interview_sandbox::faults::{Action, Fault};
use serde_json::Value;

const CREATE: [&str; 6] = ["tenant", "create", "acme", "--id", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c00aa", "--name=Acme"];
const DESTROY: [&str; 5] = ["tenant", "destroy", "acme", "--yes", "acme"];
const NEW_IMAGE: &str = "registry.fly.io/interview-runtime@sha256:bbbb";
const UPGRADE: [&str; 5] = ["tenant", "upgrade", "acme", "--image", NEW_IMAGE];
const ROTATE: [&str; 3] = ["tenant", "rotate-secrets", "acme"];

/// Every change that `create` makes at Fly: route, and how many requests to it come before.
const CHANGES: [(&str, u32); 11] = [
    ("apps.create", 0),
    ("apps.create", 1),
    ("secrets", 0),
    ("secrets", 1),
    ("deploy_token", 0),
    ("secrets", 2),
    ("network_policies", 1),
    ("ip_assignments", 1),
    ("ip_assignments", 3),
    ("machines.create", 0),
    ("machines.create", 1),
];

fn held() -> Action {
    Action::Named("hold_answer".into())
}

/// The end of an undisturbed creation; nothing is left of it but the tenant's own row.
async fn undisturbed(operator: &Operator) -> Value {
    operator.succeed(&CREATE).await;
    let state = operator.state("acme").await;
    operator.succeed(&DESTROY).await;
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_create_killed_after_each_change_at_fly_and_run_again_ends_the_same() {
    let operator = Operator::start().await;
    let whole = undisturbed(&operator).await;
    assert_eq!(whole["machines"].as_array().map(Vec::len), Some(2), "{whole:#}");
    assert_eq!(whole["row"]["deployment"]["operation"], Value::Null, "{whole:#}");
    let mut killed = 0;
    for (route, skip) in CHANGES {
        killed += u32::from(operator.killed_when_held(&CREATE, route, skip, held()).await);
        assert_ne!(operator.state("acme").await, whole, "{route} {skip}: it was not cut off");
        operator.succeed(&CREATE).await;
        assert_eq!(operator.state("acme").await, whole, "{route} {skip}");
        operator.succeed(&DESTROY).await;
    }
    assert_eq!(killed as usize, CHANGES.len());
    operator.stop("tenant_killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_create_refused_by_fly_at_each_change_says_what_to_do_and_run_again_ends_the_same() {
    let operator = Operator::start().await;
    let whole = undisturbed(&operator).await;
    let refusal = || Action::Answer { status: 403, headers: vec![], body: r#"{"error":"unauthorized"}"#.into() };
    for (route, skip) in CHANGES {
        operator.sandbox.faults().add(Fault::once("fly", route, refusal()).after(skip));
        let ended = operator.run(&CREATE).await;
        assert_eq!(ended.code, Some(70), "{route} {skip}: {}\n{}", ended.out, ended.err);
        assert!(ended.err.contains("fly_unauthorized") && ended.err.contains("run this again"), "{}", ended.err);
        operator.succeed(&CREATE).await;
        assert_eq!(operator.state("acme").await, whole, "{route} {skip}");
        operator.succeed(&DESTROY).await;
    }
    // What may pass is waited for: each answer is lost once, and one run gets through.
    for (route, skip) in CHANGES {
        operator.sandbox.faults().add(Fault::once("fly", route, Action::Named("lose_answer".into())).after(skip));
    }
    operator.succeed(&CREATE).await;
    assert_eq!(operator.state("acme").await, whole);
    operator.stop("tenant_refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_killed_at_each_of_its_steps_and_run_again_ends_the_same() {
    let operator = Operator::start().await;
    let mut made = 0;
    let whole = undisturbed(&operator).await;
    for step in 1.. {
        if !operator.killed_at_step(&CREATE, step).await {
            break;
        }
        made += 1;
        operator.succeed(&CREATE).await;
        assert_eq!(operator.state("acme").await, whole, "create, step {step}");
        operator.succeed(&DESTROY).await;
    }
    assert!(made >= 13, "only {made} steps");
    // The loop's last run came to its end, so there is a tenant.
    assert_eq!(operator.state("acme").await, whole);
    let mut ends = Vec::new();
    for command in [&UPGRADE[..], &ROTATE[..]] {
        let mut steps = 0;
        let mut first: Option<Value> = None;
        for step in 1.. {
            let killed = operator.killed_at_step(command, step).await;
            if killed {
                operator.succeed(command).await;
            }
            let state = operator.state("acme").await;
            assert_eq!(state["row"]["deployment"]["operation"], Value::Null, "{command:?}, step {step}");
            // A second upgrade to the same image does nothing; a second rotation is another one.
            let upgraded = state["row"]["deployment"]["image"] == NEW_IMAGE;
            assert!(upgraded, "{command:?}, step {step}: {state:#}");
            if let Some(first) = &first
                && command == UPGRADE
            {
                assert_eq!(&state, first, "{command:?}, step {step}");
            }
            first.get_or_insert(state);
            if !killed {
                break;
            }
            steps += 1;
            if command == UPGRADE {
                operator.succeed(&DESTROY).await;
                operator.succeed(&CREATE).await;
            }
        }
        assert!(steps >= 7, "{command:?}: only {steps} steps");
        ends.push(steps);
    }
    let removed = {
        operator.succeed(&DESTROY).await;
        operator.state("acme").await
    };
    assert!(removed["apps"].as_object().is_some_and(serde_json::Map::is_empty), "{removed:#}");
    assert_eq!(removed["row"]["deployment"], Value::Null);
    for step in 1.. {
        operator.succeed(&CREATE).await;
        let killed = operator.killed_at_step(&DESTROY, step).await;
        operator.succeed(&DESTROY).await;
        assert_eq!(operator.state("acme").await, removed, "destroy, step {step}");
        if !killed {
            break;
        }
    }
    operator.stop("tenant_steps").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_whose_gateway_does_not_start_goes_back_and_the_door_never_closes() {
    let mut operator = Operator::start().await;
    operator.succeed(&CREATE).await;
    let before = operator.state("acme").await;
    // What the plan says is what would be done, and nothing is.
    let dry = operator.succeed(&["tenant", "upgrade", "acme", "--image", NEW_IMAGE, "--dry-run"]).await;
    assert!(dry.out.contains("start gateway 2 of interviews-acme at release 2"), "{}", dry.out);
    assert_eq!(operator.state("acme").await, before);

    operator.set("OPERATOR__HEALTHY_WITHIN_S", "4");
    operator.sandbox.faults().add(Fault::once("fly", "machines.create", Action::Named("stuck_created".into())).after(1));
    let (address, host) = operator.door("acme");
    let watch = tokio::spawn(async move {
        let client = reqwest::Client::new();
        let (mut asked, mut refused) = (0, 0);
        loop {
            let answer = client.get(format!("http://{address}/healthz")).header("host", &host).send().await;
            asked += 1;
            refused += u32::from(!answer.is_ok_and(|answer| answer.status().is_success()));
            if asked % 10 == 0 {
                println!("door: {refused} of {asked} refused");
            }
            assert!(refused <= 1, "the door was closed: {refused} of {asked}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let ended = operator.run(&UPGRADE).await;
    assert!(!watch.is_finished(), "the door was closed");
    watch.abort();
    assert_eq!(ended.code, Some(70), "{}\n{}", ended.out, ended.err);
    assert!(
        ended.err.contains("tenant_gateway_unhealthy") && ended.out.contains("going back to release 1"),
        "{}\n{}",
        ended.out,
        ended.err
    );
    assert_eq!(operator.state("acme").await, before);

    operator.set("OPERATOR__HEALTHY_WITHIN_S", "40");
    operator.succeed(&UPGRADE).await;
    let after = operator.state("acme").await;
    assert_eq!(after["row"]["deployment"]["image"], NEW_IMAGE);
    for machine in after["machines"].as_array().expect("machines") {
        assert_eq!(
            (&machine["config"]["image"], &machine["config"]["env"]["INTERVIEW__FLY__IMAGE"]),
            (&NEW_IMAGE.into(), &NEW_IMAGE.into())
        );
    }
    assert_ne!(NEW_IMAGE, IMAGE);
    operator.stop("tenant_upgrade").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_what_to_do_and_changes_nothing() {
    let operator = Operator::start().await;
    operator.sandbox.fly().register_app("interviews-taken", "somebody-elses", true);
    let before = operator.sandbox.fly().snapshot();
    for (arguments, told) in [
        (vec!["tenant", "create", "taken"], "it is on the network somebody-elses"),
        (vec!["tenant", "create", "acme-s"], "no -s at the end"),
        (vec!["tenant", "create", "acme", "--image", "runtime:latest"], "name it by digest"),
        (vec!["tenant", "create", "demo", "--id", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c00ff"], "Leave --id out"),
        (vec!["tenant", "upgrade", "nobody", "--image", NEW_IMAGE], "tenant create nobody"),
        (vec!["tenant", "destroy", "demo", "--yes", "rival"], "--yes demo"),
    ] {
        let ended = operator.run(&arguments).await;
        assert_eq!(ended.code, Some(70), "{arguments:?}: {}\n{}", ended.out, ended.err);
        assert!(ended.err.contains(told) && ended.err.contains("tenant_refused"), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(operator.sandbox.fly().snapshot(), before);
    // Two runs at once: the second waits for nothing and says so.
    operator.sandbox.faults().add(Fault::once("fly", "apps.create", Action::Delay(std::time::Duration::from_secs(20))));
    let first = operator.run(&CREATE);
    let second = async {
        wait_for("the first is at work", || async { operator.sandbox.faults().pending().is_empty() }).await;
        operator.run(&CREATE).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert!(second.code == Some(70) && second.err.contains("another run"), "{}", second.err);
    let list = operator.succeed(&["tenant", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&list.out).expect("JSON");
    let acme = list["items"].as_array().and_then(|all| all.iter().find(|tenant| tenant["tenant"] == "acme")).expect("listed");
    assert_eq!((&acme["state"], &acme["release"]), (&"complete".into(), &1.into()), "{list}");
    operator.stop("tenant_refusals").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_rotated_under_an_interview_that_goes_on_and_the_old_ones_are_retired_after_it() {
    const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
    const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
    const JONAS: &str = "ca000000-0000-4000-8000-000000000012";
    let mut operator = Operator::start().await;
    operator.succeed(&["tenant", "create", "demo"]).await;
    let recruiter = operator.sign_in("recruiter@demo.test");
    let (amara, jonas) = (operator.sign_in("amara@demo.test"), operator.sign_in("jonas@demo.test"));
    let old = operator.interview("demo", &recruiter, AMARA, ENGINEER).await;
    let mut browser = operator.join("demo", &amara, &old).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;
    let secrets = |operator: &Operator| operator.sandbox.fly().app("interviews-demo").expect("the app").secrets;
    let before = secrets(&operator);

    operator.set("API_VIDEO__WEBHOOK_SECRET", "another-provider-secret");
    operator.succeed(&["tenant", "rotate-secrets", "demo", "--routing", "--token", "--provider"]).await;
    let after = secrets(&operator);
    for name in ["ROUTING__SECRET", "ROUTING__PREVIOUS_SECRET", "FLY__API_TOKEN", "API_VIDEO__WEBHOOK_SECRET"] {
        let name = format!("INTERVIEW__{name}");
        assert_ne!(before.get(&name), after.get(&name), "{name}");
    }
    assert_eq!(before["INTERVIEW__ROUTING__SECRET"], after["INTERVIEW__ROUTING__PREVIOUS_SECRET"]);
    // The machines get the public keys of both, and nothing that signs.
    let machines = operator.sandbox.fly().app("interviews-demo-s").expect("the app").secrets;
    assert_eq!(machines["INTERVIEW__ROUTING__PUBLIC_KEYS"].split(',').count(), 2);
    for name in ["ROUTING__SECRET", "ROUTING__PREVIOUS_SECRET"] {
        let secret = &after[&format!("INTERVIEW__{name}")];
        assert_eq!(secret.len(), 64, "{name}");
        assert!(machines.values().all(|value| !value.contains(secret)), "{name} is among the session app's secrets");
        assert_eq!(machines[&format!("INTERVIEW__{name}")], "", "what an earlier version wrote is overwritten");
    }
    // The line that was open stays; a new one through the new gateways reaches the old machine.
    browser.say(2, &["during"]).await;
    browser.expect("transcript_ack").await;
    let mut again = operator.join("demo", &amara, &old).await;
    again.say(3, &["after"]).await;
    again.expect("transcript_ack").await;
    // A new interview boots with the new secrets, made with the new token.
    let new = operator.interview("demo", &recruiter, JONAS, ENGINEER).await;
    operator.join("demo", &jonas, &new).await;
    // Those that run would be cut off, so they are waited for; forced, they are.
    let ended = operator.run(&["tenant", "rotate-secrets", "demo", "--retire"]).await;
    assert!(ended.code == Some(70) && ended.err.contains("2 interviews are not over"), "{}", ended.err);
    operator.succeed(&["tenant", "rotate-secrets", "demo", "--retire", "--force"]).await;
    assert_eq!(secrets(&operator)["INTERVIEW__ROUTING__PREVIOUS_SECRET"], "");
    operator.join("demo", &jonas, &new).await;
    let info = operator.ticket("demo", &amara, &old).await;
    let (_, host) = operator.door("demo");
    let refused =
        operator.connect("demo", &old, info["websocket_ticket"].as_str().expect("a ticket"), &format!("http://{host}")).await;
    assert!(refused.is_err(), "the old machine admits a gateway that does not know its secret");
    // Nobody loses an interview by mistake.
    let ended = operator.run(&["tenant", "destroy", "demo", "--yes", "demo"]).await;
    assert!(ended.code == Some(70) && ended.err.contains("--force"), "{}", ended.err);
    operator.succeed(&["tenant", "destroy", "demo", "--yes", "demo", "--force"]).await;
    let open: i64 = sqlx::query_scalar("select count(*) from app.sessions where phase not in ('completed', 'failed')")
        .fetch_one(&operator.admin)
        .await
        .expect("a count");
    assert_eq!(open, 0);
    let running =
        operator.sandbox.fly().machines("interviews-demo-s").iter().filter(|machine| !machine.state().is_gone()).count();
    assert_eq!(running, 0);
    operator.stop("tenant_rotated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_of_one_shared_login_gets_one_for_each_app_under_an_interview_that_goes_on() {
    const ENGINEER: &str = "b0000000-0000-4000-8000-000000000001";
    const AMARA: &str = "ca000000-0000-4000-8000-000000000011";
    const OWN: [&str; 2] = ["interview_gateway_demo", "interview_session_demo"];
    let operator = Operator::start().await;
    operator.succeed(&["tenant", "create", "demo"]).await;
    operator.share_one_login("demo", "interview_tenant_demo").await;
    let logins = async || -> Vec<String> {
        let sql = "select l.login from app.tenant_logins l join pg_roles r on r.rolname = l.login order by 1";
        sqlx::query_scalar(sql).fetch_all(&operator.admin).await.expect("the logins")
    };
    assert_eq!(logins().await, ["interview_tenant_demo"]);
    // Gateways that sign in as before; a run that mends something makes the new logins and changes no secret.
    let mended = operator.succeed(&["tenant", "create", "demo"]).await;
    assert!(
        mended.out.contains("interview_tenant_demo, from before gateways and sessions had their own, stays"),
        "{}",
        mended.out
    );
    let (recruiter, amara) = (operator.sign_in("recruiter@demo.test"), operator.sign_in("amara@demo.test"));
    let session = operator.interview("demo", &recruiter, AMARA, ENGINEER).await;
    let mut browser = operator.join("demo", &amara, &session).await;
    browser.say(1, &["before"]).await;
    browser.expect("transcript_ack").await;

    let moved = operator.succeed(&["tenant", "rotate-secrets", "demo"]).await;
    assert!(moved.out.contains("stays"), "its interview still needs it: {}", moved.out);
    assert_eq!(logins().await, [OWN[0], OWN[1], "interview_tenant_demo"]);
    for (app, login) in [("interviews-demo", OWN[0]), ("interviews-demo-s", OWN[1])] {
        let secrets = operator.sandbox.fly().app(app).expect("the app").secrets;
        assert!(secrets["INTERVIEW__DATABASE__URL"].contains(&format!("//{login}:")), "{app}");
    }
    browser.say(2, &["during"]).await;
    browser.expect("transcript_ack").await;
    let mut again = operator.join("demo", &amara, &session).await;
    again.say(3, &["after"]).await;
    again.expect("transcript_ack").await;

    let path = format!("/api/sessions/{session}");
    assert_eq!(operator.ask("demo", &recruiter, "POST", &format!("{path}/end"), None).await.0, 202);
    wait_for("the interview is over", || async {
        let phase = operator.ask("demo", &recruiter, "GET", &path, None).await.1["phase"].clone();
        phase == "completed" || phase == "failed"
    })
    .await;
    let retired = operator.succeed(&["tenant", "rotate-secrets", "demo", "--retire"]).await;
    assert!(retired.out.contains("drop the database login interview_tenant_demo"), "{}", retired.out);
    assert_eq!(logins().await, OWN);
    operator.interview("demo", &recruiter, AMARA, ENGINEER).await;
    operator.stop("tenant_logins").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_a_tenant_well_and_names_each_thing_that_is_wrong() {
    let mut operator = Operator::start().await;
    operator.succeed(&["tenant", "create", "demo"]).await;
    let findings = |ended: &crate::support::operator::Ended| -> Vec<Value> {
        let all: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{} {}", ended.out, ended.err));
        all["findings"].as_array().cloned().expect("findings")
    };
    let as_gateway = operator.sandbox.fly().app("interviews-demo").expect("the app").secrets;
    let own: Vec<(String, String)> =
        as_gateway.into_iter().filter_map(|(key, value)| Some((key.strip_prefix("INTERVIEW__")?.to_owned(), value))).collect();
    for (key, value) in &own {
        operator.set(key, value);
    }
    operator.set("MAIL__SMTP_URL", &operator.sandbox.urls().smtp.clone());
    operator.set("MAIL__FROM", "Demo <interviews@demo.test>");
    let own: Vec<_> = own.into_iter().chain([("MAIL__SMTP_URL".to_owned(), operator.sandbox.urls().smtp.clone())]).collect();
    let well = operator.run(&["doctor", "--role", "gateway", "--json"]).await;
    assert_eq!(well.code, Some(0), "{}", well.out);
    assert!(findings(&well).len() >= 10, "{}", well.out);
    let value = |name: &str| own.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let admin = operator.sandbox.database_admin_url().expect("a database");
    for (key, wrong, check, code) in [
        ("OPENAI__API_KEY", "sk-wrong", "openai", 2),
        ("API_VIDEO__API_KEY", "wrong", "api_video", 2),
        ("FLY__API_TOKEN", "fm2_wrong", "fly", 2),
        ("FLY__API_TOKEN", operator.sandbox.fly_token(), "fly", 1),
        ("SUPABASE__JWKS_URL", "http://127.0.0.1:9/keys", "supabase", 2),
        ("DATABASE__URL", admin.as_str(), "database login", 2),
        ("TENANT__ID", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0002", "database login", 2),
        ("TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:9", "telemetry", 2),
        ("TELEMETRY__OTLP_ENDPOINT", "", "telemetry", 1),
        ("MAIL__SMTP_URL", "smtp://127.0.0.1:9", "mail", 2),
        ("MAIL__SMTP_URL", "", "mail", 1),
        // A warning, then a failure as its day comes near.
        ("OPENAI__TRANSCRIPTION_MODEL", "whisper-1", "models", 0),
        ("ROUTING__SECRET", "short", "configuration", 2),
    ]
    .map(|(key, wrong, check, code)| (key.to_owned(), wrong.to_owned(), check, code))
    {
        operator.set(&key, &wrong);
        let ended = operator.run(&["doctor", "--role", "gateway", "--json"]).await;
        assert!(ended.code == Some(code) || (code == 0 && ended.code > Some(0)), "{key}: {:?} {}", ended.code, ended.out);
        let found = findings(&ended);
        let told = found.iter().find(|finding| finding["level"] != "ok").expect("a finding");
        assert!(told["check"] == check && told["advice"].is_string(), "{key}: {told}");
        operator.set(&key, &value(&key));
    }
    // Wrong keys are violations of the vendors' contracts: here they were shown on purpose.
    operator.sandbox.ledger().clear();
    operator.stop("tenant_doctor").await;
}

use super::*;
use std::collections::HashMap;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Of this secret.
const PUBLIC_KEY: &str = "bfWojW5xEbNs-y_p87TTGTPhoc32MmgCwbFKv2mpwas";

fn load_as(role: Role, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let routing = match role {
        Role::Session => ("INTERVIEW__ROUTING__PUBLIC_KEYS", PUBLIC_KEY),
        _ => ("INTERVIEW__ROUTING__SECRET", SECRET),
    };
    let required = [
        routing,
        ("INTERVIEW__TENANT__ID", "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"),
        ("INTERVIEW__DATABASE__URL", "postgres://interview_runtime:hidden@localhost:5432/db"),
        ("INTERVIEW__OPENAI__API_KEY", "sk-hidden"),
        ("INTERVIEW__API_VIDEO__API_KEY", "hidden"),
    ];
    let all: HashMap<String, String> = required.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::load(None, role, Some(all))
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_as(Role::Session, pairs)
}

#[test]
fn the_defaults_are_complete_and_secrets_never_print() {
    let config = load(&[]).expect("defaults with the required keys are valid");
    assert_eq!(config.openai.model, "gpt-realtime-2.1");
    assert!(!format!("{config:?}").contains("hidden"));
}

/// The section and the name of each key of the defaults that has such an end.
fn keys_that_end(with: &[&str]) -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ")
            && with.iter().any(|end| key.ends_with(end))
            && !key.starts_with('#')
            && !key.ends_with("_per_s")
        {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn no_duration_overflows_and_no_interval_is_nothing() {
    let load = |key: &str, value: &str| {
        let variable = format!("INTERVIEW__{}", key.to_uppercase().replace('.', "__"));
        load_as(Role::Migrate, &[("INTERVIEW__DATABASE__ADMIN_URL", "postgres://o@h/d"), (&variable, value)]).map(drop)
    };
    let durations = keys_that_end(&["_ms", "_s", "_h"]);
    assert!(durations.len() > 40, "{durations:?}");
    for key in &durations {
        for odd in ["18446744073709551615", "9223372036854775807", "31536000001", "1e300", "inf", "NaN", "-1", "-inf"] {
            let error = load(key, odd).expect_err(key).to_string();
            assert!(error.contains(key.as_str()), "{key} = {odd}: {error}");
        }
        load(key, "3600").unwrap_or_else(|error| panic!("an hour, or a second: {error}"));
    }
    let intervals = keys_that_end(&["interval_ms"]);
    assert!(intervals.len() > 5, "{intervals:?}");
    for key in &intervals {
        assert!(load(key, "0").expect_err(key).to_string().contains(key.as_str()));
    }
}

#[test]
fn what_is_held_at_once_has_a_bound_and_is_not_nothing() {
    for key in ["ROUTING__MAX_CARRIED", "LIMITS__GATEWAY_CONNECTIONS", "LIMITS__STREAMS", "OUTBOX__BATCH_RECORDS"] {
        for odd in ["0", "18446744073709551615", "9223372036854775807"] {
            let error = load(&[(&format!("INTERVIEW__{key}"), odd)]).expect_err(key).to_string();
            assert!(error.contains(&key.to_lowercase().replace("__", ".")), "{key} = {odd}: {error}");
        }
    }
    assert!(load(&[("INTERVIEW__DATABASE__MAX_CONNECTIONS", "0")]).is_err());
}

#[test]
fn a_gateway_knows_its_regions_its_start_deadline_and_sizes_that_are_sold() {
    let gateway = |key: &str, value: &str| {
        let key = format!("INTERVIEW__FLY__{key}");
        let pairs = [
            ("INTERVIEW__FLY__API_TOKEN", "hidden"),
            ("INTERVIEW__FLY__SESSION_APP", "interviews-demo-s"),
            ("INTERVIEW__FLY__IMAGE", "registry.fly.io/interviews-runtime"),
            ("INTERVIEW__SUPABASE__ISSUER", "https://x.supabase.co/auth/v1"),
            (key.as_str(), value),
        ];
        load_as(Role::Gateway, &pairs)
    };
    let config = gateway("REGION", "iad,eu,any").expect("valid");
    assert_eq!(config.fly.size(Importance::Critical).cpu_kind, CpuKind::Performance);
    for (key, value, told) in [
        ("REGION", "iad,mars", "fly.region"),
        ("START_DEADLINE_MS", "9999", "fly.start_deadline_ms"),
        ("STANDARD__MEMORY_MB", "500", "fly.standard"),
        ("HIGH__CPUS", "3", "fly.high"),
        ("CRITICAL__MEMORY_MB", "1024", "fly.critical"),
        ("CRITICAL__CPU_KIND", "quantum", "quantum"),
    ] {
        let error = gateway(key, value).expect_err(key).to_string();
        assert!(error.contains(told), "{key}: {error}");
    }
}

#[test]
fn a_process_knows_by_its_machine_whether_flys_proxy_stands_before_it() {
    assert!(!load(&[]).expect("valid").http.behind_fly);
    assert!(load(&[("FLY_MACHINE_ID", "a-machine")]).expect("valid").http.behind_fly);
    assert!(load(&[("INTERVIEW__HTTP__BEHIND_FLY", "true")]).is_err(), "it is not a matter of opinion");
}

#[test]
fn an_invitation_can_be_as_long_as_it_is_made() {
    let keys = [("INTERVIEW__INTERVIEW__ABSENCE_TIMEOUT_S", "100"), ("INTERVIEW__INTERVIEW__LONGEST_INVITATION_S", "99")];
    assert!(load(&keys).expect_err("shorter").to_string().contains("interview.longest_invitation_s"));
}

#[test]
fn a_wrong_value_names_the_key_and_the_value() {
    for (key, value, told) in [
        ("INTERVIEW__HTTP__BIND", "nowhere", "\"nowhere\""),
        ("INTERVIEW__HTTP__BIND", "nowhere", "Address and port to listen on"),
        ("INTERVIEW__OPENAI__BASE_URL", "nowhere", "openai.base_url"),
        ("INTERVIEW__INTERVIEW__GRACE_S", "soon", "grace_s"),
        ("INTERVIEW__ROUTING__MODE", "pigeon", "pigeon"),
        ("INTERVIEW__DATABASE__URL", "postgres://a:hidden@h:6543/x", "port 6543"),
        ("INTERVIEW__DATABASE__POOLER", "swimming", "swimming"),
        ("INTERVIEW__SANDBOX__FAULT_INJECTION", "true", "sandbox.fault_injection"),
        ("INTERVIEW__ROUTING__PUBLIC_KEYS", "short", "routing.public_keys"),
        ("INTERVIEW__ROUTING__PUBLIC_KEYS", "", "routing-public-keys"),
        ("INTERVIEW__ROUTING__PUBLIC_KEYS", "a,b,c", "3 keys"),
        ("INTERVIEW__HTTP__TYPO", "x", "typo"),
    ] {
        let error = load(&[(key, value)]).expect_err(key).to_string();
        assert!(error.contains(told), "{key}: {error}");
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn a_session_machine_with_the_gateways_secret_does_not_start() {
    for key in ["SECRET", "PREVIOUS_SECRET"] {
        let error = load(&[(&format!("INTERVIEW__ROUTING__{key}"), SECRET)]).expect_err(key).to_string();
        assert!(error.contains(&key.to_lowercase()) && error.contains("routing.public_keys"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    // What a retired one is overwritten with.
    load(&[("INTERVIEW__ROUTING__SECRET", ""), ("INTERVIEW__ROUTING__PREVIOUS_SECRET", "")]).expect("valid");
}

#[test]
fn a_gateway_needs_secrets_of_32_characters_and_its_public_keys_follow_from_them() {
    let keys = |pairs: &[(&str, &str)]| load_as(Role::RoutingPublicKeys, pairs);
    for (key, value) in [("SECRET", ""), ("SECRET", "short"), ("PREVIOUS_SECRET", "short")] {
        let error = keys(&[(&format!("INTERVIEW__ROUTING__{key}"), value)]).expect_err(key).to_string();
        assert!(error.contains(&format!("routing.{}", key.to_lowercase())), "{error}");
    }
    let config = keys(&[("INTERVIEW__ROUTING__PREVIOUS_SECRET", "fedcba9876543210fedcba9876543210")]).expect("valid");
    let public = config.routing.signing_keys().expect("key pairs").public();
    let machine = load(&[("INTERVIEW__ROUTING__PUBLIC_KEYS", &public.to_string())]).expect("valid");
    assert_eq!(machine.routing.public_keys, public);
    assert!(public.to_string().starts_with(PUBLIC_KEY), "the present one first");
}

#[test]
fn a_standby_pool_is_replaced_when_a_key_is_rotated_and_when_it_is_retired() {
    const NEXT: &str = "fedcba9876543210fedcba9876543210";
    let print = |current: &str, previous: &str, database: &str| {
        let pairs = [("INTERVIEW__ROUTING__SECRET", current), ("INTERVIEW__ROUTING__PREVIOUS_SECRET", previous)];
        load_as(Role::RoutingPublicKeys, &pairs).expect("valid").routing.standby_fingerprint(&database.into())
    };
    let prints = [print(SECRET, "", "a"), print(NEXT, SECRET, "a"), print(NEXT, "", "a"), print(NEXT, "", "b")];
    for (index, one) in prints.iter().enumerate() {
        assert!(!prints[..index].contains(one), "{index}");
        assert!(![SECRET, NEXT].iter().any(|secret| one.contains(secret)));
    }
    assert_eq!(print(SECRET, "", "a"), prints[0], "every gateway of the same secrets has the same pool");
}

//! Fly ignores unknown fields. A stand-in that did the same would hide a misspelt setting until production. So each unknown
//! field becomes a violation.

use serde_json::Value;

const CREATE: &[&str] = &[
    "name",
    "region",
    "config",
    "skip_launch",
    "skip_service_registration",
    "lease_ttl",
    "lsvd",
    "skip_secrets",
    "min_secrets_version",
];
const CONFIG: &[&str] = &[
    "auto_destroy",
    "checks",
    "containers",
    "disable_machine_autostart",
    "dns",
    "env",
    "files",
    "guest",
    "image",
    "init",
    "metadata",
    "metrics",
    "mounts",
    "processes",
    "restart",
    "rootfs",
    "schedule",
    "services",
    "size",
    "standbys",
    "statics",
    "stop_config",
    "volumes",
];
const GUEST: &[&str] = &[
    "cpu_kind",
    "cpus",
    "gpu_kind",
    "gpus",
    "host_dedication_id",
    "kernel_args",
    "memory_mb",
    "max_memory_mb",
    "persist_rootfs",
    "required_host_features",
];
const SERVICE: &[&str] = &[
    "autostart",
    "autostop",
    "checks",
    "concurrency",
    "force_instance_description",
    "force_instance_key",
    "internal_port",
    "min_machines_running",
    "ports",
    "protocol",
];
const PORT: &[&str] =
    &["end_port", "force_https", "handlers", "http_options", "port", "proxy_proto_options", "start_port", "tls_options"];
const INIT: &[&str] = &["cmd", "entrypoint", "exec", "kernel_args", "swap_size_mb", "tty"];
const RESTART: &[&str] = &["gpu_bid_price", "max_retries", "policy"];

/// What in a create request Fly would silently drop, or must not be there.
pub(super) fn complaints(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let config = &body["config"];
    unknown(body, CREATE, "", &mut found);
    unknown(config, CONFIG, "config.", &mut found);
    unknown(&config["guest"], GUEST, "config.guest.", &mut found);
    unknown(&config["init"], INIT, "config.init.", &mut found);
    unknown(&config["restart"], RESTART, "config.restart.", &mut found);
    for service in config["services"].as_array().into_iter().flatten() {
        unknown(service, SERVICE, "config.services[].", &mut found);
        for port in service["ports"].as_array().into_iter().flatten() {
            unknown(port, PORT, "config.services[].ports[].", &mut found);
        }
    }
    for name in config["env"].as_object().into_iter().flatten().map(|(name, _)| name) {
        if name.starts_with("FLY_") {
            found.push(format!("config.env.{name}: names that begin with FLY_ belong to Fly"));
        }
    }
    found
}

fn unknown(object: &Value, known: &[&str], place: &str, found: &mut Vec<String>) {
    for name in object.as_object().into_iter().flatten().map(|(name, _)| name) {
        if !known.contains(&name.as_str()) {
            found.push(format!("{place}{name} is not a field of the Machines API and would be ignored"));
        }
    }
}

//! The checks that send requests.

use super::{Finding, Subject};
use crate::clock;
use crate::config::Config;
use crate::error::{ErrorCode, Fault as _, chain};
use crate::ids::{TenantId, VideoId};
use crate::integrations::call_error::CallError;
use crate::integrations::clients;
use crate::integrations::fly::apps::AppAnswer;
use crate::integrations::fly::{FlyClient, FlyOptions};
use crate::integrations::http_client::{Answer, CallLimits, HttpClient, Vendor, endpoint};
use crate::integrations::store::doctor::{DatabaseFacts, LoginOf, newest_migration};
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;
use url::Url;

/// PostgreSQL's code for what a login may not do.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const CALL_DEADLINE: Duration = Duration::from_secs(8);
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Tokens of people are accepted this much beyond their times (integrations/supabase.rs).
const SKEW_FAILS_S: i64 = 15;
const SKEW_WARNS_S: i64 = 5;

fn limits(vendor: Vendor, action: &'static str) -> CallLimits {
    CallLimits { vendor, action, deadline: CALL_DEADLINE, max_body_bytes: MAX_BODY_BYTES }
}

fn client() -> Result<HttpClient, Vec<Finding>> {
    clients::http_client().map_err(|error| vec![Finding::failure("http", chain(&error), "This build cannot make HTTP calls.")])
}

fn call_failed(check: &'static str, error: &CallError) -> Finding {
    Finding::failure(check, format!("{} ({})", chain(error), error.code()), error.code().help().trim())
}

/// Whose clock is wrong cannot be seen from one answer; two vendors that agree tell.
fn skew(check: &'static str, answer: &Answer) -> Option<Finding> {
    let format =
        time::macros::format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let theirs = time::PrimitiveDateTime::parse(answer.head.header("date")?, &format).ok()?.assume_utc();
    Some(judge_skew(check, (clock::now() - theirs).whole_seconds()))
}

fn judge_skew(check: &'static str, seconds: i64) -> Finding {
    let found = format!("this machine's clock is {seconds} s from theirs");
    let advice = "Set the clock by NTP: sign-ins and signed addresses carry times.";
    match seconds.abs() {
        0..=SKEW_WARNS_S => Finding::ok(check, found),
        apart if apart <= SKEW_FAILS_S => Finding::warning(check, found, advice),
        _ => Finding::failure(check, found, advice),
    }
}

pub(super) async fn openai(config: &Config) -> Vec<Finding> {
    let http = match client() {
        Ok(http) => http,
        Err(findings) => return findings,
    };
    let request = http
        .request(Method::GET, endpoint(&config.openai.base_url, &["models"]))
        .bearer_auth(config.openai.api_key.expose_secret());
    let answer = match http.send(limits(Vendor::OpenAi, "list_models"), request).await {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(answer) => return vec![call_failed("openai", &answer.failure(None))],
        Err(error) => return vec![call_failed("openai", &error)],
    };
    let mut findings = Vec::from_iter(skew("clock (openai)", &answer));
    let listed: Value = answer.json().unwrap_or_default();
    let find = |model: &str| listed["data"].as_array().and_then(|all| all.iter().find(|one| one["id"] == model)).cloned();
    for (key, model) in [("openai.model", &config.openai.model), ("openai.summary_model", &config.openai.summary_model)] {
        findings.push(match find(model) {
            None => Finding::failure(
                "openai",
                format!("{model} ({key}) is not open to this key's project"),
                "Give the project access to it, or set another model.",
            ),
            Some(found) => match end_told(&found["shutdown_date"]) {
                Some(end) => {
                    Finding::warning("openai", format!("{model} ({key}) is switched off on {end}"), "Set another model before.")
                }
                None => Finding::ok("openai", format!("the key is good, {model} is open to it")),
            },
        });
    }
    findings
}

/// A day as text, or a moment in Unix seconds.
fn end_told(date: &Value) -> Option<String> {
    let moment = || OffsetDateTime::from_unix_timestamp(date.as_i64()?).ok().map(|at| at.date().to_string());
    date.as_str().map(str::to_owned).or_else(moment)
}

pub(super) async fn api_video(config: &Config) -> Vec<Finding> {
    let client = match client().map(|http| clients::api_video(config, http)) {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return vec![Finding::failure("api_video", chain(&error), "Correct api_video.base_url.")],
        Err(findings) => return findings,
    };
    // Of a video that cannot be: who may not ask is told so first.
    let finding = match client.status(&VideoId::new("vi00000000000000000000")).await {
        Ok(_) => Finding::ok("api_video", "the key is good"),
        Err(error) if error.code() == ErrorCode::ApiVideoVideoNotFound => Finding::ok("api_video", "the key is good"),
        Err(error) => call_failed("api_video", &error),
    };
    vec![finding]
}

pub(super) async fn supabase(config: &Config) -> Vec<Finding> {
    let (http, url) = match (client(), Url::parse(&config.supabase.jwks_url())) {
        (Ok(http), Ok(url)) => (http, url),
        (Err(findings), _) => return findings,
        (_, Err(error)) => {
            let advice = "Set supabase.issuer to https://<ref>.supabase.co/auth/v1.";
            return vec![Finding::failure("supabase", format!("no address of the keys: {error}"), advice)];
        }
    };
    let answer = match http.send(limits(Vendor::Supabase, "jwks"), http.request(Method::GET, url)).await {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(answer) => return vec![call_failed("supabase", &answer.failure(None))],
        Err(error) => return vec![call_failed("supabase", &error)],
    };
    let mut findings = vec![judge_keys(&answer.json().unwrap_or_default())];
    findings.extend(skew("clock (supabase)", &answer));
    findings
}

fn judge_keys(keys: &Value) -> Finding {
    let kinds: Vec<&str> =
        keys["keys"].as_array().into_iter().flatten().filter_map(|key| key["alg"].as_str().or(key["kty"].as_str())).collect();
    if kinds.contains(&"ES256") {
        return Finding::ok("supabase", format!("signing keys: {}", kinds.join(", ")));
    }
    let advice =
        "In Supabase under JWT signing keys, make an ES256 key and rotate to it; sign-ins with a shared secret are refused.";
    if kinds.contains(&"RS256") {
        return Finding::warning("supabase", "signing keys are RS256 only, which costs each check more", advice);
    }
    Finding::failure("supabase", "no key is published that tokens can be checked with", advice)
}

pub(super) async fn mail(config: &Config) -> Vec<Finding> {
    let finding = match clients::mailer(config) {
        Ok(None) => {
            let advice =
                "Set mail.smtp_url and mail.from; until then recruiters give the links of invites to candidates themselves.";
            Finding::warning("mail", "no mail is sent", advice)
        }
        Ok(Some(mailer)) => match mailer.check().await {
            Ok(()) => Finding::ok("mail", format!("the server takes mail from {}", mailer.from.email)),
            Err(error) => Finding::failure("mail", format!("{} ({})", chain(&error), error.code()), error.code().help().trim()),
        },
        Err(error) => Finding::failure("mail", chain(&error), "Correct mail.smtp_url and mail.from."),
    };
    vec![finding]
}

pub(super) async fn telemetry(config: &Config) -> Vec<Finding> {
    if config.telemetry.otlp_endpoint.is_empty() {
        let advice = "Set telemetry.otlp_endpoint to a collector, e.g. http://localhost:4318.";
        return vec![Finding::warning("telemetry", "no traces and metrics are sent", advice)];
    }
    let advice = "Check telemetry.otlp_endpoint: the base of a collector that takes OTLP over HTTP (port 4318 as a rule).";
    let address = config.telemetry.signal("traces");
    let (http, url) = match (client(), Url::parse(&address)) {
        (Ok(http), Ok(url)) => (http, url),
        (Err(findings), _) => return findings,
        (_, Err(error)) => return vec![Finding::failure("telemetry", format!("{address}: {error}"), advice)],
    };
    // An export of nothing is a valid one.
    let request = http.request(Method::POST, url).header("content-type", "application/x-protobuf").body(Vec::new());
    let finding = match http.send(limits(Vendor::Supabase, "otlp"), request).await {
        Ok(answer) if answer.status().is_success() => Finding::ok("telemetry", format!("{address} takes traces")),
        Ok(answer) => Finding::failure("telemetry", format!("{address} answers {}", answer.status()), advice),
        Err(_) => Finding::failure("telemetry", format!("{address} does not answer"), advice),
    };
    vec![finding]
}

pub(super) async fn fly(config: &Config, subject: Subject) -> Vec<Finding> {
    let options =
        FlyOptions { deadline: CALL_DEADLINE, ..FlyOptions::new(config.fly.base_url.clone(), config.fly.api_token.clone()) };
    let client = match client().map(|http| FlyClient::new(http, options)) {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            return vec![Finding::failure("fly", error.to_string(), "Set fly.api_token (or FLY_API_TOKEN) and fly.base_url.")];
        }
        Err(findings) => return findings,
    };
    let facts = match client.token_facts().await {
        Ok(facts) => facts.into_iter().next().unwrap_or_default(),
        Err(error) => return vec![call_failed("fly", &error)],
    };
    if subject == Subject::Operator {
        return vec![judge_operator_token(&facts.org_slug, &facts.apps, &config.operator.org)];
    }
    let app = &config.fly.session_app;
    let mut findings = vec![judge_gateway_token(&facts.apps, app)];
    findings.push(match client.app(app).await {
        Ok(AppAnswer::Present(found)) => Finding::ok("fly", format!("{app} is there, on the network {}", found.network)),
        Ok(_) => {
            Finding::failure("fly", format!("{app} is not there for this token"), "interview-runtime tenant create makes it.")
        }
        Err(error) => call_failed("fly", &error),
    });
    findings
}

fn judge_gateway_token(apps: &[String], app: &str) -> Finding {
    let advice = "interview-runtime tenant rotate-secrets --token gives the gateways a deploy token of that app alone.";
    match apps {
        [only] if only == app => Finding::ok("fly", format!("the token reaches {app} and nothing else")),
        [] => Finding::warning("fly", "the token reaches every app of the organisation", advice),
        others => Finding::failure("fly", format!("the token is for {}, not for {app}", others.join(", ")), advice),
    }
}

fn judge_operator_token(org: &str, apps: &[String], wanted: &str) -> Finding {
    let advice = "Make one with: fly tokens create org --org <slug>, and set operator.org to that slug.";
    match apps {
        [] if org == wanted => Finding::ok("fly", format!("the token reaches the organisation {org}")),
        [] => Finding::failure("fly", format!("the token is of the organisation {org}, not {wanted}"), advice),
        others => Finding::failure("fly", format!("the token is for {} only", others.join(", ")), advice),
    }
}

pub(super) async fn database(config: &Config, subject: Subject) -> Vec<Finding> {
    let advice = "Check database.url: host, port (5432), password, and that `interview-runtime migrate` has run.";
    let store = match clients::store(config) {
        Ok(store) => store,
        Err(error) => return vec![Finding::failure("database", chain(&error), advice)],
    };
    let whose = if subject == Subject::Session { LoginOf::Session } else { LoginOf::Gateway };
    let facts = store.facts(config.tenant.id, whose).await;
    store.close().await;
    match facts {
        Ok(facts) => judge_database(config, subject, &facts),
        Err(error) if error.sql_state() == Some(INSUFFICIENT_PRIVILEGE) => {
            let advice = "Run interview-runtime migrate; then take the address that `tenant create` gave this app: gateways and sessions have a login each.";
            vec![Finding::failure(
                "database login",
                format!("it may not take the role of this process: {}", chain(&error)),
                advice,
            )]
        }
        Err(error) => vec![Finding::failure("database", chain(&error), advice)],
    }
}

fn judge_database(config: &Config, subject: Subject, facts: &DatabaseFacts) -> Vec<Finding> {
    let login = &facts.login;
    let migrate = "Run interview-runtime migrate with the owner's address in database.admin_url.";
    let mut findings = Vec::new();
    if facts.bypasses || facts.owns_tables {
        let why = if facts.bypasses { "is exempt from row level security" } else { "owns the tables" };
        let advice = "Sign in as interview_runtime, or with the login that `tenant create` prepares; never as the owner.";
        findings.push(Finding::failure("database login", format!("{login} {why}"), advice));
    } else if facts.may_more && facts.bound_to.is_some() {
        let advice = "interview-runtime tenant rotate-secrets gives this tenant's gateways and sessions a login each.";
        findings.push(Finding::warning("database login", format!("{login} may be a gateway and a session"), advice));
    } else {
        findings.push(judge_binding(login, facts.bound_to, config.tenant.id, subject));
    }
    let known = newest_migration();
    findings.push(match facts.schema_version {
        version if version == known => Finding::ok("database schema", format!("version {version}, as this program knows it")),
        version if version < known => {
            Finding::failure("database schema", format!("version {version}, this program needs {known}"), migrate)
        }
        version => Finding::warning(
            "database schema",
            format!("version {version} is newer than this program's {known}"),
            "Use the newer program.",
        ),
    });
    let host = Url::parse(config.database.url.expose_secret()).ok().and_then(|url| url.host_str().map(str::to_owned));
    let near = host.as_deref().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    findings.push(match (facts.encrypted, near) {
        (true, _) => Finding::ok("database line", "encrypted"),
        (false, true) => Finding::ok("database line", "not encrypted, on this machine"),
        (false, false) => {
            Finding::failure("database line", "not encrypted", "Add ?sslmode=verify-full to database.url (require, at least).")
        }
    });
    findings
}

fn judge_binding(login: &str, bound: Option<TenantId>, tenant: TenantId, subject: Subject) -> Finding {
    match bound {
        Some(bound) if bound == tenant => Finding::ok("database login", format!("{login} may speak for this tenant alone")),
        Some(bound) if subject != Subject::Operator => Finding::failure(
            "database login",
            format!("{login} is bound to the tenant {bound}, not to {tenant}"),
            "Take the address that `tenant create` gave this tenant's apps.",
        ),
        _ if subject == Subject::Operator => {
            Finding::ok("database login", format!("{login}; each tenant gets a login of its own"))
        }
        _ => Finding::warning(
            "database login",
            format!("{login} may speak for any tenant"),
            "Fine for one tenant. With several, `tenant create` gives each a login that is bound to it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use serde_json::json;

    #[test]
    fn clocks_tokens_and_keys_are_judged() {
        for (seconds, level) in [(0, Level::Ok), (-5, Level::Ok), (9, Level::Warning), (-16, Level::Failure)] {
            assert_eq!(judge_skew("clock", seconds).level, level, "{seconds}");
        }
        let apps = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (names, level) in
            [(&["a-s"][..], Level::Ok), (&[], Level::Warning), (&["b-s"], Level::Failure), (&["a-s", "b"], Level::Failure)]
        {
            assert_eq!(judge_gateway_token(&apps(names), "a-s").level, level, "{names:?}");
        }
        assert_eq!(judge_operator_token("ours", &[], "ours").level, Level::Ok);
        assert_eq!(judge_operator_token("theirs", &[], "ours").level, Level::Failure);
        for (keys, level) in [
            (json!([{"kty": "EC", "alg": "ES256"}]), Level::Ok),
            (json!([{"kty": "RSA", "alg": "RS256"}]), Level::Warning),
            (json!([{"kty": "oct", "alg": "HS256"}]), Level::Failure),
            (json!([]), Level::Failure),
        ] {
            assert_eq!(judge_keys(&json!({ "keys": keys })).level, level, "{keys}");
        }
    }
}

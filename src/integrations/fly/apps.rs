//! Apps, as an operator creates and removes them: network, secrets, addresses, tokens, policies.

use super::{FlyClient, failed};
use crate::integrations::call_error::CallError;
use http::{Method, StatusCode};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppAnswer {
    Absent,
    Present(App),
    /// It exists, in an organisation that the token does not reach.
    OutOfReach,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct App {
    pub name: String,
    #[serde(default)]
    pub network: String,
    pub organization: Organization,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Organization {
    pub slug: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppCreated {
    Created,
    /// By us a moment ago, or by somebody else: read it.
    NameTaken,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AssignedAddress {
    pub ip: String,
    #[serde(default)]
    pub shared: bool,
}

/// First rule in a direction: everything else in it is closed. Traffic through the proxy is not
/// touched. Known from Fly's guide only, not from its OpenAPI document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    #[serde(default, skip_serializing)]
    pub id: String,
    pub name: String,
    pub selector: Selector,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    #[serde(default)]
    pub all: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub action: String,
    pub direction: String,
    pub ports: Vec<PortRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRule {
    pub protocol: String,
    pub port: u16,
}

/// What a token may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenFacts {
    pub org_slug: String,
    /// Empty: all apps.
    pub apps: Vec<String>,
}

impl FlyClient {
    /// With what Fly needs to answer at all: success, or the failure classified.
    async fn ask(&self, action: &'static str, request: RequestBuilder) -> Result<super::Answer, CallError> {
        let answer = self.http.send(Self::limits(action, self.options.deadline), request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(failed(&answer)) }
    }

    pub async fn app(&self, name: &str) -> Result<AppAnswer, CallError> {
        match self.ask("get_app", self.request(Method::GET, &["apps", name])).await {
            Ok(answer) => answer.json().map(AppAnswer::Present),
            Err(error) => match error.status() {
                Some(StatusCode::NOT_FOUND) => Ok(AppAnswer::Absent),
                Some(StatusCode::FORBIDDEN) => Ok(AppAnswer::OutOfReach),
                _ => Err(error),
            },
        }
    }

    pub async fn create_app(&self, name: &str, org: &str, network: &str) -> Result<AppCreated, CallError> {
        let body = json!({ "name": name, "org_slug": org, "network": network });
        match self.ask("create_app", self.request(Method::POST, &["apps"]).json(&body)).await {
            Ok(_) => Ok(AppCreated::Created),
            Err(error) if error.status() == Some(StatusCode::UNPROCESSABLE_ENTITY) && is_name_taken(&error) => {
                Ok(AppCreated::NameTaken)
            }
            Err(error) => Err(error),
        }
    }

    /// With its machines, addresses and secrets. Safe to repeat.
    pub async fn delete_app(&self, name: &str) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &["apps", name]).query(&[("force", "true")]);
        match self.ask("delete_app", request).await {
            Err(error) if error.status() != Some(StatusCode::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// Write these; others stay. The number of the write: a machine may insist on it.
    pub async fn set_secrets(&self, app: &str, values: &BTreeMap<String, SecretString>) -> Result<u64, CallError> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(alias = "Version")]
            version: u64,
        }
        let plain: BTreeMap<&str, &str> = values.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        let request = self.request(Method::POST, &["apps", app, "secrets"]).json(&json!({ "values": plain }));
        Ok(self.ask("set_secrets", request).await?.json::<Written>()?.version)
    }

    pub async fn secret_names(&self, app: &str) -> Result<BTreeSet<String>, CallError> {
        #[derive(Deserialize)]
        struct Listed {
            secrets: Option<Vec<Named>>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let answer = self.ask("list_secrets", self.request(Method::GET, &["apps", app, "secrets"])).await?;
        Ok(answer.json::<Listed>()?.secrets.unwrap_or_default().into_iter().map(|secret| secret.name).collect())
    }

    pub async fn addresses(&self, app: &str) -> Result<Vec<AssignedAddress>, CallError> {
        #[derive(Deserialize)]
        struct Listed {
            ips: Option<Vec<AssignedAddress>>,
        }
        let answer = self.ask("list_addresses", self.request(Method::GET, &["apps", app, "ip_assignments"])).await?;
        Ok(answer.json::<Listed>()?.ips.unwrap_or_default())
    }

    pub async fn assign_address(&self, app: &str, kind: &str) -> Result<(), CallError> {
        let request = self.request(Method::POST, &["apps", app, "ip_assignments"]).json(&json!({ "type": kind }));
        self.ask("assign_address", request).await.map(drop)
    }

    pub async fn release_address(&self, app: &str, ip: &str) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &["apps", app, "ip_assignments", ip]);
        match self.ask("release_address", request).await {
            Err(error) if error.status() != Some(StatusCode::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// A token for this one app. It cannot be read again, and lives as long as is said here.
    pub async fn issue_deploy_token(&self, app: &str, life_h: u32) -> Result<SecretString, CallError> {
        #[derive(Deserialize)]
        struct Issued {
            token: SecretString,
        }
        let body = json!({ "expiry": format!("{life_h}h") });
        let request = self.request(Method::POST, &["apps", app, "deploy_token"]).json(&body);
        Ok(self.ask("issue_deploy_token", request).await?.json::<Issued>()?.token)
    }

    pub async fn network_policies(&self, app: &str) -> Result<Vec<NetworkPolicy>, CallError> {
        let answer = self.ask("list_policies", self.request(Method::GET, &["apps", app, "network_policies"])).await?;
        Ok(answer.json::<Option<Vec<NetworkPolicy>>>()?.unwrap_or_default())
    }

    pub async fn create_network_policy(&self, app: &str, policy: &NetworkPolicy) -> Result<(), CallError> {
        let request = self.request(Method::POST, &["apps", app, "network_policies"]).json(policy);
        self.ask("create_policy", request).await.map(drop)
    }

    pub async fn delete_network_policy(&self, app: &str, id: &str) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &["apps", app, "network_policies", id]);
        match self.ask("delete_policy", request).await {
            Err(error) if error.status() != Some(StatusCode::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// What the token that this client holds may do.
    pub async fn token_facts(&self) -> Result<Vec<TokenFacts>, CallError> {
        #[derive(Deserialize)]
        struct Told {
            tokens: Vec<TokenFacts>,
        }
        let answer = self.ask("current_token", self.request(Method::GET, &["tokens", "current"])).await?;
        Ok(answer.json::<Told>()?.tokens)
    }
}

/// The status word, or the text of the race between two creations.
fn is_name_taken(error: &CallError) -> bool {
    let text = error.excerpt().map(|excerpt| excerpt.expose().to_ascii_lowercase()).unwrap_or_default();
    error.vendor_code() == Some("name_taken") || text.contains("already been taken") || text.contains("uniqueness constraint")
}

//! Compares what a tenant should consist of with what exists, and returns the missing steps.
//!
//! A run does not remember an earlier one. It reads the tenant's record and what Fly has, and plans from there. So an
//! interrupted run is finished by running the same command again, and the plan that `--dry-run` prints is the plan that is
//! executed.

mod record;

pub use self::record::{Operation, Order, Record, Refusal, Release, Written, back, begin};
use crate::ids::TenantId;
use std::collections::BTreeSet;
use std::fmt;

/// The names that follow from a tenant's short name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub slug: String,
    pub gateway_app: String,
    pub session_app: String,
    pub network: String,
    /// What its gateways sign in to PostgreSQL as, and what its sessions' machines do.
    pub gateway_login: String,
    pub session_login: String,
    /// What both did before each had its own. Nothing makes it any more.
    pub shared_login: String,
}

impl Names {
    /// `None`: not usable. Apps share one world-wide namespace of names under 63 letters.
    pub fn of(slug: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // `…-s` would be the session app of another tenant.
        let usable = (1..=41).contains(&slug.len())
            && slug.chars().all(plain)
            && !slug.starts_with('-')
            && !slug.ends_with('-')
            && !slug.ends_with("-s");
        usable.then(|| Self {
            slug: slug.to_owned(),
            gateway_app: format!("interviews-{slug}"),
            session_app: format!("interviews-{slug}-s"),
            network: format!("tenant-{slug}"),
            gateway_login: format!("interview_gateway_{}", slug.replace('-', "_")),
            session_login: format!("interview_session_{}", slug.replace('-', "_")),
            shared_login: format!("interview_tenant_{}", slug.replace('-', "_")),
        })
    }

    pub fn login(&self, which: Which) -> &str {
        match which {
            Which::Gateway => &self.gateway_login,
            Which::Session => &self.session_login,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Gateway,
    Session,
}

/// An app as Fly tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppSeen {
    Absent,
    Present {
        org: String,
        network: String,
    },
    /// The name belongs to somebody else.
    OutOfReach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySeen {
    pub id: crate::ids::MachineId,
    pub slot: u8,
    pub release: u32,
    /// Started, and not on a lost host.
    pub runs: bool,
    /// Fly's number of the session app's secrets when it was made; unknown of one from before that was noted.
    pub secrets: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub ip: String,
    pub kind: AddressKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    SharedV4,
    V4,
    V6,
    Private,
}

impl AddressKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SharedV4 => "shared_v4",
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Private => "private_v6",
        }
    }

    const fn is_public(self) -> bool {
        !matches!(self, Self::Private)
    }
}

/// The session machines' network policy, as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySeen {
    AsWanted,
    /// The ids of those that carry its name and say something else; none: there is none.
    Otherwise(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub record: Option<Record>,
    /// Those of its logins that are there and bound to it.
    pub logins: BTreeSet<String>,
    /// Interviews that are not over.
    pub interviews: u32,
    pub gateway_app: AppSeen,
    pub session_app: AppSeen,
    /// Names of secrets.
    pub gateway_secrets: BTreeSet<String>,
    pub session_secrets: BTreeSet<String>,
    pub gateway_addresses: Vec<Address>,
    pub session_addresses: Vec<Address>,
    pub policy: PolicySeen,
    pub gateways: Vec<GatewaySeen>,
}

/// The secrets an app should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub names: BTreeSet<String>,
    pub fingerprint: String,
}

#[derive(Clone, Debug)]
pub struct Wanted {
    pub names: Names,
    pub tenant: TenantId,
    pub org: String,
    pub record: Record,
    pub gateways: u8,
    pub gateway_settings: Settings,
    pub session_settings: Settings,
}

/// The name of the deploy token among the gateway's secrets.
pub const TOKEN_SECRET: &str = "INTERVIEW__FLY__API_TOKEN";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Record { operation: Option<Operation>, release: u32 },
    ClaimApp { which: Which, app: String, network: String },
    PrepareLogin { which: Which, login: String },
    SetSecrets { which: Which, app: String, count: usize },
    IssueToken { app: String, holder: String },
    ReleaseAddress { app: String, ip: String },
    SetPolicy { app: String, replaces: Vec<String> },
    AssignAddress { app: String, kind: AddressKind },
    StartGateway { app: String, slot: u8, release: u32 },
    RemoveGateway { app: String, gateway: GatewaySeen },
    CheckDoor { app: String },
    Settle,
    EndInterviews { interviews: u32 },
    DeleteApp { app: String },
    CloseInterviews,
    DropLogin { login: String },
    Forget,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { operation: Some(operation), release } => {
                write!(f, "note in the database: {} under way, release {release}", operation.as_str())
            }
            Self::Record { operation: None, release } => write!(f, "note release {release} in the database"),
            Self::ClaimApp { app, network, .. } => write!(f, "create the app {app} on the private network {network}"),
            Self::PrepareLogin { login, .. } => write!(f, "prepare the database login {login}, bound to this tenant"),
            Self::SetSecrets { app, count, .. } => write!(f, "set {count} secrets of {app}"),
            Self::IssueToken { app, holder } => {
                write!(f, "issue a deploy token of {app}, with an expiry, into the secrets of {holder}")
            }
            Self::ReleaseAddress { app, ip } => write!(f, "release the public address {ip} of {app}, which must have none"),
            Self::SetPolicy { app, .. } => write!(f, "set the network policy of {app}: no way from session to session"),
            Self::AssignAddress { app, kind } => write!(f, "give {app} a {} address", kind.as_str()),
            Self::StartGateway { app, slot, release } => {
                write!(f, "start gateway {slot} of {app} at release {release} and wait until it is healthy")
            }
            Self::RemoveGateway { gateway, .. } => {
                write!(f, "remove gateway {} ({}, release {})", gateway.slot, gateway.id, gateway.release)
            }
            Self::CheckDoor { app } => write!(f, "check the door of {app}"),
            Self::Settle => f.write_str("note in the database: done"),
            Self::EndInterviews { interviews } => write!(f, "ask {interviews} interviews to end, and wait for them"),
            Self::DeleteApp { app } => write!(f, "delete the app {app} with its machines, addresses and secrets"),
            Self::CloseInterviews => f.write_str("mark what did not end as failed"),
            Self::DropLogin { login } => write!(f, "drop the database login {login}"),
            Self::Forget => f.write_str("forget the deployment; the tenant's data stays"),
        }
    }
}

/// What is to be done, in order.
pub fn plan(wanted: &Wanted, seen: &Seen) -> Result<Vec<Step>, Refusal> {
    let Names { gateway_app, session_app, network, .. } = &wanted.names;
    let claims = [(Which::Gateway, gateway_app, &seen.gateway_app), (Which::Session, session_app, &seen.session_app)];
    for (_, app, there) in &claims {
        belongs(app, there, wanted)?;
    }
    let mut steps = Vec::new();
    if seen.record.as_ref() != Some(&wanted.record) {
        steps.push(Step::Record { operation: wanted.record.operation, release: wanted.record.release });
    }
    for (which, app, there) in claims {
        if *there == AppSeen::Absent {
            steps.push(Step::ClaimApp { which, app: app.clone(), network: network.clone() });
        }
    }
    for which in [Which::Gateway, Which::Session] {
        let login = wanted.names.login(which);
        if !seen.logins.contains(login) {
            steps.push(Step::PrepareLogin { which, login: login.to_owned() });
        }
    }
    for (which, app, there, settings, written) in [
        (Which::Session, session_app, &seen.session_secrets, &wanted.session_settings, &wanted.record.session_secrets),
        (Which::Gateway, gateway_app, &seen.gateway_secrets, &wanted.gateway_settings, &wanted.record.gateway_secrets),
    ] {
        // Without an operation under way no gateway is replaced, so no value changes either.
        let changed = wanted.record.operation.is_some() && written.fingerprint != settings.fingerprint;
        if changed || !settings.names.is_subset(there) {
            steps.push(Step::SetSecrets { which, app: app.clone(), count: settings.names.len() });
        }
    }
    if wanted.record.token_issued < wanted.record.token_wanted || !seen.gateway_secrets.contains(TOKEN_SECRET) {
        steps.push(Step::IssueToken { app: session_app.clone(), holder: gateway_app.clone() });
    }
    steps.extend(network_steps(wanted, seen));
    steps.extend(gateway_steps(wanted, seen));
    if !steps.is_empty() || wanted.record.operation.is_some() {
        steps.push(Step::CheckDoor { app: gateway_app.clone() });
    }
    if wanted.record.operation.is_some() {
        steps.push(Step::Settle);
    }
    if steps.is_empty() && shared_login(wanted, seen) == SharedLogin::Unused {
        steps.push(Step::DropLogin { login: wanted.names.shared_login.clone() });
    }
    Ok(steps)
}

/// The login that gateways and sessions shared before each had its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedLogin {
    Gone,
    /// The apps' secrets still name it, or an interview may have begun with it.
    InUse,
    Unused,
}

/// A machine keeps the secrets it was made with. So it is unused when the secrets name another, every gateway
/// was made since, and no interview is left that may be older: one that begins now does not have it.
pub fn shared_login(wanted: &Wanted, seen: &Seen) -> SharedLogin {
    let Wanted { record, gateway_settings, session_settings, names, .. } = wanted;
    let written = record.gateway_secrets.fingerprint == gateway_settings.fingerprint
        && record.session_secrets.fingerprint == session_settings.fingerprint;
    // An upgrade that went back has left gateways of before.
    let replaced = seen.gateways.iter().all(|gateway| gateway.secrets >= Some(record.session_secrets.version));
    match seen.logins.contains(&names.shared_login) {
        false => SharedLogin::Gone,
        true if written && replaced && record.operation.is_none() && seen.interviews == 0 => SharedLogin::Unused,
        true => SharedLogin::InUse,
    }
}

/// An app of ours has our organisation and our network; a name alone proves nothing.
fn belongs(app: &str, seen: &AppSeen, wanted: &Wanted) -> Result<(), Refusal> {
    let why = match seen {
        AppSeen::OutOfReach => "it is in another organisation".to_owned(),
        AppSeen::Present { org, .. } if *org != wanted.org => format!("it is in the organisation {org}"),
        AppSeen::Present { network, .. } if *network != wanted.names.network => format!("it is on the network {network}"),
        AppSeen::Absent | AppSeen::Present { .. } => return Ok(()),
    };
    Err(Refusal::ForeignApp { app: app.to_owned(), why })
}

fn network_steps(wanted: &Wanted, seen: &Seen) -> Vec<Step> {
    let Names { gateway_app, session_app, .. } = &wanted.names;
    let mut steps = Vec::new();
    for address in seen.session_addresses.iter().filter(|address| address.kind.is_public()) {
        steps.push(Step::ReleaseAddress { app: session_app.clone(), ip: address.ip.clone() });
    }
    if let PolicySeen::Otherwise(ids) = &seen.policy {
        steps.push(Step::SetPolicy { app: session_app.clone(), replaces: ids.clone() });
    }
    let has = |kinds: &[AddressKind]| seen.gateway_addresses.iter().any(|address| kinds.contains(&address.kind));
    if !has(&[AddressKind::SharedV4, AddressKind::V4]) {
        steps.push(Step::AssignAddress { app: gateway_app.clone(), kind: AddressKind::SharedV4 });
    }
    if !has(&[AddressKind::V6]) {
        steps.push(Step::AssignAddress { app: gateway_app.clone(), kind: AddressKind::V6 });
    }
    steps
}

/// One after another: a new one is healthy before the old one goes.
fn gateway_steps(wanted: &Wanted, seen: &Seen) -> Vec<Step> {
    let app = &wanted.names.gateway_app;
    let release = wanted.record.release;
    let remove = |gateway: &GatewaySeen| Step::RemoveGateway { app: app.clone(), gateway: gateway.clone() };
    let mut steps = Vec::new();
    for slot in 1..=wanted.gateways {
        let mut kept = false;
        for gateway in seen.gateways.iter().filter(|gateway| gateway.slot == slot && gateway.release == release) {
            // One of this release that does not run holds the name of the one that will.
            if kept || !gateway.runs {
                steps.push(remove(gateway));
            } else {
                kept = true;
            }
        }
        if !kept {
            steps.push(Step::StartGateway { app: app.clone(), slot, release });
        }
        steps.extend(seen.gateways.iter().filter(|gateway| gateway.slot == slot && gateway.release != release).map(remove));
    }
    steps.extend(seen.gateways.iter().filter(|gateway| gateway.slot == 0 || gateway.slot > wanted.gateways).map(remove));
    steps
}

/// How a tenant is taken down: the door first, so that nothing new begins.
pub fn plan_destroy(wanted: &Wanted, seen: &Seen) -> Result<Vec<Step>, Refusal> {
    let Names { gateway_app, session_app, gateway_login, session_login, shared_login, .. } = &wanted.names;
    let mut steps = Vec::new();
    if seen.record.as_ref() != Some(&wanted.record) {
        steps.push(Step::Record { operation: wanted.record.operation, release: wanted.record.release });
    }
    belongs(gateway_app, &seen.gateway_app, wanted)?;
    belongs(session_app, &seen.session_app, wanted)?;
    if seen.gateway_app != AppSeen::Absent {
        steps.push(Step::DeleteApp { app: gateway_app.clone() });
    }
    if seen.interviews > 0 {
        steps.push(Step::EndInterviews { interviews: seen.interviews });
    }
    if seen.session_app != AppSeen::Absent {
        steps.push(Step::DeleteApp { app: session_app.clone() });
    }
    steps.push(Step::CloseInterviews);
    for login in [gateway_login, session_login, shared_login].into_iter().filter(|login| seen.logins.contains(*login)) {
        steps.push(Step::DropLogin { login: login.clone() });
    }
    steps.push(Step::Forget);
    Ok(steps)
}

#[cfg(test)]
#[path = "tenant_plan_tests.rs"]
mod tests;

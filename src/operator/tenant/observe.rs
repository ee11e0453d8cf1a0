//! What exists of a tenant, at Fly and in the database.

use super::execute::{Deployment, Problem, settled};
use super::gateways::{RELEASE, ROLE, SECRETS, SLOT};
use crate::domain::tenant_plan::{Address, AddressKind, AppSeen, GatewaySeen, PolicySeen, Seen};
use crate::integrations::fly::apps::{AppAnswer, AssignedAddress, NetworkPolicy, PortRule, Rule, Selector};
use crate::integrations::fly::{Machine, StateGroup};
use std::collections::BTreeSet;
use std::time::Duration;

/// Lists lag, and have been empty for no reason.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;
const POLICY: &str = "session-machines";

impl Deployment {
    pub(super) async fn observe(&mut self) -> Result<Seen, Problem> {
        let row = self.store.tenants().await?.into_iter().find(|tenant| tenant.slug == self.names.slug);
        let interviews = row.as_ref().map_or(0, |row| row.interviews);
        let record = row.and_then(|row| row.record);
        let logins = self.store.logins(self.tenant.id).await?;
        let gateway_app = self.app(&self.names.gateway_app).await?;
        let session_app = self.app(&self.names.session_app).await?;
        let mut seen = Seen {
            record,
            logins,
            interviews,
            gateway_app,
            session_app,
            gateway_secrets: BTreeSet::new(),
            session_secrets: BTreeSet::new(),
            gateway_addresses: Vec::new(),
            session_addresses: Vec::new(),
            policy: PolicySeen::Otherwise(Vec::new()),
            gateways: Vec::new(),
        };
        // Nothing of an app is read that may be somebody else's; the plan refuses it.
        let own = |app: &AppSeen| matches!(app, AppSeen::Present { org, network } if *org == self.config.operator.org && *network == self.names.network);
        if own(&seen.gateway_app) {
            let app = &self.names.gateway_app;
            seen.gateway_secrets = settled(|| self.fly.secret_names(app)).await?;
            seen.gateway_addresses = settled(|| self.fly.addresses(app)).await?.iter().map(address).collect();
            seen.gateways = self.gateways(seen.record.is_some()).await?;
        }
        if own(&seen.session_app) {
            let app = &self.names.session_app;
            seen.session_secrets = settled(|| self.fly.secret_names(app)).await?;
            seen.session_addresses = settled(|| self.fly.addresses(app)).await?.iter().map(address).collect();
            let wanted = self.policy();
            let named: Vec<NetworkPolicy> =
                settled(|| self.fly.network_policies(app)).await?.into_iter().filter(|policy| policy.name == POLICY).collect();
            let same = |policy: &NetworkPolicy| policy.rules == wanted.rules && policy.selector == wanted.selector;
            seen.policy = match named.as_slice() {
                [only] if same(only) => PolicySeen::AsWanted,
                others => PolicySeen::Otherwise(others.iter().map(|policy| policy.id.clone()).collect()),
            };
        }
        Ok(seen)
    }

    pub(super) async fn app(&self, name: &str) -> Result<AppSeen, Problem> {
        Ok(match settled(|| self.fly.app(name)).await? {
            AppAnswer::Absent => AppSeen::Absent,
            AppAnswer::OutOfReach => AppSeen::OutOfReach,
            AppAnswer::Present(app) => AppSeen::Present { org: app.organization.slug, network: app.network },
        })
    }

    /// An empty list is asked for again before it is believed, when there should be some.
    async fn gateways(&self, expected: bool) -> Result<Vec<GatewaySeen>, Problem> {
        let app = &self.names.gateway_app;
        for look in 1..=LOOKS {
            let machines = settled(|| self.fly.find_by_metadata(app, "role", ROLE)).await?;
            let found: Vec<GatewaySeen> = machines.iter().filter_map(gateway).collect();
            if !found.is_empty() || !expected || look == LOOKS {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(Vec::new())
    }

    /// The private network is shared by the tenant's machines. A session's machine may open
    /// connections to the providers and the database only, and is open itself on the one port that
    /// the gateway uses: so no session reaches another.
    pub(super) fn policy(&self) -> NetworkPolicy {
        let port = |protocol: &str, port: u16| PortRule { protocol: protocol.into(), port };
        let mut outward: Vec<PortRule> = vec![port("udp", 53), port("tcp", 53)];
        let database = url::Url::parse(secrecy::ExposeSecret::expose_secret(&self.config.database.url));
        let telemetry = url::Url::parse(&self.config.telemetry.otlp_endpoint);
        let bases = [&self.config.openai.base_url, &self.config.api_video.base_url];
        let mut ports: BTreeSet<u16> = bases.iter().filter_map(|url| url.port_or_known_default()).collect();
        ports.insert(443);
        ports.insert(database.ok().and_then(|url| url.port()).unwrap_or(5432));
        ports.extend(telemetry.ok().and_then(|url| url.port_or_known_default()));
        outward.extend(ports.into_iter().map(|number| port("tcp", number)));
        let rule = |direction: &str, ports| Rule { action: "allow".into(), direction: direction.into(), ports };
        NetworkPolicy {
            id: String::new(),
            name: POLICY.into(),
            selector: Selector { all: true },
            rules: vec![rule("ingress", vec![port("tcp", super::gateways::PORT)]), rule("egress", outward)],
        }
    }
}

fn gateway(machine: &Machine) -> Option<GatewaySeen> {
    if machine.state.group() == StateGroup::Gone {
        return None;
    }
    let number = |key: &str| machine.metadata().and_then(|all| all.get(key)).and_then(|value| value.parse::<u64>().ok());
    let small = |key: &str| number(key).and_then(|value| u32::try_from(value).ok());
    // A lost host takes the configuration with it; the name says the same.
    let named = machine.name.as_deref().and_then(super::gateways::numbers_of);
    Some(GatewaySeen {
        id: machine.id.clone(),
        slot: small(SLOT).and_then(|slot| u8::try_from(slot).ok()).or(named.map(|(slot, _)| slot)).unwrap_or_default(),
        release: small(RELEASE).or(named.map(|(_, release)| release)).unwrap_or_default(),
        secrets: number(SECRETS),
        runs: machine.state.group() == StateGroup::Running && machine.host_status.as_deref() != Some("unreachable"),
    })
}

fn address(assigned: &AssignedAddress) -> Address {
    let kind = match assigned.ip.parse::<std::net::IpAddr>() {
        _ if assigned.shared => AddressKind::SharedV4,
        Ok(std::net::IpAddr::V6(ip)) if ip.segments()[0] == 0xfdaa => AddressKind::Private,
        Ok(std::net::IpAddr::V6(_)) => AddressKind::V6,
        // What cannot be read counts as public: it is not left on a session app.
        _ => AddressKind::V4,
    };
    Address { ip: assigned.ip.clone(), kind }
}

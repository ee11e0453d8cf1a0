//! What one client can use up: the limits of docs/LIMITS.md that a process counts for itself.
//!
//! Each gateway counts for itself, so a tenant's two gateways allow twice as much. What costs money (sessions, and with them
//! machines and videos) is counted in the database.

mod counters;

pub use self::counters::Held;
use self::counters::{Counts, Full, Rate, Seen, lock};
use super::problem::ApiError;
use crate::config;
use crate::error::ErrorCode;
use crate::ids::{SessionId, UserId};
use axum::http::{Extensions, HeaderMap, HeaderName, StatusCode};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Fly's proxy says here who asks, whatever the client has put there.
pub const FLY_CLIENT_IP: HeaderName = HeaderName::from_static("fly-client-ip");

/// Something that can be used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    AddressRequests,
    UnseenSessions,
    InviteLinks,
    PersonRequests,
    Tickets,
    StreamsPerPerson,
    Streams,
    CandidateSessions,
    RecruiterSessions,
    TenantSessions,
    Ticketless,
    ShownTickets,
    Checks,
    Imports,
}

impl Bound {
    pub const ALL: [Self; 14] = [
        Self::AddressRequests,
        Self::UnseenSessions,
        Self::InviteLinks,
        Self::PersonRequests,
        Self::Tickets,
        Self::StreamsPerPerson,
        Self::Streams,
        Self::CandidateSessions,
        Self::RecruiterSessions,
        Self::TenantSessions,
        Self::Ticketless,
        Self::ShownTickets,
        Self::Checks,
        Self::Imports,
    ];

    /// The label of the metric `interview.refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressRequests => "address_requests",
            Self::UnseenSessions => "unseen_sessions",
            Self::InviteLinks => "invite_links",
            Self::PersonRequests => "person_requests",
            Self::Tickets => "tickets",
            Self::StreamsPerPerson => "streams_per_person",
            Self::Streams => "streams",
            Self::CandidateSessions => "candidate_sessions",
            Self::RecruiterSessions => "recruiter_sessions",
            Self::TenantSessions => "tenant_sessions",
            Self::Ticketless => "ticketless",
            Self::ShownTickets => "shown_tickets",
            Self::Checks => "checks",
            Self::Imports => "imports",
        }
    }

    /// How whoever is above it is answered.
    pub fn refusal(self, wait: Duration) -> ApiError {
        use ErrorCode::{
            RequestRateExceeded, ServiceSaturated, SessionQuotaExhausted, StreamsExhausted, TenantSessionsExhausted,
            TicketRateExceeded,
        };
        let (theirs, ours) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE);
        let (status, code, detail) = match self {
            Self::AddressRequests => (theirs, RequestRateExceeded, "too many requests from this address"),
            Self::UnseenSessions => (theirs, RequestRateExceeded, "too many sessions are asked for from this address"),
            Self::InviteLinks => (theirs, RequestRateExceeded, "too many links are opened from this address"),
            Self::PersonRequests => (theirs, RequestRateExceeded, "too many requests"),
            Self::Tickets => (theirs, TicketRateExceeded, "too many tickets"),
            Self::StreamsPerPerson => (theirs, StreamsExhausted, "too many live streams; close one"),
            Self::Streams => (ours, ServiceSaturated, "too many people are watching; try again later"),
            Self::CandidateSessions => (theirs, SessionQuotaExhausted, "as many interviews as you may have; join one of them"),
            Self::RecruiterSessions => (theirs, SessionQuotaExhausted, "as many interviews as one person may ask for in a day"),
            Self::TenantSessions => (ours, TenantSessionsExhausted, "as many interviews are open as may be"),
            Self::Ticketless => (ours, ServiceSaturated, "too many connections without a ticket"),
            Self::ShownTickets => (theirs, TicketRateExceeded, "too many tickets from this address"),
            Self::Checks => (ours, ServiceSaturated, "too many plans and files are being checked; try again in a moment"),
            Self::Imports => (theirs, RequestRateExceeded, "another file of candidates is being imported; wait until it is done"),
        };
        ApiError::new(status, code, detail).retry_after(wait)
    }
}

/// How often each bound has refused. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Refused(Arc<[AtomicU64; Bound::ALL.len()]>);

impl Refused {
    pub fn count(&self, bound: Bound, wait: Duration) -> ApiError {
        self.0[bound as usize].fetch_add(1, Ordering::Relaxed);
        bound.refusal(wait)
    }

    pub fn all(&self) -> impl Iterator<Item = (Bound, u64)> + '_ {
        Bound::ALL.into_iter().map(|bound| (bound, self.0[bound as usize].load(Ordering::Relaxed)))
    }
}

/// The address that is counted: of IPv6 the network, as one customer has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

impl Address {
    /// On Fly the peer is the proxy, which names the client. Elsewhere the peer is the client, and the header is
    /// whatever it likes to say.
    pub fn of(headers: &HeaderMap, peer: IpAddr, behind_fly: bool) -> Self {
        let named = headers.get(FLY_CLIENT_IP).filter(|_| behind_fly).and_then(|value| value.to_str().ok());
        Self(named.and_then(|text| text.trim().parse().ok()).unwrap_or(peer))
    }

    /// As the listener has found it.
    pub fn asking(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
    }

    fn counted(self) -> Self {
        Self(match self.0.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address => address,
        })
    }
}

/// The bounds of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct GatewayLimits(Arc<Gateway>);

struct Gateway {
    addresses: Rate<Address>,
    unseen: Rate<Address>,
    links: Rate<Address>,
    people: Rate<UserId>,
    tickets: Rate<UserId>,
    streams: Counts<UserId>,
    creating: Counts<UserId>,
    importing: Counts<()>,
    seen: Mutex<Seen>,
    refused: Refused,
}

/// Told to whoever asks again before the answer.
const SOON: Duration = Duration::from_secs(2);
/// Told to whoever has too many of what does not come back by itself.
const LATER: Duration = Duration::from_secs(10);

impl GatewayLimits {
    pub fn new(limits: &config::Limits) -> Self {
        Self(Arc::new(Gateway {
            addresses: Rate::new(limits.address_requests_per_s, limits.address_requests_burst),
            unseen: Rate::new(limits.unseen_sessions_per_s, limits.unseen_sessions_burst),
            links: Rate::new(limits.invite_links_per_s, limits.invite_links_burst),
            people: Rate::new(limits.person_requests_per_s, limits.person_requests_burst),
            tickets: Rate::new(limits.tickets_per_s, limits.tickets_burst),
            streams: Counts::new(limits.streams_per_person, limits.streams),
            // One at a time, so that the counts in the database hold.
            creating: Counts::new(1, usize::MAX),
            importing: Counts::new(1, 1),
            seen: Mutex::default(),
            refused: Refused::default(),
        }))
    }

    pub fn refused(&self) -> &Refused {
        &self.0.refused
    }

    /// Refuse because of a bound that is counted elsewhere.
    pub fn refuse(&self, bound: Bound, wait: Duration) -> ApiError {
        self.0.refused.count(bound, wait)
    }

    pub fn request_of_address(&self, address: Address) -> Result<(), ApiError> {
        self.0.addresses.take(address.counted()).map_err(|wait| self.refuse(Bound::AddressRequests, wait))
    }

    /// Before the link of an invite is looked up, for somebody without an account.
    pub fn invite_link(&self, address: Address) -> Result<(), ApiError> {
        self.0.links.take(address.counted()).map_err(|wait| self.refuse(Bound::InviteLinks, wait))
    }

    pub fn request_of_person(&self, user: UserId) -> Result<(), ApiError> {
        self.0.people.take(user).map_err(|wait| self.refuse(Bound::PersonRequests, wait))
    }

    pub fn ticket(&self, user: UserId) -> Result<(), ApiError> {
        self.0.tickets.take(user).map_err(|wait| self.refuse(Bound::Tickets, wait))
    }

    pub fn stream(&self, user: UserId) -> Result<Held<UserId>, ApiError> {
        self.0.streams.hold(user).map_err(|full| match full {
            Full::Each => self.refuse(Bound::StreamsPerPerson, LATER),
            Full::All => self.refuse(Bound::Streams, LATER),
        })
    }

    /// A candidate's request for an interview, as long as it takes.
    pub fn creating(&self, user: UserId) -> Result<Held<UserId>, ApiError> {
        self.0.creating.hold(user).map_err(|_| self.refuse(Bound::PersonRequests, SOON))
    }

    /// A file of candidates, as long as it takes: whoever waited for its turn would hold a connection to the database.
    pub fn importing(&self) -> Result<Held<()>, ApiError> {
        self.0.importing.hold(()).map_err(|_| self.import_runs())
    }

    /// One runs here, or at another gateway.
    pub fn import_runs(&self) -> ApiError {
        self.refuse(Bound::Imports, SOON)
    }

    /// Before a session is looked for by somebody who has not signed in. `Ok(false)`: there is none.
    pub fn look_for(&self, id: SessionId, address: Address) -> Result<bool, ApiError> {
        if let Some(exists) = lock(&self.0.seen).exists(id, Instant::now()) {
            return Ok(exists);
        }
        self.0.unseen.take(address.counted()).map_err(|wait| self.refuse(Bound::UnseenSessions, wait))?;
        Ok(true)
    }

    /// What became of looking for it.
    pub fn looked_for(&self, id: SessionId, exists: bool) {
        lock(&self.0.seen).note(id, exists, Instant::now());
    }
}

/// The bounds of a session's machine. Cheap to clone.
#[derive(Clone)]
pub struct SessionLimits(Arc<Session>);

struct Session {
    ticketless: Counts<Address>,
    shown: Rate<Address>,
    refused: Refused,
}

impl SessionLimits {
    pub fn new(limits: &config::Limits) -> Self {
        Self(Arc::new(Session {
            ticketless: Counts::new(limits.ticketless_per_address, limits.ticketless),
            shown: Rate::new(limits.shown_tickets_per_s, limits.shown_tickets_burst),
            refused: Refused::default(),
        }))
    }

    pub fn refused(&self) -> &Refused {
        &self.0.refused
    }

    /// A place for a connection that has not shown a ticket.
    pub fn ticketless(&self, address: Address) -> Result<Held<Address>, ApiError> {
        self.0.ticketless.hold(address.counted()).map_err(|_| self.0.refused.count(Bound::Ticketless, LATER))
    }

    /// Before a ticket is looked up.
    pub fn shown_ticket(&self, address: Address) -> Result<(), ApiError> {
        self.0.shown.take(address.counted()).map_err(|wait| self.0.refused.count(Bound::ShownTickets, wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_one_is_itself() {
        let counted = |text: &str| Address(text.parse().expect("an address")).counted();
        assert_eq!(counted("2001:db8:1:2:3::4"), counted("2001:db8:1:2:ffff::1"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
    }

    #[test]
    fn flys_proxy_names_the_client_and_elsewhere_it_is_the_peer() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let of = |named: Option<&'static str>, behind_fly| {
            let headers = named.map(|named| (FLY_CLIENT_IP, named.parse().expect("a value"))).into_iter().collect();
            Address::of(&headers, peer, behind_fly).0
        };
        assert_eq!(of(Some("192.0.2.7"), true), IpAddr::from([192, 0, 2, 7]));
        assert_eq!((of(None, true), of(Some("nonsense"), true)), (peer, peer));
        assert_eq!(of(Some("192.0.2.7"), false), peer, "nobody but Fly may say so");
    }

    #[test]
    fn what_is_refused_is_counted_by_its_bound() {
        let refused = Refused::default();
        for _ in 0..3 {
            assert_eq!(refused.count(Bound::Tickets, LATER).code(), ErrorCode::TicketRateExceeded);
        }
        let counted: Vec<_> = refused.all().filter(|(_, times)| *times > 0).collect();
        assert_eq!(counted, [(Bound::Tickets, 3)]);
    }

    #[test]
    fn every_bound_says_when_to_come_again() {
        for bound in Bound::ALL {
            assert_eq!(Bound::ALL[bound as usize], bound, "the order of the counters");
            let error = bound.refusal(Duration::from_secs(3));
            assert!(matches!(error.status().as_u16(), 429 | 503), "{bound:?}");
        }
    }
}

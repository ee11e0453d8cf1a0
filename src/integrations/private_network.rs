//! Where a machine is in its tenant's private network.
//!
//! Addresses change when Fly moves a machine to another host. So they are looked up each time and never kept.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::Url;

use super::call_error::CallError;
use super::http_client::{CallLimits, HttpClient, Vendor, endpoint};
use crate::error::{ErrorCode, Fault, FaultClass};
use crate::ids::MachineId;

/// Fly's own resolver answers in milliseconds.
const DEADLINE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// DNS does not tell a name that is not there from one that it cannot find out.
    #[error("{name} is not found in the private network")]
    Unknown { name: String, source: Option<io::Error> },
    #[error("{name} is not resolved in time")]
    TimedOut { name: String },
    #[error("the stand-in of the private network does not answer")]
    Resolver(#[from] CallError),
    #[error("the stand-in of the private network answers no address")]
    Malformed,
}

impl Fault for AddressError {
    /// A machine that is starting gets its name when it has started.
    fn class(&self) -> FaultClass {
        FaultClass::Transient
    }

    fn code(&self) -> ErrorCode {
        ErrorCode::MachineAddressUnknown
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct PrivateNetwork {
    http: HttpClient,
    /// `{machine_id}.vm.{app}.internal:8080`
    machine_address: String,
    /// Asked instead of DNS; the sandbox has one.
    resolver: Option<Url>,
}

impl PrivateNetwork {
    pub fn new(http: HttpClient, machine_address: String, resolver: Option<Url>) -> Self {
        Self { http, machine_address, resolver }
    }

    /// The address at which a started machine of `app` takes requests.
    pub async fn address(&self, app: &str, machine: &MachineId) -> Result<SocketAddr, AddressError> {
        match &self.resolver {
            Some(resolver) => self.ask(resolver, app, machine).await,
            None => resolve(self.machine_address.replace("{machine_id}", machine.as_str()).replace("{app}", app)).await,
        }
    }

    async fn ask(&self, resolver: &Url, app: &str, machine: &MachineId) -> Result<SocketAddr, AddressError> {
        let limits =
            CallLimits { vendor: Vendor::Fly, action: "resolve_machine", deadline: DEADLINE, max_body_bytes: LONGEST_ANSWER };
        let request = self.http.request(Method::GET, endpoint(resolver, &[app, machine.as_str()]));
        let answer = self.http.send(limits, request).await?;
        match answer.status() {
            StatusCode::OK => std::str::from_utf8(&answer.body).ok().and_then(|text| text.trim().parse().ok()),
            StatusCode::NOT_FOUND => return Err(AddressError::Unknown { name: format!("{machine} of {app}"), source: None }),
            _ => return Err(answer.failure(None).into()),
        }
        .ok_or(AddressError::Malformed)
    }
}

async fn resolve(name: String) -> Result<SocketAddr, AddressError> {
    let first = timeout(DEADLINE, lookup_host(&name)).await.map(|found| found.map(|mut addresses| addresses.next()));
    match first {
        Ok(Ok(address)) => address.ok_or(AddressError::Unknown { name, source: None }),
        Ok(Err(error)) => Err(AddressError::Unknown { name, source: Some(error) }),
        Err(_) => Err(AddressError::TimedOut { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_server::{Reply, TestServer, dead_address, http_client};
    use super::*;

    fn machine() -> MachineId {
        MachineId::from("4d891d2c2e0e08")
    }

    #[tokio::test]
    async fn names_are_resolved_by_the_system() {
        let network = |template: &str| PrivateNetwork::new(http_client(), template.to_owned(), None);
        let address = network("localhost:8080").address("app", &machine()).await.expect("loopback");
        assert!(address.ip().is_loopback() && address.port() == 8080);
        // RFC 6761: never a real name.
        let error = network("{machine_id}.vm.{app}.invalid:8080").address("app-s", &machine()).await.expect_err("no such name");
        assert_eq!(error.code(), ErrorCode::MachineAddressUnknown);
        assert!(error.to_string().contains("4d891d2c2e0e08.vm.app-s.invalid:8080"), "{error}");
    }

    #[tokio::test]
    async fn the_stand_in_is_asked_and_its_nonsense_refused() {
        let at = |resolver| PrivateNetwork::new(http_client(), String::new(), Some(resolver));
        let server = TestServer::always(Reply::new(200, &[], "127.1.2.3:8080\n")).await;
        let address = at(server.base()).address("app-s", &machine()).await.expect("an address");
        assert_eq!(address, SocketAddr::from(([127, 1, 2, 3], 8080)));
        assert_eq!(server.only_request().line, "GET /v1/app-s/4d891d2c2e0e08");
        // An id cannot climb out of its place.
        let _ = at(server.base()).address("..", &MachineId::from("../x?y")).await;
        assert_eq!(server.requests()[1].line, "GET /v1/..%2Fx%3Fy", "{:?}", server.requests());

        for (status, body) in [(404, "127.0.0.1:1"), (500, ""), (200, "nowhere"), (200, "")] {
            let server = TestServer::always(Reply::new(status, &[], body)).await;
            assert!(at(server.base()).address("app-s", &machine()).await.is_err(), "{status} {body}");
        }
        assert!(at(dead_address().await).address("app-s", &machine()).await.is_err());
    }
}

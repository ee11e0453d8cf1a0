//! The names of the private networks: where a started machine is. Only machines of the same network get an answer.
//!
//! At Fly this is DNS (`<machine>.vm.<app>.internal`). Here a caller is identified by the secret in the address that it was
//! given; each network has one secret.

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use http::StatusCode;

use super::model::MachineState;
use super::{Fly, VENDOR};
use crate::faults::{self, Connection, Faults};

const ROUTE: &str = "private.resolve";

impl Fly {
    /// To be mounted on the listener that only machines reach.
    pub fn private_router(&self, faults: Faults) -> Router {
        Router::new().route("/{network}/{app}/{machine}", get(resolve)).with_state((self.clone(), faults))
    }

    /// The resolver's address for the machines of an app.
    pub(super) fn resolver_for(&self, app: &str) -> Option<String> {
        let base = &self.options().private_resolver;
        let network = self.app(app)?.network;
        (!base.is_empty()).then(|| format!("{base}/{}", self.network_key(&network)))
    }

    fn network_key(&self, network: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.org_token().as_bytes());
        HEXLOWER.encode(&hmac::sign(&key, network.as_bytes()).as_ref()[..16])
    }
}

/// `ip:port`. Only started machines have a name.
async fn resolve(
    State((fly, faults)): State<(Fly, Faults)>,
    Path((network, app, machine)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    if let Some(action) = faults.take(VENDOR, ROUTE)
        && let Some(response) = faults::perform(action, request.extensions().get::<Connection>()).await
    {
        return response;
    }
    let own = fly.app(&app).is_some_and(|app| fly.network_key(&app.network) == network);
    let status = fly.machine(&machine).filter(|machine| own && machine.app == app).map(|machine| machine.status());
    match status.filter(|status| status.state == MachineState::Started).and_then(|status| status.address) {
        Some(address) => format!("{address}\n").into_response(),
        None => (StatusCode::NOT_FOUND, "no such name\n").into_response(),
    }
}

//! Faults that the real Machines API has shown, each with its name.
//!
//! A fault happens when it is requested (`faults.rs`), for single requests or by chance. Its route says which requests it can
//! affect. The answers are those that clients have met: the status and text of an error decide what a client does next.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::api::ApiError;
use super::model::MachineState;
use super::{Fly, Order};
use crate::util::lock;

impl Fly {
    /// A machine's host is cut off from Fly: the process may live on, Fly cannot see it, and
    /// what is asked of it waits until [`Self::host_returns`].
    pub fn lose_host(&self, id: &str) -> bool {
        let machine = self.machine(id).filter(|machine| !machine.state().is_gone());
        if let Some(machine) = &machine {
            machine.change(|status| status.unreachable = true);
            self.count("host_unreachable");
        }
        machine.is_some()
    }

    pub fn host_returns(&self, id: &str) {
        let Some(machine) = self.machine(id) else { return };
        machine.change(|status| status.unreachable = false);
        if machine.state() == MachineState::Destroying {
            machine.order(Order::Destroy);
        }
    }

    /// How often each fault has made a difference.
    pub fn felt(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.inner.felt).clone()
    }

    pub(super) fn count(&self, fault: &'static str) {
        *lock(&self.inner.felt).entry(fault).or_default() += 1;
    }
}

/// What can happen to any request: before the work, or instead of its answer.
#[derive(Clone, Copy)]
enum Mishap {
    Before(Broken),
    After(Broken),
}

#[derive(Clone, Copy)]
enum Broken {
    RateLimited { told: bool },
    TimedOut,
    Unavailable,
}

fn general(name: &str) -> Option<(&'static str, Mishap)> {
    Some(match name {
        "rate_limited" => ("rate_limited", Mishap::Before(Broken::RateLimited { told: true })),
        "rate_limited_bare" => ("rate_limited_bare", Mishap::Before(Broken::RateLimited { told: false })),
        "timed_out" => ("timed_out", Mishap::Before(Broken::TimedOut)),
        "timed_out_after" => ("timed_out_after", Mishap::After(Broken::TimedOut)),
        "unavailable" => ("unavailable", Mishap::Before(Broken::Unavailable)),
        "unavailable_after" => ("unavailable_after", Mishap::After(Broken::Unavailable)),
        _ => return None,
    })
}

impl Broken {
    fn answer(self) -> Response {
        match self {
            Self::RateLimited { told } => {
                let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded").into_response();
                if told {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
            Self::TimedOut => {
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "deadline_exceeded: context deadline exceeded").into_response()
            }
            // A load balancer's page, not the API's JSON.
            Self::Unavailable => {
                (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], "<html>502 Bad Gateway</html>").into_response()
            }
        }
    }
}

/// The answer that comes instead of the work, if the fault is of that kind.
pub(super) fn before(fly: &Fly, name: &str) -> Option<Response> {
    match general(name)? {
        (name, Mishap::Before(broken)) => {
            fly.count(name);
            Some(broken.answer())
        }
        (_, Mishap::After(_)) => None,
    }
}

/// The answer that comes although the work is done.
pub(super) fn after(fly: &Fly, name: &str) -> Option<Response> {
    match general(name)? {
        (name, Mishap::After(broken)) => {
            fly.count(name);
            Some(broken.answer())
        }
        (_, Mishap::Before(_)) => None,
    }
}

/// The ways in which a creation is refused for want of room, or for good.
pub(super) fn refusal(fly: &Fly, name: &str) -> Option<ApiError> {
    const NO_HOST: &str = "insufficient resources to create new machine: could not find a candidate host";
    let (name, code, text, status) = match name {
        "no_capacity" => ("no_capacity", StatusCode::UNPROCESSABLE_ENTITY, NO_HOST, Some("insufficient_capacity")),
        "no_candidate_host" => ("no_candidate_host", StatusCode::UNPROCESSABLE_ENTITY, NO_HOST, None),
        "region_full" => ("region_full", StatusCode::CONFLICT, "aborted: no capacity", None),
        "host_full" => (
            "host_full",
            StatusCode::CONFLICT,
            "aborted: could not reserve resource for machine: insufficient memory available to fulfill request on the current host",
            None,
        ),
        "no_addresses" => ("no_addresses", StatusCode::CONFLICT, "aborted: insufficient IPs available", None),
        "volume_placement" => (
            "volume_placement",
            StatusCode::PRECONDITION_FAILED,
            "insufficient resources to create new machine with existing volume",
            Some("volume_placement_capacity"),
        ),
        "concurrent_update" => {
            ("concurrent_update", StatusCode::CONFLICT, "aborted: machine update failed due to concurrent update", None)
        }
        "machine_limit" => (
            "machine_limit",
            StatusCode::UNPROCESSABLE_ENTITY,
            "your organization has reached its machine limit; contact billing to raise it",
            None,
        ),
        _ => return None,
    };
    fly.count(name);
    let error = ApiError::new(code, text);
    Some(if let Some(status) = status { error.status(status) } else { error })
}

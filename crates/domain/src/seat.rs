//! The person who uses the browser's connection.

use crate::ids::{TicketHash, UserId};

/// The person a ticket was issued to, and that ticket: what a consent is stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub user: UserId,
    pub ticket: TicketHash,
}

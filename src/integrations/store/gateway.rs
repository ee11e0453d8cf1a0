//! The rows of one tenant, as its gateway reads and writes them.
//!
//! What people request is read as that person, so row level security decides what they see. The gateway writes as itself. Each
//! query also names the tenant, as a second protection.

mod audit;
mod candidate_import;
mod candidates;
mod change;
mod conduct;
pub mod invites;
mod library;
mod listing;
pub mod mail;
mod parties;
pub mod plans;
mod positions;
mod reads;
pub mod reconcile;
pub mod standby;
mod writes;

use super::{Scope, Store, StoreError};
use crate::domain::invite::Refusal;
use crate::domain::outbox_record::RecordingState;
use crate::domain::phase::{EndReason, Phase};
use crate::ids::{
    CandidateId, CompetencyId, InviteId, MachineId, PlanId, PositionId, SessionId, TenantId, TicketHash, UserId, VideoId,
};
use serde_json::Value;
use time::OffsetDateTime;

pub use audit::AuditRow;
pub use candidate_import::Imported;
pub use candidates::{CandidateFilter, CandidateRow, ExternalIdTaken};
pub use change::{Actor, Begun, Change, KeptAnswer, OnceKey};
pub use library::{LibraryRow, NameTaken};
pub use listing::{ListFilter, ListKey};
pub use positions::{KeptCompetency, KeptPosition, KeptPositionRow};

/// One tenant's rows.
#[derive(Clone, Debug)]
pub struct GatewayStore {
    store: Store,
    tenant: TenantId,
}

impl GatewayStore {
    pub fn new(store: Store, tenant: TenantId) -> Self {
        Self { store, tenant }
    }

    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The gateway acting for itself, and the operator.
    pub fn own_scope(&self) -> Scope {
        Scope::Gateway { tenant: self.tenant }
    }
}

/// A session as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    pub id: SessionId,
    pub phase: Phase,
    pub end_reason: Option<String>,
    pub candidate: CandidateId,
    pub candidate_name: String,
    pub position: PositionId,
    pub position_title: String,
    /// With which version of which plan it was created.
    pub plan: Option<(PlanId, i32)>,
    /// The invite that it was begun by, while it is that one's newest, and until when that is open. For recruiters.
    pub invite: Option<(InviteId, OffsetDateTime)>,
    pub created_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    pub deadline_at: OffsetDateTime,
    pub join_by: Option<OffsetDateTime>,
    pub return_by: Option<OffsetDateTime>,
    pub candidate_connected: bool,
    pub machine: Option<MachineId>,
    pub machine_region: Option<String>,
    pub attempt: i32,
    pub traceparent: Option<String>,
    pub recording: Option<RecordingRow>,
    /// A take of it was begun, and the rest never came.
    pub recording_incomplete: bool,
    /// Of the newest summary.
    pub summary_status: Option<String>,
    pub transcript_entries: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecordingRow {
    pub segment: i32,
    pub state: String,
    pub provider: String,
    /// None when no recording could be prepared.
    pub video_id: Option<String>,
    pub parts: i32,
    /// What the browser says it has written.
    pub mime_type: Option<String>,
    /// It was begun, and the rest never came.
    pub incomplete: bool,
}

/// Where a page of sessions goes on: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey {
    pub created_at: OffsetDateTime,
    pub id: SessionId,
}

#[derive(Clone, Debug)]
pub struct SummaryRow {
    pub version: i32,
    pub status: String,
    pub model: Option<String>,
    pub content: Option<Value>,
    pub failure: Option<String>,
    pub created_at: OffsetDateTime,
}

#[derive(Clone, Debug)]
pub struct PositionRow {
    pub id: PositionId,
    pub title: String,
    pub description: String,
    pub competencies: Vec<CompetencyRow>,
}

#[derive(Clone, Debug)]
pub struct CompetencyRow {
    pub id: CompetencyId,
    pub name: String,
    pub description: String,
}

/// Everything a browser must know to join.
#[derive(Clone, Debug)]
pub struct JoinRow {
    pub phase: Phase,
    pub deadline_at: OffsetDateTime,
    pub join_by: Option<OffsetDateTime>,
    pub company: String,
    pub required_consents: Vec<String>,
    pub consent_policy_version: String,
    /// The account of the candidate, once they have one.
    pub candidate_user: Option<UserId>,
    /// The candidate has consented to a recording of this interview.
    pub recording_consented: bool,
    pub position: PositionRow,
    /// The newest one; None when none was ever prepared.
    pub take: Option<OfferedTake>,
}

/// The newest take of a recording, as a page may get it.
#[derive(Clone, Debug)]
pub struct OfferedTake {
    pub segment: i32,
    /// None when no container could be had.
    pub video: Option<VideoId>,
    pub upload_token: Option<String>,
    pub state: RecordingState,
    pub parts: i32,
}

impl OfferedTake {
    /// One that was refused, has failed or is whole takes no more parts.
    pub fn takes_parts(&self) -> bool {
        matches!(self.state, RecordingState::Waiting | RecordingState::Recording)
            && self.video.is_some()
            && self.upload_token.is_some()
    }
}

/// Where a session's WebSocket belongs.
#[derive(Clone, Debug)]
pub struct RouteRow {
    pub phase: Phase,
    pub machine: Option<MachineId>,
}

/// A session that someone asks for.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: SessionId,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub settings: Value,
    pub deadline_at: OffsetDateTime,
    pub join_by: OffsetDateTime,
    pub traceparent: Option<String>,
    pub created_by: UserId,
    /// For themselves: not more than one of a position at once.
    pub by_candidate: bool,
    /// By which a candidate asks.
    pub invite: Option<InviteId>,
    pub idempotency_key: Option<String>,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub struct SessionQuota {
    /// That one person asked for and that are open; not counted where it is `None`.
    pub open: Option<u32>,
    /// That one person asked for within a day.
    pub per_day: u32,
    /// Of the tenant, open.
    pub tenant_open: u32,
}

/// What an Idempotency-Key stands for already.
#[derive(Clone, Debug)]
pub struct KnownSession {
    pub id: SessionId,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub settings: Value,
    pub phase: Phase,
    pub machine: Option<MachineId>,
    pub deadline_at: OffsetDateTime,
    pub has_recording: bool,
}

#[derive(Clone, Debug)]
pub enum Inserted {
    New,
    Known(Box<KnownSession>),
    /// The candidate has this one of the position open.
    OpenAlready(SessionId),
    /// The candidate's invite does not allow it.
    NotInvited(Refusal),
    /// The person has as many as they may.
    PersonFull,
    TenantFull,
}

/// How the preparation of a recording went.
#[derive(Clone, Debug)]
pub enum PreparedRecording {
    Waiting { video_id: String, upload_token: String },
    Failed { code: &'static str },
}

/// What a session had that was never set up: it is to be thrown away.
#[derive(Clone, Debug)]
pub struct FailedSetup {
    pub machine: Option<MachineId>,
    pub prepared: Vec<PreparedRecording>,
}

/// A ticket as it is kept: only a hash, so that who reads the table cannot join.
#[derive(Clone, Debug)]
pub struct NewTicket {
    pub hash: TicketHash,
    pub session: SessionId,
    pub user: UserId,
    pub origin: String,
    pub expires_at: OffsetDateTime,
}

fn phase(text: &str) -> Result<Phase, StoreError> {
    text.parse().map_err(|error: crate::domain::phase::UnknownName| StoreError::Corrupt(error.to_string()))
}

/// The end a session gets when no machine could be had for it.
const SETUP_FAILED: EndReason = EndReason::SetupFailed;
/// The one recording provider so far.
pub const RECORDING_PROVIDER: &str = "api_video";

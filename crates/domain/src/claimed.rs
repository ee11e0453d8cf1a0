//! What a session's rows tell its process.

use crate::conduct::{Recorded, Script};
use crate::edge::{Text, Timestamp};
use crate::ids::{CallId, CandidateId, PositionId};
use crate::outbox_record::Record;
use crate::phase::{EndReason, Phase};
use crate::plan::Plan;
use crate::protocol::ConsentKind;
use crate::recording::KnownTake;
use crate::summary::Competency;
use crate::transcript::Entry;
use secrecy::SecretString;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// Everything a process must know to take up an interview.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub phase: Phase,
    pub end: Option<EndReason>,
    pub segment: i32,
    pub call: Option<CallId>,
    /// Earlier ones that are not known to be over.
    pub ending_calls: Vec<CallId>,
    pub greeted: bool,
    pub acked_client_seq: u64,
    pub candidate: CandidateId,
    pub position: PositionId,
    pub position_title: String,
    pub position_description: String,
    pub guidance: String,
    pub company: String,
    pub candidate_name: String,
    pub competencies: Vec<Competency>,
    pub settings: Settings,
    pub required_consents: Vec<ConsentKind>,
    pub consent_policy_version: Text,
    /// Whether words of a line that carries no speech may be judged.
    pub judge_deaf_line: bool,
    pub given_consents: Vec<ConsentKind>,
    /// Empty: there is none, or the gateway has not got it from the provider yet.
    pub recordings: Vec<Recording>,
    pub traceparent: Option<String>,
    pub started_at: Option<OffsetDateTime>,
    pub deadline_at: OffsetDateTime,
    /// None for a session that was made before invitations had an end of their own.
    pub join_by: Option<Timestamp>,
    pub entries: Vec<Entry>,
    /// The plan that the interview was made with; older ones, and those of a position without one, have none.
    pub plan: Option<Arc<Plan>>,
    /// Its course so far.
    pub conducted: Vec<Recorded>,
}

impl Claimed {
    /// How long the interview may take, from its begin; no pause lengthens it. `otherwise`: when its settings do not say.
    pub fn time_limit(&self, otherwise: Duration) -> Duration {
        self.settings.max_duration_s.map_or(otherwise, Duration::from_secs)
    }

    /// How it is led, if it has a plan in its language: in another there is nothing to be said word for word.
    pub fn script(&self, otherwise: Duration) -> Option<Script> {
        let plan = self.plan.as_ref()?;
        let wanted = self.settings.language.as_deref().unwrap_or(plan.default_language.as_str());
        let language = plan.language_for(wanted)?;
        Some(Script::of(plan, language.as_str()).within(self.time_limit(otherwise)))
    }

    /// As it will be once these records are stored as well.
    pub fn after(mut self, records: &[Record]) -> Self {
        for record in records {
            match record {
                Record::Phase { phase, end, at } => {
                    self.phase = *phase;
                    self.end = end.or(self.end);
                    if *phase == Phase::Live {
                        self.started_at.get_or_insert(**at);
                    }
                }
                Record::Call { call, ending, segment } => {
                    self.call.clone_from(call);
                    self.ending_calls.clone_from(ending);
                    self.segment = self.segment.max(*segment);
                }
                Record::Greeted => self.greeted = true,
                Record::Consent { kind, .. } if !self.given_consents.contains(kind) => self.given_consents.push(*kind),
                // The journal knows these itself, or nobody asks for them again.
                Record::Entry(_)
                | Record::ClientSeq(_)
                | Record::Connected(_)
                | Record::ReturnBy(_)
                | Record::Consent { .. }
                | Record::Recording(_)
                | Record::Summary(_)
                | Record::Usage(_)
                | Record::Conduct(_)
                | Record::Integrity { .. } => {}
            }
        }
        self
    }
}

/// One take of the recording.
#[derive(Clone, Debug)]
pub struct Recording {
    pub take: KnownTake,
    pub upload_token: Option<SecretString>,
}

/// `sessions.settings`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Settings {
    #[serde(default)]
    pub voice: Option<String>,
    #[serde(default)]
    pub language: Option<String>,
    #[serde(default)]
    pub max_duration_s: Option<u64>,
}

/// What a heartbeat learns.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// Someone asked for the end: a recruiter, or the reconcilers past the deadline.
    pub end_requested: Option<EndReason>,
    /// Until when the interview is kept while nobody has begun it.
    pub join_by: Option<Timestamp>,
}

/// Why a ticket was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketRefusal {
    Unknown,
    Expired,
    Consumed,
    WrongOrigin,
}

//! The candidates and positions that something is made for stay as they are until it is there: a merge or an archive that comes at the
//! same moment is done before it, and seen, or behind it, and finds what was made.

use super::super::{During, StoreError, Transaction};
use super::{GatewayStore, NewSession};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Those of them that are not archived.
pub(super) struct Parties {
    /// With their addresses.
    pub(super) candidates: HashMap<Uuid, String>,
    pub(super) positions: HashSet<Uuid>,
}

impl GatewayStore {
    /// A reference from a new row holds less (`for key share`): it lets an archive and a merge pass.
    pub(super) async fn hold_parties(
        &self,
        tx: &mut Transaction,
        candidates: &[Uuid],
        positions: &[Uuid],
    ) -> Result<Parties, StoreError> {
        let candidates = sqlx::query!(
            "select id, email from app.candidates where tenant_id = $1 and id = any ($2) and archived_at is null order by id for share",
            self.tenant.0,
            candidates,
        )
        .fetch_all(&mut **tx)
        .await
        .during("hold candidates")?;
        let positions = sqlx::query_scalar!(
            "select id from app.positions where tenant_id = $1 and id = any ($2) and archived_at is null order by id for share",
            self.tenant.0,
            positions,
        )
        .fetch_all(&mut **tx)
        .await
        .during("hold positions")?;
        Ok(Parties {
            candidates: candidates.into_iter().map(|row| (row.id, row.email)).collect(),
            positions: positions.into_iter().collect(),
        })
    }

    /// False: one of them is archived, and nobody begins an interview for what is.
    pub(super) async fn hold_parties_of(&self, tx: &mut Transaction, new: &NewSession) -> Result<bool, StoreError> {
        let held = self.hold_parties(tx, &[new.candidate.0], &[new.position.0]).await?;
        Ok(!held.candidates.is_empty() && !held.positions.is_empty())
    }
}

//! Plans: drafts that change, versions that do not, and the positions that use them.
//!
//! Recruiters read as themselves. Changes are made in somebody's name ([`Change`]); who has read a draft at a revision changes it only
//! while it still has that revision.

use super::super::{During, Scope, StoreError, Transaction};
use super::GatewayStore;
use super::change::{Actor, Begun, Change};
use super::listing::{LAST, ListFilter};
use crate::domain::plan::lint::Origin;
use crate::domain::plan::{Plan, PlanHash, PlanOffer};
use crate::error::ErrorCode;
use crate::ids::{InviteId, PlanId, PositionId, UserId};
use serde_json::Value;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// More plans than a company keeps in use. Archived ones do not count.
pub const MAX_PLANS: i64 = 500;
const LISTED_VERSIONS: i64 = 1_000;

/// A plan without its document.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRow {
    pub id: PlanId,
    pub name: String,
    /// Of the draft.
    pub revision: i32,
    /// None when nothing was published.
    pub newest_version: Option<i32>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub archived_at: Option<OffsetDateTime>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    pub number: i32,
    pub hash: PlanHash,
    pub origin: Origin,
    pub published_at: OffsetDateTime,
    /// None: by the operator, or by a migration.
    pub published_by: Option<UserId>,
}

/// Why a change of a plan is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    NotFound,
    Archived,
    /// Somebody changed the draft meanwhile.
    Stale,
    /// There are as many plans as there may be.
    Full,
    /// A position uses it.
    InUse,
    PositionNotFound,
    VersionNotFound,
}

impl Unchanged {
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::PlanNotFound,
            Self::Archived => ErrorCode::ResourceArchived,
            Self::Stale => ErrorCode::VersionConflicted,
            Self::Full => ErrorCode::PlansExhausted,
            Self::InUse => ErrorCode::PlanInUse,
            Self::PositionNotFound => ErrorCode::PositionNotFound,
            Self::VersionNotFound => ErrorCode::PlanVersionNotFound,
        }
    }
}

struct RawVersion {
    number: i32,
    hash: Vec<u8>,
    origin: String,
    published_at: OffsetDateTime,
    published_by: Option<Uuid>,
}

impl TryFrom<RawVersion> for VersionRow {
    type Error = StoreError;

    fn try_from(raw: RawVersion) -> Result<Self, StoreError> {
        let hash = PlanHash::stored(&raw.hash);
        Ok(Self {
            number: raw.number,
            hash: hash.map_err(|error| StoreError::Corrupt(format!("the digest of a plan {error}")))?,
            origin: Origin::named(&raw.origin)
                .ok_or_else(|| StoreError::Corrupt(format!("unknown origin of a plan: {}", raw.origin)))?,
            published_at: raw.published_at,
            published_by: raw.published_by.map(UserId),
        })
    }
}

fn plan(document: Value) -> Result<Plan, StoreError> {
    serde_json::from_value(document).map_err(|error| StoreError::Corrupt(format!("a stored plan: {error}")))
}

fn document(plan: &Plan) -> Result<Value, StoreError> {
    serde_json::to_value(plan).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// What a row pins, when it pins something.
pub(super) fn pinned(plan: Option<Uuid>, number: Option<i32>) -> Option<(PlanId, i32)> {
    plan.map(PlanId).zip(number)
}

impl GatewayStore {
    /// The newest first.
    pub async fn plans(&self, reader: &Scope, filter: &ListFilter) -> Result<Vec<PlanRow>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let rows = select_plans(&mut tx, self.tenant.0, None, filter.after_time(), filter.limit).await?;
        tx.commit().await.during("list the plans")?;
        Ok(rows)
    }

    /// A plan with its draft.
    pub async fn plan(&self, reader: &Scope, id: PlanId) -> Result<Option<(PlanRow, Plan)>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let found = select_plan(&mut tx, self.tenant.0, id).await?;
        tx.commit().await.during("read a plan")?;
        Ok(found)
    }

    /// Newest first; empty when the plan is not there for this person.
    pub async fn plan_versions(&self, reader: &Scope, id: PlanId) -> Result<Vec<VersionRow>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let rows = sqlx::query_as!(
            RawVersion,
            "select number, hash, origin, published_at, published_by from app.plan_versions
             where tenant_id = $1 and plan_id = $2 order by number desc limit $3",
            self.tenant.0,
            id.0,
            LISTED_VERSIONS,
        )
        .fetch_all(&mut *tx)
        .await
        .during("list a plan's versions")?;
        tx.commit().await.during("list a plan's versions")?;
        rows.into_iter().map(VersionRow::try_from).collect()
    }

    pub async fn plan_version(&self, reader: &Scope, id: PlanId, number: i32) -> Result<Option<(VersionRow, Plan)>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let Some(row) = sqlx::query!(
            "select number, hash, origin, published_at, published_by, document from app.plan_versions
             where tenant_id = $1 and plan_id = $2 and number = $3",
            self.tenant.0,
            id.0,
            number,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read a plan's version")?
        else {
            return Ok(None);
        };
        tx.commit().await.during("read a plan's version")?;
        let (published_at, published_by) = (row.published_at, row.published_by);
        let raw = RawVersion { number: row.number, hash: row.hash, origin: row.origin, published_at, published_by };
        Ok(Some((raw.try_into()?, plan(row.document)?)))
    }

    /// What the plans offer with which interviews for these positions are created now; by `invite`, with the version that was fixed
    /// when it was made (as [`GatewayStore::insert_session`] does). A position without a plan is left out.
    pub async fn plan_offers(
        &self,
        positions: &[PositionId],
        invite: Option<InviteId>,
    ) -> Result<HashMap<PositionId, PlanOffer>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"select p.id, jsonb_build_object('default_language', v.document -> 'default_language',
                                               'languages', v.document -> 'languages', 'minutes', v.document -> 'minutes') as "offer!"
               from app.positions p
               left join app.invites i on i.tenant_id = $1 and i.id = $3
               join app.plan_versions v on v.tenant_id = $1
                 and v.plan_id = case when i.id is null then p.plan_id else i.plan_id end
                 and v.number = case when i.id is null then p.plan_version else i.plan_version end
               where p.tenant_id = $1 and p.id = any($2)"#,
            self.tenant.0,
            &positions.iter().map(|id| id.0).collect::<Vec<_>>(),
            invite.map(|id| id.0),
        )
        .fetch_all(&mut *tx)
        .await
        .during("read what plans offer")?;
        tx.commit().await.during("read what plans offer")?;
        let offer =
            |document| serde_json::from_value(document).map_err(|error| StoreError::Corrupt(format!("a stored plan: {error}")));
        rows.into_iter().map(|row| Ok((PositionId(row.id), offer(row.offer)?))).collect()
    }

    /// A change that nobody signed in for: the audit has it under no account.
    pub async fn begin_operators_change(&self) -> Result<Change, StoreError> {
        match self.begin_change(Actor { user: UserId(Uuid::nil()), role: "operator".to_owned() }, None).await? {
            Begun::Fresh(change) => Ok(change),
            Begun::Answered(_) | Begun::Conflicted => Err(StoreError::Corrupt("a change without a key was answered".to_owned())),
        }
    }
}

impl Change {
    /// The person, or None for the operator.
    fn author(&self) -> Option<Uuid> {
        Some(self.actor().user.0).filter(|user| !user.is_nil())
    }

    /// A plan with its draft, as this change has left it.
    pub async fn plan(&mut self, id: PlanId) -> Result<Option<(PlanRow, Plan)>, StoreError> {
        select_plan(&mut self.tx, self.tenant.0, id).await
    }

    /// A plan that nobody has published.
    pub async fn insert_plan(&mut self, id: PlanId, draft: &Plan) -> Result<Result<(), Unchanged>, StoreError> {
        if !self.has_room().await? {
            return Ok(Err(Unchanged::Full));
        }
        sqlx::query!(
            "insert into app.plans (tenant_id, id, draft, created_by) values ($1, $2, $3, $4)",
            self.tenant.0,
            id.0,
            document(draft)?,
            self.author(),
        )
        .execute(&mut *self.tx)
        .await
        .during("insert a plan")?;
        Ok(Ok(()))
    }

    /// For one plan more. Nobody else counts them until the change is committed.
    async fn has_room(&mut self) -> Result<bool, StoreError> {
        self.alone_with("plan_count").await?;
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from app.plans where tenant_id = $1 and archived_at is null"#,
            self.tenant.0
        );
        Ok(count.fetch_one(&mut *self.tx).await.during("count the plans")? < MAX_PLANS)
    }

    /// The new revision.
    pub async fn replace_draft(&mut self, id: PlanId, revision: i32, draft: &Plan) -> Result<Result<i32, Unchanged>, StoreError> {
        if let Err(unchanged) = self.hold_plan(id, Some(revision)).await? {
            return Ok(Err(unchanged));
        }
        sqlx::query!(
            "update app.plans set draft = $3, revision = $4, updated_at = now() where tenant_id = $1 and id = $2",
            self.tenant.0,
            id.0,
            document(draft)?,
            revision + 1,
        )
        .execute(&mut *self.tx)
        .await
        .during("replace a plan's draft")?;
        Ok(Ok(revision + 1))
    }

    /// Make a version of the draft, as `draft` was read at `revision` and found fit. Positions that use the plan use the new version from
    /// now on; interviews that were created keep theirs. True: it is new; a draft that is the newest version already stays that one.
    pub async fn publish_plan(
        &mut self,
        id: PlanId,
        revision: i32,
        draft: &Plan,
    ) -> Result<Result<(VersionRow, bool), Unchanged>, StoreError> {
        if let Err(unchanged) = self.hold_plan(id, Some(revision)).await? {
            return Ok(Err(unchanged));
        }
        let document = document(draft)?;
        if let Some(newest) = self.newest_version(id).await?.filter(|newest| newest.hash == PlanHash::of(&document)) {
            return Ok(Ok((newest, false)));
        }
        let version = sqlx::query_as!(
            RawVersion,
            "insert into app.plan_versions (tenant_id, plan_id, number, document, published_by)
             select $1, $2, coalesce(max(number), 0) + 1, $3, $4 from app.plan_versions where tenant_id = $1 and plan_id = $2
             returning number, hash, origin, published_at, published_by",
            self.tenant.0,
            id.0,
            document,
            self.author(),
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("publish a plan")?;
        sqlx::query!(
            "update app.positions set plan_version = $3 where tenant_id = $1 and plan_id = $2",
            self.tenant.0,
            id.0,
            version.number,
        )
        .execute(&mut *self.tx)
        .await
        .during("move the positions to a plan's new version")?;
        Ok(Ok((version.try_into()?, true)))
    }

    /// Put a plan away, or take it out again. What it was used for stays. False: it is so already.
    pub async fn archive_plan(&mut self, id: PlanId, archived: bool) -> Result<Result<bool, Unchanged>, StoreError> {
        match self.hold_plan(id, None).await? {
            Ok(()) if !archived => return Ok(Ok(false)),
            Err(Unchanged::Archived) if archived => return Ok(Ok(false)),
            Ok(()) | Err(Unchanged::Archived) => {}
            Err(unchanged) => return Ok(Err(unchanged)),
        }
        if !archived && !self.has_room().await? {
            return Ok(Err(Unchanged::Full));
        }
        let changed = sqlx::query!(
            "update app.plans set archived_at = case when $3 then now() end
             where tenant_id = $1 and id = $2
               and not ($3 and exists (select from app.positions p where p.tenant_id = $1 and p.plan_id = $2))",
            self.tenant.0,
            id.0,
            archived,
        )
        .execute(&mut *self.tx)
        .await
        .during("archive a plan")?;
        Ok(if changed.rows_affected() == 0 { Err(Unchanged::InUse) } else { Ok(true) })
    }

    /// From now on interviews for this position are created with this plan: with `version`, or with its newest. None: without one. False:
    /// it is so already.
    pub async fn set_position_plan(
        &mut self,
        position: PositionId,
        used: Option<(PlanId, Option<i32>)>,
    ) -> Result<Result<(Option<(PlanId, i32)>, bool), Unchanged>, StoreError> {
        let used = match used {
            None => None,
            Some((plan, version)) => {
                if let Err(unchanged) = self.hold_plan(plan, None).await? {
                    return Ok(Err(unchanged));
                }
                let number = sqlx::query_scalar!(
                    "select max(number) from app.plan_versions where tenant_id = $1 and plan_id = $2 and ($3::int is null or number = $3)",
                    self.tenant.0,
                    plan.0,
                    version,
                );
                match number.fetch_one(&mut *self.tx).await.during("look up a plan's version")? {
                    Some(number) => Some((plan, number)),
                    None => return Ok(Err(Unchanged::VersionNotFound)),
                }
            }
        };
        match self.position(position).await? {
            None => return Ok(Err(Unchanged::PositionNotFound)),
            Some(kept) if kept.row.archived_at.is_some() => return Ok(Err(Unchanged::Archived)),
            Some(kept) if kept.plan() == used => return Ok(Ok((used, false))),
            Some(_) => {}
        }
        sqlx::query!(
            "update app.positions set plan_id = $3, plan_version = $4, updated_at = now(), version = version + 1
             where tenant_id = $1 and id = $2",
            self.tenant.0,
            position.0,
            used.map(|(plan, _)| plan.0),
            used.map(|(_, number)| number),
        )
        .execute(&mut *self.tx)
        .await
        .during("set a position's plan")?;
        Ok(Ok((used, true)))
    }

    async fn newest_version(&mut self, id: PlanId) -> Result<Option<VersionRow>, StoreError> {
        let newest = sqlx::query_as!(
            RawVersion,
            "select number, hash, origin, published_at, published_by from app.plan_versions
             where tenant_id = $1 and plan_id = $2 order by number desc limit 1",
            self.tenant.0,
            id.0,
        );
        let newest = newest.fetch_optional(&mut *self.tx).await.during("read a plan's newest version")?;
        newest.map(VersionRow::try_from).transpose()
    }

    /// Nobody else changes it until the change is committed.
    async fn hold_plan(&mut self, id: PlanId, revision: Option<i32>) -> Result<Result<(), Unchanged>, StoreError> {
        let row = sqlx::query!(
            "select revision, archived_at from app.plans where tenant_id = $1 and id = $2 for update",
            self.tenant.0,
            id.0,
        );
        Ok(match row.fetch_optional(&mut *self.tx).await.during("hold a plan")? {
            None => Err(Unchanged::NotFound),
            Some(row) if row.archived_at.is_some() => Err(Unchanged::Archived),
            Some(row) if revision.is_some_and(|revision| revision != row.revision) => Err(Unchanged::Stale),
            Some(_) => Ok(()),
        })
    }
}

async fn select_plan(tx: &mut Transaction, tenant: Uuid, id: PlanId) -> Result<Option<(PlanRow, Plan)>, StoreError> {
    let anywhere = (LAST, Uuid::max());
    let Some(row) = select_plans(tx, tenant, Some(id), anywhere, 1).await?.into_iter().next() else { return Ok(None) };
    let draft = sqlx::query_scalar!("select draft from app.plans where tenant_id = $1 and id = $2", tenant, id.0)
        .fetch_one(&mut **tx)
        .await
        .during("read a plan's draft")?;
    Ok(Some((row, plan(draft)?)))
}

async fn select_plans(
    tx: &mut Transaction,
    tenant: Uuid,
    id: Option<PlanId>,
    (before, before_id): (OffsetDateTime, Uuid),
    limit: i64,
) -> Result<Vec<PlanRow>, StoreError> {
    let rows = sqlx::query!(
        r#"select p.id, p.name, p.revision, p.created_at, p.updated_at, p.archived_at,
                  (select max(v.number) from app.plan_versions v where v.tenant_id = p.tenant_id and v.plan_id = p.id) as newest_version
           from app.plans p where p.tenant_id = $1 and ($2::uuid is null or p.id = $2)
             and (p.created_at, p.id) < ($3, $4)
           order by p.created_at desc, p.id desc limit $5"#,
        tenant,
        id.map(|id| id.0),
        before,
        before_id,
        limit,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read plans")?;
    let row = rows.into_iter().map(|row| PlanRow {
        id: PlanId(row.id),
        name: row.name.unwrap_or_default(),
        revision: row.revision,
        newest_version: row.newest_version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        archived_at: row.archived_at,
    });
    Ok(row.collect())
}

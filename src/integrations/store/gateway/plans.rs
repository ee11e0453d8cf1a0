//! Plans: drafts that change, versions that do not, and the positions that use them.
//!
//! Recruiters read as themselves, everybody writes as the gateway. Who changes a draft names the revision that they have read, so
//! that two people do not overwrite each other.

use super::super::{During, Scope, StoreError, Transaction};
use super::GatewayStore;
use crate::domain::plan::lint::Origin;
use crate::domain::plan::{Plan, PlanHash};
use crate::ids::{PlanId, PositionId, UserId};
use serde_json::{Value, json};
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
    pub revision: i32,
    /// The newest version; None when nothing was published.
    pub version: Option<i32>,
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
    pub published_by: Option<UserId>,
}

/// Why a change of a plan is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    NotFound,
    Archived,
    /// Somebody changed the draft meanwhile: this is its revision now.
    Stale(i32),
    /// There are as many plans as there may be.
    Full,
    /// A position uses it.
    InUse,
    PositionNotFound,
    VersionNotFound,
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
        Ok(Self {
            number: raw.number,
            hash: hash(&raw.hash)?,
            origin: Origin::named(&raw.origin)
                .ok_or_else(|| StoreError::Corrupt(format!("unknown origin of a plan: {}", raw.origin)))?,
            published_at: raw.published_at,
            published_by: raw.published_by.map(UserId),
        })
    }
}

fn hash(bytes: &[u8]) -> Result<PlanHash, StoreError> {
    PlanHash::stored(bytes).map_err(|error| StoreError::Corrupt(format!("the digest of a plan {error}")))
}

fn plan(document: Value) -> Result<Plan, StoreError> {
    serde_json::from_value(document).map_err(|error| StoreError::Corrupt(format!("a stored plan: {error}")))
}

fn document(plan: &Plan) -> Result<Value, StoreError> {
    serde_json::to_value(plan).map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl GatewayStore {
    pub async fn plans(&self, reader: &Scope) -> Result<Vec<PlanRow>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let rows = self.select_plans(&mut tx, None).await?;
        tx.commit().await.during("list the plans")?;
        Ok(rows)
    }

    /// A plan with its draft.
    pub async fn plan(&self, reader: &Scope, id: PlanId) -> Result<Option<(PlanRow, Plan)>, StoreError> {
        let mut tx = self.store.begin(reader).await?;
        let Some(row) = self.select_plans(&mut tx, Some(id)).await?.into_iter().next() else { return Ok(None) };
        let draft = sqlx::query_scalar!("select draft from app.plans where tenant_id = $1 and id = $2", self.tenant.0, id.0)
            .fetch_one(&mut *tx)
            .await
            .during("read a plan's draft")?;
        tx.commit().await.during("read a plan")?;
        Ok(Some((row, plan(draft)?)))
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

    /// A plan that nobody has published. `by`: None for the operator.
    pub async fn insert_plan(&self, id: PlanId, draft: &Plan, by: Option<UserId>) -> Result<Result<(), Unchanged>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let inserted = sqlx::query!(
            "insert into app.plans (tenant_id, id, draft, created_by) select $1, $2, $3, $4
             where (select count(*) from app.plans where tenant_id = $1 and archived_at is null) < $5",
            self.tenant.0,
            id.0,
            document(draft)?,
            by.map(|by| by.0),
            MAX_PLANS,
        )
        .execute(&mut *tx)
        .await
        .during("insert a plan")?;
        if inserted.rows_affected() == 0 {
            return Ok(Err(Unchanged::Full));
        }
        self.audit_plan(&mut tx, by, "plan_created", id, json!({})).await?;
        tx.commit().await.during("insert a plan")?;
        Ok(Ok(()))
    }

    /// The new revision.
    pub async fn replace_draft(
        &self,
        id: PlanId,
        revision: i32,
        draft: &Plan,
        by: Option<UserId>,
    ) -> Result<Result<i32, Unchanged>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        if let Err(unchanged) = self.lock_plan(&mut tx, id, Some(revision)).await? {
            return Ok(Err(unchanged));
        }
        sqlx::query!(
            "update app.plans set draft = $3, revision = $4, updated_at = now() where tenant_id = $1 and id = $2",
            self.tenant.0,
            id.0,
            document(draft)?,
            revision + 1,
        )
        .execute(&mut *tx)
        .await
        .during("replace a plan's draft")?;
        self.audit_plan(&mut tx, by, "plan_draft_changed", id, json!({"revision": revision + 1})).await?;
        tx.commit().await.during("replace a plan's draft")?;
        Ok(Ok(revision + 1))
    }

    /// Make a version of the draft, as `draft` was read at `revision` and found fit. Positions that use the plan use the new version from
    /// now on; interviews that were created keep theirs. True: it is new; a draft that is the newest version already stays that one.
    pub async fn publish_plan(
        &self,
        id: PlanId,
        revision: i32,
        draft: &Plan,
        by: Option<UserId>,
    ) -> Result<Result<(VersionRow, bool), Unchanged>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        if let Err(unchanged) = self.lock_plan(&mut tx, id, Some(revision)).await? {
            return Ok(Err(unchanged));
        }
        let newest = self.newest_version(&mut tx, id).await?;
        let document = document(draft)?;
        if let Some(newest) = newest.filter(|newest| newest.hash == PlanHash::of(&document)) {
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
            by.map(|by| by.0),
        )
        .fetch_one(&mut *tx)
        .await
        .during("publish a plan")?;
        sqlx::query!(
            "update app.positions set plan_version = $3 where tenant_id = $1 and plan_id = $2",
            self.tenant.0,
            id.0,
            version.number,
        )
        .execute(&mut *tx)
        .await
        .during("move the positions to a plan's new version")?;
        let version = VersionRow::try_from(version)?;
        let detail = json!({"version": version.number, "hash": version.hash});
        self.audit_plan(&mut tx, by, "plan_published", id, detail).await?;
        tx.commit().await.during("publish a plan")?;
        Ok(Ok((version, true)))
    }

    /// Put a plan away, or take it out again. What it was used for stays.
    pub async fn archive_plan(
        &self,
        id: PlanId,
        archived: bool,
        by: Option<UserId>,
    ) -> Result<Result<(), Unchanged>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        match self.lock_plan(&mut tx, id, None).await? {
            Ok(()) | Err(Unchanged::Archived) => {}
            Err(unchanged) => return Ok(Err(unchanged)),
        }
        let changed = sqlx::query!(
            "update app.plans set archived_at = case when $3 then coalesce(archived_at, now()) end
             where tenant_id = $1 and id = $2 and (archived_at is not null) <> $3
               and not ($3 and exists (select from app.positions p where p.tenant_id = $1 and p.plan_id = $2))",
            self.tenant.0,
            id.0,
            archived,
        )
        .execute(&mut *tx)
        .await
        .during("archive a plan")?;
        if changed.rows_affected() == 0 {
            let done = sqlx::query_scalar!(
                r#"select (archived_at is not null) = $3 as "done!" from app.plans where tenant_id = $1 and id = $2"#,
                self.tenant.0,
                id.0,
                archived,
            );
            let done = done.fetch_one(&mut *tx).await.during("look at a plan")?;
            return Ok(if done { Ok(()) } else { Err(Unchanged::InUse) });
        }
        let action = if archived { "plan_archived" } else { "plan_restored" };
        self.audit_plan(&mut tx, by, action, id, json!({})).await?;
        tx.commit().await.during("archive a plan")?;
        Ok(Ok(()))
    }

    /// From now on interviews for this position are created with this plan: with `version`, or with its newest. None: without one.
    pub async fn set_position_plan(
        &self,
        position: PositionId,
        used: Option<(PlanId, Option<i32>)>,
        by: Option<UserId>,
    ) -> Result<Result<Option<(PlanId, i32)>, Unchanged>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let used = match used {
            None => None,
            Some((plan, version)) => {
                if let Err(unchanged) = self.lock_plan(&mut tx, plan, None).await? {
                    return Ok(Err(unchanged));
                }
                let number = sqlx::query_scalar!(
                    r#"select max(number) from app.plan_versions where tenant_id = $1 and plan_id = $2 and ($3::int is null or number = $3)"#,
                    self.tenant.0,
                    plan.0,
                    version,
                );
                match number.fetch_one(&mut *tx).await.during("look up a plan's version")? {
                    Some(number) => Some((plan, number)),
                    None => return Ok(Err(Unchanged::VersionNotFound)),
                }
            }
        };
        let set = sqlx::query!(
            "update app.positions set plan_id = $3, plan_version = $4 where tenant_id = $1 and id = $2",
            self.tenant.0,
            position.0,
            used.map(|(plan, _)| plan.0),
            used.map(|(_, number)| number),
        )
        .execute(&mut *tx)
        .await
        .during("set a position's plan")?;
        if set.rows_affected() == 0 {
            return Ok(Err(Unchanged::PositionNotFound));
        }
        let detail =
            json!({"position_id": position, "plan_id": used.map(|(plan, _)| plan), "version": used.map(|(_, number)| number)});
        self.audit_line(&mut tx, by, "position_plan_set", None, detail).await?;
        tx.commit().await.during("set a position's plan")?;
        Ok(Ok(used))
    }

    async fn select_plans(&self, tx: &mut Transaction, id: Option<PlanId>) -> Result<Vec<PlanRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select p.id, p.name, p.revision, p.created_at, p.updated_at, p.archived_at,
                      (select max(v.number) from app.plan_versions v where v.tenant_id = p.tenant_id and v.plan_id = p.id) as version
               from app.plans p where p.tenant_id = $1 and ($2::uuid is null or p.id = $2)
               order by p.archived_at is not null, p.updated_at desc, p.id limit 2 * $3::bigint"#,
            self.tenant.0,
            id.map(|id| id.0),
            MAX_PLANS,
        )
        .fetch_all(&mut **tx)
        .await
        .during("read plans")?;
        Ok(rows
            .into_iter()
            .map(|row| PlanRow {
                id: PlanId(row.id),
                name: row.name.unwrap_or_default(),
                revision: row.revision,
                version: row.version,
                created_at: row.created_at,
                updated_at: row.updated_at,
                archived_at: row.archived_at,
            })
            .collect())
    }

    async fn newest_version(&self, tx: &mut Transaction, id: PlanId) -> Result<Option<VersionRow>, StoreError> {
        let newest = sqlx::query_as!(
            RawVersion,
            "select number, hash, origin, published_at, published_by from app.plan_versions
             where tenant_id = $1 and plan_id = $2 order by number desc limit 1",
            self.tenant.0,
            id.0,
        );
        newest.fetch_optional(&mut **tx).await.during("read a plan's newest version")?.map(VersionRow::try_from).transpose()
    }

    /// Nobody else changes it until the end of the transaction.
    async fn lock_plan(
        &self,
        tx: &mut Transaction,
        id: PlanId,
        revision: Option<i32>,
    ) -> Result<Result<(), Unchanged>, StoreError> {
        let row = sqlx::query!(
            "select revision, archived_at from app.plans where tenant_id = $1 and id = $2 for update",
            self.tenant.0,
            id.0,
        );
        Ok(match row.fetch_optional(&mut **tx).await.during("lock a plan")? {
            None => Err(Unchanged::NotFound),
            Some(row) if row.archived_at.is_some() => Err(Unchanged::Archived),
            Some(row) if revision.is_some_and(|revision| revision != row.revision) => Err(Unchanged::Stale(row.revision)),
            Some(_) => Ok(()),
        })
    }

    async fn audit_plan(
        &self,
        tx: &mut Transaction,
        by: Option<UserId>,
        action: &str,
        plan: PlanId,
        mut detail: Value,
    ) -> Result<(), StoreError> {
        detail["plan_id"] = json!(plan);
        self.audit_line(tx, by, action, None, detail).await
    }
}

/// What a row pins, when it pins something.
pub(super) fn pinned(plan: Option<Uuid>, number: Option<i32>) -> Option<(PlanId, i32)> {
    plan.map(PlanId).zip(number)
}

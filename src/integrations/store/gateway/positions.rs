//! The positions of a company, as recruiters keep them, with what each is judged by.

use super::super::{During, StoreError, Transaction};
use super::change::Change;
use super::plans::pinned;
use super::{GatewayStore, ListFilter};
use crate::domain::position::{CompetencyDraft, PositionDraft, RawCompetency, RawPosition};
use crate::ids::{CompetencyId, LibraryCompetencyId, PlanId, PositionId};
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// A position with everything that recruiters see.
#[derive(Clone, Debug)]
pub struct KeptPosition {
    pub row: KeptPositionRow,
    /// By rank.
    pub competencies: Vec<KeptCompetency>,
}

#[derive(Clone, Debug)]
pub struct KeptPositionRow {
    pub id: Uuid,
    pub title: String,
    pub description: String,
    pub guidance: String,
    pub archived_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub version: i32,
    /// With which version of which plan its next interview is created.
    pub plan_id: Option<Uuid>,
    pub plan_version: Option<i32>,
    pub sort_name: String,
}

#[derive(Clone, Debug)]
pub struct KeptCompetency {
    pub position_id: Uuid,
    pub id: Uuid,
    pub name: String,
    pub description: String,
    pub library_id: Option<Uuid>,
}

impl KeptPosition {
    /// With which version of which plan its next interview is created.
    pub fn plan(&self) -> Option<(PlanId, i32)> {
        pinned(self.row.plan_id, self.row.plan_version)
    }

    pub fn raw(&self) -> RawPosition {
        let competencies = self.competencies.iter().map(|one| RawCompetency {
            id: Some(CompetencyId(one.id)),
            name: one.name.clone(),
            description: one.description.clone(),
            library_id: one.library_id.map(LibraryCompetencyId),
        });
        RawPosition {
            title: self.row.title.clone(),
            description: self.row.description.clone(),
            guidance: self.row.guidance.clone(),
            competencies: competencies.collect(),
        }
    }

    pub fn competency_ids(&self) -> Vec<CompetencyId> {
        self.competencies.iter().map(|one| CompetencyId(one.id)).collect()
    }
}

impl GatewayStore {
    /// Read as the gateway, for a recruiter.
    pub async fn kept_positions(&self, filter: &ListFilter) -> Result<Vec<KeptPosition>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let words = filter.patterns();
        let rows = if filter.newest_first {
            let (at, id) = filter.after_time();
            sqlx::query_as!(
                KeptPositionRow,
                r#"select id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!"
                   from app.positions
                   where tenant_id = $1 and ($2::bool is null or (archived_at is not null) = $2) and sort_name like all ($3::text[])
                     and (created_at, id) < ($4, $5)
                   order by created_at desc, id desc limit $6"#,
                self.tenant.0,
                filter.archived,
                &words,
                at,
                id,
                filter.limit,
            )
            .fetch_all(&mut *tx)
            .await
        } else {
            let (name, id) = filter.after_name();
            sqlx::query_as!(
                KeptPositionRow,
                r#"select id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!"
                   from app.positions
                   where tenant_id = $1 and ($2::bool is null or (archived_at is not null) = $2) and sort_name like all ($3::text[])
                     and (sort_name, id) > ($4, $5)
                   order by sort_name, id limit $6"#,
                self.tenant.0,
                filter.archived,
                &words,
                name,
                id,
                filter.limit,
            )
            .fetch_all(&mut *tx)
            .await
        };
        let rows = rows.during("list the positions")?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let competencies = select_competencies(&mut tx, self.tenant.0, &ids).await?;
        tx.commit().await.during("list the positions")?;
        let mut of_position: HashMap<Uuid, Vec<KeptCompetency>> = HashMap::new();
        for one in competencies {
            of_position.entry(one.position_id).or_default().push(one);
        }
        let own = |row: KeptPositionRow| KeptPosition { competencies: of_position.remove(&row.id).unwrap_or_default(), row };
        Ok(rows.into_iter().map(own).collect())
    }

    pub async fn kept_position(&self, id: PositionId) -> Result<Option<KeptPosition>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row = sqlx::query_as!(
            KeptPositionRow,
            r#"select id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!"
               from app.positions where tenant_id = $1 and id = $2"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read a position")?;
        let Some(row) = row else { return Ok(None) };
        let competencies = select_competencies(&mut tx, self.tenant.0, &[id.0]).await?;
        tx.commit().await.during("read a position")?;
        Ok(Some(KeptPosition { row, competencies }))
    }
}

async fn select_competencies(tx: &mut Transaction, tenant: Uuid, positions: &[Uuid]) -> Result<Vec<KeptCompetency>, StoreError> {
    sqlx::query_as!(
        KeptCompetency,
        "select position_id, id, name, description, library_id from app.competencies
         where tenant_id = $1 and position_id = any ($2) order by position_id, rank, id",
        tenant,
        positions,
    )
    .fetch_all(&mut **tx)
    .await
    .during("read the competencies of positions")
}

impl Change {
    /// Held until the change is committed: nobody else changes it meanwhile.
    pub async fn position(&mut self, id: PositionId) -> Result<Option<KeptPosition>, StoreError> {
        let row = sqlx::query_as!(
            KeptPositionRow,
            r#"select id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!"
               from app.positions where tenant_id = $1 and id = $2 for no key update"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *self.tx)
        .await
        .during("hold a position")?;
        let Some(row) = row else { return Ok(None) };
        let competencies = select_competencies(&mut self.tx, self.tenant.0, &[id.0]).await?;
        Ok(Some(KeptPosition { row, competencies }))
    }

    pub async fn insert_position(&mut self, new: &PositionDraft) -> Result<KeptPosition, StoreError> {
        let row = sqlx::query_as!(
            KeptPositionRow,
            r#"insert into app.positions (tenant_id, id, title, description, guidance) values ($1, $2, $3, $4, $5)
               returning id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!""#,
            self.tenant.0,
            Uuid::now_v7(),
            new.title.as_str(),
            new.description.as_str(),
            new.guidance.as_str(),
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("insert a position")?;
        let competencies = self.put_competencies(row.id, &new.competencies).await?;
        Ok(KeptPosition { row, competencies })
    }

    /// It uses the plan of another position from now on.
    pub async fn copy_plan(&mut self, to: PositionId, from: PositionId) -> Result<(), StoreError> {
        sqlx::query!(
            "update app.positions c set plan_id = o.plan_id, plan_version = o.plan_version
             from app.positions o where c.tenant_id = $1 and c.id = $2 and o.tenant_id = $1 and o.id = $3",
            self.tenant.0,
            to.0,
            from.0,
        )
        .execute(&mut *self.tx)
        .await
        .during("copy the plan of a position")?;
        Ok(())
    }

    pub async fn update_position(&mut self, id: PositionId, to: &PositionDraft) -> Result<KeptPosition, StoreError> {
        let row = sqlx::query_as!(
            KeptPositionRow,
            r#"update app.positions set title = $3, description = $4, guidance = $5, updated_at = now(), version = version + 1
               where tenant_id = $1 and id = $2
               returning id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!""#,
            self.tenant.0,
            id.0,
            to.title.as_str(),
            to.description.as_str(),
            to.guidance.as_str(),
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("change a position")?;
        let competencies = self.put_competencies(id.0, &to.competencies).await?;
        Ok(KeptPosition { row, competencies })
    }

    pub async fn archive_position(&mut self, id: PositionId, archived: bool) -> Result<KeptPosition, StoreError> {
        let row = sqlx::query_as!(
            KeptPositionRow,
            r#"update app.positions set archived_at = case when $3 then now() end, updated_at = now(), version = version + 1
               where tenant_id = $1 and id = $2
               returning id, title, description, guidance, archived_at, created_at, updated_at, version, plan_id, plan_version,
                      sort_name as "sort_name!""#,
            self.tenant.0,
            id.0,
            archived,
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("archive or restore a position")?;
        let competencies = select_competencies(&mut self.tx, self.tenant.0, &[id.0]).await?;
        Ok(KeptPosition { row, competencies })
    }

    /// Exactly these, in this order. Those that stay keep their ids: summaries name them.
    async fn put_competencies(&mut self, position: Uuid, drafts: &[CompetencyDraft]) -> Result<Vec<KeptCompetency>, StoreError> {
        let kept: Vec<Uuid> = drafts.iter().filter_map(|draft| draft.id).map(|id| id.0).collect();
        sqlx::query!(
            "delete from app.competencies where tenant_id = $1 and position_id = $2 and id <> all ($3)",
            self.tenant.0,
            position,
            &kept,
        )
        .execute(&mut *self.tx)
        .await
        .during("remove competencies of a position")?;
        for (draft, rank) in drafts.iter().zip(1..) {
            sqlx::query!(
                "insert into app.competencies (tenant_id, id, position_id, rank, name, description, library_id)
                 values ($1, $2, $3, $4, $5, $6, $7)
                 on conflict (tenant_id, id) do update set rank = excluded.rank, name = excluded.name,
                   description = excluded.description, library_id = excluded.library_id",
                self.tenant.0,
                draft.id.map_or_else(Uuid::now_v7, |id| id.0),
                position,
                rank,
                draft.name.as_str(),
                draft.description.as_str(),
                draft.library_id.map(|id| id.0),
            )
            .execute(&mut *self.tx)
            .await
            .during("write the competencies of a position")?;
        }
        select_competencies(&mut self.tx, self.tenant.0, &[position]).await
    }

    /// Those of these that the library has not. What is there stays: nothing is deleted from the library.
    pub async fn missing_from_library(&mut self, ids: &[LibraryCompetencyId]) -> Result<Vec<LibraryCompetencyId>, StoreError> {
        let asked: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let found = sqlx::query_scalar!(
            "select id from app.library_competencies where tenant_id = $1 and id = any ($2)",
            self.tenant.0,
            &asked,
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("look for competencies in the library")?;
        Ok(ids.iter().filter(|id| !found.contains(&id.0)).copied().collect())
    }
}

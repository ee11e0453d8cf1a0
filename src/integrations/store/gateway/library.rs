//! The company's library of competencies: what positions and plans copy from.

use super::super::{During, StoreError};
use super::change::{Change, taken};
use super::{GatewayStore, ListFilter};
use crate::domain::position::{LibraryCompetencyDraft, RawAnchors, RawLibraryCompetency};
use crate::ids::LibraryCompetencyId;
use time::OffsetDateTime;
use uuid::Uuid;

const NAME: &str = "library_competencies_name";

#[derive(Clone, Debug)]
pub struct LibraryRow {
    pub id: Uuid,
    pub name: String,
    pub definition: String,
    pub anchor_1: String,
    pub anchor_3: String,
    pub anchor_5: String,
    pub archived_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub version: i32,
    pub sort_name: String,
    /// Positions, not archived, that have a copy of it.
    pub positions: i64,
}

impl LibraryRow {
    pub fn anchors(&self) -> RawAnchors {
        RawAnchors { one: self.anchor_1.clone(), three: self.anchor_3.clone(), five: self.anchor_5.clone() }
    }

    pub fn raw(&self) -> RawLibraryCompetency {
        RawLibraryCompetency { name: self.name.clone(), definition: self.definition.clone(), anchors: self.anchors() }
    }
}

/// The library has one of this name.
#[derive(Clone, Copy, Debug)]
pub struct NameTaken;

impl GatewayStore {
    /// Read as the gateway, for a recruiter. By name; there are few of them, so there is no other order.
    pub async fn library(&self, filter: &ListFilter) -> Result<Vec<LibraryRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let (name, id) = filter.after_name();
        let rows = sqlx::query_as!(
            LibraryRow,
            r#"select id, name, definition, anchor_1, anchor_3, anchor_5, archived_at, created_at, updated_at, version,
                 sort_name as "sort_name!",
                 (select count(distinct c.position_id) from app.competencies c
                  join app.positions p on p.tenant_id = c.tenant_id and p.id = c.position_id and p.archived_at is null
                  where c.tenant_id = l.tenant_id and c.library_id = l.id) as "positions!"
               from app.library_competencies l
               where tenant_id = $1 and ($2::bool is null or (archived_at is not null) = $2) and searched like all ($3::text[])
                 and (sort_name, id) > ($4, $5)
               order by sort_name, id limit $6"#,
            self.tenant.0,
            filter.archived,
            &filter.patterns(),
            name,
            id,
            filter.limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("list the library")?;
        tx.commit().await.during("list the library")?;
        Ok(rows)
    }

    pub async fn library_competency(&self, id: LibraryCompetencyId) -> Result<Option<LibraryRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row = sqlx::query_as!(
            LibraryRow,
            r#"select id, name, definition, anchor_1, anchor_3, anchor_5, archived_at, created_at, updated_at, version,
                 sort_name as "sort_name!",
                 (select count(distinct c.position_id) from app.competencies c
                  join app.positions p on p.tenant_id = c.tenant_id and p.id = c.position_id and p.archived_at is null
                  where c.tenant_id = l.tenant_id and c.library_id = l.id) as "positions!"
               from app.library_competencies l where tenant_id = $1 and id = $2"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read a competency of the library")?;
        tx.commit().await.during("read a competency of the library")?;
        Ok(row)
    }
}

impl Change {
    /// Held until the change is committed: nobody else changes it meanwhile.
    pub async fn library_competency(&mut self, id: LibraryCompetencyId) -> Result<Option<LibraryRow>, StoreError> {
        sqlx::query_as!(
            LibraryRow,
            r#"select id, name, definition, anchor_1, anchor_3, anchor_5, archived_at, created_at, updated_at, version,
                 sort_name as "sort_name!",
                 (select count(distinct c.position_id) from app.competencies c
                  join app.positions p on p.tenant_id = c.tenant_id and p.id = c.position_id and p.archived_at is null
                  where c.tenant_id = l.tenant_id and c.library_id = l.id) as "positions!"
               from app.library_competencies l where tenant_id = $1 and id = $2 for no key update of l"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *self.tx)
        .await
        .during("hold a competency of the library")
    }

    /// What became of it is read by [`Change::library_competency`].
    pub async fn insert_library_competency(
        &mut self,
        new: &LibraryCompetencyDraft,
    ) -> Result<Result<LibraryCompetencyId, NameTaken>, StoreError> {
        let [one, three, five] = &new.anchors;
        let id = sqlx::query_scalar!(
            "insert into app.library_competencies (tenant_id, id, name, definition, anchor_1, anchor_3, anchor_5)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id, sort_name) where archived_at is null do nothing returning id",
            self.tenant.0,
            Uuid::now_v7(),
            new.name.as_str(),
            new.definition.as_str(),
            one.as_str(),
            three.as_str(),
            five.as_str(),
        )
        .fetch_optional(&mut *self.tx)
        .await
        .during("insert a competency into the library")?;
        Ok(id.map(LibraryCompetencyId).ok_or(NameTaken))
    }

    pub async fn update_library_competency(
        &mut self,
        id: LibraryCompetencyId,
        to: &LibraryCompetencyDraft,
    ) -> Result<Result<(), NameTaken>, StoreError> {
        let [one, three, five] = &to.anchors;
        let updated = sqlx::query!(
            "update app.library_competencies set name = $3, definition = $4, anchor_1 = $5, anchor_3 = $6, anchor_5 = $7,
               updated_at = now(), version = version + 1
             where tenant_id = $1 and id = $2",
            self.tenant.0,
            id.0,
            to.name.as_str(),
            to.definition.as_str(),
            one.as_str(),
            three.as_str(),
            five.as_str(),
        )
        .execute(&mut *self.tx)
        .await;
        unless_taken(updated, "change a competency of the library")
    }

    /// Restoring fails when the name went to another one meanwhile.
    pub async fn archive_library_competency(
        &mut self,
        id: LibraryCompetencyId,
        archived: bool,
    ) -> Result<Result<(), NameTaken>, StoreError> {
        let updated = sqlx::query!(
            "update app.library_competencies set archived_at = case when $3 then now() end, updated_at = now(), version = version + 1
             where tenant_id = $1 and id = $2",
            self.tenant.0,
            id.0,
            archived,
        )
        .execute(&mut *self.tx)
        .await;
        unless_taken(updated, "archive or restore a competency of the library")
    }
}

fn unless_taken<T>(done: Result<T, sqlx::Error>, action: &'static str) -> Result<Result<(), NameTaken>, StoreError> {
    match done {
        Err(error) if taken(&error, NAME) => Ok(Err(NameTaken)),
        done => done.during(action).map(|_| Ok(())),
    }
}

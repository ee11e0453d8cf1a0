//! The candidates of a company, as recruiters keep them.

use super::super::{During, StoreError};
use super::change::{Change, taken};
use super::{GatewayStore, ListFilter};
use crate::domain::candidate::{CandidateDraft, Merged, RawCandidate, Twin};
use crate::ids::CandidateId;
use time::OffsetDateTime;
use uuid::Uuid;

const EXTERNAL_ID: &str = "candidates_external_id";

/// A candidate with everything that recruiters see.
#[derive(Clone, Debug)]
pub struct CandidateRow {
    pub id: Uuid,
    pub name: String,
    pub email: String,
    pub external_id: Option<String>,
    pub tags: Vec<String>,
    pub archived_at: Option<OffsetDateTime>,
    /// Archived because they are this one.
    pub merged_into: Option<Uuid>,
    /// They have signed in with an account.
    pub has_account: bool,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub version: i32,
    pub sort_name: String,
}

impl CandidateRow {
    pub fn raw(&self) -> RawCandidate {
        RawCandidate {
            name: self.name.clone(),
            email: self.email.clone(),
            external_id: self.external_id.clone(),
            tags: self.tags.clone(),
        }
    }
}

/// Another candidate has this external id.
#[derive(Clone, Copy, Debug)]
pub struct ExternalIdTaken;

/// Only candidates that have this.
#[derive(Clone, Debug, Default)]
pub struct CandidateFilter {
    pub tag: Option<String>,
    /// In lower case.
    pub email: Option<String>,
}

impl GatewayStore {
    /// Read as the gateway, for a recruiter: what is kept about candidates is not theirs to read.
    pub async fn candidates(&self, filter: &ListFilter, only: &CandidateFilter) -> Result<Vec<CandidateRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let words = filter.patterns();
        let rows = if filter.newest_first {
            let (at, id) = filter.after_time();
            sqlx::query_as!(
                CandidateRow,
                r#"select id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                     created_at, updated_at, version, sort_name as "sort_name!"
                   from app.candidates
                   where tenant_id = $1 and ($2::bool is null or (archived_at is not null) = $2) and searched like all ($3::text[])
                     and ($4::text is null or $4 = any (tags)) and ($5::text is null or email_key = $5)
                     and (created_at, id) < ($6, $7)
                   order by created_at desc, id desc limit $8"#,
                self.tenant.0,
                filter.archived,
                &words,
                only.tag,
                only.email,
                at,
                id,
                filter.limit,
            )
            .fetch_all(&mut *tx)
            .await
        } else {
            let (name, id) = filter.after_name();
            sqlx::query_as!(
                CandidateRow,
                r#"select id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                     created_at, updated_at, version, sort_name as "sort_name!"
                   from app.candidates
                   where tenant_id = $1 and ($2::bool is null or (archived_at is not null) = $2) and searched like all ($3::text[])
                     and ($4::text is null or $4 = any (tags)) and ($5::text is null or email_key = $5)
                     and (sort_name, id) > ($6, $7)
                   order by sort_name, id limit $8"#,
                self.tenant.0,
                filter.archived,
                &words,
                only.tag,
                only.email,
                name,
                id,
                filter.limit,
            )
            .fetch_all(&mut *tx)
            .await
        };
        let rows = rows.during("list the candidates")?;
        tx.commit().await.during("list the candidates")?;
        Ok(rows)
    }

    pub async fn candidate(&self, id: CandidateId) -> Result<Option<CandidateRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let row = sqlx::query_as!(
            CandidateRow,
            r#"select id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!"
               from app.candidates where tenant_id = $1 and id = $2"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read a candidate")?;
        tx.commit().await.during("read a candidate")?;
        Ok(row)
    }
}

impl Change {
    /// Held until the change is committed: nobody else changes it meanwhile.
    pub async fn candidate(&mut self, id: CandidateId) -> Result<Option<CandidateRow>, StoreError> {
        sqlx::query_as!(
            CandidateRow,
            r#"select id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!"
               from app.candidates where tenant_id = $1 and id = $2 for no key update"#,
            self.tenant.0,
            id.0,
        )
        .fetch_optional(&mut *self.tx)
        .await
        .during("hold a candidate")
    }

    pub async fn insert_candidate(&mut self, new: &CandidateDraft) -> Result<Result<CandidateRow, ExternalIdTaken>, StoreError> {
        let tags: Vec<String> = new.tags.iter().map(|tag| tag.to_string()).collect();
        let row = sqlx::query_as!(
            CandidateRow,
            r#"insert into app.candidates (tenant_id, id, name, email, external_id, tags) values ($1, $2, $3, $4, $5, $6)
               on conflict (tenant_id, external_id) where external_id is not null do nothing
               returning id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!""#,
            self.tenant.0,
            Uuid::now_v7(),
            new.name.as_str(),
            new.email.as_str(),
            new.external_id.as_deref(),
            &tags,
        )
        .fetch_optional(&mut *self.tx)
        .await
        .during("insert a candidate")?;
        Ok(row.ok_or(ExternalIdTaken))
    }

    pub async fn update_candidate(
        &mut self,
        id: CandidateId,
        to: &CandidateDraft,
    ) -> Result<Result<CandidateRow, ExternalIdTaken>, StoreError> {
        let tags: Vec<String> = to.tags.iter().map(|tag| tag.to_string()).collect();
        let row = sqlx::query_as!(
            CandidateRow,
            r#"update app.candidates set name = $3, email = $4, external_id = $5, tags = $6, updated_at = now(), version = version + 1
               where tenant_id = $1 and id = $2
               returning id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!""#,
            self.tenant.0,
            id.0,
            to.name.as_str(),
            to.email.as_str(),
            to.external_id.as_deref(),
            &tags,
        )
        .fetch_one(&mut *self.tx)
        .await;
        match row {
            Err(error) if taken(&error, EXTERNAL_ID) => Ok(Err(ExternalIdTaken)),
            row => Ok(Ok(row.during("change a candidate")?)),
        }
    }

    pub async fn archive_candidate(&mut self, id: CandidateId, archived: bool) -> Result<CandidateRow, StoreError> {
        sqlx::query_as!(
            CandidateRow,
            r#"update app.candidates set archived_at = case when $3 then now() end, updated_at = now(), version = version + 1
               where tenant_id = $1 and id = $2
               returning id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!""#,
            self.tenant.0,
            id.0,
            archived,
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("archive or restore a candidate")
    }

    /// Both are held, always in the same order: two merges of the same pair do not wait for each other. The invites first, as who
    /// begins an interview does. The interviews are counted when nobody can begin another: a statement that waits for a lock
    /// counts what was there before it.
    pub async fn twins(&mut self, ids: [CandidateId; 2]) -> Result<Vec<Twin>, StoreError> {
        let ids = ids.map(|id| id.0);
        sqlx::query!(
            "select id from app.invites where tenant_id = $1 and candidate_id = any ($2) order by id for update",
            self.tenant.0,
            &ids[..],
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("hold the invites of two candidates")?;
        sqlx::query!(
            "select id from app.candidates where tenant_id = $1 and id = any ($2) order by id for update",
            self.tenant.0,
            &ids[..],
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("hold two candidates")?;
        let rows = sqlx::query!(
            r#"select id, external_id, tags, archived_at is not null as "archived!", user_id is not null as "has_account!",
                 (select count(*) from app.sessions s where s.tenant_id = c.tenant_id and s.candidate_id = c.id
                  and s.phase not in ('completed', 'failed')) as "open!"
               from app.candidates c where tenant_id = $1 and id = any ($2)"#,
            self.tenant.0,
            &ids[..],
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("read two candidates")?;
        Ok(rows
            .into_iter()
            .map(|row| Twin {
                id: CandidateId(row.id),
                archived: row.archived,
                external_id: row.external_id,
                tags: row.tags,
                has_account: row.has_account,
                open_interviews: row.open,
            })
            .collect())
    }

    /// `stays` gets the interviews of `goes`. How many there were.
    pub async fn merge_candidates(
        &mut self,
        stays: CandidateId,
        goes: CandidateId,
        merged: &Merged,
    ) -> Result<(CandidateRow, u64), StoreError> {
        let moved = sqlx::query!(
            "update app.sessions set candidate_id = $3 where tenant_id = $1 and candidate_id = $2",
            self.tenant.0,
            goes.0,
            stays.0
        )
        .execute(&mut *self.tx)
        .await
        .during("move the interviews of a candidate")?
        .rows_affected();
        sqlx::query!(
            "update app.invites set candidate_id = $3, updated_at = now() where tenant_id = $1 and candidate_id = $2",
            self.tenant.0,
            goes.0,
            stays.0
        )
        .execute(&mut *self.tx)
        .await
        .during("move the invites of a candidate")?;
        let account =
            sqlx::query_scalar!("select user_id from app.candidates where tenant_id = $1 and id = $2", self.tenant.0, goes.0)
                .fetch_one(&mut *self.tx)
                .await
                .during("read the account of a candidate")?;
        // What can be one candidate's only is given up before it is taken.
        sqlx::query!(
            "update app.candidates set merged_into = $3, archived_at = now(), updated_at = now(), version = version + 1,
               external_id = case when external_id is distinct from $4 then external_id end,
               user_id = case when $5 then null else user_id end
             where tenant_id = $1 and id = $2",
            self.tenant.0,
            goes.0,
            stays.0,
            merged.external_id,
            merged.takes_account,
        )
        .execute(&mut *self.tx)
        .await
        .during("archive a merged candidate")?;
        let row = sqlx::query_as!(
            CandidateRow,
            r#"update app.candidates set external_id = $3, tags = $4, user_id = case when $5 then $6 else user_id end,
                 updated_at = now(), version = version + 1
               where tenant_id = $1 and id = $2
               returning id, name, email, external_id, tags, archived_at, merged_into, user_id is not null as "has_account!",
                 created_at, updated_at, version, sort_name as "sort_name!""#,
            self.tenant.0,
            stays.0,
            merged.external_id,
            &merged.tags,
            merged.takes_account,
            account,
        )
        .fetch_one(&mut *self.tx)
        .await
        .during("merge candidates")?;
        Ok((row, moved))
    }
}

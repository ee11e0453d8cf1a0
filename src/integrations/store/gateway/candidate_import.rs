//! Many candidates at once: read, planned by the domain, and written in two statements.

use super::super::{During, StoreError};
use super::candidates::ExternalIdTaken;
use super::change::{Change, taken};
use crate::domain::candidate::CandidateDraft;
use crate::domain::candidate_import::{Known, Update};
use crate::ids::CandidateId;
use serde_json::{Value, json};
use uuid::Uuid;

/// Who are there afterwards, by the lines they came from.
#[derive(Debug, Default)]
pub struct Imported {
    pub created: Vec<Uuid>,
    pub updated: Vec<Uuid>,
    /// Lines that somebody else was quicker with.
    pub lost: Vec<u64>,
}

impl Change {
    /// Everybody who may be meant by one of these. Until the change is committed no other import runs: two of the same file
    /// at once would make everybody twice who is known by their address alone.
    pub async fn known_candidates(&mut self, external_ids: &[String], emails: &[String]) -> Result<Vec<Known>, StoreError> {
        sqlx::query!(
            "insert into app.keeper_duties (tenant_id, duty) values ($1, 'candidate_import')
             on conflict (tenant_id, duty) do update set due_at = now()",
            self.tenant.0
        )
        .execute(&mut *self.tx)
        .await
        .during("wait for another import")?;
        let rows = sqlx::query!(
            r#"select id, name, email, external_id, tags, archived_at is not null as "archived!", version
               from app.candidates where tenant_id = $1 and (external_id = any ($2) or email_key = any ($3))"#,
            self.tenant.0,
            external_ids,
            emails,
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("look for the candidates of an import")?;
        Ok(rows
            .into_iter()
            .map(|row| Known {
                id: CandidateId(row.id),
                name: row.name,
                email: row.email,
                external_id: row.external_id,
                tags: row.tags,
                archived: row.archived,
                version: row.version,
            })
            .collect())
    }

    pub async fn import_candidates(
        &mut self,
        create: &[(u64, CandidateDraft)],
        update: &[Update],
    ) -> Result<Result<Imported, ExternalIdTaken>, StoreError> {
        let mut imported = Imported::default();
        let new: Vec<(u64, Uuid)> = create.iter().map(|(line, _)| (*line, Uuid::now_v7())).collect();
        let rows = create.iter().zip(&new).map(|((_, draft), (_, id))| row(*id, 0, draft));
        imported.created = sqlx::query_scalar!(
            "insert into app.candidates (tenant_id, id, name, email, external_id, tags)
             select $1, r.id, r.name, r.email, r.external_id, r.tags
             from jsonb_to_recordset($2) r (id uuid, name text, email text, external_id text, tags text[])
             on conflict (tenant_id, external_id) where external_id is not null do nothing
             returning id",
            self.tenant.0,
            rows.collect::<Value>(),
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("insert imported candidates")?;
        let rows = update.iter().map(|one| row(one.id.0, one.version, &one.to));
        let updated = sqlx::query_scalar!(
            "update app.candidates c set name = r.name, email = r.email, external_id = r.external_id, tags = r.tags,
               updated_at = now(), version = c.version + 1
             from jsonb_to_recordset($2) r (id uuid, version int, name text, email text, external_id text, tags text[])
             where c.tenant_id = $1 and c.id = r.id and c.version = r.version and c.archived_at is null
             returning c.id",
            self.tenant.0,
            rows.collect::<Value>(),
        )
        .fetch_all(&mut *self.tx)
        .await;
        imported.updated = match updated {
            Err(error) if taken(&error, "candidates_external_id") => return Ok(Err(ExternalIdTaken)),
            updated => updated.during("change imported candidates")?,
        };
        let (created, updated) = (as_set(&imported.created), as_set(&imported.updated));
        imported.lost = new.iter().filter(|(_, id)| !created.contains(id)).map(|(line, _)| *line).collect();
        imported.lost.extend(update.iter().filter(|one| !updated.contains(&one.id.0)).map(|one| one.line));
        Ok(Ok(imported))
    }
}

fn as_set(ids: &[Uuid]) -> std::collections::HashSet<Uuid> {
    ids.iter().copied().collect()
}

fn row(id: Uuid, version: i32, draft: &CandidateDraft) -> Value {
    json!({"id": id, "version": version, "name": draft.name, "email": draft.email, "external_id": draft.external_id, "tags": draft.tags})
}

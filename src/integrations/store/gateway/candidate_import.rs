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
    /// Everybody who may be meant by one of these; None while another import runs. Until the change is committed no other one does: two
    /// of the same file at once would make everybody twice who is known by their address alone.
    pub async fn known_candidates(
        &mut self,
        external_ids: &[String],
        emails: &[String],
    ) -> Result<Option<Vec<Known>>, StoreError> {
        if !self.try_alone_with("candidate_import").await? {
            return Ok(None);
        }
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
        let known = rows
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
            .collect();
        Ok(Some(known))
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
        // In the order in which a merge holds two of them.
        sqlx::query!(
            "select id from app.candidates where tenant_id = $1 and id = any ($2) order by id for no key update",
            self.tenant.0,
            &update.iter().map(|one| one.id.0).collect::<Vec<_>>(),
        )
        .fetch_all(&mut *self.tx)
        .await
        .during("hold the candidates of an import")?;
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

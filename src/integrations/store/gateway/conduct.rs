//! The course of an interview through its plan, for who reviews it.

use super::super::{During, Scope, StoreError};
use super::GatewayStore;
use crate::domain::conduct::Recorded;
use crate::domain::plan::{Plan, PlanHash};
use crate::ids::{PlanId, SessionId};

/// The plan that an interview was made with, and what was decided in it.
#[derive(Debug)]
pub struct CourseRow {
    pub plan_id: PlanId,
    pub version: i32,
    pub hash: PlanHash,
    pub plan: Plan,
    /// As the session was made; none: the plan's own.
    pub language: Option<String>,
    pub events: Vec<Recorded>,
    /// Models that replied, transcribed or summarized, by kind.
    pub models: Vec<(String, String)>,
}

impl GatewayStore {
    /// None: the session has no plan, or is not there for this person.
    pub async fn course(&self, person: &Scope, id: SessionId) -> Result<Option<CourseRow>, StoreError> {
        let (tenant, session) = (self.tenant.0, id.0);
        let mut tx = self.store.begin(person).await?;
        let row = sqlx::query!(
            r#"select v.plan_id, v.number, v.hash as "hash!", v.document, s.settings ->> 'language' as language
               from app.sessions s
               join app.plan_versions v on v.tenant_id = s.tenant_id and v.plan_id = s.plan_id and v.number = s.plan_version
               where s.tenant_id = $1 and s.id = $2"#,
            tenant,
            session,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("read the plan of a session")?;
        let Some(row) = row else { return Ok(None) };
        let events = sqlx::query!(
            "select number, at_ms, event from app.conduct_events where tenant_id = $1 and session_id = $2 order by number",
            tenant,
            session,
        )
        .fetch_all(&mut *tx)
        .await
        .during("read the course of an interview")?;
        let models = sqlx::query!(
            "select distinct kind, model from app.usage where tenant_id = $1 and session_id = $2 order by kind, model",
            tenant,
            session,
        )
        .fetch_all(&mut *tx)
        .await
        .during("read the models of an interview")?;
        tx.commit().await.during("read the course of an interview")?;
        let corrupt = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
        let events = events.into_iter().map(|row| {
            let event = serde_json::from_value(row.event).map_err(corrupt)?;
            Ok(Recorded { number: row.number.unsigned_abs(), at_ms: row.at_ms.unsigned_abs(), event })
        });
        Ok(Some(CourseRow {
            plan_id: PlanId(row.plan_id),
            version: row.number,
            hash: PlanHash::stored(&row.hash).map_err(|error| StoreError::Corrupt(format!("the digest of a plan {error}")))?,
            plan: serde_json::from_value(row.document).map_err(corrupt)?,
            language: row.language,
            events: events.collect::<Result<_, StoreError>>()?,
            models: models.into_iter().map(|row| (row.kind, row.model)).collect(),
        }))
    }
}

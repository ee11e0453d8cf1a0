//! The rows of standby machines. A row exists before its machine and until the machine is destroyed. So no machine of a pool is
//! ever unknown (ADR 0007).

use super::super::{During, StoreError};
use super::GatewayStore;
use crate::domain::standby::{Balance, State, Stored, balance};
use crate::ids::{MachineId, SessionId, StandbyId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// What a machine is made from. One that was made from something else is of no use any more.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    pub image: &'a str,
    /// A fingerprint: a machine keeps the secrets it was made with.
    pub secrets: &'a str,
}

/// A machine that a reconciler holds for a while.
#[derive(Clone, Debug)]
pub struct StandbyRow {
    pub id: StandbyId,
    pub region: String,
    pub image: String,
    pub stored: Stored,
    pub machine: Option<MachineId>,
    pub session: Option<SessionId>,
}

/// A machine that was ready and is a session's now.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: StandbyId,
    pub machine: MachineId,
    pub region: String,
}

/// When machines of a pool are given up.
#[derive(Clone, Copy, Debug)]
pub struct Retirement {
    pub max_age: Duration,
    /// No gateway has wanted their pool for this long.
    pub unwanted_for: Duration,
    /// What a process may take to end after its session.
    pub grace: Duration,
}

impl GatewayStore {
    /// The busiest minute of late, for each of `regions`; sessions elsewhere count for the first.
    pub async fn busiest_minutes(&self, regions: &[String], window: Duration) -> Result<HashMap<String, u32>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"select region as "region!", max(sessions)::int as "peak!" from (
                 select coalesce(case when machine_region = any($2) then machine_region end, $2[1]) as region, count(*) as sessions
                 from app.sessions where tenant_id = $1 and created_at > now() - make_interval(secs => $3)
                 group by 1, date_bin('1 minute', created_at, timestamptz 'epoch')) minutes
               group by region"#,
            self.tenant.0,
            regions,
            window.as_secs_f64(),
        )
        .fetch_all(&mut *tx)
        .await
        .during("measure the demand")?;
        tx.commit().await.during("measure the demand")?;
        Ok(rows.into_iter().map(|row| (row.region, u32::try_from(row.peak).unwrap_or_default())).collect())
    }

    /// Want a pool of this size: rows for what is missing, and the oldest of what is too much given up.
    pub async fn want_pool(&self, region: &str, of: Made<'_>, target: u32) -> Result<Balance, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        // The row is locked until the commit: two gateways do not both count what is missing.
        sqlx::query!(
            "insert into app.standby_pools (tenant_id, region, image, secrets) values ($1, $2, $3, $4)
             on conflict (tenant_id, region, image, secrets) do update set wanted_at = now()",
            self.tenant.0,
            region,
            of.image,
            of.secrets,
        )
        .execute(&mut *tx)
        .await
        .during("want a pool")?;
        let have = sqlx::query!(
            r#"select count(*) filter (where state = 'provisioning') as "provisioning!", count(*) filter (where state = 'ready') as "ready!"
               from app.standby_machines where tenant_id = $1 and region = $2 and image = $3 and secrets = $4"#,
            self.tenant.0,
            region,
            of.image,
            of.secrets,
        )
        .fetch_one(&mut *tx)
        .await
        .during("count a pool")?;
        let change = balance(have.provisioning as u32, have.ready as u32, target);
        if change.make > 0 {
            let ids: Vec<Uuid> = (0..change.make).map(|_| Uuid::now_v7()).collect();
            sqlx::query!(
                "insert into app.standby_machines (tenant_id, id, region, image, secrets)
                 select $1, id, $3, $4, $5 from unnest($2::uuid[]) as id",
                self.tenant.0,
                &ids,
                region,
                of.image,
                of.secrets,
            )
            .execute(&mut *tx)
            .await
            .during("ask for standby machines")?;
        }
        if change.release > 0 {
            sqlx::query!(
                "update app.standby_machines set state = 'contaminated', state_at = now(), due_at = now()
                 where tenant_id = $1 and id in (
                   select id from app.standby_machines
                   where tenant_id = $1 and region = $2 and image = $3 and secrets = $4 and state in ('provisioning', 'ready')
                   order by machine_id is not null, created_at limit $5 for update skip locked)",
                self.tenant.0,
                region,
                of.image,
                of.secrets,
                i64::from(change.release),
            )
            .execute(&mut *tx)
            .await
            .during("release standby machines")?;
        }
        tx.commit().await.during("want a pool")?;
        Ok(change)
    }

    /// Give up what is too old, of a pool that nobody wants, or whose session is over or has moved on.
    pub async fn retire_standby(&self, limits: Retirement) -> Result<u64, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let retired = sqlx::query!(
            "update app.standby_machines m set state = 'contaminated', state_at = now(), due_at = now()
             where m.tenant_id = $1 and (
               (m.state in ('provisioning', 'ready') and (m.created_at < now() - make_interval(secs => $2)
                 or not exists (select from app.standby_pools p where p.tenant_id = $1 and p.region = m.region and p.image = m.image
                                and p.secrets = m.secrets and p.wanted_at > now() - make_interval(secs => $3))))
               -- One that was claimed while this statement waited for its row is judged by the next pass.
               or (m.state = 'claimed' and m.state_at < now() - make_interval(secs => $4)
                 and not exists (select from app.sessions s where s.tenant_id = $1 and s.id = m.session_id and s.machine_id = m.machine_id
                                 and case when s.phase in ('completed', 'failed') then coalesce(s.ended_at, s.created_at) > now() - make_interval(secs => $4)
                                          else s.handed_over_at is null end)))",
            self.tenant.0,
            limits.max_age.as_secs_f64(),
            limits.unwanted_for.as_secs_f64(),
            limits.grace.as_secs_f64(),
        )
        .execute(&mut *tx)
        .await
        .during("retire standby machines")?
        .rows_affected();
        tx.commit().await.during("retire standby machines")?;
        Ok(retired)
    }

    /// Take machines that something is to be done for; `unmade` takes those that are to be made, else the others.
    pub async fn take_standby(&self, unmade: bool, lease: Duration, limit: i64) -> Result<Vec<StandbyRow>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let rows = sqlx::query!(
            r#"with taken as (
                 select id from app.standby_machines
                 where tenant_id = $1 and due_at <= now() and (state = 'provisioning' and machine_id is null) = $2
                 order by due_at limit $4 for update skip locked)
               update app.standby_machines m set due_at = now() + make_interval(secs => $3)
               from taken where m.tenant_id = $1 and m.id = taken.id
               returning m.id, m.region, m.image, m.state, m.machine_id, m.session_id, m.labelled,
                 extract(epoch from now() - m.state_at)::float8 as "in_state!""#,
            self.tenant.0,
            unmade,
            lease.as_secs_f64(),
            limit,
        )
        .fetch_all(&mut *tx)
        .await
        .during("take standby machines")?;
        tx.commit().await.during("take standby machines")?;
        rows.into_iter()
            .map(|row| {
                let state = State::named(&row.state)
                    .ok_or_else(|| StoreError::Corrupt(format!("unknown state of a standby machine: {}", row.state)))?;
                let in_state = Duration::try_from_secs_f64(row.in_state).unwrap_or_default();
                Ok(StandbyRow {
                    id: StandbyId(row.id),
                    region: row.region,
                    image: row.image,
                    stored: Stored { state, made: row.machine_id.is_some(), labelled: row.labelled, in_state },
                    machine: row.machine_id.map(MachineId::new),
                    session: row.session_id.map(SessionId),
                })
            })
            .collect()
    }

    /// Its machine exists. False when its row does not any more: then the machine is nobody's.
    pub async fn standby_made(&self, id: StandbyId, machine: &MachineId, region: Option<&str>) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let stored = sqlx::query!(
            "update app.standby_machines set machine_id = $3, machine_region = $4, state_at = now(), due_at = now()
             where tenant_id = $1 and id = $2 and (machine_id is null or machine_id = $3)",
            self.tenant.0,
            id.0,
            machine.as_str(),
            region,
        )
        .execute(&mut *tx)
        .await
        .during("store a standby machine")?;
        tx.commit().await.during("store a standby machine")?;
        Ok(stored.rows_affected() > 0)
    }

    /// What a look at a waiting machine came to. One that was claimed meanwhile stays so: false.
    pub async fn standby_seen(&self, id: StandbyId, state: State, look_again: Duration) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let changed = sqlx::query!(
            "update app.standby_machines set state = $3, due_at = now() + make_interval(secs => $4),
               state_at = case when state = $3 then state_at else now() end
             where tenant_id = $1 and id = $2 and state in ('provisioning', 'ready')",
            self.tenant.0,
            id.0,
            state.as_str(),
            look_again.as_secs_f64(),
        )
        .execute(&mut *tx)
        .await
        .during("store what a standby machine does")?;
        tx.commit().await.during("store what a standby machine does")?;
        Ok(changed.rows_affected() > 0)
    }

    /// Fly knows whose it is; nothing is to be done until its session is over.
    pub async fn standby_labelled(&self, id: StandbyId) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.standby_machines set labelled = true, due_at = 'infinity' where tenant_id = $1 and id = $2 and state = 'claimed'",
            self.tenant.0,
            id.0,
        )
        .execute(&mut *tx)
        .await
        .during("store that a machine is labelled")?;
        tx.commit().await.during("store that a machine is labelled")
    }

    /// It did not work now; look again after a while.
    pub async fn standby_later(&self, id: StandbyId, pause: Duration) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.standby_machines set due_at = now() + make_interval(secs => $3) where tenant_id = $1 and id = $2",
            self.tenant.0,
            id.0,
            pause.as_secs_f64(),
        )
        .execute(&mut *tx)
        .await
        .during("put a standby machine off")?;
        tx.commit().await.during("put a standby machine off")
    }

    /// Its machine is destroyed.
    pub async fn forget_standby(&self, id: StandbyId) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "delete from app.standby_machines where tenant_id = $1 and id = $2 and state = 'contaminated'",
            self.tenant.0,
            id.0
        )
        .execute(&mut *tx)
        .await
        .during("forget a standby machine")?;
        tx.commit().await.during("forget a standby machine")
    }

    /// Make a ready machine this attempt's, both rows at once. None: there is none, or the attempt
    /// has a machine or is over.
    pub async fn claim_standby(
        &self,
        session: SessionId,
        attempt: u32,
        of: Made<'_>,
        regions: &[String],
    ) -> Result<Option<Claim>, StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let claimed = sqlx::query!(
            r#"with free as (
                 select id from app.standby_machines where tenant_id = $1 and state = 'ready' and image = $3 and secrets = $4
                 order by array_position($5::text[], machine_region) nulls last, created_at limit 1 for update skip locked)
               update app.standby_machines m set state = 'claimed', session_id = $2, state_at = now(), due_at = now()
               from free where m.tenant_id = $1 and m.id = free.id
               returning m.id, m.machine_id as "machine!", coalesce(m.machine_region, '') as "region!""#,
            self.tenant.0,
            session.0,
            of.image,
            of.secrets,
            regions,
        )
        .fetch_optional(&mut *tx)
        .await
        .during("claim a standby machine")?;
        let Some(claimed) = claimed else { return Ok(None) };
        let named = sqlx::query!(
            "update app.sessions set machine_id = $4, machine_region = $5
             where tenant_id = $1 and id = $2 and attempt = $3 and machine_id is null and phase not in ('completed', 'failed')
               and handed_over_at is null",
            self.tenant.0,
            session.0,
            attempt as i32,
            claimed.machine,
            claimed.region,
        )
        .execute(&mut *tx)
        .await
        .during("name a session's machine")?;
        if named.rows_affected() == 0 {
            // Nothing was committed: the machine is free again.
            return Ok(None);
        }
        tx.commit().await.during("claim a standby machine")?;
        Ok(Some(Claim { id: StandbyId(claimed.id), machine: MachineId::new(claimed.machine), region: claimed.region }))
    }

    /// It did not take its session: nobody gets it any more, and the session has no machine again.
    pub async fn contaminate_claim(&self, claim: &Claim, session: SessionId, attempt: u32) -> Result<(), StoreError> {
        let mut tx = self.store.begin(&self.own_scope()).await?;
        sqlx::query!(
            "update app.standby_machines set state = 'contaminated', state_at = now(), due_at = now()
             where tenant_id = $1 and id = $2 and session_id = $3",
            self.tenant.0,
            claim.id.0,
            session.0,
        )
        .execute(&mut *tx)
        .await
        .during("contaminate a standby machine")?;
        sqlx::query!(
            "update app.sessions set machine_id = null, machine_region = null
             where tenant_id = $1 and id = $2 and attempt = $3 and machine_id = $4",
            self.tenant.0,
            session.0,
            attempt as i32,
            claim.machine.as_str(),
        )
        .execute(&mut *tx)
        .await
        .during("take a session's machine away")?;
        tx.commit().await.during("contaminate a standby machine")
    }

    /// Which of these rows exist.
    pub async fn known_standby(&self, ids: &[StandbyId]) -> Result<HashSet<StandbyId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let mut tx = self.store.begin(&self.own_scope()).await?;
        let known =
            sqlx::query_scalar!("select id from app.standby_machines where tenant_id = $1 and id = any($2)", self.tenant.0, &ids)
                .fetch_all(&mut *tx)
                .await
                .during("look up standby machines")?;
        tx.commit().await.during("look up standby machines")?;
        Ok(known.into_iter().map(StandbyId).collect())
    }
}

-- Each role may do what its process does and nothing else: by verb, by column, by login.
-- tests/it/role_matrix/matrix.toml says it of every table, and a test holds the database to it.

-- ---- people: what the gateway reads in their name ----
-- Nothing is read from these tables in the name of a person.
drop policy member_reads on app.tenants;
drop policy recruiter_reads on app.consents;
drop policy recruiter_reads on app.integrity_events;
revoke select on app.tenants, app.consents, app.integrity_events from authenticated;

-- Where PostgREST is let into this schema (it must not be), a candidate could ask for every column.
revoke select on app.positions, app.recordings, app.sessions from authenticated;
grant select (tenant_id, id, title, description) on app.positions to authenticated;
grant select (tenant_id, session_id, segment, provider, video_id, state, parts) on app.recordings to authenticated;
grant select (tenant_id, id, candidate_id, position_id, phase, end_reason, created_at, started_at, ended_at, deadline_at,
  candidate_connected, machine_id, machine_region, attempt, traceparent) on app.sessions to authenticated;

-- A candidate sees the positions that they are interviewed for. The sessions are read as that person.
drop policy member_reads on app.positions;
create policy recruiter_or_interviewed_reads on app.positions for select to authenticated
  using (tenant_id = (select app.tenant_id())
         and ((select app.is_recruiter())
              or id in (select s.position_id from app.sessions s where s.tenant_id = (select app.tenant_id()))));
drop policy member_reads on app.competencies;
create policy recruiter_or_interviewed_reads on app.competencies for select to authenticated
  using (tenant_id = (select app.tenant_id())
         and ((select app.is_recruiter())
              or position_id in (select s.position_id from app.sessions s where s.tenant_id = (select app.tenant_id()))));

-- ---- the door ----
-- Nor does it read these two.
drop policy own_tenant on app.consents;
drop policy own_tenant on app.dead_letters;
revoke select on app.consents, app.dead_letters from interview_gateway;

-- ---- one interview's process ----
-- It says how its interview goes; whose it is, how long and where was said by the gateway.
revoke update on app.sessions from interview_session;
grant update (phase, end_reason, started_at, ended_at, epoch, segment, call_id, greeted, candidate_connected,
  acked_client_seq, heartbeat_at, summary_tries, summary_tried_at, ending_calls) on app.sessions to interview_session;
revoke update on app.transcript_entries from interview_session;
grant update (epoch, position, revision, text, source, authoritative, doubt, status, interrupted, heard_ms, heard_text,
  commentary, started_ms, ended_ms, stored_at) on app.transcript_entries to interview_session;
revoke insert, update on app.recordings from interview_session;
grant update (state, parts, failure, upload_token, updated_at) on app.recordings to interview_session;
revoke update on app.websocket_tickets from interview_session;
grant update (consumed_at) on app.websocket_tickets to interview_session;
-- Given once; nobody rewrites when or to what.
revoke update on app.consents from interview_session;
-- What it does stands in its own rows. The audit log is the gateway's.
revoke insert on app.audit_log from interview_session;
drop policy own_session on app.audit_log;

-- Each epoch follows the one before, whoever writes it.
create function app.refuse_epoch() returns trigger language plpgsql set search_path = '' as $$
begin
  raise insufficient_privilege using message = format('an epoch rises by one: from %s to %s', old.epoch, new.epoch);
end $$;
create trigger epoch_rises before update of epoch on app.sessions
  for each row when (new.epoch not in (old.epoch, old.epoch + 1)) execute function app.refuse_epoch();

-- ---- policies say what is granted ----
-- A condition that no granted statement asks could be opened without anybody noticing. Where a policy
-- has no condition of its own for rows that are written, the one for rows that are there holds.
do $$
declare
  t text;
  tenants constant text := 'tenant_id = (select app.tenant_id())';
  sessions constant text := tenants || ' and session_id = (select app.session_id())';
begin
  foreach t in array array['candidates', 'positions', 'competencies'] loop
    execute format('drop policy own_tenant on app.%I', t);
    execute format('create policy own_tenant on app.%I for select to interview_gateway using (%s)', t, tenants);
  end loop;
  foreach t in array array['sessions', 'websocket_tickets', 'recordings', 'keeper_duties', 'recording_events',
                           'standby_pools', 'standby_machines'] loop
    execute format('drop policy own_tenant on app.%I', t);
    execute format('create policy own_tenant on app.%I to interview_gateway using (%s)', t, tenants);
  end loop;
  drop policy own_tenant on app.audit_log;
  execute format('create policy own_tenant on app.audit_log for insert to interview_gateway with check (%s)', tenants);

  foreach t in array array['consents', 'transcript_entries', 'recordings', 'summaries', 'integrity_events'] loop
    execute format('drop policy own_session on app.%I', t);
    execute format('create policy own_session on app.%I to interview_session using (%s)', t, sessions);
  end loop;
  drop policy own_session on app.dead_letters;
  execute format('create policy own_session on app.dead_letters for insert to interview_session with check (%s)', sessions);
  drop policy own_session on app.sessions;
  create policy own_session on app.sessions to interview_session
    using (tenant_id = (select app.tenant_id()) and id = (select app.session_id()));
  -- A ticket that was taken stays taken.
  drop policy own_session on app.websocket_tickets;
  execute format('create policy own_session on app.websocket_tickets to interview_session
                  using (%1$s) with check (%1$s and consumed_at is not null)', sessions);
end $$;

-- A project of Supabase grants what is made in `public` to everyone who signs in. This table says which
-- migrations have run.
revoke all on public._sqlx_migrations from public, anon, authenticated;

-- ---- logins ----
-- A tenant has two: its gateways' and its sessions'. What was made before this is shared by both.
alter table app.tenant_logins
  drop constraint tenant_logins_tenant_id_key,
  add column role text not null default 'shared' check (role in ('shared', 'gateway', 'session')),
  add unique (tenant_id, role);

-- Two runs of the operator for one tenant keep apart by a lock on its row here: nobody else reaches it.
create table app.operator_locks (
  slug text primary key
);
alter table app.operator_locks enable row level security;
alter table app.operator_locks force row level security;
revoke all on app.operator_locks from public, anon, authenticated;
create policy operator on app.operator_locks to current_user using (true) with check (true);

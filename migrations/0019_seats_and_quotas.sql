-- Who gave a consent, and by which ticket they came: null for those that were stored before.
alter table app.consents
  add column given_by      uuid,
  add column ticket_sha256 bytea check (octet_length(ticket_sha256) = 32);

-- The door hands out the token of a recording when the candidate has consented to it. It reads that, and no more.
revoke select on app.consents from interview_gateway;
grant select (tenant_id, session_id, kind, withdrawn_at) on app.consents to interview_gateway;
drop policy if exists own_tenant on app.consents;
create policy own_tenant on app.consents for select to interview_gateway
  using (tenant_id = (select app.tenant_id()));

-- A candidate who asks for an interview of their own has one of a position open, whatever is asked at once.
alter table app.sessions add column by_candidate boolean not null default false;
create unique index sessions_one_open on app.sessions (tenant_id, candidate_id, position_id)
  where by_candidate and phase not in ('completed', 'failed');
-- How many somebody asked for within a day.
create index sessions_created_by on app.sessions (tenant_id, created_by, created_at);

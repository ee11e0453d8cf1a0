-- What was decided and seen about the course of an interview through its plan, in order. Never changed: the state of the interview
-- is made of these.
create table app.conduct_events (
  tenant_id  uuid not null,
  session_id uuid not null,
  -- From 0, without gaps.
  number     integer not null check (number >= 0),
  -- Milliseconds since the interview's first call.
  at_ms      bigint not null check (at_ms >= 0),
  event      jsonb not null,
  epoch      integer not null,
  stored_at  timestamptz not null default now(),
  primary key (tenant_id, session_id, number),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

alter table app.conduct_events enable row level security;
alter table app.conduct_events force row level security;
revoke all on app.conduct_events from public, anon, authenticated;
grant select, insert on app.conduct_events to interview_session;
grant select on app.conduct_events to authenticated;
create policy own_session on app.conduct_events to interview_session
  using (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()));
create policy recruiter_reads on app.conduct_events for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));

-- Records of an interview that the database did not take, kept whole so that one of them does
-- not hold up all others. Somebody looks at them (docs/RUNBOOK.md).
create table app.dead_letters (
  tenant_id  uuid not null,
  session_id uuid not null,
  epoch      integer not null,
  -- Number of the record within its process: a repeated attempt leaves one row.
  ordinal    bigint not null,
  kind       text not null,
  -- json, not jsonb: text that PostgreSQL cannot represent is a likely reason to be here.
  content    json not null,
  error_code text not null,
  -- PostgreSQL's own words.
  refusal    text not null,
  at         timestamptz not null default now(),
  primary key (tenant_id, session_id, epoch, ordinal),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

alter table app.dead_letters enable row level security;
alter table app.dead_letters force row level security;
revoke all on app.dead_letters from public, anon, authenticated;
grant insert on app.dead_letters to interview_session;
grant select on app.dead_letters to interview_gateway;
create policy own_session on app.dead_letters to interview_session
  using (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()))
  with check (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()));
create policy own_tenant on app.dead_letters for select to interview_gateway
  using (tenant_id = (select app.tenant_id()));

-- A batch whose commit went unanswered is sent again: the same event is the same row.
create unique index integrity_events_once on app.integrity_events (tenant_id, session_id, kind, at);

-- The keepers take work by rows: a lease on a session, a due time on a duty or a recording.
-- Whoever holds neither does nothing, so that two gateways never do the same work.
alter table app.sessions
  -- When the current attempt was asked for; its silence is counted from here.
  add column attempt_at timestamptz not null default now(),
  -- A keeper works on this session until then. Past: anyone may take it.
  add column kept_until timestamptz,
  -- No machine will finish this one: the keepers do, from the stored rows.
  add column handed_over_at timestamptz;

-- A keeper looks at what is not over only.
create index sessions_unfinished on app.sessions (tenant_id, deadline_at) where phase not in ('completed', 'failed');

alter table app.recordings
  -- Backed off with each look at the provider.
  add column checks integer not null default 0,
  add column next_check_at timestamptz not null default now();
create index recordings_unsettled on app.recordings (tenant_id, next_check_at) where state in ('waiting', 'recording', 'uploaded');

-- Work over a whole list (orphans) is one gateway's at a time.
create table app.keeper_duties (
  tenant_id uuid not null references app.tenants (id),
  duty      text not null,
  due_at    timestamptz not null default now(),
  primary key (tenant_id, duty)
);

-- What the recording provider told us, once for each quality.
create table app.recording_events (
  tenant_id uuid not null references app.tenants (id),
  video_id  text not null,
  type      text not null,
  encoding  text not null,
  quality   text not null,
  at        timestamptz not null default now(),
  primary key (tenant_id, video_id, type, encoding, quality)
);

do $$
declare t text;
begin
  foreach t in array array['keeper_duties', 'recording_events'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
    execute format('create policy own_tenant on app.%I to interview_gateway
                    using (tenant_id = (select app.tenant_id())) with check (tenant_id = (select app.tenant_id()))', t);
  end loop;
end $$;
grant select, insert, update on app.keeper_duties to interview_gateway;
grant select, insert on app.recording_events to interview_gateway;

-- Which summaries are missing; not what is in them.
grant select (tenant_id, session_id, version, status, failure, created_at) on app.summaries to interview_gateway;
create policy own_tenant on app.summaries for select to interview_gateway
  using (tenant_id = (select app.tenant_id()));

-- Machines that are ready before anyone asks for them (docs/adr/0007-standby.md).

-- A pool: the machines of one region, image and set of secrets (told apart by a fingerprint: a
-- machine keeps the secrets it was made with). A gateway that wants it says so with each pass;
-- its row is also the lock under which machines are counted and asked for.
create table app.standby_pools (
  tenant_id uuid not null references app.tenants (id),
  region    text not null,
  image     text not null,
  secrets   text not null,
  wanted_at timestamptz not null default now(),
  primary key (tenant_id, region, image, secrets)
);

create table app.standby_machines (
  tenant_id      uuid not null references app.tenants (id),
  -- Names the machine, so that asking for it twice makes one.
  id             uuid not null,
  region         text not null,
  image          text not null,
  secrets        text not null,
  state          text not null default 'provisioning' check (state in ('provisioning', 'ready', 'claimed', 'contaminated')),
  -- Null: not made yet. Its address is not here: it changes when Fly moves the machine.
  machine_id     text,
  machine_region text,
  session_id     uuid,
  -- Whether Fly was told whose it is.
  labelled       boolean not null default false,
  created_at     timestamptz not null default now(),
  state_at       timestamptz not null default now(),
  -- When a keeper has something to do for it; holding it is a due time in the future.
  due_at         timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);
create unique index standby_machines_machine on app.standby_machines (tenant_id, machine_id);
create index standby_machines_ready on app.standby_machines (tenant_id, image, secrets, created_at) where state = 'ready';
create index standby_machines_due on app.standby_machines (tenant_id, due_at);
create index standby_machines_session on app.standby_machines (tenant_id, session_id);
-- A process that starts on a standby machine asks whose it is.
create index sessions_machine on app.sessions (tenant_id, machine_id) where machine_id is not null;

-- Present only in the claims of a process that does not know its session yet.
create function app.machine_id() returns text
  language sql stable set search_path = ''
  return nullif(app.claims() ->> 'interview_machine_id', '');

do $$
declare t text;
begin
  foreach t in array array['standby_pools', 'standby_machines'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
    execute format('create policy own_tenant on app.%I to interview_gateway
                    using (tenant_id = (select app.tenant_id())) with check (tenant_id = (select app.tenant_id()))', t);
  end loop;
end $$;
grant select, insert, update on app.standby_pools to interview_gateway;
grant select, insert, update, delete on app.standby_machines to interview_gateway;

-- Its own machine's row, and the session that names it; to look at, not to change.
grant select on app.standby_machines to interview_session;
create policy own_machine on app.standby_machines for select to interview_session
  using (tenant_id = (select app.tenant_id()) and machine_id = (select app.machine_id()));
create policy own_machine on app.sessions for select to interview_session
  using (tenant_id = (select app.tenant_id()) and machine_id = (select app.machine_id()));

-- What a company makes by itself: candidates, positions, a library of competencies. Each change is a line in `app.audit`.

-- ---- candidates ----
alter table app.candidates
  -- What the company's own system calls them.
  add column external_id text check (length(external_id) between 1 and 200),
  add column tags        text[] not null default '{}' check (cardinality(tags) <= 20),
  -- Archived instead of deleted: their interviews keep them.
  add column archived_at timestamptz,
  -- Archived because they are the same person as this one, who has their interviews now.
  add column merged_into uuid,
  add column updated_at  timestamptz not null default now(),
  -- Rises with each change (ETag).
  add column version     integer not null default 1,
  -- For sorting and searching. Columns, because a function in a condition is no match for an index under row level security.
  add column sort_name   text generated always as (lower(name)) stored,
  add column searched    text generated always as (lower(name || ' ' || email || ' ' || coalesce(external_id, ''))) stored,
  add column email_key   text generated always as (lower(email)) stored,
  add foreign key (tenant_id, merged_into) references app.candidates (tenant_id, id);
create unique index candidates_external_id on app.candidates (tenant_id, external_id) where external_id is not null;
create index candidates_by_name on app.candidates (tenant_id, sort_name, id);
create index candidates_by_age on app.candidates (tenant_id, created_at desc, id desc);
create index candidates_email on app.candidates (tenant_id, email_key);

-- ---- the library: what positions and plans copy from ----
create table app.library_competencies (
  tenant_id   uuid not null references app.tenants (id),
  id          uuid not null,
  name        text not null check (length(name) between 1 and 200),
  definition  text not null default '' check (length(definition) <= 2000),
  -- Behaviour that is worth a 1, a 3 and a 5.
  anchor_1    text not null default '' check (length(anchor_1) <= 1000),
  anchor_3    text not null default '' check (length(anchor_3) <= 1000),
  anchor_5    text not null default '' check (length(anchor_5) <= 1000),
  archived_at timestamptz,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  version     integer not null default 1,
  sort_name   text generated always as (lower(name)) stored,
  searched    text generated always as (lower(name || ' ' || definition)) stored,
  primary key (tenant_id, id)
);
-- Two of one name could not be told apart by whoever chooses.
create unique index library_competencies_name on app.library_competencies (tenant_id, sort_name) where archived_at is null;
create index library_competencies_by_name on app.library_competencies (tenant_id, sort_name, id);

-- ---- positions ----
alter table app.positions
  add column archived_at timestamptz,
  add column updated_at  timestamptz not null default now(),
  add column version     integer not null default 1,
  add column sort_name   text generated always as (lower(title)) stored;
create index positions_by_name on app.positions (tenant_id, sort_name, id);
create index positions_by_age on app.positions (tenant_id, created_at desc, id desc);
alter table app.competencies
  -- Where it was copied from.
  add column library_id uuid,
  add foreign key (tenant_id, library_id) references app.library_competencies (tenant_id, id);
create index competencies_library on app.competencies (tenant_id, library_id) where library_id is not null;

-- ---- who changed what ----
-- Append only: nobody is granted update or delete. `app.audit_log` has what happens around one session.
create table app.audit (
  tenant_id   uuid not null references app.tenants (id),
  n           bigint generated always as identity,
  at          timestamptz not null default now(),
  actor       uuid not null,
  -- As it was then.
  actor_role  text not null check (length(actor_role) between 1 and 64),
  -- A verb in the past: `created`, `archived`.
  action      text not null check (length(action) between 1 and 64),
  target_kind text not null check (length(target_kind) between 1 and 64),
  target_id   uuid not null,
  detail      jsonb not null default '{}',
  primary key (tenant_id, n)
);
create index audit_target on app.audit (tenant_id, target_kind, target_id, n desc);

-- ---- Idempotency-Key ----
-- Written in the transaction of the change: a key that is here was answered like this. Kept for 24 hours.
create table app.idempotency_keys (
  tenant_id      uuid not null references app.tenants (id),
  person         uuid not null,
  key            text not null check (length(key) between 1 and 200),
  route          text not null,
  request_sha256 bytea not null check (octet_length(request_sha256) = 32),
  -- Null only within the transaction that answers it.
  status         smallint,
  response       jsonb,
  created_at     timestamptz not null default now(),
  primary key (tenant_id, person, key)
);
create index idempotency_keys_age on app.idempotency_keys (tenant_id, created_at);

-- ---- who reaches it ----
do $$
declare
  t text;
  tenants constant text := 'tenant_id = (select app.tenant_id())';
begin
  foreach t in array array['library_competencies', 'audit', 'idempotency_keys'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
  end loop;
  foreach t in array array['candidates', 'positions', 'competencies'] loop
    execute format('drop policy own_tenant on app.%I', t);
  end loop;
  foreach t in array array['candidates', 'positions', 'competencies', 'library_competencies', 'idempotency_keys'] loop
    execute format('create policy own_tenant on app.%I to interview_gateway using (%s)', t, tenants);
  end loop;
  execute format('create policy own_tenant on app.audit for insert to interview_gateway with check (%s)', tenants);
  execute format('create policy recruiter_reads on app.audit for select to authenticated
                  using (%s and (select app.is_recruiter()))', tenants);
end $$;

grant insert on app.candidates, app.positions, app.library_competencies, app.audit to interview_gateway;
grant update (user_id, name, email, external_id, tags, archived_at, merged_into, updated_at, version)
  on app.candidates to interview_gateway;
grant update (title, description, guidance, archived_at, updated_at, version) on app.positions to interview_gateway;
grant select on app.library_competencies to interview_gateway;
grant update (name, definition, anchor_1, anchor_3, anchor_5, archived_at, updated_at, version)
  on app.library_competencies to interview_gateway;
grant insert, delete on app.competencies to interview_gateway;
grant update (rank, name, description, library_id) on app.competencies to interview_gateway;
grant select, insert, update, delete on app.idempotency_keys to interview_gateway;
grant select on app.audit to authenticated;

-- A candidate must not read what recruiters keep about them: the gateway reads that for recruiters, as itself.
revoke select on app.candidates, app.competencies from authenticated;
grant select (tenant_id, id, user_id, name, email, created_at, archived_at) on app.candidates to authenticated;
grant select (tenant_id, id, position_id, rank, name, description) on app.competencies to authenticated;
grant select (archived_at) on app.positions to authenticated;
-- Nor does an interview need to know.
revoke select on app.candidates from interview_session;
grant select (tenant_id, id, user_id, name, email, created_at) on app.candidates to interview_session;

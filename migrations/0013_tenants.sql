-- Tenants as the operator makes, changes and removes them.

-- What runs for a tenant, and which change of it is under way (domain/tenant_plan.rs). Nobody but
-- the owner sees it.
create table app.tenant_deployments (
  tenant_id           uuid primary key references app.tenants (id),
  org                 text not null,
  -- Under way; null: all of it is there.
  operation           text check (operation in ('create', 'upgrade', 'rotate-secrets', 'destroy')),
  release             integer not null,
  image               text not null,
  previous_release    integer,
  previous_image      text,
  region              text not null,
  routing_generation  integer not null,
  previous_generation integer,
  token_wanted        integer not null,
  token_issued        integer not null,
  token_expires_at    timestamptz,
  -- Fly's number of the last write of an app's secrets, and a keyed fingerprint of what was written.
  gateway_version     bigint not null default 0,
  gateway_fingerprint text not null default '',
  session_version     bigint not null default 0,
  session_fingerprint text not null default '',
  updated_at          timestamptz not null default now()
);

-- A login that is bound to one tenant. `interview_runtime` is not: whoever has its password can
-- claim to be anyone. A tenant's machines sign in with a login of their own.
create table app.tenant_logins (
  login     text primary key,
  tenant_id uuid not null unique references app.tenants (id)
);

do $$
declare t text;
begin
  foreach t in array array['tenant_deployments', 'tenant_logins'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
    execute format('create policy operator on app.%I to current_user using (true) with check (true)', t);
  end loop;
end $$;

-- The tenant that this login may speak for alone; null: it is bound to none. `session_user` is who
-- signed in, whatever role the transaction has taken since.
create function app.login_tenant() returns uuid
  language sql stable security definer set search_path = ''
  return (select l.tenant_id from app.tenant_logins l where l.login = session_user);

-- As before, but a bound login that claims another tenant is nobody.
create or replace function app.tenant_id() returns uuid
  language sql stable set search_path = ''
  return (select case when bound.tenant is null or bound.tenant = claimed.tenant then claimed.tenant end
          from (select nullif(app.claims() -> 'app_metadata' ->> 'tenant_id', '')::uuid as tenant) claimed,
               (select app.login_tenant() as tenant) bound);

-- How far the migrations are, for `doctor`: the runtime's logins see no table of sqlx's.
create function app.schema_version() returns bigint
  language sql stable security definer set search_path = ''
  as 'select max(version) from public._sqlx_migrations where success';

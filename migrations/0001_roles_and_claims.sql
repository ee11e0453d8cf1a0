-- Who may connect, and how a row knows whose it is.
--
-- `interview_runtime` is the login of every process of ours. It can do nothing by
-- itself (NOINHERIT): each transaction takes one of three roles and the claims that
-- row level security reads. A transaction that forgets to sees no table at all.
do $$
begin
  -- Roles belong to the cluster, not to the database: another database's migration
  -- may have made them, even at this moment.
  if not exists (select from pg_roles where rolname = 'interview_runtime') then
    create role interview_runtime nologin noinherit nobypassrls;
  end if;
  if not exists (select from pg_roles where rolname = 'interview_gateway') then
    create role interview_gateway nologin nobypassrls;
  end if;
  if not exists (select from pg_roles where rolname = 'interview_session') then
    create role interview_session nologin nobypassrls;
  end if;
exception when duplicate_object or unique_violation then
  null;
end $$;

grant interview_gateway, interview_session, authenticated to interview_runtime;

create schema app;
grant usage on schema app to interview_gateway, interview_session, authenticated;

-- set_config(…, true) leaves an empty string behind at commit, not NULL: hence nullif.
create function app.claims() returns jsonb
  language sql stable set search_path = ''
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;

create function app.tenant_id() returns uuid
  language sql stable set search_path = ''
  return nullif(app.claims() -> 'app_metadata' ->> 'tenant_id', '')::uuid;

create function app.is_recruiter() returns boolean
  language sql stable set search_path = ''
  return coalesce(app.claims() -> 'app_metadata' ->> 'tenant_role' in ('owner', 'recruiter'), false);

create function app.user_id() returns uuid
  language sql stable set search_path = ''
  return nullif(app.claims() ->> 'sub', '')::uuid;

-- Present only in the claims of a session process: it sees its own interview alone.
create function app.session_id() returns uuid
  language sql stable set search_path = ''
  return nullif(app.claims() ->> 'interview_session_id', '')::uuid;

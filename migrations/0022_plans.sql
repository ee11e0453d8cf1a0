-- A structured interview as data: a draft, and versions that never change (docs/PLANS.md).

-- ---- the digest of a version ----
-- One way to write a document, the same as crates/domain/src/plan/canonical.rs: keys in the order of their bytes, no space.
create function app.canonical_json(document jsonb) returns text
  language plpgsql immutable strict parallel safe set search_path = '' as $$
begin
  return case jsonb_typeof(document)
    when 'object' then '{' || coalesce((select string_agg(to_json(m.key)::text || ':' || app.canonical_json(m.value), ','
                                                          order by m.key collate "C") from jsonb_each(document) m), '') || '}'
    when 'array' then '[' || coalesce((select string_agg(app.canonical_json(a.value), ',' order by a.n)
                                       from jsonb_array_elements(document) with ordinality a(value, n)), '') || ']'
    else document::text
  end;
end $$;

create function app.plan_hash(document jsonb) returns bytea
  language plpgsql immutable strict parallel safe set search_path = '' as $$
begin
  return sha256(convert_to(app.canonical_json(document), 'UTF8'));
end $$;

-- ---- plans and their versions ----
create table app.plans (
  tenant_id   uuid not null references app.tenants (id),
  id          uuid not null,
  draft       jsonb not null check (jsonb_typeof(draft) = 'object'),
  name        text generated always as (draft ->> 'title') stored,
  -- Rises with each change of the draft: who changes it names the one that they have read.
  revision    integer not null default 1,
  created_by  uuid,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  archived_at timestamptz,
  primary key (tenant_id, id)
);

create table app.plan_versions (
  tenant_id    uuid not null,
  plan_id      uuid not null,
  number       integer not null check (number >= 1),
  document     jsonb not null check (jsonb_typeof(document) = 'object'),
  -- Computed here, so that no version can have another one's.
  hash         bytea not null generated always as (app.plan_hash(document)) stored,
  -- `migrated`: made below, and not by an author.
  origin       text not null default 'authored' check (origin in ('authored', 'migrated')),
  published_at timestamptz not null default now(),
  published_by uuid,
  primary key (tenant_id, plan_id, number),
  foreign key (tenant_id, plan_id) references app.plans (tenant_id, id)
);

create function app.refuse_plan_change() returns trigger language plpgsql set search_path = '' as $$
begin
  raise insufficient_privilege using message = format('%s: what was published or pinned is never changed', tg_table_name);
end $$;
create trigger plan_version_stays before update or delete on app.plan_versions
  for each row execute function app.refuse_plan_change();

-- ---- who uses which version ----
-- The next interview for this position uses it.
alter table app.positions
  add column plan_id      uuid,
  add column plan_version integer,
  add check ((plan_id is null) = (plan_version is null)),
  add foreign key (tenant_id, plan_id, plan_version) references app.plan_versions (tenant_id, plan_id, number);

-- The interview was created with it, and keeps it. Null for those that were created without a plan.
alter table app.sessions
  add column plan_id      uuid,
  add column plan_version integer,
  add check ((plan_id is null) = (plan_version is null)),
  add foreign key (tenant_id, plan_id, plan_version) references app.plan_versions (tenant_id, plan_id, number);
create trigger plan_stays before update of plan_id, plan_version on app.sessions
  for each row when ((new.plan_id, new.plan_version) is distinct from (old.plan_id, old.plan_version))
  execute function app.refuse_plan_change();

-- ---- version 1, from the positions and competencies of today ----
-- An owner of the tables who is exempt from nothing must see all of them, or nothing would be made.
alter table app.positions no force row level security;
alter table app.competencies no force row level security;

-- As edge::Prose takes it.
create function app.plan_text(raw text, longest integer) returns text language sql immutable
  return btrim(left(regexp_replace(btrim(raw),
    '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff]', ' ', 'g'), longest));

do $$
declare
  job record;
  new_plan uuid;
  document jsonb;
begin
  for job in
    select p.tenant_id, p.id, coalesce(nullif(app.plan_text(p.title, 200), ''), 'Interview') as title, list.count, list.competencies, list.questions
    from app.positions p
    join lateral (
      select count(*),
        jsonb_agg(jsonb_build_object('id', c.id::text, 'name', c.name, 'definition', app.plan_text(c.description, 2000),
          'anchors', jsonb_build_object('1', '', '3', '', '5', ''), 'not_evidence', jsonb_build_array()) order by c.rank, c.id) as competencies,
        jsonb_agg(jsonb_build_object('id', 'question-' || c.n, 'kind', 'core', 'competency', c.id::text,
          'spoken', jsonb_build_object('en', format('Please tell me about a concrete situation from your work that shows this: %s.', c.name)),
          'simpler', jsonb_build_object(),
          'probes', jsonb_build_array(
            jsonb_build_object('id', 'example', 'trigger', 'no_example', 'spoken', jsonb_build_object('en', 'Which one situation comes to your mind?')),
            jsonb_build_object('id', 'own-part', 'trigger', 'no_own_part', 'spoken', jsonb_build_object('en', 'What did you do yourself?')),
            jsonb_build_object('id', 'result', 'trigger', 'no_result', 'spoken', jsonb_build_object('en', 'How did it end?'))),
          'min_turns', 1, 'max_turns', 4, 'target_s', 240, 'hard_s', 300, 'evidence_sought', jsonb_build_array(),
          'accepted', jsonb_build_array()) order by c.rank, c.id) as questions
      from (select id, rank, description, coalesce(nullif(app.plan_text(name, 200), ''), 'This competency') as name,
                   row_number() over (order by rank, id) as n
            from app.competencies where tenant_id = p.tenant_id and position_id = p.id order by rank, id limit 20) c
    ) list on list.count > 0
  loop
    new_plan := gen_random_uuid();
    document := jsonb_build_object(
      'title', job.title, 'default_language', 'en', 'languages', jsonb_build_array('en'),
      'minutes', 5 * job.count + 5, 'turn_taking', 'patient',
      'think_time', jsonb_build_object('seconds', 120, 'times_per_question', 3),
      'accommodations', jsonb_build_object('extra_time_percent', 50,
        'allowed', jsonb_build_array('captions', 'typed_answers', 'questions_shown', 'slower_speech', 'breaks')),
      'competencies', job.competencies,
      'opening', jsonb_build_object('minutes', 1, 'spoken', jsonb_build_object('en',
        'Hello and welcome. I am an AI interviewer, and a person reviews your answers afterwards. Take the time you need.')),
      'sections', jsonb_build_array(jsonb_build_object('id', 'main', 'name', 'Your work', 'minutes', 5 * job.count,
        'questions', job.questions)),
      'candidate_questions', jsonb_build_object('minutes', 3, 'spoken', jsonb_build_object('en',
        'Those were my questions. What would you like to know?')),
      'closing', jsonb_build_object('minutes', 1, 'spoken', jsonb_build_object('en',
        'Thank you for your time and your answers. You will hear from the team. Goodbye.')));
    insert into app.plans (tenant_id, id, draft) values (job.tenant_id, new_plan, document);
    insert into app.plan_versions (tenant_id, plan_id, number, document, origin)
      values (job.tenant_id, new_plan, 1, document, 'migrated');
    update app.positions set plan_id = new_plan, plan_version = 1
      where tenant_id = job.tenant_id and id = job.id;
  end loop;
end $$;
drop function app.plan_text(text, integer);

alter table app.positions force row level security;
alter table app.competencies force row level security;

-- ---- who reaches what ----
do $$
declare t text;
begin
  foreach t in array array['plans', 'plan_versions'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
    -- Anchors, evidence and later questions: never for a candidate.
    execute format('create policy recruiter_reads on app.%I for select to authenticated
                    using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()))', t);
    execute format('create policy own_tenant on app.%I to interview_gateway using (tenant_id = (select app.tenant_id()))', t);
  end loop;
end $$;
grant select on app.plans, app.plan_versions to authenticated;
grant select (plan_id, plan_version) on app.sessions to authenticated;

grant select, insert, update (draft, revision, updated_at, archived_at) on app.plans to interview_gateway;
grant select, insert on app.plan_versions to interview_gateway;
grant update (plan_id, plan_version) on app.positions to interview_gateway;
-- One policy for reading and changing: who changes a row must see it.
drop policy own_tenant on app.positions;
create policy own_tenant on app.positions to interview_gateway using (tenant_id = (select app.tenant_id()));

-- The version of its interview.
grant select on app.plan_versions to interview_session;
create policy own_plan on app.plan_versions for select to interview_session
  using (tenant_id = (select app.tenant_id())
         and (plan_id, number) in (select s.plan_id, s.plan_version from app.sessions s where s.id = (select app.session_id())));

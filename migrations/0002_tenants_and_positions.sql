create table app.tenants (
  id                     uuid primary key,
  slug                   text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,40}$'),
  name                   text not null,
  required_consents      text[] not null default '{ai_evaluation,recording}',
  consent_policy_version text not null default '2026-11',
  created_at             timestamptz not null default now()
);

create table app.candidates (
  tenant_id  uuid not null references app.tenants (id),
  id         uuid not null,
  -- The account the candidate signs in with, once there is one.
  user_id    uuid,
  name       text not null check (length(name) between 1 and 200),
  email      text not null check (length(email) <= 320),
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
create index candidates_user on app.candidates (tenant_id, user_id);

create table app.positions (
  tenant_id   uuid not null references app.tenants (id),
  id          uuid not null,
  title       text not null check (length(title) between 1 and 200),
  description text not null default '',
  -- What the interviewer is told beyond the competencies. Never a scoring rubric:
  -- the candidate's browser can read the call's instructions.
  guidance    text not null default '',
  created_at  timestamptz not null default now(),
  primary key (tenant_id, id)
);

create table app.competencies (
  tenant_id   uuid not null,
  id          uuid not null,
  position_id uuid not null,
  rank        integer not null default 0,
  name        text not null check (length(name) between 1 and 200),
  description text not null default '',
  primary key (tenant_id, id),
  foreign key (tenant_id, position_id) references app.positions (tenant_id, id) on delete cascade
);
create index competencies_position on app.competencies (tenant_id, position_id, rank);

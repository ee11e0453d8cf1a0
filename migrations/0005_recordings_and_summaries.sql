create table app.recordings (
  tenant_id    uuid not null,
  session_id   uuid not null,
  segment      integer not null default 1,
  provider     text not null,
  -- Provider and id only: playback addresses are minted per view, never stored.
  video_id     text not null,
  upload_token text,
  state        text not null default 'waiting'
               check (state in ('waiting','recording','uploaded','playable','failed','declined')),
  parts        integer not null default 0,
  failure      text,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  primary key (tenant_id, session_id, segment),
  unique (tenant_id, provider, video_id),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

create table app.summaries (
  tenant_id   uuid not null,
  session_id  uuid not null,
  version     integer not null,
  status      text not null check (status in ('stored','failed')),
  model       text,
  prompt_version text,
  content     jsonb,
  -- Why there is none, as a stable error code.
  failure     text,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, session_id, version),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

create table app.integrity_events (
  tenant_id  uuid not null,
  session_id uuid not null,
  n          bigint generated always as identity,
  kind       text not null check (length(kind) <= 64),
  at         timestamptz not null,
  primary key (tenant_id, session_id, n),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

-- Append only: nobody is granted update or delete.
create table app.audit_log (
  tenant_id  uuid not null references app.tenants (id),
  n          bigint generated always as identity,
  at         timestamptz not null default now(),
  actor      uuid,
  action     text not null,
  session_id uuid,
  detail     jsonb not null default '{}',
  primary key (tenant_id, n)
);

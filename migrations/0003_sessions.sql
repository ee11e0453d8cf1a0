create table app.sessions (
  tenant_id         uuid not null references app.tenants (id),
  id                uuid not null unique,
  candidate_id      uuid not null,
  position_id       uuid not null,
  settings          jsonb not null default '{}',
  phase             text not null default 'created'
                    check (phase in ('created','ready','live','ending','summarizing','completed','failed')),
  end_reason        text,
  -- Fencing: each process that takes the session raises it; an older epoch writes nothing.
  epoch             integer not null default 0,
  -- A call is a chapter: 0 before the first call.
  segment           integer not null default 0,
  call_id           text,
  greeted           boolean not null default false,
  candidate_connected boolean not null default false,
  -- All of the browser's transcript_update messages up to this one are stored.
  acked_client_seq  bigint not null default 0,
  attempt           integer not null default 0,
  machine_id        text,
  machine_region    text,
  idempotency_key   text,
  -- W3C trace context of the request that asked for this interview.
  traceparent       text,
  created_by        uuid,
  created_at        timestamptz not null default now(),
  started_at        timestamptz,
  ended_at          timestamptz,
  deadline_at       timestamptz not null,
  heartbeat_at      timestamptz,
  end_requested_at  timestamptz,
  end_requested_by  uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, candidate_id) references app.candidates (tenant_id, id),
  foreign key (tenant_id, position_id) references app.positions (tenant_id, id)
);
create unique index sessions_idempotency on app.sessions (tenant_id, created_by, idempotency_key);
create index sessions_recent on app.sessions (tenant_id, created_at desc, id desc);
create index sessions_candidate on app.sessions (tenant_id, candidate_id);

-- Only a hash is kept: who reads the table cannot join an interview.
create table app.websocket_tickets (
  tenant_id   uuid not null,
  token_sha256 bytea not null,
  session_id  uuid not null,
  user_id     uuid not null,
  origin      text not null,
  expires_at  timestamptz not null,
  consumed_at timestamptz,
  primary key (tenant_id, token_sha256),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);
create index websocket_tickets_session on app.websocket_tickets (tenant_id, session_id);

create table app.consents (
  tenant_id      uuid not null,
  session_id     uuid not null,
  kind           text not null check (kind in ('ai_evaluation','recording','integrity')),
  policy_version text not null,
  given_at       timestamptz not null default now(),
  withdrawn_at   timestamptz,
  primary key (tenant_id, session_id, kind, policy_version),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);

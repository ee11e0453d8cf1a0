create table app.transcript_entries (
  tenant_id   uuid not null,
  session_id  uuid not null,
  -- Stable number of the entry; what evidence in a summary points at.
  seq         integer not null check (seq > 0),
  -- Idempotency: the provider's item id, or what the browser called the entry.
  entry_key   text not null check (length(entry_key) between 1 and 200),
  item_id     text,
  segment     integer not null,
  -- Order of the conversation, not of arrival; leaves room to insert between.
  position    bigint not null,
  -- Rises with each change of the entry: an older one never overwrites a newer.
  revision    integer not null default 0,
  speaker     text not null check (speaker in ('ai','candidate')),
  text        text not null check (length(text) <= 65536),
  source      text not null check (source in ('sideband','browser')),
  -- False for what only the browser said while the sideband was there to say it.
  authoritative boolean not null default true,
  status      text not null check (status in ('final','failed','missing','partial')),
  interrupted boolean not null default false,
  heard_ms    integer,
  heard_text  text,
  commentary  boolean not null default false,
  started_ms  bigint,
  ended_ms    bigint,
  at          timestamptz not null,
  stored_at   timestamptz not null default now(),
  epoch       integer not null,
  primary key (tenant_id, session_id, seq),
  unique (tenant_id, session_id, entry_key),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);
create index transcript_order on app.transcript_entries (tenant_id, session_id, position);

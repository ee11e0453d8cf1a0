-- What the vendors were asked for in an interview, as they bill it: one row for each reply, transcription and summary.
create table app.usage (
  tenant_id   uuid not null,
  session_id  uuid not null,
  kind        text not null check (kind in ('reply','transcription','summary')),
  -- As the vendor names it: the reply, the candidate's item, the answer.
  subject     text not null check (length(subject) between 1 and 200),
  model       text not null check (length(model) <= 200),
  -- `completed`, how a reply ended otherwise, or an error code.
  outcome     text not null check (length(outcome) between 1 and 64),
  -- Cached tokens are part of the input.
  input_text_tokens   bigint not null check (input_text_tokens >= 0),
  input_audio_tokens  bigint not null check (input_audio_tokens >= 0),
  input_cached_tokens bigint not null check (input_cached_tokens >= 0),
  output_text_tokens  bigint not null check (output_text_tokens >= 0),
  output_audio_tokens bigint not null check (output_audio_tokens >= 0),
  -- Of a transcription that is billed by time.
  audio_ms    integer check (audio_ms >= 0),
  -- From the end of the candidate's speech to the first sound of the reply to it.
  latency_ms  integer check (latency_ms >= 0),
  at          timestamptz not null,
  stored_at   timestamptz not null default now(),
  primary key (tenant_id, session_id, kind, subject),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);
-- A tenant's spend in a month.
create index usage_of_tenant on app.usage (tenant_id, at);

alter table app.usage enable row level security;
alter table app.usage force row level security;
revoke all on app.usage from public, anon, authenticated;
grant select, insert, update (latency_ms) on app.usage to interview_session;
grant select on app.usage to authenticated;
create policy own_session on app.usage to interview_session
  using (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()));
create policy recruiter_reads on app.usage for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));

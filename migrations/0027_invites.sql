-- Invites: a link for one candidate and one position, with a window. Who has the link needs no account.
-- crates/domain/src/invite.rs decides what may be done with one, and when.
create table app.invites (
  tenant_id         uuid not null references app.tenants (id),
  id                uuid not null,
  candidate_id      uuid not null,
  position_id       uuid not null,
  -- With which version of which plan the interview is created: that of the position when the invite was made. What is
  -- published later changes no invite that is out.
  plan_id           uuid,
  plan_version      integer,
  -- The newest interview that was begun by it.
  session_id        uuid,
  -- The tenant's own name for it: asked for twice, it is made once.
  external_id       text check (length(external_id) between 1 and 200),
  state             text not null default 'created'
                    check (state in ('created','sent','opened','started','exhausted','finished','expired','revoked','bounced')),
  opens_at          timestamptz not null,
  closes_at         timestamptz not null check (closes_at > opens_at),
  -- The candidate's, by its IANA name: every time is told in it.
  zone              text not null check (length(zone) between 1 and 64),
  -- The language of what is written to the candidate. That of the interview is in `settings`.
  locale            text not null check (locale in ('en','de','ja')),
  settings          jsonb not null default '{}',
  -- Interviews that may be held by it, that were, and that were begun since it was opened last.
  attempts          integer not null default 1 check (attempts between 1 and 100),
  attempts_used     integer not null default 0,
  starts            integer not null default 0,
  -- Of its entry in the candidate's calendar: a later mail replaces what an earlier one wrote there.
  calendar_sequence integer not null default 0,
  -- Why it was revoked, or opened again.
  reason            text check (length(reason) <= 500),
  created_by        uuid not null,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),
  sent_at           timestamptz,
  opened_at         timestamptz,
  started_at        timestamptz,
  finished_at       timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, external_id),
  foreign key (tenant_id, candidate_id) references app.candidates (tenant_id, id),
  foreign key (tenant_id, position_id) references app.positions (tenant_id, id),
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id),
  check ((plan_id is null) = (plan_version is null)),
  foreign key (tenant_id, plan_id, plan_version) references app.plan_versions (tenant_id, plan_id, number)
);
create index invites_by_state on app.invites (tenant_id, state, id desc);
create index invites_closing on app.invites (tenant_id, closes_at) where state in ('created','sent','opened','bounced');
create index invites_candidate on app.invites (tenant_id, candidate_id);
create index invites_session on app.invites (tenant_id, session_id);

-- The links of an invite: each mail, and each copy that a recruiter asks for, has one of its own. Only a hash is kept.
create table app.invite_links (
  tenant_id    uuid not null,
  token_sha256 bytea not null check (octet_length(token_sha256) = 32),
  invite_id    uuid not null,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, token_sha256),
  foreign key (tenant_id, invite_id) references app.invites (tenant_id, id) on delete cascade
);
create index invite_links_invite on app.invite_links (tenant_id, invite_id, created_at);

-- What a page holds in place of an account: good for one interview, for minutes, longer while the page lives.
create table app.invite_tokens (
  tenant_id    uuid not null,
  token_sha256 bytea not null check (octet_length(token_sha256) = 32),
  invite_id    uuid not null,
  session_id   uuid not null,
  expires_at   timestamptz not null,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, token_sha256),
  foreign key (tenant_id, invite_id) references app.invites (tenant_id, id) on delete cascade,
  foreign key (tenant_id, session_id) references app.sessions (tenant_id, id) on delete cascade
);
create index invite_tokens_invite on app.invite_tokens (tenant_id, invite_id, created_at);
create index invite_tokens_expired on app.invite_tokens (tenant_id, expires_at);

-- Mail that is to leave. A row is taken by a lease that ends by itself; its Message-ID never changes, so that a mail that
-- left twice is one mail to whoever receives it.
create table app.mail_outbox (
  tenant_id   uuid not null references app.tenants (id),
  id          uuid not null,
  message_id  text not null check (length(message_id) <= 300),
  invite_id   uuid,
  kind        text not null check (kind in ('invite','withdrawal')),
  recipient   text not null check (length(recipient) <= 320),
  locale      text not null check (locale in ('en','de','ja')),
  -- What its template is filled with, as it was when the mail was asked for.
  variables   jsonb not null default '{}',
  state       text not null default 'queued' check (state in ('queued','sending','sent','bounced','failed')),
  tries       integer not null default 0,
  next_try_at timestamptz not null default now(),
  lease_until timestamptz,
  -- What it tells is no longer true. One that is being sent may still leave; it is not tried again.
  replaced    boolean not null default false,
  -- The error's code, and the server's own, where it gave one.
  failure     text check (length(failure) <= 200),
  created_at  timestamptz not null default now(),
  sent_at     timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, message_id),
  foreign key (tenant_id, invite_id) references app.invites (tenant_id, id) on delete cascade
);
create index mail_outbox_due on app.mail_outbox (tenant_id, next_try_at) where state in ('queued','sending');
create index mail_outbox_invite on app.mail_outbox (tenant_id, invite_id, created_at desc);

do $$
declare t text;
begin
  foreach t in array array['invites', 'invite_links', 'invite_tokens', 'mail_outbox'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
    execute format('create policy own_tenant on app.%I to interview_gateway using (tenant_id = (select app.tenant_id()))', t);
  end loop;
end $$;
grant select, insert, update on app.invites, app.mail_outbox to interview_gateway;
grant select, insert, delete on app.invite_links to interview_gateway;
grant select, insert, update, delete on app.invite_tokens to interview_gateway;

-- Recruiters read invites, and what became of their mails.
grant select on app.invites to authenticated;
grant select (tenant_id, invite_id, state, failure, created_at) on app.mail_outbox to authenticated;
create policy recruiter_reads on app.invites for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));
create policy recruiter_reads on app.mail_outbox for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));

-- Who came by an invite sees one interview, and themselves. The gateway writes these claims; nobody else can, as they are in
-- `app_metadata`.
create function app.invited_session() returns uuid
  language sql stable set search_path = ''
  return nullif(app.claims() -> 'app_metadata' ->> 'invited_session_id', '')::uuid;
create function app.invited_candidate() returns uuid
  language sql stable set search_path = ''
  return nullif(app.claims() -> 'app_metadata' ->> 'invited_candidate_id', '')::uuid;
create policy invited_reads on app.sessions for select to authenticated
  using (tenant_id = (select app.tenant_id()) and id = (select app.invited_session()));
create policy invited_reads on app.candidates for select to authenticated
  using (tenant_id = (select app.tenant_id()) and id = (select app.invited_candidate()));

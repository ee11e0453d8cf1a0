-- Every table, forced, so that not even the owner is exempt by accident.
do $$
declare t text;
begin
  foreach t in array array['tenants','candidates','positions','competencies','sessions','websocket_tickets',
                           'consents','transcript_entries','recordings','summaries','integrity_events','audit_log'] loop
    execute format('alter table app.%I enable row level security', t);
    execute format('alter table app.%I force row level security', t);
    execute format('revoke all on app.%I from public, anon, authenticated', t);
  end loop;
end $$;

-- (select f()) is evaluated once per statement, a bare call once per row.

-- ---- authenticated: a signed-in person, through the gateway ----
grant select on app.tenants, app.candidates, app.positions, app.competencies, app.sessions, app.consents,
  app.transcript_entries, app.recordings, app.summaries, app.integrity_events to authenticated;

create policy member_reads on app.tenants for select to authenticated
  using (id = (select app.tenant_id()));
create policy member_reads on app.positions for select to authenticated
  using (tenant_id = (select app.tenant_id()));
create policy member_reads on app.competencies for select to authenticated
  using (tenant_id = (select app.tenant_id()));
create policy recruiter_or_self_reads on app.candidates for select to authenticated
  using (tenant_id = (select app.tenant_id())
         and ((select app.is_recruiter()) or user_id = (select app.user_id())));
create policy recruiter_or_self_reads on app.sessions for select to authenticated
  using (tenant_id = (select app.tenant_id())
         and ((select app.is_recruiter())
              or candidate_id in (select c.id from app.candidates c
                                  where c.tenant_id = (select app.tenant_id()) and c.user_id = (select app.user_id()))));
create policy recruiter_or_self_reads on app.recordings for select to authenticated
  using (tenant_id = (select app.tenant_id())
         and session_id in (select s.id from app.sessions s where s.tenant_id = (select app.tenant_id())));
create policy recruiter_reads on app.consents for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));
create policy recruiter_reads on app.transcript_entries for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));
create policy recruiter_reads on app.summaries for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));
create policy recruiter_reads on app.integrity_events for select to authenticated
  using (tenant_id = (select app.tenant_id()) and (select app.is_recruiter()));

-- ---- interview_gateway: the tenant's door, acting for itself ----
grant select on app.tenants, app.candidates, app.positions, app.competencies, app.consents to interview_gateway;
grant select, insert, update on app.sessions, app.recordings to interview_gateway;
grant select, insert, delete on app.websocket_tickets to interview_gateway;
grant insert on app.audit_log to interview_gateway;

create policy own_tenant on app.tenants for select to interview_gateway, interview_session
  using (id = (select app.tenant_id()));
do $$
declare t text;
begin
  foreach t in array array['candidates','positions','competencies','consents','sessions','websocket_tickets','recordings','audit_log'] loop
    execute format('create policy own_tenant on app.%I to interview_gateway
                    using (tenant_id = (select app.tenant_id())) with check (tenant_id = (select app.tenant_id()))', t);
  end loop;
end $$;

-- ---- interview_session: one interview's process; sees its own interview alone ----
grant select on app.tenants, app.candidates, app.positions, app.competencies to interview_session;
grant select, update on app.sessions to interview_session;
grant select, update on app.websocket_tickets to interview_session;
grant select, insert, update on app.consents, app.transcript_entries, app.recordings to interview_session;
grant select, insert on app.summaries, app.integrity_events to interview_session;
grant insert on app.audit_log to interview_session;

create policy own_position on app.positions for select to interview_session
  using (tenant_id = (select app.tenant_id())
         and id in (select s.position_id from app.sessions s where s.id = (select app.session_id())));
create policy own_position on app.competencies for select to interview_session
  using (tenant_id = (select app.tenant_id())
         and position_id in (select s.position_id from app.sessions s where s.id = (select app.session_id())));
create policy own_candidate on app.candidates for select to interview_session
  using (tenant_id = (select app.tenant_id())
         and id in (select s.candidate_id from app.sessions s where s.id = (select app.session_id())));
create policy own_session on app.sessions to interview_session
  using (tenant_id = (select app.tenant_id()) and id = (select app.session_id()))
  with check (tenant_id = (select app.tenant_id()) and id = (select app.session_id()));
do $$
declare t text;
begin
  foreach t in array array['websocket_tickets','consents','transcript_entries','recordings','summaries','integrity_events','audit_log'] loop
    execute format('create policy own_session on app.%I to interview_session
                    using (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()))
                    with check (tenant_id = (select app.tenant_id()) and session_id = (select app.session_id()))', t);
  end loop;
end $$;

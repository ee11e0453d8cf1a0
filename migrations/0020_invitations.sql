alter table app.sessions
  -- Until when an interview that nobody has begun is kept. Null for those that were made before this.
  add column join_by   timestamptz,
  -- Until when a live interview waits for a candidate who is gone; counts while nobody is connected.
  add column return_by timestamptz;
grant select (join_by, return_by) on app.sessions to authenticated;
grant update (return_by) on app.sessions to interview_session;

alter table app.recordings
  -- What the candidate's browser writes, as it said.
  add column mime_type  text check (octet_length(mime_type) <= 64),
  -- It was begun, and the rest of it never came: closed with what had arrived, or nothing had.
  add column incomplete boolean not null default false;
grant select (mime_type, incomplete) on app.recordings to authenticated;
grant update (mime_type, incomplete) on app.recordings to interview_session;

-- What only the browser told, and why it is doubtful (docs/PROTOCOL.md, "What counts as said").
alter table app.transcript_entries
  add column doubt text check (doubt in ('unclosed_gap','deaf_line','no_item','no_call','unconfirmed')),
  -- The time that the browser claimed, where it cannot have been then; `at` is the one that we put in its place.
  add column claimed_at text;

alter table app.integrity_events add column claimed_at text;

-- A line into the call that carries no speech leaves only the browser's word. Off: nobody is judged by it.
alter table app.tenants add column judge_deaf_line boolean not null default false;

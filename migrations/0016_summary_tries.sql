-- How often a model was asked for the summary, counted before it is asked, whoever asks: the session's own
-- process, again after a crash, or the keepers. When last: the next pause is measured from here.
alter table app.sessions
  add column summary_tries integer not null default 0,
  add column summary_tried_at timestamptz;

-- What we heard ourselves may be doubtful as well: made up by the transcription, an echo of the interviewer, or written instead of
-- spoken (docs/PROTOCOL.md, "What counts as said").
alter table app.transcript_entries
  drop constraint transcript_entries_doubt_check,
  add constraint transcript_entries_doubt_check check (doubt in
    ('unclosed_gap','deaf_line','no_item','no_call','unconfirmed','hallucination','echo','written')),
  -- How certain the transcription was: mean natural logarithm of the probability of a token.
  add column logprob double precision check (logprob <= 0),
  -- The language that it heard, as it names it.
  add column language text check (length(language) between 1 and 64);
grant update (logprob, language) on app.transcript_entries to interview_session;

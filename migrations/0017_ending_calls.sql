-- Calls that were replaced and are not known to be over: their last words are awaited, or their end is. Whoever holds the
-- interview next ends them; nobody else would, as long as a browser keeps its side open.
alter table app.sessions add column ending_calls text[] not null default '{}';

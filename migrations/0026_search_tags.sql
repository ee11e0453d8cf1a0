-- A candidate is found by their tags as well. `array_to_string` is not immutable for every type, and is for text.
create function app.candidate_searched(name text, email text, external_id text, tags text[]) returns text
  language sql immutable parallel safe set search_path = ''
  return lower(name || ' ' || email || ' ' || coalesce(external_id, '') || ' ' || array_to_string(tags, ' '));

alter table app.candidates
  drop column searched,
  add column searched text generated always as (app.candidate_searched(name, email, external_id, tags)) stored;

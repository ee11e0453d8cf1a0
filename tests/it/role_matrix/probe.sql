-- The prober of the matrix, inside the scratch database: one cell is one statement as one identity,
-- rolled back with the role and the claims it took.
create schema matrix;

create table matrix.identities (name text primary key, login text, role text, claims text);
create table matrix.probes (tbl text, verb text, class text, role text, statement text);
create table matrix.baseline (identity text, tbl text, verb text, class text);

-- Whether the statement reached a row. A constraint that stops it is asked after the policies.
create function matrix.reached(login text, role text, claims text, statement text) returns boolean
  language plpgsql as $$
declare
  count bigint;
begin
  perform set_config('request.jwt.claims', claims, true);
  if login <> '' then
    execute format('set local session authorization %I', login);
  end if;
  if role <> '' then
    execute format('set local role %I', role);
  end if;
  execute statement;
  get diagnostics count = row_count;
  raise exception using errcode = 'UNDO0';
exception
  when sqlstate 'UNDO0' then return count > 0;
  when insufficient_privilege then return false;
  when integrity_constraint_violation then return true;
  -- Claims that cannot be read.
  when invalid_text_representation then return false;
end $$;

-- What each identity reaches; of one table and some roles, or of everything.
create function matrix.cells(only_table text, only_roles text[])
  returns table (identity text, tbl text, verb text, class text) language sql as $$
  select i.name, p.tbl, p.verb, p.class
  from matrix.identities i
  join matrix.probes p on p.role is null or p.role = coalesce(nullif(i.role, ''), i.login)
  where (only_table is null or p.tbl = only_table)
    and (only_roles is null or coalesce(nullif(i.role, ''), i.login) = any (only_roles))
    and matrix.reached(i.login, i.role, i.claims, p.statement)
$$;

-- Each policy changed in turn: its condition for rows that are there opened, its condition for
-- rows that are written opened, and both closed. Which cells tell of it.
create function matrix.noticed() returns table (policy text, change text, cells bigint) language plpgsql as $$
declare
  one record;
  clause text;
begin
  for one in
    select p.tablename::text as tbl, p.policyname::text as name, p.roles::text[] as roles, p.qual, p.with_check, c.change
    from pg_policies p, unnest(array['open', 'open check', 'closed']) c(change)
    where p.schemaname = 'app' order by 1, 2, c.change
  loop
    clause := case
      when one.change = 'open' and one.qual <> 'true' then 'using (true)'
      when one.change = 'open check' and one.with_check <> 'true' then 'with check (true)'
      when one.change = 'closed' then concat_ws(' ', case when one.qual is not null then 'using (false)' end,
                                                case when one.with_check is not null then 'with check (false)' end)
    end;
    continue when clause is null;
    policy := one.tbl || '.' || one.name;
    change := one.change;
    begin
      execute format('alter policy %I on app.%I %s', one.name, one.tbl, clause);
      select count(*) into cells from (
        (select * from matrix.cells(one.tbl, one.roles)
         except select b.* from matrix.baseline b where b.tbl = one.tbl)
        union all
        (select b.* from matrix.baseline b join matrix.identities i on i.name = b.identity
         where b.tbl = one.tbl and coalesce(nullif(i.role, ''), i.login) = any (one.roles)
         except select * from matrix.cells(one.tbl, one.roles))) different;
      raise exception using errcode = 'UNDO0';
    exception when sqlstate 'UNDO0' then null;
    end;
    return next;
  end loop;
end $$;

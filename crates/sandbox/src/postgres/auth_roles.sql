-- The roles of a Supabase project. They belong to the whole cluster, so they are made
-- once, at the start of the server, and again without harm.
do $$
declare
  wanted text[] := array[
    'anon nologin noinherit',
    'authenticated nologin noinherit',
    'service_role nologin noinherit bypassrls',
    'authenticator login noinherit',
    'supabase_auth_admin login noinherit createrole'
  ];
  line text;
begin
  foreach line in array wanted loop
    if not exists (select from pg_roles where rolname = split_part(line, ' ', 1)) then
      execute 'create role ' || line;
    end if;
  end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;

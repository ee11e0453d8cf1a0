-- A record that cannot be stored can always be set aside: bytes take what no text type does.
-- No check either: what stands here was refused once already.
alter table app.dead_letters alter column content type bytea using convert_to(content::text, 'UTF8');
comment on column app.dead_letters.content is 'JSON in UTF-8; read it with convert_from(content, ''UTF8'')';

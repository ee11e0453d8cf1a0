-- The candidate may type: their own words, through our own socket, put into the call by us (docs/PROTOCOL.md, "Typed answers").
alter table app.transcript_entries
  drop constraint transcript_entries_source_check,
  add constraint transcript_entries_source_check check (source in ('sideband','browser','typed'));

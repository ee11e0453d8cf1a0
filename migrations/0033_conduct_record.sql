-- The conduct record is made of the plan in the language of the interview: who reviews reads in which one it was held.
grant select (settings) on app.sessions to authenticated;

-- The tenants, people and positions of the sandbox. Ids match crates/sandbox/users.json.
-- Applied once after the migrations; running it again changes nothing.
insert into app.tenants (id, slug, name) values
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'demo', 'Northwind Labs'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0002', 'rival', 'Rival Industries')
on conflict do nothing;

insert into app.candidates (tenant_id, id, user_id, name, email) values
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'ca000000-0000-4000-8000-000000000011', '7a000000-0000-4000-8000-000000000011', 'Amara Okafor', 'amara@demo.test'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'ca000000-0000-4000-8000-000000000012', '7a000000-0000-4000-8000-000000000012', 'Jonas Weber', 'jonas@demo.test'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'ca000000-0000-4000-8000-000000000013', '7a000000-0000-4000-8000-000000000013', 'Mei Tanaka', 'mei@demo.test')
on conflict do nothing;

insert into app.positions (tenant_id, id, title, description, guidance) values
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'b0000000-0000-4000-8000-000000000001', 'Senior Software Engineer',
   'Builds and runs the payment services that our customers depend on every day.',
   'Ask for one concrete project, then go deeper: what went wrong, what was decided, what was learned.'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'b0000000-0000-4000-8000-000000000002', 'Product Designer',
   'Designs the tools that our customers use to run their day.',
   'Ask for one piece of work from problem to result, and how users shaped it.')
on conflict do nothing;

insert into app.competencies (tenant_id, id, position_id, rank, name, description) values
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 1, 'Technical depth', 'Explains systems they built and why they work'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'c0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', 2, 'Problem solving', 'Finds causes and decides with evidence'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'c0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000001', 3, 'Collaboration', 'Works with others and handles disagreement'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'c0000000-0000-4000-8000-000000000004', 'b0000000-0000-4000-8000-000000000002', 1, 'User research', 'Learns from users before and after a design'),
  ('0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001', 'c0000000-0000-4000-8000-000000000005', 'b0000000-0000-4000-8000-000000000002', 2, 'Craft', 'Turns findings into clear, careful interfaces')
on conflict do nothing;

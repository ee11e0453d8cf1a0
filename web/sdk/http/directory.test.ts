import { describe, expect, it } from 'vitest';
import { InterviewApi } from './api';
import { DirectoryApi } from './directory';
import { ApiError, readProblem } from './errors';

function setUp() {
  const sent: { method: string; url: string; headers: Headers; body: unknown }[] = [];
  const api = new InterviewApi({
    fetch: (async (input, init) => {
      sent.push({ method: init?.method ?? '', url: String(input), headers: new Headers(init?.headers), body: init?.body });
      return Response.json({});
    }) as typeof fetch,
  });
  return { directory: new DirectoryApi(api), sent };
}

describe('DirectoryApi', () => {
  it('asks for what a filter says, and for nothing that it does not', async () => {
    const { directory, sent } = setUp();
    await directory.candidates.list({ q: 'a & b', state: 'all', cursor: null, tag: '' });
    await directory.positions.list();
    expect(sent.map(({ url }) => url)).toEqual(['/api/candidates?q=a+%26+b&state=all', '/api/positions']);
  });

  it('names the version that a change was made from, and the key of what is made', async () => {
    const { directory, sent } = setUp();
    await directory.competencies.update('a/b', 3, { name: 'N' });
    await directory.positions.duplicate('p', 'k1');
    expect(sent[0]).toMatchObject({ method: 'PATCH', url: '/api/competencies/a%2Fb', body: '{"name":"N"}' });
    expect(sent[0]?.headers.get('if-match')).toBe('"3"');
    expect(sent[1]?.headers.get('idempotency-key')).toBe('k1');
  });

  it('sends a file as it is', async () => {
    const { directory, sent } = setUp();
    const file = new Blob(['name,email']);
    await directory.candidates.importFile(file, true);
    expect(sent[0]).toMatchObject({ method: 'POST', url: '/api/candidates/import?dry_run=true', body: file });
    expect(sent[0]?.headers.get('content-type')).toBe('text/csv');
  });
});

describe('a refusal of fields', () => {
  it('names each field, and what is no field is left out', async () => {
    const errors = [{ field: 'name', message: 'must not be empty' }, { field: 1 }, null];
    const refused = await readProblem(Response.json({ code: 'fields_invalid', errors }, { status: 422 }));
    expect(refused).toBeInstanceOf(ApiError);
    expect(refused.fields).toEqual([{ field: 'name', message: 'must not be empty' }]);
    expect((await readProblem(Response.json({ code: 'x', errors: 'y' }, { status: 400 }))).fields).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { InterviewApi } from './api';
import { PlansApi } from './plans';

function plans(answer: unknown) {
  const asked: { method: string; path: string; ifMatch: string | null; body: unknown }[] = [];
  const http = new InterviewApi({
    fetch: (input, init) => {
      const headers = new Headers(init?.headers);
      asked.push({
        method: init?.method ?? 'GET',
        path: String(input),
        ifMatch: headers.get('if-match'),
        body: typeof init?.body === 'string' ? JSON.parse(init.body) : (init?.body ?? null),
      });
      return Promise.resolve(Response.json(typeof answer === 'function' ? answer() : answer));
    },
  });
  return { api: new PlansApi(http), asked };
}

describe('PlansApi', () => {
  it('names the revision that was read when it changes or publishes a draft', async () => {
    const { api, asked } = plans({ number: 2 });
    const file = new Blob(['{\n"title": "T"}']);
    await api.replaceDraft('a b', 7, file);
    await api.publish('p', 8);
    expect(asked).toEqual([
      { method: 'PUT', path: '/api/plans/a%20b/draft', ifMatch: '"7"', body: file },
      { method: 'POST', path: '/api/plans/p/publish', ifMatch: '"8"', body: null },
    ]);
  });

  it('lists all pages: what was changed last first, what is archived last', async () => {
    const item = (plan_id: string, updated_at: string, archived_at: string | null) => ({ plan_id, updated_at, archived_at });
    const [old, gone, fresh] = [
      item('old', '2026-01-01T00:00:00Z', null),
      item('gone', '2026-03-01T00:00:00Z', '2026-03-02T00:00:00Z'),
      item('fresh', '2026-02-01T00:00:00Z', null),
    ];
    const pages = [
      { items: [old, gone], next_cursor: 'a b' },
      { items: [fresh], next_cursor: null },
    ];
    const { api, asked } = plans(() => pages[asked.length - 1]);
    expect((await api.list()).map(({ plan_id }) => plan_id)).toEqual(['fresh', 'old', 'gone']);
    expect(asked.map(({ path }) => path)).toEqual(['/api/plans', '/api/plans?cursor=a%20b']);
  });

  it('rehearses the draft, in a language when one is given', async () => {
    const { api, asked } = plans({ passed: true });
    await api.rehearse('p');
    await api.rehearse('p', 'pt-BR');
    expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /api/plans/p/rehearse',
      'POST /api/plans/p/rehearse?language=pt-BR',
    ]);
  });

  it('gives a position a plan, or takes it', async () => {
    const { api, asked } = plans({ plan: null });
    await api.useFor('p', 'x');
    await api.useFor('p', null);
    expect(asked.map(({ body }) => body)).toEqual([{ plan_id: 'x' }, { plan_id: null }]);
    expect(asked[0]?.path).toBe('/api/positions/p/plan');
  });

  it('compares a version with another one or with the draft', async () => {
    const { api, asked } = plans({ changes: [] });
    await api.diff('p', 1);
    await api.diff('p', 1, 2);
    expect(asked.map(({ path }) => path)).toEqual(['/api/plans/p/diff?from=1', '/api/plans/p/diff?from=1&to=2']);
  });
});

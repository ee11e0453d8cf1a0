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
      return Promise.resolve(Response.json(answer));
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

import { describe, expect, it } from 'vitest';
import { ApiError, NetworkError } from '../../sdk';
import { RecordForm } from './record_form.svelte';

const refusal = (code: string, errors: { field: string; message: string }[] = []) =>
  new ApiError({ type: 'about:blank', title: 'no', status: 409, code, detail: null, request_id: null, errors });

describe('a form', () => {
  it('knows whether anything would be lost', () => {
    const form = new RecordForm({ name: 'A', tags: ['x'] });
    expect(form.dirty).toBe(false);
    form.fields.tags.push('y');
    expect(form.dirty).toBe(true);
    form.fields.tags.pop();
    expect(form.dirty).toBe(false);
  });

  it('says what is wrong at each field, once, and keeps what was typed', async () => {
    const form = new RecordForm({ name: 'A' });
    form.fields.name = 'B';
    const errors = [
      { field: 'name', message: 'first' },
      { field: 'name', message: 'second' },
    ];
    expect(await form.submit(() => Promise.reject(refusal('fields_invalid', errors)))).toBeNull();
    expect([form.errors, form.fields.name, form.busy]).toEqual([{ name: 'first' }, 'B', false]);
    form.mend('nam');
    expect(form.problem).not.toBeNull();
    form.mend('name');
    expect([form.errors, form.problem]).toEqual([{}, null]);
    expect(await form.submit(() => Promise.reject(new NetworkError('unreachable')))).toBeNull();
    expect([form.errors, form.conflicted]).toEqual([{}, false]);
    form.mend('name');
    expect(form.problem).toContain('could not be reached');
  });

  it('takes what was wrong in a list for mended as a whole, as its rows change places', async () => {
    const form = new RecordForm({ rows: ['a'] });
    const errors = ['rows[0].name', 'rows', 'rowsman'].map((field) => ({ field, message: 'no' }));
    await form.submit(() => Promise.reject(refusal('fields_invalid', errors)));
    form.mend('rows');
    expect(form.errors).toEqual({ rowsman: 'no' });
  });

  it('sends once, however often it is asked', async () => {
    const form = new RecordForm({ name: 'A' });
    let sent = 0;
    const send = async ({ name }: { name: string }) => {
      sent += 1;
      return name;
    };
    expect(await Promise.all([form.submit(send), form.submit(send)])).toEqual(['A', null]);
    expect(sent).toBe(1);
  });

  it('keeps what was changed, and only that, when it goes on from what somebody else has made', async () => {
    const form = new RecordForm({ name: 'A', note: 'n' });
    form.fields.name = 'B';
    await form.submit(() => Promise.reject(refusal('version_conflicted')));
    expect([form.conflicted, form.changes]).toEqual([true, { name: 'B' }]);
    form.rebase({ name: 'A', note: 'theirs' });
    expect([form.conflicted, form.fields, form.before.note, form.dirty]).toEqual([false, { name: 'B', note: 'theirs' }, 'theirs', true]);
  });
});

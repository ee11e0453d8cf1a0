import { describe, expect, it } from 'vitest';
import { changeWords, differing, moved, readFilter, readTags, writeFilter } from './filters';

describe('a list and its address', () => {
  it('say the same', () => {
    for (const filter of [
      { q: '', state: 'active', sort: 'name' },
      { q: 'zoë & co = 100%', state: 'archived', sort: '-created_at' },
      { q: '#?/', state: 'all', sort: 'name' },
    ] as const) {
      expect(readFilter(writeFilter('#/console/candidates?q=old', filter))).toEqual(filter);
    }
  });

  it('forget what no list knows', () => {
    expect(readFilter('#/console/candidates?state=deleted&sort=age&x=1')).toEqual({ q: '', state: 'active', sort: 'name' });
    expect(writeFilter('#/console/candidates', { q: '  ', state: 'active', sort: 'name' })).toBe('#/console/candidates');
  });
});

describe('a form', () => {
  it('reads each tag once', () => {
    expect(readTags(' berlin, senior ;berlin,,  ')).toEqual(['berlin', 'senior']);
    expect(readTags('')).toEqual([]);
  });

  it('moves a row, and leaves the first and the last where they are', () => {
    expect(moved(['a', 'b', 'c'], 0, 1)).toEqual(['b', 'a', 'c']);
    expect(moved(['a', 'b', 'c'], 0, -1)).toEqual(['a', 'b', 'c']);
    expect(moved(['a', 'b', 'c'], 2, 1)).toEqual(['a', 'b', 'c']);
  });

  it('says which fields somebody else has changed', () => {
    expect(differing({ name: 'A', tags: ['x'] }, { name: 'A', tags: ['y'] })).toEqual(['tags']);
    expect(differing({ name: 'A' }, { name: 'A' })).toEqual([]);
  });
});

describe('a line of the history', () => {
  it('says what was done in words', () => {
    const words = (action: string, detail = {}) => changeWords({ action, detail });
    expect(words('changed', { fields: ['external_id', 'anchors.3'] })).toBe('Changed: external id, anchor 3');
    expect(words('created', { by: 'import' })).toBe('Created by an import');
    expect(words('created', { copy_of: 'p' })).toBe('Made as a copy');
    expect(words('archived', { merged_into: 'c' })).toBe('Merged into another candidate');
    expect(words('restored')).toBe('Restored');
    expect(words('plan_set', { plan: { plan_id: 'p', version: 3 } })).toBe('Given a plan, in version 3');
    expect(words('plan_set', { plan: null })).toBe('Left without a plan');
    expect(words('moved_away')).toBe('Moved away');
  });
});

import { describe, expect, it } from 'vitest';
import type { MisbehaviourReport, PersonaReport, PlanDocument, Rehearsal, RehearsalFinding } from '../../sdk';
import { behaviourName, broken, byTrouble, outcomeName, personaName, placeIn, summary } from './rehearsal';

const finding = (change: Partial<RehearsalFinding>): RehearsalFinding => ({
  code: 'too_long', severity: 'warning', section: null, question: null, probe: null, message: 'Say less.', ...change,
});
const plan = {
  sections: [
    { id: 'start', name: '', questions: [] },
    { id: 'work', name: 'Your work', questions: [{ id: 'a', probes: [] }, { id: 'b', probes: [{ id: 'x' }, { id: 'y' }] }] },
  ],
} as unknown as PlanDocument;
const persona = (name: string, findings: RehearsalFinding[]): PersonaReport => ({
  persona: name, described: '', outcome: 'completed', minutes: 1, questions_asked: 1, probes_fired: 0, longest_silence_s: 1, findings,
});
const rehearsal = (change: Partial<Rehearsal>): Rehearsal => ({
  plan: '', language: 'en', minutes: 10, limit_minutes: 15, passed: true, personas: [persona('plain', [])], misbehaving: [], findings: [], ...change,
});

describe('a rehearsal in its page', () => {
  it('says where a finding is as a person finds it', () => {
    expect(placeIn(finding({}), plan)).toBe('');
    expect(placeIn(finding({ section: 'start' }), plan)).toBe('Section 1');
    expect(placeIn(finding({ section: 'work', question: 'b', probe: 'y' }), plan)).toBe('Section 2 (Your work), question 2, probe 2');
    // The draft may be another one by now.
    expect(placeIn(finding({ section: 'gone', question: 'b' }), plan)).toBe('');
    expect(placeIn(finding({ section: 'work', question: 'gone' }), plan)).toBe('Section 2 (Your work)');
  });

  it('sums up in one sentence', () => {
    expect(summary(rehearsal({}))).toBe('All rules held in 1 interview.');
    expect(summary(rehearsal({ findings: [finding({})] }))).toBe('All rules held in 1 interview; 1 warning.');
    const bad = rehearsal({ passed: false, findings: [finding({ severity: 'error' })], personas: [persona('silent', [finding({}), finding({})])] });
    expect(summary(bad)).toBe('1 error and 2 warnings in 1 interview.');
  });

  it('names what it knows and what it does not', () => {
    expect([personaName('one_word'), personaName('new_kind')]).toEqual(['One word', 'new kind']);
    expect([outcomeName('time_limit'), outcomeName('new_end')]).toEqual(['Time limit', 'new end']);
    expect(behaviourName('parts_early')).toBe('parts early');
  });

  it('puts first who has errors, and leaves out misbehaviour that did no harm', () => {
    const error = finding({ severity: 'error' });
    const sorted = byTrouble([persona('plain', []), persona('silent', [finding({})]), persona('echo', [error])]);
    expect(sorted.map((one) => one.persona)).toEqual(['echo', 'silent', 'plain']);
    const harm: MisbehaviourReport = { behaviour: 'obeys', outcome: 'broken', minutes: 1, findings: [error] };
    expect(broken([harm, { ...harm, findings: [] }])).toEqual([harm]);
  });
});

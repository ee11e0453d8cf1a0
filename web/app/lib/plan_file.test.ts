import { describe, expect, it } from 'vitest';
import { planFileName, readPlanFile } from './plan_file';

describe('a file with a plan', () => {
  it('is taken as it is, or refused in words', async () => {
    const text = '{\n  "title": "T"\n}\n';
    expect(await (await readPlanFile(new Blob(['\ufeff', text]))).text()).toBe(text);
    await expect(readPlanFile(new Blob(['title: T']))).rejects.toThrow('This file is not JSON.');
    await expect(readPlanFile(new Blob(['x'.repeat(262_145)]))).rejects.toThrow('too long');
  });

  it('gets a name from its title', () => {
    expect(planFileName('Senior software engineer (v2)')).toBe('senior-software-engineer-v2.json');
    expect(planFileName('カスタマーサクセス')).toBe('カスタマーサクセス.json');
    expect(planFileName('../')).toBe('plan.json');
  });
});

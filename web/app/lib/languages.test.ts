import { expect, it } from 'vitest';
import { languageName, lookup } from './languages';

it('is named for people', () => {
  expect(languageName('de')).toBe('German');
  expect(languageName('pt-BR')).toBe('Brazilian Portuguese');
  expect(languageName('no language')).toBe('no language');
});

it('is found among those of a plan as the server finds it', () => {
  expect(lookup('en-US', ['de', 'en'])).toBe('en');
  expect(lookup('pt-BR', ['pt', 'pt-BR'])).toBe('pt-BR');
  expect(lookup('pt', ['pt-BR'])).toBeUndefined();
  expect(lookup('den', ['de'])).toBeUndefined();
});

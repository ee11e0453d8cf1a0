// One headless Chromium for the whole run, one context per person.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { fakeMicrophone } from './fake_microphone.mjs';

export const BASE_URL = (process.env.BASE_URL ?? 'http://localhost:8080').replace(/\/$/, '');
const OUT = join(dirname(fileURLToPath(import.meta.url)), '..', 'out');

// A change of scheme is shown in its final colours.
const STILL = { animations: 'disabled' };

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
];

export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 390, height: 844 };

/** For pictures that are looked at when a page was changed; taking them in every run would only take time. */
export const ON_REQUEST = { all: process.env.SCREENSHOTS === 'all' };

/** With `through`, everything this browser asks of the sandbox goes through that local port. */
export function launch({ through } = {}) {
  const { host } = new URL(BASE_URL);
  const detour = through ? [`--host-resolver-rules=MAP ${host} 127.0.0.1:${through}`] : [];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...FLAGS, ...detour],
  });
}

const people = new Set();

/** A test that leaves a picture of every window behind when it fails. */
export function scene(name, options, play) {
  return test(name, options, async (t) => {
    people.clear();
    try {
      await play(t);
    } catch (error) {
      await mkdir(OUT, { recursive: true });
      for (const { name: who, context } of people) {
        for (const [index, page] of context.pages().entries()) {
          await page.screenshot({ path: join(OUT, `failed-${who}-${index}.png`), ...STILL }).catch(() => undefined);
        }
      }
      throw error;
    }
  });
}

/** A person with a browser window of their own. Collects what the page complains about. */
export async function person(browser, name, { viewport = WIDE, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({
    viewport,
    colorScheme,
    permissions: ['microphone', 'camera'],
  });
  await context.addInitScript(fakeMicrophone);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  people.add({ name, context });
  page.on('pageerror', (error) => complaints.push(`${name}: ${error.message}`));
  page.on('console', (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) complaints.push(`${name}: ${message.text()}`);
  });
  return { name, context, page, complaints };
}

/** Screenshots of one state, in this window's size and scheme and, on request, in the three others. */
export async function shoot({ page, name }, step, { all = false } = {}) {
  await mkdir(OUT, { recursive: true });
  const before = page.viewportSize();
  if (!all) {
    await page.screenshot({ path: join(OUT, `${name}-${step}.png`), ...STILL });
    return;
  }
  for (const [label, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(OUT, `${name}-${step}-${label}-${colorScheme}.png`), ...STILL });
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(before);
}

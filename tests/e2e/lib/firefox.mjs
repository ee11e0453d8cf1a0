// Firefox, over WebDriver BiDi: Playwright cannot drive the one of a Linux distribution. Its microphone is Firefox's own
// fake, a tone that never stops; it is let through only while the candidate speaks. Where there is no sound card its
// AudioContext stays suspended, so these tests also are those of a browser in which nothing can be measured or mixed.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';
import { atTheFloor } from './broken_browser.mjs';
import { BASE_URL } from './browser.mjs';
import { eventually } from './wait.mjs';

const OUT = join(dirname(fileURLToPath(import.meta.url)), '..', 'out');

const PREFERENCES = {
  'media.navigator.permission.disabled': true,
  'media.navigator.streams.fake': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
};

export function launchFirefox({ dark = false } = {}) {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: { ...PREFERENCES, 'ui.systemUsesDarkTheme': dark ? 1 : 0 },
    defaultViewport: { width: 1280, height: 860 },
  });
}

/** Remembers calls and microphones, so that a test can count what arrives, speak, and take a microphone away. */
function remember() {
  // The empty page that comes before the first one is no place for a microphone.
  if (!navigator.mediaDevices) return;
  const Native = window.RTCPeerConnection;
  window.__peers = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...options) {
      super(...options);
      window.__peers.push(this);
    }
  };
  window.__microphones = [];
  const native = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await native(constraints);
    if (!constraints?.audio) return stream;
    const [track] = stream.getAudioTracks();
    track.enabled = false;
    window.__microphones.push(track);
    return stream;
  };
  window.__say = async (ms) => {
    const track = window.__microphones.at(-1);
    track.enabled = true;
    await new Promise((resolve) => setTimeout(resolve, ms));
    track.enabled = false;
  };
}

/** A page and what a person does in it. */
export async function visitor(browser) {
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(remember);
  await page.evaluateOnNewDocument(atTheFloor);
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => void dialog.accept());
  const find = (id, more = '') => `[data-testid="${id}"]${more}`;
  return {
    page,
    complaints,
    goto: (path) => page.goto(`${BASE_URL}${path}`),
    see: (id, more = '', timeout = 30_000) => page.waitForSelector(find(id, more), { visible: true, timeout }),
    count: async (id, more = '') => (await page.$$(find(id, more))).length,
    async click(id) {
      await page.waitForSelector(find(id), { visible: true });
      // By the element itself: nothing in these pages moves under a pointer.
      await page.$eval(find(id), (element) => element.click());
    },
    text: (id) => page.$eval(find(id), (element) => element.textContent),
    async shoot(name) {
      await mkdir(OUT, { recursive: true });
      await page.screenshot({ path: join(OUT, `firefox-${name}.png`) });
    },
    say: (ms) => page.evaluate((length) => window.__say(length), ms),
    heard: () =>
      page.evaluate(async () => {
        let energy = 0;
        for (const peer of window.__peers.filter((each) => each.connectionState === 'connected')) {
          for (const report of (await peer.getStats()).values()) {
            if (report.type === 'inbound-rtp' && report.kind === 'audio') energy += report.totalAudioEnergy ?? 0;
          }
        }
        return energy;
      }),
    yourTurn(said) {
      return eventually(
        'the interviewer has spoken and waits',
        async () => {
          const settled = await this.count('caption-ai', '[data-settled="true"]');
          const mood = await page.$eval(find('presence'), (element) => element.dataset.mood).catch(() => null);
          return settled > said && mood === 'waiting' ? settled : null;
        },
        { timeoutMs: 60_000 },
      );
    },
  };
}

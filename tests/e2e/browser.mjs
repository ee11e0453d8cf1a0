// A headless Chromium whose microphone speaks when the test says so.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const BASE = process.env.BASE_URL ?? 'http://localhost:8080';
export const OUT = new URL('./out/', import.meta.url).pathname;

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
];

/** Replaces the microphone by one that is silent until `__say(ms)`. The camera stays Chromium's fake one. */
function controllableMicrophone() {
  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const camera = wanted.video ? await original({ video: wanted.video }) : new MediaStream();
    if (!wanted.audio) return camera;
    if (!window.__voice) {
      const context = new AudioContext();
      const out = context.createMediaStreamDestination();
      const floor = context.createConstantSource();
      floor.offset.value = 0;
      floor.connect(out);
      floor.start();
      window.__voice = { context, out };
      window.__say = (ms) => {
        const tone = context.createOscillator();
        const gain = context.createGain();
        tone.type = 'sawtooth';
        tone.frequency.value = 180;
        gain.gain.value = 0.6;
        tone.connect(gain).connect(out);
        tone.start();
        tone.stop(context.currentTime + ms / 1000);
        return new Promise((done) => { tone.onended = () => done(); });
      };
    }
    await window.__voice.context.resume();
    return new MediaStream([...window.__voice.out.stream.getAudioTracks().map((track) => track.clone()), ...camera.getVideoTracks()]);
  };
  // Kept for the test: what the page hears is read from its peer connections.
  const Native = window.RTCPeerConnection;
  window.__peers = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...args) { super(...args); window.__peers.push(this); }
  };
}

export async function person({ scheme = 'light', viewport = { width: 1440, height: 900 } } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'interview-e2e-'));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ARGS, viewport, colorScheme: scheme,
    permissions: ['microphone', 'camera'],
  });
  await context.addInitScript(controllableMicrophone);
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(20_000);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  return { page, problems, async close() { await context.close(); await rm(folder, { recursive: true, force: true }); } };
}

export async function picture(page, name) {
  await mkdir(OUT, { recursive: true });
  await page.screenshot({ path: `${OUT}${name}.png`, fullPage: true });
}

/** The same page wide and narrow, light and dark. */
export async function pictures(page, name) {
  const size = page.viewportSize();
  for (const scheme of ['light', 'dark']) {
    for (const [label, viewport] of [['wide', { width: 1440, height: 900 }], ['narrow', { width: 390, height: 844 }]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(viewport);
      await page.waitForTimeout(250);
      await picture(page, `${name}-${label}-${scheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(size);
}

export async function signIn(page, email) {
  await page.goto(BASE);
  await page.getByTestId(`sign-in-${email}`).click();
}

/** Packets and loudness of what the page receives from the interviewer. */
export async function heard(page) {
  return page.evaluate(async () => {
    const total = { packets: 0, energy: 0 };
    for (const peer of window.__peers) {
      for (const report of (await peer.getStats()).values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'audio') {
          total.packets += report.packetsReceived ?? 0;
          total.energy += report.totalAudioEnergy ?? 0;
        }
      }
    }
    return total;
  });
}

export async function until(what, condition, limit = 30_000) {
  const end = Date.now() + limit;
  let last;
  while (Date.now() < end) {
    last = await condition();
    if (last) return last;
    await new Promise((next) => setTimeout(next, 150));
  }
  throw new Error(`not within ${limit / 1000} s: ${what} (last: ${JSON.stringify(last)})`);
}

// Run inside the page before any of its scripts: what older, stricter or interrupted browsers do to it.

/** As browsers at the floor of docs/BROWSERS.md: nothing that came later. */
export function atTheFloor() {
  delete AbortSignal.any;
  delete AbortSignal.timeout;
  delete Promise.withResolvers;
  delete Response.json;
  delete URLSearchParams.prototype.size;
  delete Crypto.prototype.randomUUID;
  delete Navigator.prototype.wakeLock;
}

/** "Block all cookies and site data": touching any storage throws. */
export function withoutStorage() {
  const refuse = () => {
    throw new DOMException('Access is denied for this document.', 'SecurityError');
  };
  for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) {
    Object.defineProperty(window, name, { get: refuse, configurable: true });
  }
  LockManager.prototype.request = async () => refuse();
}

/** As Firefox with a headset of another sample rate, or with protection against fingerprinting. */
export function withoutMixing() {
  AudioContext.prototype.createMediaStreamSource = () => {
    throw new DOMException(
      'Connecting AudioNodes from AudioContexts with different sample-rate is currently not supported.',
      'NotSupportedError',
    );
  };
}

/**
 * The same, but not for everything: `'since'` the page was told so by `window.__mixingIsRefused` (from Start on, as
 * with a headset that is connected then), or for the voice of a call alone, the `'remote'` one.
 */
export function withoutMixingOf(what) {
  const native = AudioContext.prototype.createMediaStreamSource;
  const isRemote = (stream) => {
    const received = (window.__peers ?? []).flatMap((peer) => peer.getReceivers().map(({ track }) => track.id));
    return stream.getAudioTracks().some(({ id }) => received.includes(id));
  };
  window.__mixingRefused = 0;
  AudioContext.prototype.createMediaStreamSource = function (stream) {
    if (what === 'since' ? !window.__mixingIsRefused : !isRemote(stream)) return native.call(this, stream);
    window.__mixingRefused += 1;
    throw new DOMException(
      'Connecting AudioNodes from AudioContexts with different sample-rate is currently not supported.',
      'NotSupportedError',
    );
  };
}

/** Remembers every audio context and every microphone, so that a test can interrupt them as a system does. */
export function interruptible() {
  const contexts = (window.__contexts = []);
  const Native = window.AudioContext;
  window.AudioContext = class extends Native {
    constructor(...options) {
      super(...options);
      contexts.push(this);
    }
  };
  window.__microphones = [];
  window.__noMicrophone = false;
  const devices = navigator.mediaDevices;
  const before = devices.getUserMedia;
  devices.getUserMedia = async (constraints) => {
    if (constraints?.audio && window.__noMicrophone) throw new DOMException('gone', 'NotFoundError');
    const stream = await before(constraints);
    if (constraints?.audio) window.__microphones.push(stream.getAudioTracks()[0]);
    return stream;
  };
}

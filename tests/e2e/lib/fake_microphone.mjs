// Runs inside the page, before any of its scripts. It replaces the microphone by a silent WebAudio stream on
// which `__say(ms)` speaks exactly when the test wants it to. Words do not matter to the sandbox, only sound.
export function fakeMicrophone() {
  const devices = navigator.mediaDevices;
  if (!devices) return;
  const native = devices.getUserMedia.bind(devices);
  let context = null;
  const outputs = [];

  const openMicrophone = () => {
    context ??= new AudioContext();
    const output = context.createMediaStreamDestination();
    const quiet = context.createConstantSource();
    quiet.offset.value = 0;
    quiet.connect(output);
    quiet.start();
    outputs.push(output);
    return output.stream;
  };

  devices.getUserMedia = async (constraints) => {
    if (!constraints?.audio) return native(constraints);
    const stream = openMicrophone();
    await context.resume();
    return stream;
  };

  /** A hum with the rhythm of syllables; resolves when it is over. */
  window.__say = async (ms) => {
    if (!context) throw new Error('nobody has opened the microphone');
    const tone = context.createOscillator();
    const loudness = context.createGain();
    tone.type = 'sawtooth';
    tone.frequency.value = 165;
    const start = context.currentTime + 0.02;
    const end = start + ms / 1000;
    for (let at = start; at < end; at += 0.2) {
      loudness.gain.setValueAtTime(0.35, at);
      loudness.gain.setValueAtTime(0.22, at + 0.12);
    }
    loudness.gain.setValueAtTime(0, end);
    tone.connect(loudness);
    for (const output of outputs) loudness.connect(output);
    tone.start(start);
    tone.stop(end);
    await new Promise((resolve) => (tone.onended = resolve));
  };

  // Every peer connection of the page, so that a test can read what WebRTC counted.
  const Native = window.RTCPeerConnection;
  window.__peers = [];
  window.RTCPeerConnection = class extends Native {
    constructor(...args) {
      super(...args);
      window.__peers.push(this);
    }
  };
  const sockets = (window.__sockets = []);
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  };
}

/** Sound that has arrived over all calls of the page. */
export function receivedAudio(page) {
  return page.evaluate(async () => {
    const total = { packets: 0, energy: 0, calls: window.__peers.length };
    for (const peer of window.__peers) {
      if (peer.connectionState === 'closed') continue;
      for (const report of (await peer.getStats()).values()) {
        if (report.type !== 'inbound-rtp' || report.kind !== 'audio') continue;
        total.packets += report.packetsReceived ?? 0;
        total.energy += report.totalAudioEnergy ?? 0;
      }
    }
    return total;
  });
}

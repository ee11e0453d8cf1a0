import { describe, expect, it } from 'vitest';
import { microphoneKind } from './kind';

describe('the kind of a microphone', () => {
  it.each([
    ['Headset (Jabra Evolve2 40)', 'near'],
    ['Kopfhörer (AirPods Pro)', 'near'],
    ['AirPods Pro', 'near'],
    ['Galaxy Buds2 Pro Hands-Free AG Audio', 'near'],
    ['ヘッドセット (WH-1000XM5)', 'near'],
    ['Internal headset microphone', 'near'],
    ['MacBook Pro Microphone (Built-in)', 'far'],
    ['Mikrofonarray (Realtek(R) Audio)', 'far'],
    ['Eingebautes Mikrofon', 'far'],
    ['HD Pro Webcam C920', 'far'],
    ['内蔵マイク', 'far'],
    ['Jabra Speakerphone 510', 'far'],
    ['Microphone', null],
    ['Default', null],
    ['', null],
  ])('of %s is %s', (label, kind) => {
    expect(microphoneKind(label)).toBe(kind);
  });
});

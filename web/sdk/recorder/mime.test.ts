import { describe, expect, it } from 'vitest';
import { chooseMimeType, isWebKit } from './mime';

const all = () => true;

describe('the container of a recording', () => {
  it('is MP4 where the engine is WebKit, though it says yes to WebM as well', () => {
    expect(chooseMimeType(true, all, true)).toBe('video/mp4;codecs=avc1.42E01E,mp4a.40.2');
    expect(chooseMimeType(false, all, true)).toBe('audio/mp4;codecs=mp4a.40.2');
  });

  it('is WebM elsewhere', () => {
    expect(chooseMimeType(true, all, false)).toBe('video/webm;codecs=vp8,opus');
    expect(chooseMimeType(false, all, false)).toBe('audio/webm;codecs=opus');
  });

  it('is what there is when the first choice is missing, and null when there is none', () => {
    expect(chooseMimeType(true, (type) => type.includes('webm'), true)).toBe('video/webm;codecs=vp8,opus');
    expect(chooseMimeType(false, (type) => type.includes('ogg'), false)).toBe('audio/ogg;codecs=opus');
    expect(chooseMimeType(true, () => false, true)).toBeNull();
  });

  it('knows WebKit by its vendor, on a phone under any name', () => {
    expect(isWebKit({ vendor: 'Apple Computer, Inc.' })).toBe(true);
    expect(isWebKit({ vendor: 'Google Inc.' })).toBe(false);
    expect(isWebKit({ vendor: '' })).toBe(false);
    expect(isWebKit({})).toBe(false);
  });
});

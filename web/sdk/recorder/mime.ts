// VP8 first: it costs the least CPU of what every Chromium and Firefox can write, on a machine that is
// busy with a call. Safari writes MP4 only.
const VIDEO_TYPES = [
  'video/webm;codecs=vp8,opus',
  'video/webm;codecs=vp9,opus',
  'video/webm',
  'video/mp4;codecs=avc1.42E01E,mp4a.40.2',
  'video/mp4',
];
const AUDIO_TYPES = [
  'audio/webm;codecs=opus',
  'audio/mp4;codecs=mp4a.40.2',
  'audio/mp4',
  'audio/ogg;codecs=opus',
];

/** The first container this browser can write, or `null` when it can write none. */
export function chooseMimeType(
  withVideo: boolean,
  isSupported: (type: string) => boolean = (type) => MediaRecorder.isTypeSupported(type),
): string | null {
  return (withVideo ? VIDEO_TYPES : AUDIO_TYPES).find(isSupported) ?? null;
}

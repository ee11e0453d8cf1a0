// VP8 first: it costs the least CPU of what every Chromium and Firefox can write, on a machine that is
// busy with a call.
const WEBM_VIDEO = ['video/webm;codecs=vp8,opus', 'video/webm;codecs=vp9,opus', 'video/webm'];
const MP4_VIDEO = ['video/mp4;codecs=avc1.42E01E,mp4a.40.2', 'video/mp4'];
const WEBM_AUDIO = ['audio/webm;codecs=opus'];
const MP4_AUDIO = ['audio/mp4;codecs=mp4a.40.2', 'audio/mp4'];

/** Safari, and every browser on iOS that is built on it. */
export function isWebKit(navigator: { vendor?: string } | undefined = globalThis.navigator): boolean {
  return navigator?.vendor?.startsWith('Apple') ?? false;
}

/**
 * The first container this browser can write, or `null` when it can write none. WebKit says yes to WebM as well,
 * but MP4 is what it has written for years and what its own players open with a length.
 */
export function chooseMimeType(
  withVideo: boolean,
  isSupported: (type: string) => boolean = (type) => MediaRecorder.isTypeSupported(type),
  webKit = isWebKit(),
): string | null {
  const [webm, mp4] = withVideo ? [WEBM_VIDEO, MP4_VIDEO] : [WEBM_AUDIO, MP4_AUDIO];
  const other = withVideo ? [] : ['audio/ogg;codecs=opus'];
  return (webKit ? [...mp4, ...webm, ...other] : [...webm, ...mp4, ...other]).find(isSupported) ?? null;
}

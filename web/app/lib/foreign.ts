/**
 * Text that someone else wrote, made harmless to show. Control characters are drawn as their pictures, and the two
 * characters that turn the order of letters around become U+FFFD: they could make words read as what was not said.
 * Everything else about direction is kept inside by isolation (see `Foreign.svelte`). Each character stays one, so
 * that quotes are found in it.
 */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Surrogate}\u202d\u202e]/gu, (character) => {
    const code = character.charCodeAt(0);
    if (character === '\n' || character === '\t' || character === '\r') return ' ';
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : '\ufffd';
  });
}

/** Letters and marks that can change the direction of what stands beside them. */
const DIRECTED = /[\u0590-\u08ff\u200e-\u202c\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** The same for places that hold plain text only, such as the title of the window. */
export function isolated(text: string): string {
  const safe = harmless(text);
  return DIRECTED.test(safe) ? `\u2068${safe}\u2069` : safe;
}

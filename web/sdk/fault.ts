/**
 * Something in this page's own code, or in what it expected of the browser, does not work. Trying the same again
 * later would not help, so this is never retried without end and never shown as "the network".
 */
export class PageFault extends Error {
  override readonly name = 'PageFault';
  readonly retryable = false;

  constructor(cause: unknown) {
    super(describe(cause), { cause });
  }

  /** The same for the same fault on every machine, so that whoever helps can tell them apart. */
  get code(): string {
    return supportCode(this.message);
  }
}

/** What JavaScript throws when code is wrong. Only what did not come out of `fetch`, which also rejects like this. */
export function isProgramError(error: unknown): boolean {
  return (
    error instanceof PageFault ||
    error instanceof TypeError ||
    error instanceof ReferenceError ||
    error instanceof RangeError
  );
}

export function describe(error: unknown): string {
  if (error instanceof PageFault) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** FNV-1a over the words of the fault, as six characters. */
export function supportCode(words: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < words.length; index += 1) {
    hash = Math.imul(hash ^ words.charCodeAt(index), 0x01000193);
  }
  return `page-${(hash >>> 0).toString(36).padStart(7, '0').slice(-6)}`;
}

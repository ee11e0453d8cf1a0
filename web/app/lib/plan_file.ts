/** As long as the server reads one. */
const MAX_BYTES = 256 * 1024;

/**
 * The text of a file that somebody chose, as it is: the server's errors name a line and a column of it. Throws an error in words
 * for them.
 */
export async function readPlanFile(file: Blob): Promise<Blob> {
  if (file.size > MAX_BYTES) throw new Error('This file is too long for a plan.');
  // Without a byte order mark.
  const text = await file.text();
  try {
    JSON.parse(text);
  } catch {
    throw new Error('This file is not JSON.');
  }
  return new Blob([text]);
}

/** A name that every file system takes. */
export function planFileName(title: string): string {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '');
  return `${name || 'plan'}.json`;
}

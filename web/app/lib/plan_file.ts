/** As long as the server reads one. */
const MAX_BYTES = 256 * 1024;

/** The document in a file that somebody chose. Throws an error in words for them. */
export async function readPlanFile(file: Blob): Promise<unknown> {
  if (file.size > MAX_BYTES) throw new Error('This file is too long for a plan.');
  try {
    return JSON.parse(await file.text()) as unknown;
  } catch {
    throw new Error('This file is not JSON.');
  }
}

/** A name that every file system takes. */
export function planFileName(title: string): string {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '');
  return `${name || 'plan'}.json`;
}

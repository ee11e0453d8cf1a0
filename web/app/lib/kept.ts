/**
 * Small facts that survive a reload of this tab. Where a browser forbids storage (touching it throws there), they
 * live as long as the page: nothing that is kept here is worth an interview.
 */
const memory = new Map<string, string>();

export const kept = {
  get(key: string): string | null {
    try {
      return globalThis.sessionStorage?.getItem(key) ?? memory.get(key) ?? null;
    } catch {
      return memory.get(key) ?? null;
    }
  },

  set(key: string, value: string): void {
    memory.set(key, value);
    try {
      globalThis.sessionStorage?.setItem(key, value);
    } catch {
      // Full or forbidden.
    }
  },

  /** `null` when there is nothing, or nothing that can be read. */
  read<T>(key: string): T | null {
    try {
      return JSON.parse(this.get(key) ?? 'null') as T | null;
    } catch {
      return null;
    }
  },

  write(key: string, value: unknown): void {
    this.set(key, JSON.stringify(value));
  },
};

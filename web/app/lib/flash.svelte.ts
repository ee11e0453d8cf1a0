/** One sentence for the page that is shown next: what was just done. */
class Flash {
  text = $state<string | null>(null);

  /** Said once. */
  take(): string | null {
    const { text } = this;
    this.text = null;
    return text;
  }
}

export const flash = new Flash();

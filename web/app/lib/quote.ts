export interface Fragment {
  text: string;
  marked: boolean;
}

/** Splits `text` around the first occurrence of `quote`; spaces and letter case may differ. */
export function markQuote(text: string, quote: string): Fragment[] {
  const words = quote.trim().split(/\s+/).filter(Boolean).map(escapePattern);
  const match = words.length > 0 ? new RegExp(words.join('\\s+'), 'iu').exec(text) : null;
  if (!match) return [{ text, marked: false }];
  const end = match.index + match[0].length;
  return [
    { text: text.slice(0, match.index), marked: false },
    { text: match[0], marked: true },
    { text: text.slice(end), marked: false },
  ].filter((fragment) => fragment.text !== '');
}

function escapePattern(word: string): string {
  return word.replace(/[.*+?^${}()|[\]\\/-]/g, (character) =>
    character === '-' || character === '/' ? character : `\\${character}`,
  );
}

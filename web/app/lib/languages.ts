const names = new Intl.DisplayNames(['en'], { type: 'language' });

/** A language as a person calls it: `German`, `English (US)`. */
export function languageName(tag: string): string {
  try {
    return names.of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** Which of these languages is meant by `wanted`: the longest that it begins with (RFC 4647, lookup), as the server finds it. */
export function lookup(wanted: string, offered: readonly string[]): string | undefined {
  const tag = `${wanted.toLowerCase()}-`;
  const fits = offered.filter((one) => tag.startsWith(`${one.toLowerCase()}-`));
  return fits.sort((one, other) => other.length - one.length)[0];
}

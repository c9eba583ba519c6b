/** Texts compared, stripped and quoted as Python does it, so that names and warnings are the same there and here (signs that cannot be seen stay as they are). */

/** Blanks that Python strips from the ends of a text: some control characters belong to them, and the byte order mark does not. */
const BLANK = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const ENDS = new RegExp(`^${BLANK}|${BLANK}$`, "g");

/** Return a text without blanks at its ends. */
export function stripped(text: string): string {
  return text.replace(ENDS, "");
}

/** Compare two texts as Python does; JavaScript compares UTF-16 units, which differs beyond the basic plane. */
export function byCodePoint(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Return a text in single quotes, or in double ones if it holds a single one. */
export function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t").replaceAll("\r", "\\r");
  return quote + (quote === "'" ? inner.replaceAll("'", "\\'") : inner) + quote;
}

/** Return the first of some names, quoted, and how many more there are. */
export function shown(names: readonly string[], most = 3): string {
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).map(quoted).join(", ") + more;
}

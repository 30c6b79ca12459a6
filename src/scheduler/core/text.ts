/** Cuts of text by its length in UTF-8, never within a character, the same on every replica. */

/** As much of the beginning as `most` bytes hold. */
export function firstBytes(text: string, most: number): string {
  // No UTF-16 unit takes more than three bytes.
  if (text.length * 3 <= most) return text;
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += bytesOf(character.codePointAt(0) ?? 0);
    if (bytes > most) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** As much of the end as `most` bytes hold. */
export function lastBytes(text: string, most: number): string {
  if (text.length * 3 <= most) return text;
  let bytes = 0;
  let start = text.length;
  while (start > 0) {
    const pair = start > 1 ? (text.codePointAt(start - 2) ?? 0) : 0;
    const width = pair > 0xffff ? 2 : 1;
    bytes += bytesOf(width === 2 ? pair : text.charCodeAt(start - 1));
    if (bytes > most) break;
    start -= width;
  }
  return text.slice(start);
}

function bytesOf(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}

/** Lines of text that a terminal would break anywhere, broken between words. */
import stringWidth from 'string-width';

/** What goes on below the first line stands further to the right than it. */
const HANGING = '  ';
/** With the spaces before it. A command that a sentence quotes is one word: it may be copied. */
const WORD = / *(?:(?<=(?:^| )\(?)(?:"(?:npx )?jarvis\w* [^"]*"|`[^`]*`)|[^ ])+/g;

/** @param available columns; undefined: nothing has to fit */
export function wrapLine(line: string, available: number | undefined): readonly string[] {
  if (available === undefined || stringWidth(line) <= available) return [line];
  const indent = /^ */.exec(line)?.[0] ?? '';
  const lines: string[] = [];
  let current = '';
  for (const [word] of line.matchAll(WORD)) {
    const longer = `${current}${word}`;
    // A word that is longer than a line stays whole: the terminal breaks it.
    if (current === '' || stringWidth(longer) <= available) current = longer;
    else {
      lines.push(current);
      current = `${indent}${HANGING}${word.trimStart()}`;
    }
  }
  return [...lines, current];
}

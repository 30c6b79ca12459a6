/**
 * What JSON.parse lets through without a word: names that stand twice in one object, of which it keeps the last, and
 * numbers that are not kept as they were written.
 */
export interface JsonFinding {
  readonly type: 'duplicate' | 'number';
  readonly path: readonly (string | number)[];
  /** The name, or the number as it was written. */
  readonly written: string;
}

const MOST = 50;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** Whatever has fewer digits is kept. */
const KEPT_CHARACTERS = 15;

interface Level {
  /** Of an object; null: a list. */
  readonly names: Set<string> | null;
  at: string | number;
  isNameNext: boolean;
}

/**
 * At most 50 of them, in the order of the text. Without recursion: the text is a stranger's.
 * @param text JSON that JSON.parse takes; anything else gives no sense, and no error
 */
export function jsonFindings(text: string): readonly JsonFinding[] {
  const levels: Level[] = [];
  const found: JsonFinding[] = [];
  const path = (): readonly (string | number)[] => levels.map(({ at }) => at);
  for (let position = 0; position < text.length && found.length < MOST;) {
    const level = levels.at(-1);
    const character = text[position] ?? '';
    if (character === '"') {
      const end = endOfString(text, position);
      if (level?.isNameNext === true) {
        const name = nameOf(text.slice(position, end));
        level.at = name;
        level.isNameNext = false;
        if (level.names?.has(name) === true) found.push({ type: 'duplicate', path: path(), written: name });
        level.names?.add(name);
      }
      position = end;
    } else if (character === '-' || (character >= '0' && character <= '9')) {
      NUMBER.lastIndex = position;
      const written = NUMBER.exec(text)?.[0] ?? character;
      if (!isKept(written)) found.push({ type: 'number', path: path(), written });
      position += written.length;
    } else {
      if (character === '{') levels.push({ names: new Set(), at: '', isNameNext: true });
      else if (character === '[') levels.push({ names: null, at: 0, isNameNext: false });
      else if (character === '}' || character === ']') levels.pop();
      else if (character === ',' && level !== undefined) advance(level);
      position += 1;
    }
  }
  return found;
}

function advance(level: Level): void {
  if (typeof level.at === 'number') level.at += 1;
  else level.isNameNext = true;
}

/** Behind its closing quote. */
function endOfString(text: string, begin: number): number {
  for (let quote = text.indexOf('"', begin + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let before = quote;
    while (text[before - 1] === '\\') before -= 1;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
  return text.length;
}

function nameOf(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

function isKept(written: string): boolean {
  if (written.length <= KEPT_CHARACTERS && !/[eE]/.test(written)) return true;
  const value = Number(written);
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}

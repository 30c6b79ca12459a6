/** JSON and YAML that a terminal can show: what would be a command to it is written as an escape, which reads the same. */
import { Document, isScalar, visit } from 'yaml';

// Those below U+0020 both languages escape by themselves. oxlint-disable-next-line no-control-regex
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** @param indent spaces; absent: all on one line */
export function jsonText(value: unknown, indent?: number): string {
  return escaped(JSON.stringify(value, null, indent));
}

/** Ends with an end of line. */
export function yamlText(value: unknown): string {
  const document = new Document(value);
  visit(document, (_key, node) => {
    // Only between these quotes there are escapes.
    if (isScalar(node) && typeof node.value === 'string' && node.value.search(UNSAFE) >= 0)
      node.type = 'QUOTE_DOUBLE';
  });
  return escaped(document.toString({ lineWidth: 0 }));
}

function escaped(text: string): string {
  return text.replaceAll(
    UNSAFE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** What docs/storage.md tells operators that they will read is what the product says, word for word. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..');
const HEADINGS = '| fault | what the node does | what it prints | what to do | shown by |';

interface Row {
  readonly fault: string;
  readonly messages: readonly string[];
  readonly tests: readonly string[];
}

function rows(): readonly Row[] {
  const lines = readFileSync(path.join(root, 'docs/storage.md'), 'utf8').split('\n');
  const start = lines.findIndex((line) => line.replaceAll(/ +/g, ' ') === HEADINGS);
  const table = lines.slice(start + 2);
  const end = table.findIndex((line) => !line.startsWith('|'));
  return table.slice(0, end).map((line) => {
    const [, fault = '', , printed = '', , tests = ''] = line.split('|');
    return { fault: fault.trim(), messages: quoted(printed), tests: quoted(tests) };
  });
}

function quoted(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
}

/** All texts of the product, pieces put together, with `…` for what is put in. */
function texts(): string {
  const files = globSync('src/**/*.ts', { cwd: root }).filter((file) => !/\.test(-kit)?\.ts$/.test(file));
  return files
    .map((file) => readFileSync(path.join(root, file), 'utf8'))
    .join('\n')
    .replaceAll(/['"`]\s*\+\s*['"`]/g, '')
    .replaceAll(/\$\{[^{}]*\}/g, '…');
}

describe('the table of storage faults', () => {
  it('names every fault that the tests cause', () => {
    expect(rows().length).toBeGreaterThanOrEqual(25);
  });

  const product = texts();
  it.each(rows())('tells what is printed for $fault, and which test shows it', ({ messages, tests }) => {
    expect(messages.filter((message) => !product.includes(message))).toEqual([]);
    expect(messages).not.toEqual([]);
    expect(tests.filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
    expect(tests).not.toEqual([]);
  });
});

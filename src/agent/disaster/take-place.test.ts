import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { messageOf } from '../../lib/errors.ts';
import { newRoot } from '../recovery.test-kit.ts';
import { findReady, markReady, takePlace, WORK } from './take-place.ts';

const MADE = { kept: 'before', clusterId: 'new', epoch: 9 };

async function prepare(): Promise<string> {
  const root = newRoot();
  for (const store of ['log', 'snapshots', 'state']) fill(path.join(root, store), 'old');
  writeFileSync(path.join(root, 'identity.json'), 'old');
  writeFileSync(path.join(root, 'starts.json'), 'stays');
  for (const store of ['log', 'snapshots']) fill(path.join(root, WORK, store), 'new');
  writeFileSync(path.join(root, WORK, 'identity.json'), 'new');
  await markReady(root, MADE);
  return root;
}

function fill(directory: string, content: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'file'), content);
}

/** All files with their contents. */
function content(root: string): Readonly<Record<string, string>> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [path.relative(root, file), readFileSync(file, 'utf8')];
    }),
  );
}

const DONE = {
  'log/file': 'new',
  'snapshots/file': 'new',
  'identity.json': 'new',
  'starts.json': 'stays',
  'before/log/file': 'old',
  'before/snapshots/file': 'old',
  'before/state/file': 'old',
  'before/identity.json': 'old',
};

async function steps(root: string): Promise<readonly string[]> {
  const seen: string[] = [];
  await takePlace(root, MADE, (step) => seen.push(step));
  return seen;
}

function crashAt(step: string) {
  return (seen: string): void => {
    if (seen === step) throw new Error('a crash');
  };
}

describe('what a recovery has made', () => {
  it('takes the place of what was there, which is kept', async () => {
    const root = await prepare();
    expect(await findReady(root)).toEqual(MADE);
    expect(await steps(root)).toHaveLength(9);
    expect(content(root)).toEqual(DONE);
    expect(await findReady(root)).toBeNull();
  });

  it('does so after a crash behind any step, and after one more in what follows', async () => {
    for (const step of await steps(await prepare())) {
      const root = await prepare();
      await expect(takePlace(root, MADE, crashAt(step))).rejects.toThrow('a crash');
      const again = await findReady(root);
      // None is to be found behind the last step.
      const second =
        again === null ? '' : await takePlace(root, again, crashAt('removed the rest')).catch(messageOf);
      expect(second).toBe(again === null ? '' : 'a crash');
      expect(content(root)).toEqual(DONE);
    }
  });
});

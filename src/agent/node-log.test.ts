import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { LogLevels } from '../lib/log-levels.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { tokenText } from '../lib/token-text.ts';
import { localLogLevel } from '../operations/log-level.ts';
import { createNodeLog } from './node-log.ts';

function parts() {
  const clock = new VirtualClock();
  const levels = new LogLevels('info', clock);
  const lines: Record<string, unknown>[] = [];
  const destination = {
    write: (text: string): void => void lines.push(JSON.parse(text) as Record<string, unknown>),
  };
  const log = createNodeLog({ node: 'n1', levels, enabled: true, destination });
  const messages = (): unknown[] => lines.splice(0).map(({ msg }) => msg);
  return { clock, levels, log, lines, messages };
}

it('the log, its children and theirs follow a change, and the one back', async () => {
  const { clock, levels, log, messages } = parts();
  const child = log.child({ term: 1 });
  const grandchild = child.child({ peer: 'n2' });
  const say = (): void => {
    log.debug({}, 'log');
    child.debug({}, 'child');
    grandchild.debug({}, 'grandchild');
    grandchild.child({ task: 't' }).debug({}, 'made later');
  };
  say();
  expect(messages()).toEqual([]);
  levels.set('debug', 1000);
  say();
  expect(messages()).toEqual(['log', 'child', 'grandchild', 'made later']);
  await clock.advance(1000);
  say();
  expect(messages()).toEqual([]);
  levels.set('fatal', null);
  child.error({}, 'error');
  expect(messages()).toEqual([]);
});

it('a change and the one back are lines of JSON, also where nothing else is', async () => {
  const { clock, levels, log, lines } = parts();
  localLogLevel('n1', levels, log).set('fatal', 1000);
  await clock.advance(1000);
  expect(lines).toEqual([
    expect.objectContaining({ node: 'n1', level: 'error', before: 'info', after: 'fatal', forMs: 1000 }),
    expect.objectContaining({ node: 'n1', level: 'error', before: 'fatal', after: 'info', forMs: null }),
  ]);
});

it('secrets of tokens are left out, and nothing is written where it is turned off', () => {
  const { levels, log, lines } = parts();
  const token = tokenText({ id: 'abcdefghjkmn', secret: 's'.repeat(43) });
  log.info({ token }, 'seen');
  expect(lines).toEqual([expect.objectContaining({ token: 'jarvis_abcdefghjkmn_…' })]);
  const written: string[] = [];
  const destination = { write: (text: string): void => void written.push(text) };
  createNodeLog({ node: 'n1', levels, enabled: false, destination }).error({}, 'seen');
  expect(written).toEqual([]);
});

/** What the program gives its log in fields, by the file that does. */
function* loggedFields(): Generator<readonly [file: string, field: string]> {
  const root = path.join(import.meta.dirname, '..');
  for (const file of globSync('**/*.ts', { cwd: root, exclude: ['**/*.test.ts', '**/*.test-kit.ts'] })) {
    const source = readFileSync(path.join(root, file), 'utf8');
    const calls = source.matchAll(/[lL]og\.(?:trace|debug|info|warn|error|child)\(\s*\{([^{}]*)\}/g);
    for (const [, fields = ''] of calls)
      for (const [, field = ''] of fields.matchAll(/(?:^|,)\s*([A-Za-z]+)(?=\s*[:,]|\s*$)/g))
        yield [file, field];
  }
}

it('no line says anything twice, or by two names', () => {
  const fields = [...loggedFields()];
  expect(fields.length).toBeGreaterThan(150);
  // A line would have two of them, of which readers take one or the other; tasks are `task`.
  const own = new Set(['node', 'level', 'time', 'msg', 'taskId']);
  expect(fields.filter(([, field]) => own.has(field))).toEqual([]);
});

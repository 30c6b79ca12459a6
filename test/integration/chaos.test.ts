/** The chaos run as a program: short ones, one with a mistake in it, and one that is interrupted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { HistoryOperation } from '../chaos/history.ts';
import { checkHistory } from '../chaos/linearizability.ts';
import { processesOf } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

const PROGRAM = fileURLToPath(new URL('../chaos/main.ts', import.meta.url));
const LIGHT = ['--seed', '1', '--workload', 'tasks,registers'];

let directory: string;
let out: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'jarvis-chaos-test-'));
  out = path.join(directory, 'out');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** All that it makes outside of its `--out` is below `directory`, too. */
function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [PROGRAM, '--out', out, ...LIGHT, ...args], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, stderr }));
  return { child, ended };
}

/** But for what is asked for. */
async function expectNothingLeft(): Promise<void> {
  await waitFor('the last of it to go', () => processesOf(directory).length === 0);
  await waitFor('its directories to go', () => readdirSync(directory).every((name) => name === 'out'));
  expect(readdirSync(directory)).toEqual(['out']);
}

function read(name: string): string {
  return readFileSync(path.join(out, name), 'utf8');
}

describe('a chaos run', () => {
  it('finds no fault where there is none, and leaves a history that others can check', async () => {
    const { status, stderr } = await start('--seconds', '6', '--nemesis', 'cut').ended;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const report = JSON.parse(read('report.json')) as { passed: boolean; inflicted: object };
    expect(report).toMatchObject({ passed: true, inflicted: { cut: 1 } });
    const history = read('history.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as HistoryOperation);
    expect(history.length).toBeGreaterThan(10);
    expect(checkHistory(history).size).toBe(0);
    await expectNothingLeft();
  });

  it('ends with 1 where a mistake was planted, and says who found it', async () => {
    // Long enough for many a cancellation of what is over, also on a machine that is busy.
    const args = ['--seconds', '25', '--nemesis', 'none', '--plant', 'cancelled-after-all'];
    const { status, stderr } = await start(...args).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/^FAIL seed 1, plant cancelled-after-all$/m);
    expect(stderr).toMatch(/^caught by: .*o(rder|utcomes)/m);
    await expectNothingLeft();
  });

  it('that is interrupted ends with 130 and leaves nothing', async () => {
    const { child, ended } = start('--seconds', '60', '--nemesis', 'pause-daemon,cut');
    await waitFor(
      'a fault',
      () => readdirSync(out).includes('nemesis.jsonl') && read('nemesis.jsonl') !== '',
    );
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    await expectNothingLeft();
  });

  it('that is killed leaves nothing either', async () => {
    const { child, ended } = start('--seconds', '60', '--nemesis', 'pause-daemon');
    await waitFor(
      'a fault',
      () => readdirSync(out).includes('nemesis.jsonl') && read('nemesis.jsonl') !== '',
    );
    child.kill('SIGKILL');
    expect((await ended).status).toBe(null);
    await expectNothingLeft();
  });
});

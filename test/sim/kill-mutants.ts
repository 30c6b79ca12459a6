/** Every mutant in a process of its own: the simulator must find each within a bounded number of seeds. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { MUTANTS } from './mutants.ts';
import { ROOT } from './mutate.ts';

interface Death {
  /** Seeds that it took, or null where it survived them all. */
  readonly seeds: number | null;
  readonly violation: string;
}

function kill(mutant: string, seed: number, count: number): Death {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-mutant-'));
  try {
    const file = path.join(directory, 'result.json');
    const main = path.join(import.meta.dirname, 'main.ts');
    const args = [main, '--seed', `${seed}`, '--count', `${count}`, '--mutant', mutant, '--json', file];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
    if (status === 0) return { seeds: null, violation: '' };
    if (status !== 1)
      throw new Error(`the run of mutant ${mutant} ended with ${status}: ${stderr.slice(-2000)}`);
    const result = JSON.parse(readFileSync(file, 'utf8')) as {
      count: number;
      failure: { violation: string };
    };
    return { seeds: result.count, violation: result.failure.violation.split('\n')[0] ?? '' };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns whether none survived */
export function killAll(seed: number, count: number): boolean {
  let survivors = 0;
  for (const { name } of MUTANTS) {
    const { seeds, violation } = kill(name, seed, count);
    if (seeds === null) survivors += 1;
    console.log(
      seeds === null ? `SURVIVED ${name}` : `killed ${name} after ${seeds} seeds: ${violation.slice(0, 140)}`,
    );
  }
  console.log(`sim: ${MUTANTS.length - survivors} of ${MUTANTS.length} mutants killed, from seed ${seed}`);
  return survivors === 0;
}

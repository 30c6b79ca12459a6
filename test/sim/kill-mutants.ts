/** Every mutant in a process of its own, as many at once as there are processors: each must be found within a bounded number of seeds. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';

import { MUTANTS } from './mutants.ts';
import { ROOT } from './mutate.ts';

interface Death {
  /** Seeds that it took, or null where it survived them all. */
  readonly seeds: number | null;
  readonly violation: string;
}

/** A mutant is dead where the simulator says which invariant broke, and not where its process just ended badly. */
async function kill(mutant: string, seed: number, count: number): Promise<Death> {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-mutant-'));
  try {
    const file = path.join(directory, 'result.json');
    const main = path.join(import.meta.dirname, 'main.ts');
    const args = [main, '--seed', `${seed}`, '--count', `${count}`, '--mutant', mutant, '--json', file];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4000);
    });
    const [status] = (await once(child, 'close')) as [number | null];
    if (status === 0) return { seeds: null, violation: '' };
    const result = existsSync(file)
      ? (JSON.parse(readFileSync(file, 'utf8')) as { count: number; failure: { violation: string } | null })
      : null;
    if (status !== 1 || result === null || result.failure === null)
      throw new Error(`the run of mutant ${mutant} ended with ${status} and found nothing: ${stderr}`);
    return { seeds: result.count, violation: result.failure.violation.split('\n')[0] ?? '' };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @returns whether none survived */
export async function killAll(seed: number, count: number): Promise<boolean> {
  const waiting = [...MUTANTS];
  let survivors = 0;
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const { name } = mutant;
      const { seeds, violation } = await kill(name, seed, count);
      if (seeds === null) survivors += 1;
      console.log(
        seeds === null
          ? `SURVIVED ${name}`
          : `killed ${name} after ${seeds} seeds: ${violation.slice(0, 140)}`,
      );
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, () => work()));
  console.log(`sim: ${MUTANTS.length - survivors} of ${MUTANTS.length} mutants killed, from seed ${seed}`);
  return survivors === 0;
}

// Runs every scripts/generate-*.mjs, with what it is given itself: `--check` only says whether what is checked in is current.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';

const generators = readdirSync(import.meta.dirname).filter((name) => /^generate-.*\.mjs$/.test(name));
for (const name of generators.sort()) {
  const args = [path.join(import.meta.dirname, name), ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status === 0) continue;
  console.error(`scripts/${name} failed`);
  process.exitCode = 1;
}

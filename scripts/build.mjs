// Compiles src to dist. Run by `npm ci` (prepare), so that `npx jarvisctl` works at once.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const output = path.join(root, 'dist');
rmSync(output, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
for (const program of ['agent/main.js', 'cli/main.js']) {
  const file = path.join(output, program);
  if (!existsSync(file)) throw new Error(`the build made no ${file}`);
  chmodSync(file, 0o755);
}

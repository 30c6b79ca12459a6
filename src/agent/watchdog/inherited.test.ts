import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it } from 'vitest';

/** Above a gap: Node itself sees to those that follow the streams without one. */
const DESCRIPTOR = 39;

it('nothing that a process was started with goes on to those that it starts', () => {
  const directory = mkdtempSync(join(tmpdir(), 'jarvis-inherited-'));
  const path = join(directory, 'database');
  const file = openSync(path, 'w');
  try {
    const script = `
      const { spawnSync } = await import('node:child_process');
      const { closeInherited } = await import(process.argv[1]);
      const list = () => spawnSync('sh', ['-c', 'readlink /proc/$$/fd/*'], { encoding: 'utf8' }).stdout;
      const before = list();
      closeInherited();
      console.log(JSON.stringify([before, list()]));
    `;
    const module = new URL('./inherited.ts', import.meta.url).href;
    const others = Array.from({ length: DESCRIPTOR - 3 }, () => 'ignore' as const);
    const { stdout } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, module],
      { stdio: ['ignore', 'pipe', 'inherit', ...others, file], encoding: 'utf8' },
    );
    const [before, after] = JSON.parse(stdout) as [string, string];
    expect(before).toContain(path);
    expect(after).not.toContain(path);
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
});

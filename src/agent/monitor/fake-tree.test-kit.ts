/** For tests: files of the kernel as a tree of texts in a directory of its own. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { onTestFinished } from 'vitest';

export class FakeTree {
  readonly root = mkdtempSync(path.join(tmpdir(), 'jarvis-monitor-'));

  constructor() {
    onTestFinished(() => rmSync(this.root, { recursive: true }));
  }

  /** @param files text by path below the root */
  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(this.root, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }

  link(name: string, target: string): void {
    mkdirSync(path.dirname(path.join(this.root, name)), { recursive: true });
    symlinkSync(target, path.join(this.root, name));
  }

  remove(name: string): void {
    rmSync(path.join(this.root, name), { recursive: true });
  }

  /** proc_pid_mountinfo(5): hierarchies of version 1 by controller in a folder of that name, or the one of version 2 at the root. */
  mountinfo(version: 1 | 2, controllers: readonly string[] = []): string {
    if (version === 2) return `30 20 0:1 / ${this.root} rw - cgroup2 cgroup2 rw\n`;
    const lines = controllers.map(
      (name) => `31 20 0:2 / ${path.join(this.root, name)} rw - cgroup cgroup rw,${name}`,
    );
    return [...lines, `40 20 0:9 / ${path.join(this.root, 'unified')} rw - cgroup2 cgroup2 rw`, ''].join(
      '\n',
    );
  }
}

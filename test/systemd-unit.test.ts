/** That the service file of deploy/systemd is one that systemd takes, and keeps what tasks depend on. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

const INSTALLED = '/opt/jarvis';
const ANALYZE = '/usr/bin/systemd-analyze';
const root = path.join(import.meta.dirname, '..');
const text = readFileSync(path.join(root, 'deploy/systemd/jarvisd.service'), 'utf8');

function settings(): Map<string, string> {
  const lines = text.split('\n').filter((line) => /^\w+=/.test(line));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

describe('the systemd service', () => {
  it('leaves tasks alone when it is restarted, and their control groups to the node', () => {
    expect(Object.fromEntries(settings())).toMatchObject({
      KillMode: 'process',
      Delegate: 'yes',
      OOMPolicy: 'continue',
      TasksMax: 'infinity',
      Restart: 'on-failure',
      RestartPreventExitStatus: '2',
    });
    expect(Number(settings().get('LimitNOFILE'))).toBeGreaterThanOrEqual(65_536);
  });

  it('gives the node no file systems of its own, which its tasks would keep over a restart', () => {
    for (const name of settings().keys())
      expect(name).not.toMatch(
        /^(Private(?!Users)|Protect|ReadOnly|ReadWrite|Inaccessible|Temporary|Root|Bind|DynamicUser)/,
      );
  });

  it('starts programs that the build makes', () => {
    const start = settings().get('ExecStart') ?? '';
    const { bin } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      bin: Record<string, string>;
    };
    expect(start).toContain(`${INSTALLED}/node_modules/.bin/node ${INSTALLED}/${bin['jarvisd']} `);
  });

  it.runIf(existsSync(ANALYZE))('passes systemd-analyze verify', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'jarvis-unit-'));
    try {
      const file = path.join(folder, 'jarvisd.service');
      // It looks whether programs and documents are there: they are here, not yet below the place of installation.
      writeFileSync(
        file,
        text.replaceAll(`${INSTALLED}/node_modules/.bin/node`, process.execPath).replaceAll(INSTALLED, root),
      );
      const { status, stdout, stderr } = spawnSync(ANALYZE, ['verify', '--man=no', file], {
        encoding: 'utf8',
      });
      expect({ status, said: `${stdout}${stderr}` }).toEqual({ status: 0, said: '' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

import { describe, expect, it } from 'vitest';

import { silentLog } from '../../../lib/log.ts';
import type { Cgroups } from '../../cgroups/cgroups.ts';
import type { Engine } from './engine.ts';
import { Killer } from './killer.ts';

/** An engine that answers nothing before it is given up. */
function killerOfStoppedEngine() {
  const asked: string[] = [];
  const killed: string[] = [];
  const engine = {
    kill: (id: string, name: string, signal: AbortSignal) => {
      asked.push(`${name} ${id}`);
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
  };
  const cgroups = { kill: (cgroup: string) => killed.push(cgroup) };
  const killer = new Killer({
    id: 'c1',
    cgroup: '/g',
    engine: engine as unknown as Engine,
    cgroups: cgroups as unknown as Cgroups,
    ring: () => {},
    log: silentLog,
  });
  return { asked, killed, killer };
}

describe('what must not run any longer', () => {
  it('is killed by host pid at once, whatever the engine does', () => {
    const { killed, killer } = killerOfStoppedEngine();
    killer.end(0);
    expect(killed).toEqual(['/g']);
    killer.stop();
  });

  it('is so also where it has a grace', () => {
    const { asked, killed, killer } = killerOfStoppedEngine();
    killer.end(60_000);
    expect([asked, killed]).toEqual([['SIGTERM c1'], []]);
    killer.end(0);
    expect(killed).toEqual(['/g']);
    killer.stop();
  });
});

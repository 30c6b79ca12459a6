import { describe, expect, it } from 'vitest';

import type { Reply } from './protocol.ts';
import { PROTOCOL } from './protocol.ts';
import { Requests, type RequestsOptions } from './requests.ts';

/** Of a watchdog that has no attempts: what is asked here is of sessions alone. */
function requests(saveSession: (session: number) => Promise<void>): Requests {
  const nothing = {} as unknown;
  return new Requests({
    table: nothing as RequestsOptions['table'],
    lease: nothing as RequestsOptions['lease'],
    guards: { beginSession: () => {} } as RequestsOptions['guards'],
    session: 4,
    saveSession,
    diagnose: () => {},
    onShutdown: () => {},
    pid: 17,
  });
}

async function hello(to: Requests, session: number): Promise<Reply> {
  return to.answer({ id: 1, type: 'hello', protocol: PROTOCOL, session }, () => {});
}

const WELCOME = { id: 1, answer: { protocol: PROTOCOL, pid: 17 } };

describe('a session', () => {
  it('is written again where a disk did not take it', async () => {
    const saved: number[] = [];
    let fails = 1;
    const told = requests(async (session) => {
      fails -= 1;
      if (fails >= 0) throw new Error('no space left on device');
      saved.push(session);
    });
    expect(await hello(told, 5)).toMatchObject({ refusal: { code: 'internal' } });
    expect(await hello(told, 5)).toEqual(WELCOME);
    expect(await hello(told, 5)).toEqual(WELCOME);
    expect(saved).toEqual([5]);
  });

  it('is not written while another is', async () => {
    const saved: number[] = [];
    let writing = 0;
    const told = requests(async (session) => {
      writing += 1;
      expect(writing).toBe(1);
      await Promise.resolve();
      writing -= 1;
      saved.push(session);
    });
    const [older, newer] = await Promise.all([hello(told, 5), hello(told, 6)]);
    expect(older).toMatchObject({ refusal: { code: 'conflict' } });
    expect(newer).toEqual(WELCOME);
    expect(saved.at(-1)).toBe(6);
  });
});

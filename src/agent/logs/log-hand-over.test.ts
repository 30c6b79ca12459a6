import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { LogPiece } from '../../generated/log_hand_over.ts';
import { JarvisError } from '../../lib/errors.ts';
import { Bed, CLUSTER_ID } from './hand-over.test-kit.ts';

const never = new AbortController().signal;
const DONE = { failed: 0, reason: '', running: 0 };

let bed: Bed;

beforeEach(() => {
  bed = new Bed();
});

afterEach(() => bed.remove());

describe('a node that leaves', () => {
  it('hands over all that is over, byte for byte and with its age, the newest first', async () => {
    bed.receiver('n2');
    for (const at of [2, 8, 1, 3, 6, 5, 7, 4]) bed.keep('n1', `task-${at}`, at, 100_000);
    bed.keep('n1', 'task-running', 9);
    bed.record('n1', 'task-running');
    const result = await bed.handOver('n1').run(never);
    expect(result).toMatchObject({ ...DONE, holder: 'n2', attempts: 8, running: 1 });
    expect(bed.recorded).toEqual(['n2']);
    // Four at a time.
    expect(bed.sent.slice(0, 4).toSorted()).toEqual([5, 6, 7, 8].map((at) => `task-${at}>n2`));
    expect(bed.sent).toHaveLength(8);
    for (const at of [1, 2, 3, 8])
      expect(bed.content('n2', `task-${at}`)).toEqual(bed.content('n1', `task-${at}`));
    expect(bed.content('n2', 'task-running')).toBeNull();
    const file = path.join(bed.directory('n2'), 'tasks', 'task-1', '1', 'log.000010');
    expect(statSync(file).mtimeMs).toBe(Date.UTC(2026, 0, 1) + 1000);
    // Nothing is left aside, and what was taken counts.
    expect(existsSync(path.join(bed.directory('n2'), 'logs-incoming', 'task-1.1.1'))).toBe(false);
    expect(bed.rooms.get('n2')).toBeLessThan(2 ** 30 - 800_000);
  });

  it('has nothing to record where it kept nothing', async () => {
    bed.receiver('n2');
    expect(await bed.handOver('n1').run(never)).toEqual({ ...DONE, holder: null, attempts: 0, bytes: 0 });
    expect(bed.recorded).toEqual([]);
  });

  it('goes to the node with the most room', async () => {
    bed.receiver('n2', 100_000);
    bed.receiver('n3', 200_000);
    bed.receiver('n4', 0);
    bed.keep('n1', 'task-1', 1);
    expect(await bed.handOver('n1').run(never)).toMatchObject({ ...DONE, holder: 'n3' });
  });

  it('says so where nobody can take them', async () => {
    bed.receiver('n2', 0);
    bed.keep('n1', 'task-1', 1);
    const result = await bed.handOver('n1').run(never);
    expect(result).toMatchObject({ holder: null, failed: 1, reason: 'no other node can take them' });
  });

  it('hands over as much as there is room for, and says what is missing', async () => {
    bed.receiver('n2', 1000);
    for (const at of [1, 2, 3, 4]) bed.keep('n1', `task-${at}`, at, 200);
    const result = await bed.handOver('n1').run(never);
    expect(result).toMatchObject({
      holder: 'n2',
      reason: expect.stringMatching(/^there is no room for .*, only for /),
    });
    expect(result.attempts + result.failed).toBe(4);
    expect(result.failed).toBeGreaterThan(0);
    expect(bed.recorded).toEqual(['n2']);
  });

  it('sends again what was damaged or broke off on its way, and nothing twice that has arrived', async () => {
    bed.receiver('n2');
    bed.keep('n1', 'task-1', 1, 300_000);
    let tries = 0;
    bed.onSend = (_to, pieces) => {
      tries += 1;
      return tries === 1 ? damaged(pieces) : tries === 2 ? cutOff(pieces) : pieces;
    };
    const handOver = bed.handOver('n1');
    expect(await handOver.run(never)).toMatchObject({ ...DONE, attempts: 1 });
    expect(bed.content('n2', 'task-1')).toEqual(bed.content('n1', 'task-1'));
    expect(tries).toBe(3);
    // Only headers travel the second time.
    bed.onSend = (_to, pieces) => only('header', pieces);
    expect(await handOver.run(never)).toMatchObject({ ...DONE, attempts: 1 });
  });

  it('begins anew with another node where the first is lost in the middle', async () => {
    bed.receiver('n2', 2 ** 31);
    bed.receiver('n3');
    for (let at = 0; at < 10; at += 1) bed.keep('n1', `task-${at}`, at);
    let sends = 0;
    bed.onSend = (to, pieces) => {
      sends += 1;
      if (to === 'n2' && sends > 3) throw new JarvisError('unavailable', 'n2 is down');
      return pieces;
    };
    expect(await bed.handOver('n1').run(never)).toMatchObject({ ...DONE, holder: 'n3', attempts: 10 });
    expect(bed.recorded).toEqual(['n3']);
  });

  it('ends when its time is over, with what has arrived by then', async () => {
    bed.receiver('n2');
    for (let at = 0; at < 10; at += 1) bed.keep('n1', `task-${at}`, at);
    const time = new AbortController();
    let sends = 0;
    bed.onSend = (_to, pieces) => {
      sends += 1;
      if (sends === 6) time.abort();
      return pieces;
    };
    const result = await bed.handOver('n1').run(time.signal);
    expect(result.failed).toBe(10);
    expect(result.reason).toMatch(/the cluster does not know that n2 has them|the time for it is over/);
  });

  it('insists on the cluster knowing where they are', async () => {
    bed.receiver('n2');
    bed.keep('n1', 'task-1', 1);
    let tries = 0;
    bed.onRecord = () => {
      tries += 1;
      if (tries < 3) throw new JarvisError('no_leader', 'no leader is known');
    };
    expect(await bed.handOver('n1').run(never)).toMatchObject({ ...DONE, holder: 'n2' });
    expect(bed.recorded).toEqual(['n2']);
  });

  it('goes to those that whoever asks knows of, where that names any', async () => {
    bed.receiver('n2');
    bed.receiver('n3', 1_000_000);
    bed.keep('n1', 'task-1', 1);
    const told = [{ name: 'n3', address: 'n3' }];
    expect(await bed.handOver('n1').run(never, told)).toMatchObject({ holder: 'n3', attempts: 1 });
    expect(await bed.handOver('n1').run(never, [])).toMatchObject({ holder: 'n2', attempts: 1 });
  });

  it('does it once at a time, and passes over what retention removes meanwhile', async () => {
    bed.receiver('n2');
    bed.keep('n1', 'task-1', 1);
    bed.keep('n1', 'task-2', 2);
    bed.onSend = (_to, pieces) => {
      rmSync(path.join(bed.directory('n1'), 'tasks', 'task-1'), { recursive: true, force: true });
      return pieces;
    };
    const handOver = bed.handOver('n1');
    const [one, two] = await Promise.all([handOver.run(never), handOver.run(never)]);
    expect(one).toBe(two);
    expect(one.failed).toBe(0);
    expect(handOver.progress).toBeNull();
  });
});

describe('a node that takes logs', () => {
  const data = Buffer.from('data');
  const header = { cluster_id: CLUSTER_ID, task_id: 'task-1', assignment: 1, ended_ms: 1, bytes: 4 };
  const piece = { sequence: 1, data, checksum: 0xadf3f363 };

  function head(changes: Partial<typeof header> = {}): LogPiece {
    return { kind: { $case: 'header', value: { ...header, ...changes } } };
  }
  function body(changes: Partial<typeof piece> = {}): LogPiece {
    return { kind: { $case: 'data', value: { ...piece, ...changes } } };
  }

  it('has what it was sent', async () => {
    const receiver = bed.receiver('n2');
    expect(await receiver.take(iterate(head(), body(), end()))).toEqual({ was_held: false });
    expect(await receiver.take(iterate(head()))).toEqual({ was_held: true });
  });

  it.each([
    ['another cluster', [head({ cluster_id: 'other' })], 'forbidden'],
    ['an id that leads out of its place', [head({ task_id: '../../etc' })], 'invalid'],
    ['an assignment that is none', [head({ assignment: -1 })], 'invalid'],
    ['more than there is room for', [head({ bytes: 2 ** 40 })], 'too_many'],
    ['no header', [body()], 'malformed'],
    ['nothing', [], 'malformed'],
    ['a second header', [head(), head()], 'malformed'],
    ['a wrong checksum', [head(), body({ checksum: 1 }), end()], 'unavailable'],
    ['no end', [head(), body()], 'unavailable'],
    ['less than was announced', [head({ bytes: 5 }), body(), end(5)], 'malformed'],
    ['more than was announced', [head(), body(), body(), end()], 'malformed'],
    ['files that do not rise', [head({ bytes: 8 }), body({ sequence: 2 }), body(), end(8)], 'malformed'],
  ] as const)('refuses %s, and keeps nothing of it', async (_what, pieces, code) => {
    const receiver = bed.receiver('n2');
    await expect(receiver.take(iterate(...pieces))).rejects.toMatchObject({ code });
    expect(bed.content('n2', 'task-1')).toBeNull();
    expect(await receiver.take(iterate(head(), body(), end()))).toEqual({ was_held: false });
  });

  it('forgets what an earlier start has received in part', async () => {
    const aside = path.join(bed.directory('n2'), 'logs-incoming', 'task-1.1.1');
    mkdirSync(aside, { recursive: true });
    writeFileSync(path.join(aside, 'log.000001'), 'part');
    await bed.receiver('n2').clear();
    expect(existsSync(aside)).toBe(false);
  });
});

function end(bytes = 4): LogPiece {
  return { kind: { $case: 'end', value: { bytes } } };
}

async function* iterate(...pieces: readonly LogPiece[]): AsyncGenerator<LogPiece> {
  yield* pieces;
}

async function* damaged(pieces: AsyncIterable<LogPiece>): AsyncGenerator<LogPiece> {
  for await (const one of pieces) {
    if (one.kind?.$case === 'data') one.kind.value.data[7] = 0;
    yield one;
  }
}

async function* cutOff(pieces: AsyncIterable<LogPiece>): AsyncGenerator<LogPiece> {
  for await (const one of pieces) if (one.kind?.$case !== 'end') yield one;
}

async function* only(kind: string, pieces: AsyncIterable<LogPiece>): AsyncGenerator<LogPiece> {
  for await (const one of pieces) if (one.kind?.$case === kind) yield one;
}

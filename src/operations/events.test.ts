import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';

import type { Event, EventsPiece, EventsRequest } from '../generated/cluster.ts';
import { limits } from '../lib/limits.ts';
import { VirtualClock } from '../lib/testing/virtual-clock.ts';
import { entryKey, ITEMS_PER_ROW, type EventRow } from '../model/events.ts';
import { MIB, specOf } from '../scheduler/core/testing/values.ts';
import { formatEventPosition } from './event-position.ts';
import { EventStreams } from './events.ts';
import { testContext } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { runs } from '../lib/testing/property-runs.ts';

const ALL: EventsRequest = { since: 'oldest', follow: false, kind: [], id: [] };
const SMALL = specOf({ resources: { cpuMillis: 1, memoryBytes: MIB } });

let cluster: TestCluster;
let clock: VirtualClock;
let streams: EventStreams;

beforeEach(() => {
  cluster = new TestCluster(['n1', 'n2']);
  clock = new VirtualClock();
  cluster.register('n1', 'n1:7101');
  streams = streamsOf('n1');
});

function streamsOf(node: string): EventStreams {
  return new EventStreams({ replica: cluster.replica(node), clock, newestIndex: async () => cluster.index });
}

function submit(count = 1): void {
  cluster.execute({
    type: 'submitTasks',
    tasks: Array.from({ length: count }, () => SMALL),
    idempotency: null,
  });
}

async function read(request: Partial<EventsRequest> = {}): Promise<EventsPiece[]> {
  const pieces: EventsPiece[] = [];
  for await (const piece of streams.read({ ...ALL, ...request }, testContext())) pieces.push(piece);
  return pieces;
}

async function positions(request: Partial<EventsRequest> = {}): Promise<string[]> {
  return (await read(request)).flatMap(({ events }) => events).map(formatEventPosition);
}

/** What the state holds, by itself. */
function stored(): string[] {
  const rows = [...cluster.rows]
    .filter(([name]) => name.startsWith('event/'))
    .map(([, row]) => row as EventRow);
  return rows.flatMap(({ index, part, items }) =>
    items.map((_, at) => `${index}.${part * ITEMS_PER_ROW + at}`),
  );
}

/** As retention does it. */
function compactBefore(index: number): void {
  for (let gone = 1; gone < index; gone += 1) cluster.rows.delete(`event/${entryKey(gone)}`);
  const { cluster: before } = cluster.state;
  if (before?.retained === undefined) throw new Error('the cluster keeps account');
  const after = { ...before, retained: { ...before.retained, eventsFrom: index } };
  cluster.state.commit([{ table: 'cluster', key: 'cluster', before, after }]);
  cluster.rows.set('cluster/cluster', after);
}

describe('events up to now', () => {
  it('are all that are kept, with what the caller has done before', async () => {
    submit(2);
    const pieces = await read();
    expect(pieces.flatMap(({ events }) => events.map(formatEventPosition))).toEqual(stored());
    expect(pieces.at(-1)).toEqual({ events: [], position: String(cluster.index), complete: true });
    expect(pieces[0]?.events.at(-1)).toEqual({
      index: cluster.index,
      position: 1,
      time: new Date(cluster.nowMs).toISOString(),
      kind: 'task',
      id: expect.stringMatching(/^task-/),
      name: 'task',
      old_status: undefined,
      new_status: 'PENDING',
      reason: undefined,
    });
  });

  it('come from every position without loss or repetition, in pieces of bounded size', async () => {
    submit(limits.eventsPerPiece + 1);
    for (let at = 0; at < 2 * limits.eventRows; at += 1) submit(1 + (at % 3));
    const all = stored();
    expect(await positions()).toEqual(all);
    await fc.assert(
      fc.asyncProperty(fc.nat(all.length - 1), async (at) => {
        const pieces = await read({ since: all[at] ?? '' });
        expect(pieces.flatMap(({ events }) => events.map(formatEventPosition))).toEqual(all.slice(at + 1));
        expect(Math.max(...pieces.map(({ events }) => events.length))).toBeLessThanOrEqual(
          limits.eventsPerPiece,
        );
        // Broken off after any piece, it goes on there.
        const broken = pieces[at % pieces.length];
        const before = pieces.slice(0, (at % pieces.length) + 1).flatMap(({ events }) => events);
        const rest = await positions({ since: broken?.position ?? '' });
        expect([...before.map(formatEventPosition), ...rest]).toEqual(all.slice(at + 1));
      }),
      { numRuns: runs(50) },
    );
  });

  it('are those of the kinds and objects that are asked for; the position moves on over the others', async () => {
    submit(2);
    cluster.execute({ type: 'nodeOffline', term: cluster.term, node: 'n1', session: cluster.session('n1') });
    const events = async (request: Partial<EventsRequest>): Promise<Event[]> =>
      (await read(request)).flatMap((piece) => piece.events);
    expect((await events({ kind: ['alert'] })).map(({ name }) => name)).toEqual(['node.offline']);
    const [first] = await events({ kind: ['task'] });
    expect(await events({ kind: ['task', 'node'], id: [first?.id ?? ''] })).toEqual([first]);
    expect(await read({ id: ['nobody'] })).toEqual([
      { events: [], position: String(cluster.index), complete: true },
    ]);
  });

  it.each([
    [{ since: 'x' }, 'invalid', 'since'],
    [{ since: '1.x' }, 'invalid', 'since'],
    [{ since: '-1' }, 'invalid', 'since'],
    [{ since: '99999' }, 'invalid', 'since'],
    [{ kind: ['tasks'] }, 'invalid', 'kind'],
  ])('are refused for %j', async (request, code, path) => {
    await expect(read(request)).rejects.toMatchObject({ code, faults: [{ path }] });
  });
});

describe('a time', () => {
  it('is where the events from then on begin', async () => {
    const times: number[] = [];
    for (let at = 0; at < 20; at += 1) {
      cluster.nowMs += at % 3 === 0 ? 0 : 1000;
      submit();
      times.push(cluster.nowMs);
      // Leaves no event.
      cluster.execute({ type: 'cancelTask', taskId: 'none', idempotency: null });
    }
    const all = (await read()).flatMap(({ events }) => events);
    for (const time of [0, ...times, ...times.map((ms) => ms + 1), cluster.nowMs + 1000]) {
      const since = new Date(time).toISOString();
      const expected = all.filter((event) => Date.parse(event.time) >= time).map(formatEventPosition);
      expect(await positions({ since })).toEqual(expected);
    }
  });
});

describe('a position whose events are gone', () => {
  it('is refused, with the oldest that there are; one just before them is not', async () => {
    submit();
    submit();
    compactBefore(cluster.index);
    const message = expect.stringContaining(`the oldest are those of entry ${cluster.index}`);
    await expect(read({ since: '1' })).rejects.toMatchObject({ code: 'compacted', message });
    await expect(read({ since: `${cluster.index - 1}.0` })).rejects.toMatchObject({ code: 'compacted' });
    expect(await positions({ since: String(cluster.index - 1) })).toEqual([`${cluster.index}.0`]);
    expect(await positions()).toEqual([`${cluster.index}.0`]);
  });

  it('ends a stream that has fallen behind', async () => {
    submit();
    const stream = streams.read({ ...ALL, follow: true }, testContext());
    await stream.next();
    submit();
    submit();
    compactBefore(cluster.index);
    await expect(stream.next()).rejects.toMatchObject({ code: 'compacted' });
  });

  it('is every one of before, in the state of a version that kept none', async () => {
    const { cluster: before } = cluster.state;
    if (before === null) throw new Error('there is a cluster');
    const { retained: _, ...after } = before;
    cluster.state.commit([{ table: 'cluster', key: 'cluster', before, after }]);
    for (const name of cluster.rows.keys()) if (name.startsWith('event/')) cluster.rows.delete(name);
    await expect(read({ since: '1' })).rejects.toMatchObject({ code: 'compacted' });
    expect(await positions()).toEqual([]);
    submit();
    expect(await positions()).toEqual([`${cluster.index}.0`]);
  });
});

describe('following', () => {
  it('begins with a sign of life, and goes on with what happens', async () => {
    const stream = streams.read({ ...ALL, since: '', follow: true }, testContext());
    const begun = cluster.index;
    expect((await stream.next()).value).toEqual({ events: [], position: String(begun), complete: false });
    const next = stream.next();
    submit(2);
    expect((await next).value?.events.map(formatEventPosition)).toEqual([`${begun + 1}.0`, `${begun + 1}.1`]);
    await stream.return();
  });

  it('goes on at another node where it was, also when another leads', async () => {
    submit(2);
    const first = streams.read({ ...ALL, follow: true }, testContext());
    const { value } = await first.next();
    await first.return();
    cluster.lead('n2');
    submit();
    const second = streamsOf('n2').read(
      { ...ALL, since: value?.position ?? '', follow: true },
      testContext(),
    );
    expect((await second.next()).value?.events.map(formatEventPosition)).toEqual([`${cluster.index}.0`]);
    await second.return();
  });

  it('says that it lives while nothing happens, and how far it is', async () => {
    const stream = streams.read({ ...ALL, since: '', follow: true }, testContext());
    await stream.next();
    const next = stream.next();
    // Leaves no event.
    cluster.execute({ type: 'cancelTask', taskId: 'none', idempotency: null });
    await clock.advance(limits.eventSignMs);
    expect((await next).value).toEqual({ events: [], position: String(cluster.index), complete: false });
    await stream.return();
  });

  it('ends where there is no leader for a while, and not for a moment', async () => {
    const stream = streams.read({ ...ALL, since: '', follow: true }, testContext());
    await stream.next();
    const next = stream.next();
    next.catch(() => undefined);
    cluster.lead(null);
    await clock.advance(limits.eventLeaderlessMs);
    cluster.lead('n2');
    submit();
    // The look before was in this moment.
    await clock.advance(limits.eventPaceMs);
    expect((await next).value?.events).toHaveLength(1);
    // Signs of life may come first.
    const rest = (async () => {
      for await (const { events } of stream) expect(events).toEqual([]);
    })();
    rest.catch(() => undefined);
    cluster.lead(null);
    await clock.advance(3 * limits.eventLeaderlessMs);
    await expect(rest).rejects.toMatchObject({ code: 'no_leader' });
  });

  it('is bounded in number, and counts those that have ended no more', async () => {
    const open = [];
    for (let count = 0; count < limits.eventStreams; count += 1) {
      const stream = streams.read({ ...ALL, follow: true }, testContext());
      await stream.next();
      open.push(stream);
    }
    const refused = streams.read({ ...ALL, follow: true }, testContext());
    await expect(refused.next()).rejects.toMatchObject({ code: 'too_many' });
    await open.pop()?.return();
    expect(await positions()).toEqual(stored());
    for (const stream of open) await stream.return();
  });
});

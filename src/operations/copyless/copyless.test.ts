import { setImmediate as turn } from 'node:timers/promises';

import { beforeEach, describe, expect, it } from 'vitest';

import type { Event, EventsPiece, EventsRequest, SubmitTasksRequest, Task } from '../../generated/cluster.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import { formatEventPosition } from '../event-position.ts';
import type { Remotes } from '../node-port.ts';
import { impatientClock, testContext, testOperations } from '../operations.test-kit.ts';
import type { Freshness, RemoteOperations } from '../port.ts';
import type { RoutingOperations } from '../router.ts';
import { TestCluster } from '../test-cluster.test-kit.ts';
import { inProcessRemotes, silentAt } from '../test-remotes.test-kit.ts';
import { copylessRouting, FakeMembers } from './copyless.test-kit.ts';

const NAMES = ['n1', 'n2', 'n3'];
const context = testContext();
const stale = testContext({ isStale: true });

let cluster: TestCluster;
let nodes: Map<string, RoutingOperations>;
let leaders: FakeMembers;
/** Addresses that were asked, in order. */
let asked: string[];
/** Those members cannot be reached. */
let down: Set<string>;
let worker: RoutingOperations;

beforeEach(() => {
  cluster = new TestCluster(NAMES);
  nodes = new Map();
  for (const name of NAMES) {
    cluster.register(name, `${name}:7101`);
    nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
  leaders = new FakeMembers(
    'w1',
    NAMES.map((name) => ({ name, address: `${name}:7101` })),
  );
  asked = [];
  down = new Set();
  worker = copylessRouting(leaders, { remotes: watched(inProcessRemotes(nodes)), clock: impatientClock() });
});

function look(address: string): void {
  asked.push(address);
  if (down.has(address)) throw new JarvisError('unavailable', `${address} is down`);
}

function watched(remotes: Remotes): Remotes {
  return {
    ...remotes,
    operations: (address) => {
      look(address);
      return remotes.operations(address);
    },
    events: (address, request, inner) => {
      look(address);
      return remotes.events(address, request, inner);
    },
  };
}

function lead(name: string | null): void {
  cluster.lead(name);
  leaders.lead(name);
}

function submission(key = ''): SubmitTasksRequest {
  return { tasks: [wireFromPlain({ command: ['true'] })], idempotency_key: key };
}

async function submit(): Promise<Task> {
  return (await worker.submitTasks(submission(), context)).tasks[0] as Task;
}

describe('what is sent on to the leader', () => {
  it('is answered by whoever leads', async () => {
    const task = await submit();
    lead('n2');
    expect(await worker.getTask({ id: task.id }, context)).toMatchObject({ id: task.id });
    expect(asked).toEqual(['n1:7101', 'n2:7101']);
  });

  it('has whom it was sent to doubted where that one is away, and not where it has an answer', async () => {
    await submit();
    await expect(worker.getTask({ id: 'task-none' }, context)).rejects.toMatchObject({ code: 'not_found' });
    expect(leaders.hurries).toBe(0);
    down.add('n1:7101');
    const submitting = submit();
    await turn();
    expect(leaders.hurries).toBeGreaterThan(0);
    lead('n2');
    await submitting;
  });

  it('goes to the next leader where this one is away, and happens once', async () => {
    down.add('n1:7101');
    const submitting = submit();
    lead('n3');
    expect((await submitting).status).toBe('PENDING');
    expect(cluster.state.tasks.size).toBe(1);
  });

  it('happens once where the leader has carried it out and does not say so', async () => {
    const real = inProcessRemotes(nodes);
    let isLost = true;
    const losing: Remotes = {
      ...real,
      operations: (address): RemoteOperations => ({
        ...real.operations(address),
        submitTasks: async (request, inner) => {
          const answer = await real.operations(address).submitTasks(request, inner);
          if (!isLost) return answer;
          isLost = false;
          throw new JarvisError('outcome_unknown', 'the answer was lost');
        },
      }),
    };
    worker = copylessRouting(leaders, { remotes: losing, clock: impatientClock() });
    await submit();
    expect(isLost).toBe(false);
    expect(cluster.state.tasks.size).toBe(1);
  });

  it('is given up at a leader that is silent as soon as another one is known', async () => {
    const task = await submit();
    worker = copylessRouting(leaders, { remotes: silentAt('n1:7101', watched(inProcessRemotes(nodes))) });
    const reading = worker.getTask({ id: task.id }, context);
    await turn();
    lead('n2');
    expect((await reading).id).toBe(task.id);
  });

  it('says after a while that nobody leads', async () => {
    lead(null);
    await expect(submit()).rejects.toMatchObject({ code: 'no_leader' });
    expect(asked).toEqual([]);
  });

  it('is not sent on again where another node takes this one for the leader', async () => {
    await expect(worker.listNodes(testContext({ forwarded: true }))).rejects.toMatchObject({
      code: 'no_leader',
      message: 'w1 does not lead',
    });
  });

  it('leaves to the leader whether the cluster keeps sensitive variables', async () => {
    const [task] = submission().tasks;
    if (task === undefined) throw new Error('no task');
    const tasks = [{ ...task, sensitive_env: { KEY: 'value' } }];
    const answer = await worker.submitTasks({ tasks, idempotency_key: '' }, context);
    expect(answer.tasks).toHaveLength(1);
    cluster = new TestCluster(NAMES, 1);
    nodes.set('n1:7101', testOperations(cluster, 'n1', { remotes: inProcessRemotes(nodes) }));
    cluster.register('n1', 'n1:7101');
    await expect(worker.submitTasks({ tasks, idempotency_key: '' }, context)).rejects.toMatchObject({
      code: 'unavailable',
    });
  });
});

describe('what may be stale', () => {
  it('is answered by a member from its own state, whether or not there is a leader', async () => {
    const task = await submit();
    lead(null);
    expect(await worker.getTask({ id: task.id }, stale)).toMatchObject({ id: task.id });
    const status = await worker.getCluster({ consistency: 'stale' }, context);
    expect(NAMES).toContain(status.node?.name);
  });

  it('is asked of the next member where one is away, and then of that one first', async () => {
    const { id } = await submit();
    asked.length = 0;
    await worker.getTask({ id }, stale);
    const [first] = asked;
    down.add(String(first));
    asked.length = 0;
    await worker.getTask({ id }, stale);
    await worker.getTask({ id }, stale);
    expect(asked[0]).toBe(first);
    expect(asked).toHaveLength(3);
    expect(asked[2]).toBe(asked[1]);
  });

  it('is asked of the next member where one does not answer', async () => {
    const { id } = await submit();
    const order = ['n1:7101', 'n2:7101', 'n3:7101'];
    for (const silent of order) {
      const remotes = silentAt(silent, watched(inProcessRemotes(nodes)));
      worker = copylessRouting(leaders, { remotes, clock: impatientClock() });
      expect(await worker.getTask({ id }, stale)).toMatchObject({ id });
    }
  });

  it('is not asked again of others where a member knows the answer', async () => {
    await expect(worker.getTask({ id: 'task-none' }, stale)).rejects.toMatchObject({ code: 'not_found' });
    expect(asked).toHaveLength(1);
  });

  it('fails after a bounded time where no member answers', async () => {
    for (const name of NAMES) down.add(`${name}:7101`);
    await expect(worker.listNodes(stale)).rejects.toMatchObject({ code: 'unavailable' });
    expect(new Set(asked).size).toBe(3);
    leaders.become([]);
    await expect(worker.listNodes(stale)).rejects.toMatchObject({
      code: 'unavailable',
      message: 'no member of the cluster is known',
    });
  });

  it('is not sent on again', async () => {
    await expect(worker.listNodes({ ...stale, forwarded: true })).rejects.toMatchObject({
      code: 'unavailable',
      message: 'w1 works without a copy of the state',
    });
    expect(asked).toEqual([]);
  });

  it('says how old the state is that it is from, and of its own nothing', async () => {
    expect(worker.freshness()).toBeNull();
    const told: Freshness[] = [];
    await worker.listNodes({ ...stale, onFreshness: (freshness) => told.push(freshness) });
    expect(told).toMatchObject([{ index: cluster.index }]);
  });
});

describe('events', () => {
  const ALL: EventsRequest = { since: 'oldest', follow: false, kind: [], id: [] };

  beforeEach(async () => {
    worker = copylessRouting(leaders, { remotes: watched(inProcessRemotes(nodes)) });
    // Members say that they have applied 17 entries.
    while (cluster.index < 20) await submit();
    asked.length = 0;
  });

  async function read(request: Partial<EventsRequest> = {}): Promise<Event[]> {
    const events: Event[] = [];
    for await (const piece of worker.watchEvents({ ...ALL, ...request }, context))
      events.push(...piece.events);
    return events;
  }

  async function ofMember(): Promise<Event[]> {
    const events: Event[] = [];
    const n1 = nodes.get('n1:7101') as RoutingOperations;
    for await (const piece of n1.watchEvents(ALL, context)) events.push(...piece.events);
    return events;
  }

  it('are those of the leader', async () => {
    await submit();
    asked.length = 0;
    expect(await read()).toEqual(await ofMember());
    expect(asked).toEqual(['n1:7101']);
  });

  it('are those of another member where the leader is away', async () => {
    await submit();
    down.add('n1:7101');
    lead('n2');
    leaders.lead('n1');
    expect(await read()).toEqual(await ofMember());
  });

  it('are those of a member while there is no leader', async () => {
    await submit();
    const stream = worker.watchEvents({ ...ALL, follow: true }, context);
    lead(null);
    for await (const { events } of stream) {
      expect(events.length).toBeGreaterThan(0);
      break;
    }
  });

  it('go on where the stream broke, at another member, none twice and none left out', async () => {
    for (let count = 0; count < 40; count += 1) await submit();
    const whole = await ofMember();
    const real = inProcessRemotes(nodes);
    const from: string[] = [];
    const breaking: Remotes = {
      ...real,
      async *events(address, request, inner): AsyncGenerator<EventsPiece> {
        from.push(address);
        for await (const piece of real.events(address, request, inner)) {
          yield piece;
          if (from.length < 4) throw new JarvisError('unavailable', `${address} is gone`);
        }
      },
    };
    worker = copylessRouting(leaders, { remotes: breaking });
    expect((await read()).map(formatEventPosition)).toEqual(whole.map(formatEventPosition));
    expect(from.length).toBeGreaterThan(1);
  });

  it('go on at another member where one falls silent', async () => {
    await submit();
    const real = inProcessRemotes(nodes);
    const from: string[] = [];
    const silent: Remotes = {
      ...real,
      async *events(address, request, inner): AsyncGenerator<EventsPiece> {
        from.push(address);
        if (from.length > 1) {
          yield* real.events(address, request, inner);
          return;
        }
        for await (const piece of real.events(address, request, inner)) {
          yield piece;
          break;
        }
        await new Promise((_resolve, reject) => {
          inner.signal.addEventListener('abort', () => reject(inner.signal.reason as Error));
        });
      },
    };
    const clock = new VirtualClock();
    worker = copylessRouting(leaders, { remotes: silent, clock });
    const reading = read();
    while (from.length < 2) {
      await turn();
      await clock.advance(limits.eventSilenceMs);
    }
    expect((await reading).map(formatEventPosition)).toEqual((await ofMember()).map(formatEventPosition));
    expect(new Set(from).size).toBe(2);
  });

  it('end with what the member says of the request', async () => {
    await expect(read({ since: '999999' })).rejects.toMatchObject({ code: 'invalid' });
    await expect(read({ kind: ['nonsense'] })).rejects.toMatchObject({ code: 'invalid' });
    expect(asked).toHaveLength(2);
  });

  it('fail after a bounded time where no member answers', async () => {
    for (const name of NAMES) down.add(`${name}:7101`);
    await expect(read()).rejects.toMatchObject({ code: 'unavailable' });
    expect(new Set(asked).size).toBe(3);
  });

  it('are of a bounded number of streams', async () => {
    const caller = new AbortController();
    const inner = testContext({ signal: caller.signal });
    const streams = Array.from({ length: limits.eventStreams }, () =>
      worker.watchEvents({ ...ALL, follow: true }, inner)[Symbol.asyncIterator](),
    );
    await Promise.all(streams.map(async (stream) => await stream.next()));
    await expect(read()).rejects.toMatchObject({
      code: 'too_many',
      message: `${limits.eventStreams} streams of events are open on this node`,
    });
    await streams[0]?.return?.();
    expect((await read()).length).toBeGreaterThan(0);
    caller.abort();
    await Promise.allSettled(streams.map(async (stream) => await stream.next()));
  });
});

describe('what is about one node', () => {
  it('is answered here where it is this one', async () => {
    expect(await worker.getLogLevel({ name: 'w1' }, context)).toMatchObject({ node: 'w1' });
    expect(
      await worker.getNodeUsage({ name: 'w1', since: undefined, limit: undefined }, context),
    ).toMatchObject({
      node: 'w1',
    });
    expect(asked).toEqual([]);
  });

  it('is asked of that one, whose address any member says, also without a leader', async () => {
    lead(null);
    expect(await worker.getLogLevel({ name: 'n2' }, context)).toMatchObject({ node: 'n2' });
    expect(await worker.getNodeUsage({ name: 'n3' }, context)).toMatchObject({ node: 'n3' });
    expect(asked).toHaveLength(2);
  });

  it('is asked of the leader, too, where a member does not know of the node yet', async () => {
    const behind = new TestCluster(NAMES);
    for (const name of ['n2', 'n3'])
      nodes.set(`${name}:7101`, testOperations(behind, name, { remotes: inProcessRemotes(nodes) }));
    leaders.become(leaders.members().slice(1));
    cluster.register('w1', 'w1:7101');
    await expect(worker.getLogLevel({ name: 'n9' }, context)).rejects.toMatchObject({ code: 'not_found' });
    expect(asked.at(-1)).toBe('n1:7101');
    expect(asked).toHaveLength(2);
  });
});

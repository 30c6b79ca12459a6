import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';

import { RaftClient, type Frame, type FrameReply, type Hello } from '../../generated/raft.ts';
import { CLUSTER_VERSION } from '../../lib/cluster-version.ts';
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { silentLog } from '../../lib/log.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import type { Entry } from '../core/types.ts';
import {
  CLUSTER_ID,
  connect,
  established,
  eventually,
  GrpcMember,
  message,
  peerOf,
  type GrpcMemberOptions,
} from '../testing/grpc-members.ts';
import { joinedIdAt } from '../membership.ts';
import { RAFT_PROTOCOL } from './hello.ts';
import { messageToWire } from './wire.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function open(options: GrpcMemberOptions): Promise<GrpcMember> {
  const member = await GrpcMember.open(options);
  opened.push(member);
  return member;
}

const HELLO: Hello = {
  protocol: RAFT_PROTOCOL,
  cluster_id: CLUSTER_ID,
  raft_id: 2,
  incarnation: 'incarnation-2',
  start_counter: 1,
  start_id: 'start-2',
  to: 1,
  name: 'n2',
  address: '127.0.0.1:1',
  keeps_leases: false,
  known_version: CLUSTER_VERSION,
};

interface Dialogue {
  readonly stream: grpc.ClientDuplexStream<Frame, FrameReply>;
  readonly replies: FrameReply[];
  readonly ended: Promise<grpc.StatusObject>;
}

/** A stream as a peer of any kind might open it. */
function speak(member: GrpcMember, ...frames: readonly Frame[]): Dialogue {
  const client = new RaftClient(member.peer.address, grpc.credentials.createInsecure());
  opened.push(client);
  const stream = client.messages();
  const replies: FrameReply[] = [];
  const ended = new Promise<grpc.StatusObject>((resolve) => {
    stream.on('status', resolve);
  });
  stream.on('data', (reply: FrameReply) => replies.push(reply));
  stream.on('error', () => {});
  for (const frame of frames) stream.write(frame);
  return { stream, replies, ended };
}

function hello(fields: Partial<Hello> = {}): Frame {
  return { kind: { $case: 'hello', value: { ...HELLO, ...fields } } };
}

function batch(...messages: readonly Parameters<typeof messageToWire>[0][]): Frame {
  return { kind: { $case: 'batch', value: { messages: messages.map(messageToWire) } } };
}

function entries(first: number, count: number, bytes: number): readonly Entry[] {
  return Array.from({ length: count }, (_, at) => ({
    term: 1,
    index: first + at,
    type: 'normal',
    data: Buffer.alloc(bytes, at),
  }));
}

describe('a hello', () => {
  it.each([
    ['bad_protocol', { protocol: 99 }, /protocol 99.*speaks 1/],
    ['foreign_cluster', { cluster_id: 'other' }, /cluster other.*6f1c2d3e/],
    ['wrong_target', { to: 3 }, /member 3, this is 1/],
    ['removed_member', { raft_id: 9 }, /member 9 was removed/],
    ['unknown_member', { raft_id: 1009, address: '' }, /member 1009/],
    ['unknown_member', { incarnation: 'wiped' }, /member 2/],
    ['wrong_name', { name: 'n3' }, /member 2 is n2, and not n3/],
  ] as const)('is refused as %s for %j', async (code, fields, words) => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const { replies, ended } = speak(member, hello(fields), batch(message(2, 1)));
    await ended;
    expect(replies[0]?.hello).toMatchObject({ accepted: false, code });
    expect(replies[0]?.hello?.message).toMatch(words);
    expect(member.transport.refusals().get(code)).toBe(1);
    expect(member.ears.messages).toEqual([]);
  });

  it('is refused as old_version where it comes from an earlier build than the cluster is at', async () => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const before = speak(member, hello({ known_version: 0 }));
    await eventually(() => before.replies.length > 0);
    expect(before.replies[0]?.hello).toMatchObject({ accepted: true, known_version: CLUSTER_VERSION });
    member.transport.requireVersion(2);
    member.transport.requireVersion(1);
    const { replies, ended } = speak(member, hello({ known_version: 0 }));
    await ended;
    expect(replies[0]?.hello).toMatchObject({
      accepted: false,
      code: 'old_version',
      message: 'the cluster is at version 2, and n2 knows version 1 only: start it with a later build',
    });
    const later = speak(member, hello({ known_version: 3 }));
    await eventually(() => later.replies.length > 0);
    expect(later.replies[0]?.hello).toMatchObject({ accepted: true });
  });

  it('under another name records no start: the member itself would be taken for a copy', async () => {
    const started: string[] = [];
    const member = await open({
      raftId: 1,
      recordStart: async (incarnation) => void started.push(incarnation),
    });
    member.transport.setPeers([peerOf(2, 1)], 0);
    await speak(member, hello({ name: 'n3', start_counter: 1_000_000 })).ended;
    expect(started).toEqual([]);
    const { replies } = speak(member, hello());
    await eventually(() => replies.length > 0);
    expect(replies[0]?.hello?.accepted).toBe(true);
    expect(started).toHaveLength(1);
  });

  it('is told of in the log once in a while, with how often it happened in between; and always counted', async () => {
    const clock = new VirtualClock();
    const lines: [fields: object, message: string][] = [];
    const member = await open({
      raftId: 1,
      clock,
      log: { ...silentLog, warn: (fields, text) => lines.push([fields, text]) },
    });
    const refused = { ...HELLO, cluster_id: 'another' };
    for (let count = 0; count < 5; count += 1) await member.transport.admit(refused);
    await member.transport.admit({ ...refused, raft_id: 3 });
    await member.transport.admit({ ...HELLO, protocol: 9 });
    await clock.advance(limits.repeatedLineMs);
    await member.transport.admit(refused);
    expect(lines).toMatchObject([
      [{ raftId: 2, code: 'foreign_cluster', heldBack: 0 }, 'peer refused'],
      [{ raftId: 3, code: 'foreign_cluster', heldBack: 0 }, 'peer refused'],
      [{ raftId: 2, code: 'bad_protocol', heldBack: 0 }, 'peer refused'],
      [{ raftId: 2, code: 'foreign_cluster', heldBack: 4 }, 'peer refused'],
    ]);
    expect(member.transport.refusals().get('foreign_cluster')).toBe(7);
  });

  it('is refused as old_copy where its start is older than one before', async () => {
    const member = await open({
      raftId: 1,
      recordStart: async (incarnation, counter) => {
        if (counter < 5) throw new JarvisError('conflict', `${incarnation} ran already`);
      },
    });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const { replies, ended } = speak(member, hello({ start_counter: 4 }));
    await ended;
    expect(replies[0]?.hello).toMatchObject({ accepted: false, code: 'old_copy' });
    const next = speak(member, hello({ start_counter: 5 }));
    await eventually(() => next.replies.length > 0);
    expect(next.replies[0]?.hello).toMatchObject({ accepted: true });
  });

  it('that cannot be recorded ends the stream: it is no fault of the peer', async () => {
    const member = await open({
      raftId: 1,
      recordStart: async () => {
        throw new Error('no space left');
      },
    });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const { replies, ended } = speak(member, hello());
    expect((await ended).code).toBe(grpc.status.INTERNAL);
    expect(replies).toEqual([]);
    expect(member.transport.refusals().size).toBe(0);
  });

  it('lets nothing through before it has been answered', async () => {
    const recorded = Promise.withResolvers<void>();
    let asked = false;
    const member = await open({
      raftId: 1,
      recordStart: async () => {
        asked = true;
        await recorded.promise;
      },
    });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const { stream, replies } = speak(member, hello());
    await eventually(() => asked);
    // Written and taken by the connection: whatever reads it does so now.
    await new Promise((resolve) => {
      stream.write(batch(message(2, 1, { context: 'early' })), resolve);
    });
    await roundTrip(member);
    expect(member.ears.messages).toEqual([]);
    recorded.resolve();
    await member.ears.until(() => member.ears.messages.some(({ context }) => context === 'early'));
    await eventually(() => replies.length > 0);
    expect(replies[0]?.hello).toMatchObject({ accepted: true });
  });

  it('of a stream that broke meanwhile does not end the one that came after it', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let starts = 0;
    const member = await open({ raftId: 1, recordStart: async () => await gates[starts++]?.promise });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const first = speak(member, hello());
    await eventually(() => starts === 1);
    first.stream.cancel();
    await first.ended;
    const second = speak(member, hello());
    await eventually(() => starts === 2);
    gates[1]?.resolve();
    await eventually(() => second.replies.length > 0);
    gates[0]?.resolve();
    second.stream.write(batch(message(2, 1, { context: 'after' })));
    await member.ears.until(() => member.ears.messages.some(({ context }) => context === 'after'));
    expect(member.ears.resets).toEqual([]);
  });
});

describe('a stream without a hello', () => {
  it('is ended after a time, and one with a hello is not', async () => {
    const clock = new VirtualClock();
    const member = await open({ raftId: 1, clock });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const greeted = speak(member, hello());
    await eventually(() => greeted.replies.length > 0);
    const silent = speak(member);
    let code: grpc.status | null = null;
    void silent.ended.then((status) => (code = status.code));
    await eventually(() => {
      void clock.advance(limits.peerHelloTimeoutMs);
      return code !== null;
    });
    expect(code).toBe(grpc.status.DEADLINE_EXCEEDED);
    greeted.stream.write(batch(message(2, 1)));
    await member.ears.until(() => member.ears.messages.length > 0);
  });
});

function stranger(at: number): Frame {
  return hello({ raft_id: joinedIdAt(1 + at), incarnation: `i${at}` });
}

describe('a stranger, whose addition may lie ahead', () => {
  it('is forgotten with its stream', async () => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([], 0);
    for (let round = 0; round < limits.strangers + 1; round += 1) {
      const { stream, replies, ended } = speak(member, stranger(round));
      await eventually(() => replies.length > 0);
      expect(replies[0]?.hello).toMatchObject({ accepted: true });
      const resets = member.ears.resets.length;
      stream.cancel();
      await ended;
      await member.ears.until(() => member.ears.resets.length > resets);
    }
  });

  it('is one of a bounded number', async () => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([], 0);
    for (let round = 0; round <= limits.strangers; round += 1) {
      const { replies } = speak(member, stranger(round));
      await eventually(() => replies.length > 0);
      expect(replies[0]?.hello?.accepted).toBe(round < limits.strangers);
    }
  });
});

/** A question and its answer, after which what was sent before has very likely arrived. */
async function roundTrip(member: GrpcMember): Promise<void> {
  const client = new RaftClient(member.peer.address, grpc.credentials.createInsecure());
  opened.push(client);
  await new Promise<void>((resolve, reject) => {
    const request = { name: 'n2', incarnation: 'i', peers: [], founders: [], config: '' };
    client.bootstrap(request, (error) => (error === null ? resolve() : reject(error)));
  });
}

describe('malformed input', () => {
  it.each([
    ['a batch before the hello', [batch(message(2, 1))]],
    ['a second hello', [hello(), hello()]],
    ['an unknown type', [hello(), { kind: { $case: 'batch', value: { messages: [wireOf('bogus')] } } }]],
    ['an empty frame', [hello(), { kind: undefined }]],
  ] as const)('%s ends the stream and is counted', async (_what, frames) => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const { ended } = speak(member, ...(frames as readonly Frame[]));
    expect((await ended).code).not.toBe(grpc.status.OK);
    expect(member.transport.refusals().get('malformed')).toBe(1);
    expect(member.ears.messages).toEqual([]);
  });

  it('a message in the name of another is dropped and counted', async () => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([peerOf(2, 1), peerOf(3, 2)], 0);
    speak(member, hello(), batch(message(3, 1), message(2, 3), message(2, 1, { context: 'own' })));
    await member.ears.until(() => member.ears.messages.length > 0);
    expect(member.ears.messages.map(({ context }) => context)).toEqual(['own']);
    expect(member.transport.refusals().get('misaddressed')).toBe(2);
  });
});

function wireOf(type: string): ReturnType<typeof messageToWire> {
  return { ...messageToWire(message(2, 1)), type };
}

describe('messages', () => {
  it('arrive whole and in order, however many', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    await connect(one, two);
    const before = two.ears.messages.length;
    const dropped = one.ears.unreachables.length;
    const sent = Array.from({ length: 300 }, (_, at) =>
      message(1, 2, { type: 'app', index: at, entries: entries(at + 1, at % 5, 3000), context: 'bulk' }),
    );
    for (let at = 0; at < sent.length; at += 30) one.transport.send(sent.slice(at, at + 30));
    await two.ears.until(() => two.ears.messages.length === before + sent.length);
    const heard = two.ears.messages.slice(before);
    expect(heard.map(({ index }) => index)).toEqual(sent.map(({ index }) => index));
    expect(heard.map((each) => each.entries.length)).toEqual(sent.map((each) => each.entries.length));
    const last = heard.at(-1);
    expect(last).toMatchObject({ type: 'app', from: 1, to: 2, term: 1 });
    expect(Buffer.from(last?.entries[3]?.data ?? []).equals(Buffer.alloc(3000, 3))).toBe(true);
    expect(one.ears.unreachables.length).toBe(dropped);
  });

  it('keep every field', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    await connect(one, two);
    const confState = {
      voters: [1, 2],
      votersOutgoing: [3],
      learners: [4],
      learnersNext: [5],
      autoLeave: true,
    };
    const full = message(1, 2, {
      type: 'appResp',
      term: 2 ** 52,
      logTerm: 3,
      index: 2 ** 40,
      entries: [{ term: 1, index: 7, type: 'confChange', data: Buffer.from([1, 2]) }],
      commit: 9,
      vote: 2,
      reject: true,
      rejectHint: 11,
      snapshot: { index: 5, term: 2, confState },
      context: 'ü',
    });
    one.transport.send([full]);
    await two.ears.until(() => two.ears.messages.some(({ type }) => type === 'appResp'));
    expect(two.ears.messages.find(({ type }) => type === 'appResp')).toEqual(full);
  });

  it('to nobody, to an unreachable peer and beyond the bound are dropped and reported', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    one.transport.setPeers([two.peer], 0);
    one.transport.send([message(1, 2), message(1, 7)]);
    expect(one.ears.unreachables).toEqual([2]);
    await connect(one, two);
    const count = one.ears.unreachables.length;
    const large = entries(1, 1, 8 * 1024 * 1024);
    const fitting = Math.floor(limits.peerQueueBytes / (8 * 1024 * 1024 + 100));
    const burst = Array.from({ length: fitting + 3 }, () =>
      message(1, 2, { type: 'app', entries: large, context: 'large' }),
    );
    one.transport.send(burst);
    expect(one.ears.unreachables.length).toBe(count + 3);
    const arrived = (): number => two.ears.messages.filter(({ context }) => context === 'large').length;
    await two.ears.until(() => arrived() === fitting);
    one.transport.send([message(1, 2, { context: 'room again' })]);
    await two.ears.until(() => two.ears.messages.some(({ context }) => context === 'room again'));
    expect(arrived()).toBe(fitting);
  });
});

function hasRefusedTwice({ transport }: GrpcMember): boolean {
  return (transport.refusals().get('removed_member') ?? 0) > 1;
}

/** Two of its four peers do not know it any more, and have told it so; the other two are off. */
async function refusedByTwo(first: { isLeader: boolean }): Promise<readonly string[]> {
  const [one, two, three] = [await open({ raftId: 1 }), await open({ raftId: 2 }), await open({ raftId: 3 })];
  two.ears.isLeader = first.isLeader;
  for (const { transport } of [two, three]) transport.setPeers([two.peer, three.peer], 0);
  one.transport.setPeers([two.peer, three.peer, peerOf(4, 1), peerOf(5, 1)], 0);
  await eventually(() => [two, three].every(hasRefusedTwice));
  return one.refused;
}

describe('a member that is refused as removed', () => {
  it('does not believe two of its four peers, neither of whom leads', async () => {
    expect(await refusedByTwo({ isLeader: false })).toEqual([]);
  });

  it('believes the leader', async () => {
    expect(await refusedByTwo({ isLeader: true })).toContain('removed_member');
  });
});

describe('a peer that goes', () => {
  it('is told as a reset to both ends at once, and met again at its address', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    await connect(one, two);
    two.kill();
    await one.ears.until(() => one.ears.resets.length === 2);
    expect(one.ears.resets).toEqual([2, 2]);
    const again = await open({ raftId: 2, port: two.port, identity: { startCounter: 2 } });
    again.transport.setPeers([one.peer], 0);
    await established(one, again);
    await established(again, one);
  });

  it('is told of by one end that closes in order as well, and does not take it back meanwhile', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    await connect(one, two);
    await two.transport.close();
    await one.ears.until(() => one.ears.resets.length > 0);
    const { replies, ended } = speak(two, hello({ raft_id: 1, incarnation: 'incarnation-1', to: 2 }));
    expect((await ended).code).toBe(grpc.status.UNAVAILABLE);
    expect(replies).toEqual([]);
  });

  it('is no reset where it never was there', async () => {
    const one = await open({ raftId: 1 });
    one.transport.setPeers([peerOf(2, 1)], 0);
    await one.ears.until(() => one.ears.unreachables.length > 1);
    expect(one.ears.resets).toEqual([]);
  });

  it('and opens a second stream replaces the first, without a reset', async () => {
    const member = await open({ raftId: 1 });
    member.transport.setPeers([peerOf(2, 1)], 0);
    const first = speak(member, hello());
    await eventually(() => first.replies.length > 0);
    const second = speak(member, hello());
    await eventually(() => second.replies.length > 0);
    await first.ended;
    second.stream.write(batch(message(2, 1, { context: 'second' })));
    await member.ears.until(() => member.ears.messages.length > 0);
    expect(member.ears.resets).toEqual([]);
    second.stream.cancel();
    await member.ears.until(() => member.ears.resets.length > 0);
    expect(member.ears.resets).toEqual([2]);
  });

  it('and is a member no more is heard no more', async () => {
    const [one, two] = [await open({ raftId: 1 }), await open({ raftId: 2 })];
    await connect(one, two);
    one.transport.setPeers([one.peer], 0);
    one.transport.send([message(1, 2)]);
    await two.ears.until(() => two.ears.resets.length > 0);
    await eventually(() => one.transport.refusals().size > 0);
    expect([...one.transport.refusals().keys()]).toEqual(['removed_member']);
  });
});

describe('what a peer knows', () => {
  it('is what its process has said, for as long as the stream to it stands', async () => {
    const one = await open({ raftId: 1 });
    const two = await open({ raftId: 2, identity: { knownVersion: 1 } });
    expect(one.transport.versionOf(2)).toBeNull();
    await connect(one, two);
    expect([one.transport.versionOf(2), two.transport.versionOf(1)]).toEqual([1, CLUSTER_VERSION]);
    two.kill();
    await eventually(() => one.transport.versionOf(2) === null);
    const { port } = two;
    const upgraded = await open({ raftId: 2, port });
    upgraded.transport.setPeers([one.peer], 0);
    await eventually(() => one.transport.versionOf(2) === CLUSTER_VERSION);
  });

  it('is too little once the cluster is raised: it gets nothing any more', async () => {
    const one = await open({ raftId: 1 });
    const two = await open({ raftId: 2, identity: { knownVersion: 1 } });
    await connect(one, two);
    one.transport.requireVersion(2);
    const heard = two.ears.messages.length;
    await eventually(() => one.refused.includes('old_version'));
    one.transport.send([message(1, 2, { context: 'late' })]);
    await roundTrip(two);
    expect(two.ears.messages.slice(heard)).toEqual([]);
    expect(one.transport.versionOf(2)).toBeNull();
  });
});

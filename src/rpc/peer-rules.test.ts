import { describe, expect, it } from 'vitest';

import { CallersService } from '../generated/callers.ts';
import { ClusterService } from '../generated/cluster.ts';
import { EnrolmentService } from '../generated/enrolment.ts';
import { HealthService } from '../generated/health.ts';
import { LastWordsService } from '../generated/last_words.ts';
import { LogHandOverService } from '../generated/log_hand_over.ts';
import { RaftService } from '../generated/raft.ts';
import { StateDigestsService } from '../generated/state_digests.ts';
import { NodeLogsService, WorkerService } from '../generated/worker.ts';
import { callRefusal, membershipRefusal, messageRefusal } from './peer-rules.ts';

const VALID = { validFromMs: 1000, validToMs: 2000 };
const node = { kind: 'node', name: 'n1', ...VALID } as const;
const client = { kind: 'client', name: 'n1', ...VALID } as const;

const paths = (...services: object[]): readonly string[] =>
  services.flatMap((service) => Object.values(service).map(({ path }: { path: string }) => path));

const BETWEEN_NODES = paths(
  RaftService,
  WorkerService,
  NodeLogsService,
  LogHandOverService,
  LastWordsService,
  StateDigestsService,
  CallersService,
);
const OPEN = paths(ClusterService, HealthService);

describe('a certificate', () => {
  it.each(BETWEEN_NODES)('of a node may call %s, that of a client may not', (path) => {
    expect(callRefusal(path, node, 1500)).toBeNull();
    expect(callRefusal(path, client, 1500)).toMatchObject({ code: 'wrong_kind' });
  });

  it.each(OPEN)('of either kind may call %s', (path) => {
    expect(callRefusal(path, node, 1500)).toBeNull();
    expect(callRefusal(path, client, 1500)).toBeNull();
  });

  it('of a client may not call what nobody has thought of', () => {
    expect(callRefusal('/jarvis.new.New/Do', client, 1500)).toMatchObject({ code: 'wrong_kind' });
    expect(callRefusal('/jarvis.cluster.ClusterAdmin/Do', client, 1500)).toMatchObject({
      code: 'wrong_kind',
    });
  });

  it.each([...BETWEEN_NODES, ...OPEN])('that names nobody may not call %s', (path) => {
    expect(callRefusal(path, null, 1500)).toMatchObject({ code: 'unknown_identity' });
  });

  it.each([
    [999, 'expired'],
    [1000, undefined],
    [1999, undefined],
    [2000, 'expired'],
  ])('counts while it is valid: at %i ms %s', (nowMs, code) => {
    expect(callRefusal(RaftService.join.path, node, nowMs)?.code).toBe(code);
  });
});

describe('a node that is no member', () => {
  const members = new Set(['n2', 'n3']);
  const members1 = new Set(['n1', 'n2', 'n3']);
  const raft = paths(RaftService);

  it.each(BETWEEN_NODES)('may call %s only where Raft decides by itself', (path) => {
    const refusal = { code: 'not_member', message: 'node "n1" is no member of the cluster' };
    expect(membershipRefusal(path, node, members)).toEqual(raft.includes(path) ? null : refusal);
    expect(membershipRefusal(path, node, members1)).toBeNull();
    // Whoever is no member itself knows none.
    expect(membershipRefusal(path, node, null)).toBeNull();
  });

  it('may not use up a token for another, or have its certificate renewed', () => {
    for (const { path } of [EnrolmentService.useToken, EnrolmentService.renew])
      expect(membershipRefusal(path, node, members)).toMatchObject({ code: 'not_member' });
  });

  it.each(OPEN)('may call %s, as clients may', (path) => {
    expect(membershipRefusal(path, node, members)).toBeNull();
    expect(membershipRefusal(path, client, members)).toBeNull();
  });
});

function hello(name: string): object {
  return { name, raft_id: 1 };
}

describe('a message', () => {
  it.each([
    [RaftService.messages.path, (name: string) => ({ kind: { $case: 'hello', value: hello(name) } })],
    [RaftService.installSnapshot.path, (name: string) => ({ header: { hello: hello(name) } })],
    [RaftService.join.path, (name: string) => ({ name })],
    [RaftService.bootstrap.path, (name: string) => ({ name })],
    [WorkerService.session.path, (name: string) => ({ kind: { $case: 'register', value: { name } } })],
    [LogHandOverService.record.path, (name: string) => ({ node: name, holder: 'n3' })],
    [LastWordsService.say.path, (name: string) => ({ name })],
  ])('of %s speaks for the node of the certificate only', (path, message) => {
    expect(messageRefusal(path, node, message('n1'))).toBeNull();
    expect(messageRefusal(path, node, message('n2'))).toEqual({
      code: 'wrong_name',
      message: 'the certificate of node "n1" does not speak for "n2"',
    });
  });

  it.each([
    [RaftService.messages.path, { kind: { $case: 'batch', value: { messages: [] } } }],
    [RaftService.messages.path, { kind: undefined }],
    [RaftService.installSnapshot.path, { offset: 5 }],
    [RaftService.bootstrap.path, { name: '' }],
    [WorkerService.session.path, { kind: { $case: 'heartbeat', value: {} } }],
    [ClusterService.getNode.path, { name: 'n2' }],
  ])('of %s may say no name: %o', (path, message) => {
    expect(messageRefusal(path, node, message)).toBeNull();
  });

  it('of a member that stops may not leave its name out', () => {
    expect(messageRefusal(LastWordsService.say.path, node, { name: '' })).toMatchObject({
      code: 'wrong_name',
    });
  });
});

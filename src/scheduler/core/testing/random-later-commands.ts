/** Random commands about settings, alerts, the autoscaler, and who is let in: what there is since version 2 of the cluster. */
import * as fc from 'fast-check';

import { ALERT_EVENTS, type Webhook } from '../../../model/alerts.ts';
import type { InstanceStep } from '../../../model/commands.ts';
import { NEXT_PHASES, type InstancePhase } from '../../../model/scaling.ts';
import { ROLES } from '../../../model/token.ts';
import type { CommandInput } from '../../ports.ts';
import { NODES } from './random-commands.ts';
import type { TestCluster } from './test-cluster.ts';
import { SCALING } from './values.ts';

const KINDS = [
  ...(['config', 'decide', 'decide', 'progress', 'progress', 'progress', 'scalingFailed'] as const),
  ...(['advance', 'advance', 'quorum', 'bar', 'token', 'revoke', 'expireTokens'] as const),
  ...(['remember', 'forget', 'reform', 'admit', 'dismiss'] as const),
] as const;

/** Numbers that `laterInputOf` makes a command of, by what there is when it is carried out. */
export const laterStep = fc.record({
  kind: fc.constantFrom(...KINDS),
  pick: fc.nat({ max: 30 }),
  node: fc.constantFrom(...NODES),
  variant: fc.nat({ max: 5 }),
  flag: fc.boolean(),
  passMs: fc.constantFrom(0, 0, 10, 3000, 61_000, -500),
});
export type LaterStep = typeof laterStep extends fc.Arbitrary<infer T> ? T : never;

const LOAD = {
  queueDepth: 5,
  averageWaitTime: 1 / 3,
  longestWaitTime: 2,
  utilization: 66.6,
  unplaceable: 0,
  nodes: 3,
};

/** The command that it stands for, where things have come to this. */
export function laterInputOf(cluster: TestCluster, one: LaterStep): CommandInput {
  const { kind, pick, node, variant, flag } = one;
  const { state, term } = cluster;
  switch (kind) {
    case 'config': {
      const autoscaling = { ...SCALING, enabled: variant < 5, dryRun: variant === 4 };
      const blocks = { alerts: { webhooks: webhooksOf(pick) }, autoscaling };
      return { type: 'setConfig', term, heartbeat: {}, blocks, idempotency: null };
    }
    case 'decide':
      return decided(cluster, one);
    case 'progress':
      return { type: 'instanceProgress', term, steps: [progress(cluster, one)], hasRecovered: pick === 0 };
    case 'scalingFailed': {
      const hold = flag ? { holdMs: 5000 } : {};
      return { type: 'autoscalerFailed', term, provider: 'process', reason: `for ${pick}`, ...hold };
    }
    case 'advance': {
      const messages = [...state.alerts.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
      const attempts = messages
        .filter(({ status }) => status === 'PENDING')
        .map(({ id, attempts: made }) => {
          const failure = flag ? null : 'no answer';
          return { id, attempt: made + 1, failure, retryAfterMs: variant === 0 ? 1000 : null };
        });
      return { type: 'advanceAlerts', term, attempts, close: messages.map(({ id }) => id) };
    }
    case 'quorum':
      return { type: 'quorumRisk', term, atRisk: flag, reason: 'one of three' };
    case 'bar':
      return { type: 'barMember', name: flag ? node : `${node}-new` };
    case 'admit': {
      const incarnation = `i-${pick % 3}`;
      return { type: 'admitCopyless', name: node, incarnation, address: `h${variant % 2}:4750` };
    }
    case 'dismiss':
      return { type: 'dismissCopyless', name: node };
    case 'token':
    case 'revoke':
    case 'expireTokens':
      return tokenInput(cluster, one);
    case 'remember':
    case 'forget': {
      const idempotency = { key: `key-${pick % 4}`, requestDigest: `${variant % 2}` };
      if (kind === 'forget') return { type: 'forgetRequest', idempotency };
      return { type: 'rememberRequest', idempotency, answer: flag ? null : { term } };
    }
    default: {
      const epoch = (state.cluster?.epoch ?? 0) + variant - 1;
      return { type: 'reformCluster', clusterId: `c-${pick % 3}`, epoch };
    }
  }
}

function webhooksOf(pick: number): readonly Webhook[] {
  return [0, 1, 2]
    .filter((bit) => (pick & (1 << bit)) !== 0)
    .map((bit) => ({ url: `https://h${bit}`, events: ALERT_EVENTS.slice(bit), secret: null }));
}

function idsIn({ state }: TestCluster, phase: InstancePhase): readonly string[] {
  return [...state.instances.values()]
    .filter((row) => row.phase === phase)
    .map(({ id }) => id)
    .sort();
}

function decided(cluster: TestCluster, { pick, variant, flag }: LaterStep): CommandInput {
  const remove = flag ? [] : idsIn(cluster, 'JOINED').slice(0, variant);
  const keep = flag ? idsIn(cluster, 'DRAINING').slice(0, variant % 2) : [];
  const add = flag ? variant : 0;
  const action = flag ? ('add_nodes' as const) : ('remove_nodes' as const);
  const decision = { action, count: add, desired: 3, reason: `for ${pick}`, load: LOAD, rules: [] };
  return {
    type: 'autoscalerDecided',
    term: cluster.term,
    after: (cluster.state.scaling?.sequence ?? 0) - (pick === 0 ? 1 : 0),
    provider: 'process',
    decision,
    isDryRun: cluster.state.cluster?.config.autoscaling?.dryRun === true,
    add,
    keep,
    remove,
    drainMs: 1000,
  };
}

function progress(cluster: TestCluster, { pick, node, variant, flag }: LaterStep): InstanceStep {
  const ids = [...cluster.state.instances.keys()].sort();
  const id = ids[pick % Math.max(1, ids.length)] ?? 'instance-none';
  const row = cluster.state.instances.get(id);
  const at = { id, revision: (row?.revision ?? 1) - (pick === 30 ? 1 : 0) };
  const [next = 'TERMINATING', ...others] = NEXT_PHASES[row?.phase ?? 'REQUESTED'];
  switch (variant) {
    case 0:
      return { type: 'asking', ...at, host: flag ? node : null, joinTokenId: null };
    case 1:
      return { type: 'failed', ...at, error: 'no room', retryMs: 5000 };
    case 2:
      return flag ? { type: 'ended', ...at } : { type: 'gone', ...at };
    case 3: {
      const found = { provider: 'process', providerId: `p-${pick}`, host: null, phase: 'JOINED' } as const;
      return { type: 'adopted', id: `found-${pick % 4}`, node: flag ? node : `x-${pick}`, ...found };
    }
    default: {
      const phase = others[pick % Math.max(1, others.length)] ?? next;
      return {
        type: 'moved',
        ...at,
        phase: flag ? next : phase,
        reason: 'so it is',
        hasFailed: pick % 5 === 0,
      };
    }
  }
}

function tokenInput({ state, term }: TestCluster, { kind, pick, variant, flag }: LaterStep): CommandInput {
  if (kind === 'expireTokens') return { type: 'expireTokens', term };
  const id = `id-${pick % 8}`;
  if (kind === 'revoke') return { type: 'revokeToken', id, idempotency: null };
  const salt = String(state.tokens.size);
  return {
    type: 'createToken',
    id,
    name: `name-${pick % 5}`,
    role: ROLES[variant % ROLES.length] ?? 'viewer',
    secret: { salt, hash: id, n: 2, r: 1, p: 1 },
    validMs: flag ? 3000 : null,
    principal: 'ada',
    isFirst: variant === 5,
    idempotency: null,
  };
}

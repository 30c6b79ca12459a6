/** Who belongs to the cluster. */
import { z } from 'zod';

import { clusterToJson, listToJson, memberToJson } from '../../spec/json.ts';
import { parseBody } from '../query.ts';
import { idempotencyKey } from '../requests.ts';
import type { RouteCall } from '../route.ts';
import { route } from '../route.ts';
import { cluster, memberList } from '../schemas/cluster.ts';

const bodies = {
  add: z.strictObject({ name: z.string(), address: z.string() }),
  promote: z.strictObject({ instead_of: z.string().optional() }).nullish(),
  demote: z.strictObject({ in_favour_of: z.string().optional() }).nullish(),
  transfer: z.strictObject({ to: z.string().optional() }).nullish(),
};

interface Change {
  readonly action: 'add' | 'demote' | 'promote' | 'remove';
  readonly name: string;
  readonly address?: string;
  readonly other?: string | undefined;
}

async function change(call: RouteCall<unknown>, asked: Change): Promise<object> {
  const { action, name, address = '', other = '' } = asked;
  const request = { action, name, address, other, idempotency_key: idempotencyKey(call.request) };
  return clusterToJson(await call.operations.changeMember(request, call.context()));
}

export const memberRoutes = [
  route({
    method: 'POST',
    path: '/cluster/transfer',
    operation: 'transferLeadership',
    summary: 'Hands leadership to another voter',
    answer: cluster,
    body: { schema: bodies.transfer, isOptional: true },
    handler: async ({ request, operations, body, context }) => {
      const key = idempotencyKey(request);
      const to = parseBody(bodies.transfer, body)?.to ?? '';
      return clusterToJson(await operations.transferLeadership({ to, idempotency_key: key }, context()));
    },
  }),
  route({
    method: 'GET',
    path: '/cluster/members',
    operation: 'listMembers',
    isRead: true,
    summary: 'The members, with how far each is with the log, and who works without a copy of it',
    answer: memberList,
    handler: async ({ operations, context }) => {
      const { members } = await operations.getCluster({ consistency: '' }, context());
      return listToJson(members.map(memberToJson), '');
    },
  }),
  route({
    method: 'POST',
    path: '/cluster/members',
    operation: 'addMember',
    summary: 'Lets a node in that waits for it, as a learner, or without a copy of the state',
    answer: cluster,
    body: { schema: bodies.add },
    handler: async (call) => {
      const { name, address } = parseBody(bodies.add, call.body);
      return await change(call, { action: 'add', name, address });
    },
  }),
  route({
    method: 'DELETE',
    path: '/cluster/members/:name',
    operation: 'removeMember',
    summary: 'Takes a member out of the cluster',
    answer: cluster,
    handler: async (call) => await change(call, { action: 'remove', name: call.parameter('name') }),
  }),
  route({
    method: 'POST',
    path: '/cluster/members/:name/promote',
    operation: 'promoteMember',
    summary: 'Makes a learner a voter',
    answer: cluster,
    body: { schema: bodies.promote, isOptional: true },
    handler: async (call) => {
      const other = parseBody(bodies.promote, call.body)?.instead_of;
      return await change(call, { action: 'promote', name: call.parameter('name'), other });
    },
  }),
  route({
    method: 'POST',
    path: '/cluster/members/:name/demote',
    operation: 'demoteMember',
    summary: 'Makes a voter a learner',
    answer: cluster,
    body: { schema: bodies.demote, isOptional: true },
    handler: async (call) => {
      const other = parseBody(bodies.demote, call.body)?.in_favour_of;
      return await change(call, { action: 'demote', name: call.parameter('name'), other });
    },
  }),
];

/** Who belongs to the cluster. */
import { z } from 'zod';

import type { CallContext, ClusterOperations } from '../../operations/port.ts';
import { clusterToJson, listToJson, memberToJson } from '../../spec/json.ts';
import { parseBody } from '../query.ts';
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

async function change(operations: ClusterOperations, asked: Change, context: CallContext): Promise<object> {
  const { action, name, address = '', other = '' } = asked;
  return clusterToJson(await operations.changeMember({ action, name, address, other }, context));
}

export const memberRoutes = [
  route({
    method: 'POST',
    path: '/cluster/transfer',
    operation: 'transferLeadership',
    summary: 'Hands leadership to another voter',
    answer: cluster,
    body: { schema: bodies.transfer, isOptional: true },
    handler: async ({ operations, body, context }) => {
      const to = parseBody(bodies.transfer, body)?.to ?? '';
      return clusterToJson(await operations.transferLeadership({ to }, context()));
    },
  }),
  route({
    method: 'GET',
    path: '/cluster/members',
    operation: 'listMembers',
    isRead: true,
    summary: 'The members, with how far each is with the log',
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
    summary: 'Lets a node in that waits for it, as a learner',
    answer: cluster,
    body: { schema: bodies.add },
    handler: async ({ operations, body, context }) => {
      const { name, address } = parseBody(bodies.add, body);
      return await change(operations, { action: 'add', name, address }, context());
    },
  }),
  route({
    method: 'DELETE',
    path: '/cluster/members/:name',
    operation: 'removeMember',
    summary: 'Takes a member out of the cluster',
    answer: cluster,
    handler: async ({ operations, parameter, context }) =>
      await change(operations, { action: 'remove', name: parameter('name') }, context()),
  }),
  route({
    method: 'POST',
    path: '/cluster/members/:name/promote',
    operation: 'promoteMember',
    summary: 'Makes a learner a voter',
    answer: cluster,
    body: { schema: bodies.promote, isOptional: true },
    handler: async ({ operations, parameter, body, context }) => {
      const other = parseBody(bodies.promote, body)?.instead_of;
      return await change(operations, { action: 'promote', name: parameter('name'), other }, context());
    },
  }),
  route({
    method: 'POST',
    path: '/cluster/members/:name/demote',
    operation: 'demoteMember',
    summary: 'Makes a voter a learner',
    answer: cluster,
    body: { schema: bodies.demote, isOptional: true },
    handler: async ({ operations, parameter, body, context }) => {
      const other = parseBody(bodies.demote, body)?.in_favour_of;
      return await change(operations, { action: 'demote', name: parameter('name'), other }, context());
    },
  }),
];

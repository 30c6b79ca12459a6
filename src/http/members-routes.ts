/** The members of the cluster over HTTP (docs/contract.md, section 2). */
import { z } from 'zod';

import { JarvisError } from '../lib/errors.ts';
import type { CallContext, ClusterOperations } from '../operations/port.ts';
import { clusterToJson, listToJson, memberToJson } from '../spec/json.ts';

const bodies = {
  add: z.strictObject({ name: z.string(), address: z.string() }),
  promote: z.strictObject({ instead_of: z.string().optional() }).nullish(),
  demote: z.strictObject({ in_favour_of: z.string().optional() }).nullish(),
  transfer: z.strictObject({ to: z.string().optional() }).nullish(),
};

export class MemberRoutes {
  readonly #operations: ClusterOperations;

  constructor(operations: ClusterOperations) {
    this.#operations = operations;
  }

  async list(context: CallContext): Promise<object> {
    const { members } = await this.#operations.getCluster({ consistency: '' }, context);
    return listToJson(members.map(memberToJson), '');
  }

  async add(body: unknown, context: CallContext): Promise<object> {
    const { name, address } = parse(bodies.add, body);
    return this.#change({ action: 'add', name, address }, context);
  }

  async remove(name: string, context: CallContext): Promise<object> {
    return this.#change({ action: 'remove', name }, context);
  }

  async promote(name: string, body: unknown, context: CallContext): Promise<object> {
    const other = parse(bodies.promote, body)?.instead_of ?? '';
    return this.#change({ action: 'promote', name, other }, context);
  }

  async demote(name: string, body: unknown, context: CallContext): Promise<object> {
    const other = parse(bodies.demote, body)?.in_favour_of ?? '';
    return this.#change({ action: 'demote', name, other }, context);
  }

  async transfer(body: unknown, context: CallContext): Promise<object> {
    const to = parse(bodies.transfer, body)?.to ?? '';
    return clusterToJson(await this.#operations.transferLeadership({ to }, context));
  }

  async #change(
    request: { action: string; name: string; address?: string; other?: string },
    context: CallContext,
  ): Promise<object> {
    const whole = { address: '', other: '', ...request };
    return clusterToJson(await this.#operations.changeMember(whole, context));
  }
}

/** @throws JarvisError invalid, with a fault for each thing that is wrong */
function parse<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  const lines = faults.map((fault) =>
    fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`,
  );
  throw new JarvisError('invalid', lines.join('; '), { faults });
}

/** What the members say of themselves, asked by the leader for its answer to whoever asks for the cluster's state. */
import type { ClusterStatus, NodeReport } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { show } from '../spec/faults.ts';
import type { Remotes } from './node-port.ts';
import type { CallContext } from './port.ts';

const CONSISTENCIES: ReadonlySet<string> = new Set(['', 'linearizable', 'stale']);

/** @throws JarvisError invalid for what is no consistency */
export function isStale(consistency: string): boolean {
  if (CONSISTENCIES.has(consistency)) return consistency === 'stale';
  const message = `${show(consistency)} is not allowed: linearizable or stale`;
  throw new JarvisError('invalid', `consistency: ${message}`, {
    faults: [{ path: 'consistency', message }],
  });
}

/** Asks the active members at once; whoever does not answer in time has no report. */
export async function withReports(
  status: ClusterStatus,
  { remotes, context }: { remotes: Pick<Remotes, 'operations'>; context: CallContext },
): Promise<ClusterStatus> {
  const timeout = AbortSignal.timeout(limits.reportTimeoutMs);
  const limited = { ...context, signal: AbortSignal.any([context.signal, timeout]) };
  const reportOf = async ({ name, role, address, active }: ClusterStatus['members'][number]) => {
    if (name === status.node?.name) return status.node;
    // Who has no copy has nothing to say of one, and of those there may be thousands.
    if (!active || role === 'worker') return undefined;
    const report = await ask(remotes, address, limited);
    // An address may have changed hands.
    return report?.name === name ? report : undefined;
  };
  const members = await Promise.all(
    status.members.map(async (member) => ({ ...member, report: await reportOf(member) })),
  );
  return { ...status, members };
}

async function ask(
  remotes: Pick<Remotes, 'operations'>,
  address: string,
  context: CallContext,
): Promise<NodeReport | undefined> {
  try {
    const { node } = await remotes.operations(address).getCluster({ consistency: 'stale' }, context);
    return node;
  } catch (error) {
    // A member that does not answer is what an operator wants to see, not a failure of the whole answer.
    if (error instanceof JarvisError) return undefined;
    throw error;
  }
}

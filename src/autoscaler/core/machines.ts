/** Whose machines further nodes can be made on. Pure. */
import type { ScalingProvider } from '../../model/autoscaling.ts';
import type { NodeRow } from '../../model/node.ts';
import type { InstanceRow } from '../../model/scaling.ts';

/** Nodes that are no instances themselves, whatever their status. */
export function machinesFor(
  provider: ScalingProvider,
  {
    nodes,
    instances,
  }: { readonly nodes: ReadonlyMap<string, NodeRow>; readonly instances: ReadonlyMap<string, InstanceRow> },
): readonly NodeRow[] {
  const made = new Set([...instances.values()].map(({ node }) => node));
  const own = [...nodes.values()].filter(({ name }) => !made.has(name));
  if (provider !== 'docker') return own;
  // Where none runs containers of its own there may still be an engine.
  const withEngine = own.filter(({ drivers }) => drivers.includes('docker'));
  return withEngine.length > 0 ? withEngine : own;
}

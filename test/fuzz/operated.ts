/** The operations of a node on a model of its cluster. */
import { invariant } from '../../src/lib/assert.ts';
import type { Command } from '../../src/model/commands.ts';
import { testOperations } from '../../src/operations/operations.test-kit.ts';
import { TestCluster } from '../../src/operations/test-cluster.test-kit.ts';
import { inProcessRemotes } from '../../src/operations/test-remotes.test-kit.ts';
import type { RoutingOperations } from '../../src/operations/router.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';
import { decodeCommand, encodeCommand } from '../../src/store/codec.ts';
import { expectCommand } from '../../src/store/entries.ts';
import { SchedulerCore } from '../../src/store/scheduler-machine.ts';

/** Every command goes through its bytes, as it would through the log; a throw while one is applied is passed on. */
export function operated(): { readonly cluster: TestCluster; readonly operations: RoutingOperations } {
  const cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const execute = cluster.execute.bind(cluster);
  const core = new SchedulerCore();
  cluster.execute = (input) => {
    const command: unknown = { ...input, atMs: cluster.nowMs };
    expectCommand<Command>(core, command);
    const decoded = decodeCommand(encodeCommand(command));
    invariant(decoded.type === 'value', 'a command that was encoded decodes');
    return execute(decoded.value as CommandInput);
  };
  const operations = testOperations(cluster, 'n1', {
    remotes: inProcessRemotes(new Map()),
  });
  return { cluster, operations };
}

/** What operators say of nodes, carried out by the leader: whether one takes work, and its labels. */
import type {
  CordonNodeRequest,
  DrainNodeRequest,
  LabelNodeRequest,
  Node,
  NodeChange,
  UndrainNodeRequest,
} from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import type { IdempotencyKey, Outcome } from '../model/commands.ts';
import type { NodeRow } from '../model/node.ts';
import { closedTo } from '../scheduler/core/placement/fit.ts';
import type { CommandInput, Replica } from '../scheduler/ports.ts';
import { show } from '../spec/faults.ts';
import { parseDrain, parseNodeUpdate } from '../spec/node-changes.ts';
import { namedNode } from './nodes.ts';
import type { CallContext, NodeOperations } from './port.ts';
import { idempotencyOf } from './requests.ts';
import { throwIfAborted } from './waiting.ts';

export interface LocalNodesOptions {
  readonly replica: Replica;
  readonly barrier: (context: Pick<CallContext, 'signal'>) => Promise<void>;
  /** The result, or the refusal thrown. */
  readonly outcome: (proposed: Promise<Outcome>, signal: AbortSignal) => Promise<unknown>;
  readonly viewOf: (node: NodeRow) => Node;
}

/** What is asked of one node, beside its name. */
interface Change {
  readonly route: string;
  readonly name: string;
  readonly key: string;
  readonly content: object;
  readonly commandOf: (idempotency: IdempotencyKey | null) => CommandInput;
}

export class LocalNodes implements NodeOperations {
  readonly #options: LocalNodesOptions;

  constructor(options: LocalNodesOptions) {
    this.#options = options;
  }

  async cordonNode({ name, idempotency_key: key }: CordonNodeRequest, context: CallContext) {
    return await this.#change(context, {
      route: 'POST /nodes/cordon',
      name,
      key,
      content: {},
      commandOf: (idempotency) => ({ type: 'cordonNode', node: name, idempotency }),
    });
  }

  async drainNode(request: DrainNodeRequest, context: CallContext) {
    const { name, idempotency_key: key, deadline, grace, start_id: start } = request;
    const { withinMs, graceMs } = parseDrain({ deadline, grace });
    const startId = start === '' ? null : start;
    return await this.#change(context, {
      route: 'POST /nodes/drain',
      name,
      key,
      content: { withinMs, graceMs, startId },
      commandOf: (idempotency) => ({
        type: 'drainNode',
        node: name,
        withinMs,
        graceMs,
        startId,
        idempotency,
      }),
    });
  }

  async undrainNode({ name, idempotency_key: key }: UndrainNodeRequest, context: CallContext) {
    return await this.#change(context, {
      route: 'POST /nodes/undrain',
      name,
      key,
      content: {},
      commandOf: (idempotency) => ({ type: 'undrainNode', node: name, idempotency }),
    });
  }

  async labelNode(request: LabelNodeRequest, context: CallContext) {
    const { name, idempotency_key: key } = request;
    const labels = parseNodeUpdate({ labels: labelsOf(request) });
    return await this.#change(context, {
      route: 'PATCH /nodes',
      name,
      key,
      content: { labels },
      commandOf: (idempotency) => ({ type: 'labelNode', node: name, labels, idempotency }),
    });
  }

  async #change({ principal, signal }: CallContext, change: Change): Promise<NodeChange> {
    const { replica, barrier, outcome, viewOf } = this.#options;
    const { route, name, key } = change;
    await barrier({ signal });
    namedNode(replica.state, name);
    const content = { name, ...change.content };
    const { idempotency } = idempotencyOf({ principal, route, key, content });
    throwIfAborted(signal);
    await outcome(replica.propose(change.commandOf(idempotency)), signal);
    const node = namedNode(replica.state, name);
    return { node: viewOf(node), warnings: [...warningsOf(node, replica.state.nodes.values())] };
  }
}

/** @throws JarvisError invalid where a label is both set and taken away */
function labelsOf({ labels, remove_labels: removed }: LabelNodeRequest): Record<string, string | null> {
  const both = removed.find((key) => Object.hasOwn(labels, key));
  if (both !== undefined) {
    const message = `${show(both)} is both set and taken away`;
    throw new JarvisError('invalid', `labels: ${message}`, { faults: [{ path: 'labels', message }] });
  }
  return { ...labels, ...Object.fromEntries(removed.map((key) => [key, null])) };
}

/** That nobody is left who takes work is allowed, and said. */
function warningsOf(changed: NodeRow, nodes: Iterable<NodeRow>): readonly string[] {
  if (closedTo(changed) === null) return [];
  for (const node of nodes) if (closedTo(node) === null) return [];
  return ['no node takes new work now: what is pending, and what is moved, waits until one does'];
}

/**
 * What should run on one node in one session, as it follows from the applied state, and what of that its worker has
 * been told. Level-triggered: only *which* tasks may have changed is remembered, so that a slow stream costs no more
 * memory than the node has tasks, and what is sent is always the newest.
 */
import type { Assignment, Container, Limits, Stop } from '../../generated/worker.ts';
import { invariant } from '../../lib/assert.ts';
import { fencingToken } from '../../lib/ids.ts';
import { containerOf, drainOf, limitsOf, onNodeLossOf, userOf } from '../../model/earlier-rows.ts';
import type { NodeRow } from '../../model/node.ts';
import type { Attempt, ContainerSpec, Pairs, TaskLimits, TaskRow, TaskSpec } from '../../model/task.ts';
import { specOfTask } from '../../model/template.ts';
import type { StateView } from '../../scheduler/ports.ts';
import { LEADER_LIMITS } from './limits.ts';

/** `withdraw`: not to be begun, where it has not been. */
type Mode = 'run' | 'withdraw' | 'stop';

interface Wanted {
  readonly attempt: Attempt;
  readonly mode: Mode;
}

/** What the task wants of the node in that session; null: nothing. */
function wantedOn(task: TaskRow | undefined, row: NodeRow | undefined, session: number): Wanted | null {
  if (task === undefined || (task.status !== 'ASSIGNED' && task.status !== 'RUNNING')) return null;
  const attempt = task.attempts.at(-1);
  if (attempt === undefined || attempt.node !== row?.name || attempt.session !== session) return null;
  if (task.cancelRequested || attempt.stopFor !== undefined) return { attempt, mode: 'stop' };
  const isDraining = drainOf(row) !== null;
  return { attempt, mode: isDraining && attempt.status === 'ASSIGNED' ? 'withdraw' : 'run' };
}

/** The node of the task's newest attempt. */
export function newestNodeOf(task: TaskRow | null): string | undefined {
  return task?.attempts.at(-1)?.node;
}

/** The driver for a task on the node: an image's, or whatever runs commands there. */
function driverFor(node: NodeRow, spec: TaskSpec): string {
  if (containerOf(spec) !== null) return 'docker';
  return node.drivers.includes('process') ? 'process' : (node.drivers[0] ?? 'process');
}

interface DesiredPart {
  readonly run: readonly Assignment[];
  readonly stop: readonly Stop[];
}

interface DesiredStateOptions {
  readonly node: string;
  readonly session: number;
  /** Of the leader that sends. */
  readonly term: number;
}

export class DesiredState {
  readonly #options: DesiredStateOptions;
  /** What the worker was told last about each task. */
  readonly #told = new Map<string, { readonly assignment: number; readonly mode: Mode }>();
  readonly #dirty = new Set<string>();

  constructor(options: DesiredStateOptions) {
    this.#options = options;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** The node may be wanted for something else than its worker was told. */
  mark(change: {
    readonly key: string;
    readonly before: TaskRow | null;
    readonly after: TaskRow | null;
  }): void {
    const { node } = this.#options;
    if (newestNodeOf(change.before) === node || newestNodeOf(change.after) === node)
      this.#dirty.add(change.key);
  }

  /** Everything that the state holds for the node. */
  markAll(state: StateView): void {
    for (const taskId of state.tasksOn(this.#options.node)) this.#dirty.add(taskId);
  }

  /** The worker itself said that the attempt ended: there is nothing to stop. */
  ended(taskId: string, assignment: number): void {
    if (this.#told.get(taskId)?.assignment === assignment) this.#told.delete(taskId);
  }

  /** The next message's worth of what the worker has yet to be told, starts in the order of their assignment. */
  takePart(state: StateView): DesiredPart {
    const { node, session } = this.#options;
    const row = state.nodes.get(node);
    const pending = [...this.#dirty]
      .map((taskId) => ({ taskId, wanted: wantedOn(state.tasks.get(taskId), row, session) }))
      .sort((a, b) => (a.wanted?.attempt.assignment ?? 0) - (b.wanted?.attempt.assignment ?? 0));
    const run: Assignment[] = [];
    const stop: Stop[] = [];
    let bytes = 0;
    for (const { taskId, wanted } of pending) {
      if (bytes >= LEADER_LIMITS.desiredPartBytes) break;
      this.#dirty.delete(taskId);
      bytes += this.#tell(state, taskId, wanted, run, stop);
    }
    return { run, stop };
  }

  #tell(state: StateView, taskId: string, wanted: Wanted | null, run: Assignment[], stop: Stop[]): number {
    const told = this.#told.get(taskId);
    const task = state.tasks.get(taskId);
    const written = task === undefined ? undefined : state.specs.get(task.specId)?.spec;
    const spec = task === undefined || written === undefined ? undefined : specOfTask(task, written);
    const row = state.nodes.get(this.#options.node);
    const graceMs = graceOfDrain(row, wanted) ?? spec?.stopGraceMs ?? LEADER_LIMITS.defaultStopGraceMs;
    const isNew = wanted !== null && told?.assignment !== wanted.attempt.assignment;
    let bytes = 0;
    if (told !== undefined && told.mode !== 'stop' && (wanted === null || isNew)) {
      stop.push({ task_id: taskId, assignment: told.assignment, grace_ms: graceMs, unless_begun: false });
      bytes += 64;
    }
    if (wanted === null) {
      this.#told.delete(taskId);
      return bytes;
    }
    if (!isNew && told?.mode === wanted.mode) return bytes;
    const { attempt, mode } = wanted;
    this.#told.set(taskId, { assignment: attempt.assignment, mode });
    if (mode !== 'run') {
      const unlessBegun = mode === 'withdraw';
      stop.push({
        task_id: taskId,
        assignment: attempt.assignment,
        grace_ms: graceMs,
        unless_begun: unlessBegun,
      });
      return bytes + 64;
    }
    invariant(
      task !== undefined && spec !== undefined && row !== undefined && state.cluster !== null,
      'an open task has its spec and node',
    );
    run.push(
      assignmentToWire({
        task,
        attempt,
        spec,
        node: row,
        term: this.#options.term,
        epoch: state.cluster.epoch,
      }),
    );
    return bytes + specBytes(spec);
  }
}

/** Milliseconds that the drain of its node gives it in place of its own; null: it says nothing of that. */
function graceOfDrain(row: NodeRow | undefined, wanted: Wanted | null): number | null {
  if (row === undefined || wanted?.attempt.stopFor !== 'drain') return null;
  return drainOf(row)?.graceMs ?? null;
}

function assignmentToWire(options: {
  readonly task: TaskRow;
  readonly attempt: Attempt;
  readonly spec: TaskSpec;
  readonly node: NodeRow;
  readonly term: number;
  readonly epoch: number;
}): Assignment {
  const { task, attempt, spec, node, term, epoch } = options;
  return {
    task_id: task.id,
    assignment: attempt.assignment,
    term,
    session: attempt.session,
    attempt: attempt.attempt,
    fencing_token: fencingToken(epoch, attempt.assignment),
    driver: driverFor(node, spec),
    command: [...spec.command],
    env: { ...groupEnvironment(task), ...Object.fromEntries(spec.env) },
    working_dir: spec.workingDir ?? '',
    timeout_ms: spec.timeoutMs ?? undefined,
    stop_grace_ms: spec.stopGraceMs,
    cpu_millis: spec.resources.cpuMillis,
    memory_bytes: spec.resources.memoryBytes,
    container: containerToWire(containerOf(spec), spec.labels),
    limits: limitsToWire(limitsOf(spec)),
    unleased: onNodeLossOf(spec) === 'wait',
    user: userOf(spec) ?? undefined,
  };
}

/** What a task is told of the batch or DAG that it belongs to (docs/contract.md, section 3); its own `env` has the last word. */
function groupEnvironment({ batchId, batchIndex, dagId }: TaskRow): Readonly<Record<string, string>> {
  return {
    ...(batchId === undefined || batchId === null ? {} : { JARVIS_BATCH_ID: batchId }),
    ...(batchIndex === undefined ? {} : { JARVIS_BATCH_INDEX: String(batchIndex) }),
    ...(dagId === undefined || dagId === null ? {} : { JARVIS_DAG_ID: dagId }),
  };
}

function containerToWire(container: ContainerSpec | null, labels: Pairs): Container | undefined {
  if (container === null) return undefined;
  return {
    image: container.image,
    user: container.user ?? undefined,
    mounts: container.mounts.map(({ source, target, readOnly }) => ({ source, target, read_only: readOnly })),
    network: container.network,
    pull_policy: container.pullPolicy,
    labels: Object.fromEntries(labels),
  };
}

function limitsToWire({ cpuMillis, memoryBytes, pids }: TaskLimits): Limits {
  return {
    cpu_millis: cpuMillis ?? undefined,
    memory_bytes: memoryBytes ?? undefined,
    pids: pids ?? undefined,
  };
}

/** Roughly what an assignment takes on the wire: for bounds. UTF-16 units may take three bytes each. */
function specBytes(spec: TaskSpec): number {
  let characters = 0;
  for (const argument of spec.command) characters += argument.length;
  for (const [name, value] of spec.env) characters += name.length + value.length + 8;
  for (const [name, value] of spec.labels) characters += name.length + value.length + 8;
  for (const { source, target } of containerOf(spec)?.mounts ?? [])
    characters += source.length + target.length + 8;
  return 256 + characters * 3;
}

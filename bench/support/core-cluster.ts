/** The state of a cluster and its planner in memory, as a leader has them, with a queue of tasks of mixed sizes. */
import type { Command } from '../../src/model/commands.ts';
import type { TaskSpec } from '../../src/model/task.ts';
import { apply } from '../../src/scheduler/core/apply/apply.ts';
import type { ApplyResult } from '../../src/scheduler/core/apply/apply.ts';
import type { AssignResult } from '../../src/scheduler/core/apply/assign.ts';
import { toAssignments } from '../../src/scheduler/core/placement/plan.ts';
import { Planner } from '../../src/scheduler/core/placement/planner.ts';
import { PlansInFlight } from '../../src/scheduler/core/placement/plans-in-flight.ts';
import { ClusterState } from '../../src/scheduler/core/state.ts';
import type { StateView } from '../../src/scheduler/core/state-view.ts';
import { MIB, registrationOf, reportOf, specOf } from '../../src/scheduler/core/testing/values.ts';
import type { CommandInput } from '../../src/scheduler/ports.ts';

/** Whether tasks ask for resources only, or also for labels, preferences and a place. */
export type AffinityRules = 'plain' | 'rules';

const CPU_SIZES = [100, 250, 500, 1000, 1500];
const ZONES = 8;
const RACKS = 400;
/** Of all nodes together, over what a round places: they are half full at its end. */
const ROOM = 2;
const LARGEST_ROUND = 50_000;
const PER_COMMAND = 256;
const PER_SUBMISSION = 1000;
const AT_MS = 1_000_000;
const HEARTBEAT = { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 };

export interface Placed {
  readonly count: number;
  readonly planMs: number;
  readonly applyMs: number;
}

export interface AppliedHere {
  readonly term: number;
  readonly command: Command;
  readonly changes: ApplyResult['changes'];
}

export class CoreCluster {
  readonly #state = new ClusterState();
  readonly #plans = new PlansInFlight(() => []);
  readonly #planner: Planner;
  readonly #onApplied: (entry: AppliedHere) => void;
  #index = 0;

  constructor(options: {
    readonly nodes: number;
    readonly queued: number;
    readonly rules: AffinityRules;
    /** Told of each command; default: nobody is. */
    readonly onApplied?: (entry: AppliedHere) => void;
  }) {
    const { nodes, queued, rules } = options;
    this.#onApplied = options.onApplied ?? (() => {});
    this.#run({
      type: 'initCluster',
      term: 1,
      clusterId: 'bench',
      epoch: 1,
      config: { heartbeat: HEARTBEAT },
    });
    const mean = CPU_SIZES.reduce((sum, size) => sum + size, 0) / CPU_SIZES.length;
    const size = Math.ceil((LARGEST_ROUND * mean * ROOM) / nodes);
    for (let n = 0; n < nodes; n += 1) this.#join(n, Math.max(size, 2 * Math.max(...CPU_SIZES)));
    for (let from = 0; from < queued; from += PER_SUBMISSION) {
      const tasks = Array.from({ length: Math.min(PER_SUBMISSION, queued - from) }, (_, at) =>
        specOfTask(from + at, rules),
      );
      this.#run({ type: 'submitTasks', tasks, idempotency: null });
    }
    this.#planner = new Planner(this.#state, this.#plans);
  }

  get state(): StateView {
    return this.#state;
  }

  /** Plans and applies in turn until so many are placed. */
  place(count: number): Placed {
    let placed = 0;
    let planMs = 0;
    let applyMs = 0;
    while (placed < count) {
      const begunMs = cpuMs();
      const { assignments, overtakes } = this.#planner.plan(PER_COMMAND);
      const plannedMs = cpuMs();
      if (assignments.length === 0) throw new Error('nothing fits any more');
      const plan = { planIndex: this.#index, assignments };
      this.#plans.add(plan);
      const { outcome, changes } = this.#run({
        type: 'assign',
        term: 1,
        planIndex: this.#index,
        assignments: toAssignments(assignments),
        overtakes,
      });
      const appliedMs = cpuMs();
      this.#plans.applied(
        this.#index,
        assignments.map(({ taskId }) => taskId),
        changes,
      );
      this.#plans.settle(plan);
      this.#planner.changed(changes);
      const { refused } = (outcome as { readonly result: AssignResult }).result;
      if (refused.length > 0) throw new Error(`refused: ${refused[0]?.reason}`);
      placed += assignments.length;
      planMs += plannedMs - begunMs;
      applyMs += appliedMs - plannedMs;
    }
    return { count: placed, planMs, applyMs };
  }

  /** Whatever was placed has completed: the nodes are empty again. */
  finishAll(): void {
    for (const [node, { session }] of this.#state.nodes) {
      const reports = [...this.#state.tasksOn(node)].map((taskId) => {
        const assignment = this.#state.tasks.get(taskId)?.attempts.at(-1)?.assignment ?? 0;
        return reportOf({ taskId, assignment, atMs: AT_MS }, 'COMPLETED');
      });
      if (reports.length === 0) continue;
      this.#planner.changed(this.#run({ type: 'reportAttempts', node, session, reports }).changes);
    }
    // Looks at the nodes that have changed, which in a cluster at work is paid with each end of a task.
    this.#planner.plan(0);
  }

  #join(number: number, cpuMillis: number): void {
    const name = `n${String(number).padStart(5, '0')}`;
    const labels = [
      ['rack', `r${number % RACKS}`],
      ['ssd', number % 3 === 0 ? 'yes' : 'no'],
      ['zone', `z${number % ZONES}`],
    ] as const;
    const capacity = { cpuMillis, memoryBytes: cpuMillis * MIB };
    const { outcome } = this.#run(registrationOf(name, { labels, capacity }));
    const { session } = (outcome as { readonly result: { readonly session: number } }).result;
    this.#run({ type: 'reconcileNode', node: name, session, known: [] });
  }

  #run(input: CommandInput): ApplyResult {
    this.#index += 1;
    const command: Command = { ...input, atMs: AT_MS };
    const result = apply(this.#state, command, { term: 1, index: this.#index }, new Map());
    this.#onApplied({ term: 1, command, changes: result.changes });
    return result;
  }
}

function specOfTask(number: number, rules: AffinityRules): TaskSpec {
  const resources = {
    cpuMillis: CPU_SIZES[number % CPU_SIZES.length] ?? 100,
    memoryBytes: (CPU_SIZES[(number * 7 + 3) % CPU_SIZES.length] ?? 100) * MIB,
  };
  if (rules === 'plain') return specOf({ name: `t${number % 1000}`, resources });
  const zones = [0, 1, 2, 3].map((step) => `z${(number + step) % ZONES}`);
  return specOf({
    name: `t${number % 1000}`,
    resources,
    affinity: {
      required: [{ key: 'zone', operator: 'in', values: zones }],
      preferred: [{ key: 'ssd', operator: 'in', values: ['yes'], weight: 50 }],
      anti: [],
    },
    locality: { near: [{ place: { key: 'zone', value: zones[0] ?? '' }, task: null }] },
  });
}

/** Processor time of this thread: what else runs on the machine, and the collector's own threads, do not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Reads the counters of one running attempt, wherever they are: its group, its processes, or the engine that runs it. */
import type { AttemptCounters, RunningAttempt } from '../drivers/attempt-counters.ts';
import type { ProcessEntry } from '../watchdog/processes.ts';
import type { GroupCounters, GroupHierarchies } from './group-counters.ts';
import type { ProcessCounters } from './process-counters.ts';

/** What is remembered of an attempt between two readings. */
export interface ReaderMemory {
  /** Found once: the group of an attempt stays where it is. */
  group: GroupCounters | null;
  /** The network that it has of its own, and a process by which that is read. */
  network: { readonly pid: number; readonly namespace: string } | null;
}

export class AttemptReader {
  readonly #hierarchies: GroupHierarchies;
  readonly #processes: ProcessCounters;

  constructor(hierarchies: GroupHierarchies, processes: ProcessCounters) {
    this.#hierarchies = hierarchies;
    this.#processes = processes;
  }

  /**
   * @param pids of attempts without a group
   * @returns null where nothing of it is found
   */
  read(attempt: RunningAttempt, memory: ReaderMemory, pids: readonly number[]): AttemptCounters | null {
    if (attempt.cgroup !== null) memory.group ??= this.#hierarchies.find(attempt.cgroup);
    const { group } = memory;
    const counted = group?.read() ?? null;
    if (group === null || counted === null) {
      // Removed, and perhaps made anew since.
      memory.group = null;
      return this.#processes.read(pids);
    }
    const network = attempt.isContainer ? this.#network(group, memory) : null;
    return { ...counted, ...this.#missing(group, counted), ...network };
  }

  /** Where the kernel does not count for the group, its processes tell. */
  #missing(group: GroupCounters, counted: AttemptCounters): Partial<AttemptCounters> {
    const { cpuUs, memoryBytes, pids, readBytes } = counted;
    if (cpuUs !== null && memoryBytes !== null && pids !== null && readBytes !== null) return {};
    const told = this.#processes.read(group.processes());
    if (told === null) return {};
    return {
      cpuUs: cpuUs ?? told.cpuUs,
      memoryBytes: memoryBytes ?? told.memoryBytes,
      pids: pids ?? told.pids,
      readBytes: readBytes ?? told.readBytes,
      writtenBytes: counted.writtenBytes ?? told.writtenBytes,
    };
  }

  #network(group: GroupCounters, memory: ReaderMemory): Partial<AttemptCounters> | null {
    const processes = this.#processes;
    // A pid may be another process's by now, which is in another network.
    if (memory.network === null || processes.namespaceOf(memory.network.pid) !== memory.network.namespace) {
      const [pid] = group.processes();
      const namespace = pid === undefined ? null : processes.namespaceOf(pid);
      memory.network = pid === undefined || namespace === null ? null : { pid, namespace };
    }
    return memory.network === null ? null : processes.network(memory.network.pid);
  }
}

/** Processes that carry the marks of an attempt in their environment, by its task and fencing token. */
export function pidsByMarks(processes: readonly ProcessEntry[]): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const { pid, markers } of processes) {
    if (markers === null) continue;
    const pids = found.get(marksOf(markers)) ?? [];
    pids.push(pid);
    found.set(marksOf(markers), pids);
  }
  return found;
}

export function marksOf(of: Pick<RunningAttempt, 'taskId' | 'fencingToken'>): string {
  return `${of.taskId} ${of.fencingToken}`;
}

/**
 * What the control group of an attempt has counted. Of version 1 each controller has a hierarchy of its own, and the group
 * need not be in all of them; of version 2 a controller may not be given to the group. What is missing reads as null.
 */
import { statSync } from 'node:fs';
import path from 'node:path';

import { cpuUsedUs, memoryUsed, numberOrNull } from '../cgroups/counters.ts';
import { parseMounts, pidsBelow, readOrEmpty, subfolders, type Hierarchy } from '../cgroups/hierarchies.ts';
import { NO_COUNTERS, type AttemptCounters } from '../drivers/attempt-counters.ts';
import { readSmall } from '../cgroups/small-file.ts';

/** Every process of the machine is in each hierarchy of version 1; groups of processes are made in the first of these. */
const REFERENCES = ['freezer', 'pids', 'memory'];
/** Version 1 says "no limit" as the largest number of whole pages; messages hold no more than this. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/** The folders of one group that are there, by controller; of version 2 all are the same one. */
interface Folders {
  readonly version: 1 | 2;
  readonly cpu: string | null;
  readonly memory: string | null;
  readonly io: string | null;
  readonly pids: string | null;
  /** Says which processes are in it. */
  readonly reference: string;
}

export class GroupHierarchies {
  readonly #hierarchies: readonly Hierarchy[];

  /** @param mountinfo proc_pid_mountinfo(5) */
  constructor(mountinfo: string = readOrEmpty('/proc/self/mountinfo')) {
    this.#hierarchies = parseMounts(mountinfo);
  }

  /** @param cgroup from the root of the hierarchies @returns null where no such group is there */
  find(cgroup: string): GroupCounters | null {
    const folderOf = (...controllers: readonly string[]): string | null => {
      for (const controller of controllers) {
        const found = this.#hierarchies.find(
          (one) => one.version === 1 && one.controllers.includes(controller),
        );
        const folder = found === undefined ? null : existing(path.join(found.folder, cgroup));
        if (folder !== null) return folder;
      }
      return null;
    };
    if (this.#hierarchies.some(({ version }) => version === 1)) {
      const reference = folderOf(...REFERENCES);
      if (reference === null) return null;
      return new GroupCounters({
        version: 1,
        cpu: folderOf('cpuacct'),
        memory: folderOf('memory'),
        io: folderOf('blkio'),
        pids: folderOf('pids'),
        reference,
      });
    }
    const [unified] = this.#hierarchies;
    const folder = unified === undefined ? null : existing(path.join(unified.folder, cgroup));
    return folder === null
      ? null
      : new GroupCounters({
          version: 2,
          cpu: folder,
          memory: folder,
          io: folder,
          pids: folder,
          reference: folder,
        });
  }
}

export class GroupCounters {
  readonly #folders: Folders;
  /** Where its memory may be limited: a container's by the group that its engine makes below the attempt's. */
  readonly #limiting: readonly string[];

  constructor(folders: Folders) {
    this.#folders = folders;
    const { memory } = folders;
    const below = memory === null ? [] : subfolders(memory).map((name) => path.join(memory, name));
    this.#limiting = memory === null ? [] : [memory, ...(below.length === 1 ? below : [])];
  }

  /** @returns null where the group is gone */
  read(): AttemptCounters | null {
    const { version, cpu, memory, io, pids } = this.#folders;
    const counters = {
      ...NO_COUNTERS,
      cpuUs: cpu === null ? null : cpuUsedUs(cpu, version),
      memoryBytes: memory === null ? null : memoryUsed(memory, version),
      memoryLimitBytes: lowestLimit(this.#limiting, version),
      ...(io === null ? {} : transferredBytes(io, version)),
      pids: pids === null ? null : numberOrNull(readSmall(path.join(pids, 'pids.current'))),
    };
    const isEmpty = Object.values(counters).every((value) => value === null);
    return isEmpty && existing(this.#folders.reference) === null ? null : counters;
  }

  /** Of what is in it and below it. */
  processes(): readonly number[] {
    return pidsBelow(this.#folders.reference);
  }
}

function existing(folder: string): string | null {
  return statSync(folder, { throwIfNoEntry: false }) === undefined ? null : folder;
}

function lowestLimit(folders: readonly string[], version: 1 | 2): number | null {
  const file = version === 2 ? 'memory.max' : 'memory.limit_in_bytes';
  const limits = folders.map((folder) => numberOrNull(readSmall(path.join(folder, file))) ?? NO_LIMIT);
  const lowest = Math.min(NO_LIMIT, ...limits);
  return lowest >= NO_LIMIT ? null : lowest;
}

function transferredBytes(
  folder: string,
  version: 1 | 2,
): Pick<AttemptCounters, 'readBytes' | 'writtenBytes'> {
  if (version === 2) {
    const text = readSmall(path.join(folder, 'io.stat'));
    return { readBytes: sumOf(text, / rbytes=(\d+)/g), writtenBytes: sumOf(text, / wbytes=(\d+)/g) };
  }
  const text =
    readSmall(path.join(folder, 'blkio.throttle.io_service_bytes_recursive')) ??
    readSmall(path.join(folder, 'blkio.throttle.io_service_bytes'));
  return { readBytes: sumOf(text, / Read (\d+)/g), writtenBytes: sumOf(text, / Write (\d+)/g) };
}

/** Over all disks; a group that has read nothing yet lists none of them. */
function sumOf(text: string | null, pattern: RegExp): number | null {
  if (text === null) return null;
  let sum = 0;
  for (const [, digits] of text.matchAll(pattern)) sum += Number(digits);
  return sum;
}

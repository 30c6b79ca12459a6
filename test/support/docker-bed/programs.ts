/**
 * The programs that the docker bed is made of, where they are, and whether this machine may run them. The script that
 * installs them asks here as well, so that both mean the same.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import path from 'node:path';

export interface Program {
  readonly name: string;
  /** Of Debian. */
  readonly packageName: string;
}

/** The command line of the engine: with it the image of a node is built. */
const DOCKER: Program = { name: 'docker', packageName: 'docker.io' };
const DOCKERD: Program = { name: 'dockerd', packageName: 'docker.io' };
const CONTAINERD: Program = { name: 'containerd', packageName: 'docker.io' };
const RUNC: Program = { name: 'runc', packageName: 'docker.io' };
const REGISTRY: Program = { name: 'docker-registry', packageName: 'docker-registry' };
const BUSYBOX: Program = { name: 'busybox', packageName: 'busybox-static' };
const IP: Program = { name: 'ip', packageName: 'iproute2' };
const UNSHARE: Program = { name: 'unshare', packageName: 'util-linux' };
const NSENTER: Program = { name: 'nsenter', packageName: 'util-linux' };
const PROGRAMS: readonly Program[] = [
  DOCKER,
  DOCKERD,
  CONTAINERD,
  RUNC,
  REGISTRY,
  BUSYBOX,
  IP,
  UNSHARE,
  NSENTER,
];

/** Also where a user's PATH leaves the folders of root out. */
export const SEARCH_PATH = [
  ...new Set([
    ...(process.env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== ''),
    '/usr/local/sbin',
    '/usr/local/bin',
    '/usr/sbin',
    '/usr/bin',
    '/sbin',
    '/bin',
  ]),
];

/** Of the bed's own, or of those given. */
export function missingPrograms(programs = PROGRAMS): readonly Program[] {
  return programs.filter((program) => findProgram(program.name) === null);
}

/** @throws Error where it is not there */
export function programPath(name: string): string {
  const found = findProgram(name);
  if (found === null) throw new Error(`${name} is not installed: node scripts/test-bed.mjs`);
  return found;
}

/** @returns why there can be no bed here; null where there can be one */
export function bedObstacle(): string | null {
  if (process.platform !== 'linux') return `containers need Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'a private dockerd needs root';
  const missing = missingPrograms().map(({ name }) => name);
  return missing.length === 0 ? null : `not installed: ${missing.join(', ')} (node scripts/test-bed.mjs)`;
}

function findProgram(name: string): string | null {
  for (const folder of SEARCH_PATH) {
    const file = path.join(folder, name);
    // Images are made of nothing but busybox: a dynamic one would find no loader there.
    if (existsSync(file) && (name !== BUSYBOX.name || isStatic(file))) return file;
  }
  return null;
}

/** Whether a 64-bit little-endian ELF file names no interpreter (program header type 3). */
function isStatic(file: string): boolean {
  const head = Buffer.alloc(4096);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, head, 0, head.length, 0);
  } finally {
    closeSync(descriptor);
  }
  if (head.readUInt32BE(0) !== 0x7f454c46) return false;
  const tableOffset = Number(head.readBigUInt64LE(32));
  const entryBytes = head.readUInt16LE(54);
  const entries = head.readUInt16LE(56);
  for (let index = 0; index < entries; index += 1) {
    const offset = tableOffset + index * entryBytes;
    if (offset + 4 > head.length) return false;
    if (head.readUInt32LE(offset) === 3) return false;
  }
  return true;
}

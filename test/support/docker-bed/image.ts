/** Images made of nothing but busybox, as a registry keeps them: a configuration and layers, named by their digests. */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

import { programPath } from './programs.ts';
import { tar } from './tar.ts';
import type { TarEntry } from './tar.ts';

export interface Blob {
  readonly digest: string;
  readonly content: Buffer;
}

export interface Image {
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

export interface ImageSettings {
  readonly layers: readonly Layer[];
  readonly architecture?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly user?: string;
  readonly env?: readonly string[];
  readonly workingDir?: string;
}

export interface Layer {
  /** Of the archive before it was compressed. */
  readonly contentDigest: string;
  readonly blob: Blob;
}

const ACCOUNTS = 'root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000:worker:/tmp:/bin/sh\n';
const GROUPS = 'root:x:0:\nworker:x:1000:\n';
const ELF_MACHINE_OFFSET = 18;
const ELF_MACHINES = { amd64: 0x3e, arm64: 0xb7 } as const;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** As the engine calls that of this machine. */
function hostArchitecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

/** One that this machine does not execute. */
export function foreignArchitecture(): 'amd64' | 'arm64' {
  return hostArchitecture() === 'arm64' ? 'amd64' : 'arm64';
}

export function image(settings: ImageSettings): Image {
  const config = {
    architecture: settings.architecture ?? hostArchitecture(),
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: {
      Cmd: settings.command ?? null,
      Entrypoint: settings.entrypoint ?? null,
      User: settings.user ?? '',
      Env: settings.env ?? ['PATH=/bin'],
      WorkingDir: settings.workingDir ?? '',
    },
    rootfs: { type: 'layers', diff_ids: settings.layers.map(({ contentDigest }) => contentDigest) },
    history: settings.layers.map(() => ({ created: '1970-01-01T00:00:00Z' })),
  };
  return {
    config: blobOf(Buffer.from(JSON.stringify(config))),
    layers: settings.layers.map(({ blob }) => blob),
  };
}

function layer(entries: readonly TarEntry[]): Layer {
  const archive = tar(entries);
  return { contentDigest: digestOf(archive), blob: blobOf(gzipSync(archive, { level: 1 })) };
}

/** A shell and its tools, and the accounts `root` and `worker` (1000). */
export function busyboxLayer(): Layer {
  return busybox(readFileSync(programPath('busybox')));
}

/** The same with a program that says it is for another machine: the kernel refuses to execute it. */
export function foreignBusyboxLayer(): Layer {
  const program = Buffer.from(readFileSync(programPath('busybox')));
  program.writeUInt16LE(ELF_MACHINES[foreignArchitecture()], ELF_MACHINE_OFFSET);
  return busybox(program);
}

/** A file that no compression makes smaller, so that a pull of it takes a while. */
export function ballastLayer(name: string, bytes: number): Layer {
  return layer([{ type: 'file', name, content: randomBytes(bytes), mode: 0o644 }]);
}

function busybox(program: Buffer): Layer {
  const list = spawnSync(programPath('busybox'), ['--list'], { encoding: 'utf8' });
  const tools = list.stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
  return layer([
    { type: 'folder', name: 'bin/', mode: 0o755 },
    { type: 'file', name: 'bin/busybox', content: program, mode: 0o755 },
    ...tools.map((name) => ({ type: 'link', name: `bin/${name}`, target: 'busybox' }) as const),
    { type: 'folder', name: 'etc/', mode: 0o755 },
    { type: 'file', name: 'etc/passwd', content: Buffer.from(ACCOUNTS), mode: 0o644 },
    { type: 'file', name: 'etc/group', content: Buffer.from(GROUPS), mode: 0o644 },
    { type: 'folder', name: 'root/', mode: 0o700 },
    { type: 'folder', name: 'tmp/', mode: 0o1777 },
  ]);
}

function blobOf(content: Buffer): Blob {
  return { digest: digestOf(content), content };
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/**
 * A container engine and two registries for the tests alone. All lies in one new directory, and the programs run in a
 * mount namespace of their own, in which /etc and /run are copies: neither an engine that the machine has already nor its
 * configuration is seen or touched, and mounts end with the programs. Only the network bridge, control groups and
 * processes are the machine's, and `stop` removes them; a keeper does where the test process cannot.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';

import { waitFor, within } from '../wait.ts';
import { BED_VARIABLE, clearBed, run } from './clear.ts';
import type { BedRecord } from './clear.ts';
import { Engine } from './engine.ts';
import { ballastLayer, busyboxLayer, foreignArchitecture, foreignBusyboxLayer, image } from './image.ts';
import { bedObstacle, programPath, SEARCH_PATH } from './programs.ts';
import { BED_CREDENTIALS, Registry } from './registry.ts';

/** Repositories that both registries have under `latest`. */
export const IMAGES = {
  /** A shell; says `hello` where it is given no command. */
  hello: 'hello',
  /** Runs until SIGTERM, where it is given no command. */
  endless: 'endless',
  /** Has an ENTRYPOINT, which prints `entry:` and its arguments. */
  entry: 'entry',
  /** Runs as 1000:1000 in /tmp. */
  user: 'user',
  /** A list of platforms without the machine's own. */
  foreign: 'foreign',
  /** For another platform, which only its configuration says: it is pulled, and cannot be executed. */
  foreignSingle: 'foreign-single',
  /** Three layers, 12 MiB that no compression makes smaller. */
  large: 'large',
} as const;

export interface DockerBedOptions {
  /** Further arguments of dockerd, such as `--live-restore`. */
  readonly engineArgs?: readonly string[];
}

export interface DockerBed {
  readonly record: BedRecord;
  readonly engine: Engine;
  /** For `DOCKER_HOST`. */
  readonly dockerHost: string;
  readonly openRegistry: Registry;
  readonly closedRegistry: Registry;
  /**
   * Ends and removes all of it, whatever state it is in.
   * @throws Error naming what could not be removed
   */
  stop(): Promise<void>;
}

const LARGE_LAYER_BYTES = 6 * 1024 * 1024;
const HELPER_DEADLINE_MS = 20_000;
/** In which every bed takes a /24 for its bridge. */
const NETWORK = '10.213';

/**
 * The holder of the mount namespace. What is written to /etc and /run there lands in a memory file system.
 */
const HOLDER_SCRIPT = `set -e
mount -t tmpfs tmpfs "$1"
for folder in etc run; do
  mkdir "$1/$folder" "$1/$folder-work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/$folder-work" "/$folder"
done
echo ready
exec sleep infinity`;

/** @throws Error where this machine cannot have one, or something of it does not start; then nothing is left */
export async function startDockerBed(options: DockerBedOptions = {}): Promise<DockerBed> {
  const obstacle = bedObstacle();
  if (obstacle !== null) throw new Error(obstacle);
  const id = randomBytes(4).toString('hex');
  const record: BedRecord = {
    directory: path.join(tmpdir(), `jarvis-bed-${id}`),
    bridge: `jbed-${id}`,
    cgroupParent: `/jarvis-bed-${id}`,
  };
  const keeper = await startKeeper(record);
  const stop = async () => {
    await clearBed(record);
    await dismiss(keeper);
  };
  try {
    mkdirSync(record.directory, { mode: 0o700 });
    const namespacePid = await startHolder(record);
    addBridge(record);
    const { directory } = record;
    const [openRegistry, closedRegistry, engine] = await Promise.all([
      Registry.start({ name: 'open', directory, namespacePid, credentials: null }),
      Registry.start({ name: 'closed', directory, namespacePid, credentials: BED_CREDENTIALS }),
      Engine.start({ record, namespacePid, args: options.engineArgs ?? [] }),
    ]);
    await publishImages([openRegistry, closedRegistry]);
    return { record, engine, dockerHost: `unix://${engine.socketPath}`, openRegistry, closedRegistry, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startKeeper(record: BedRecord): Promise<ChildProcess> {
  const keeper = spawn(process.execPath, [path.join(import.meta.dirname, 'keeper.ts')], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ready = saysReady(keeper, 'the keeper of the bed');
  keeper.stdin?.write(`${JSON.stringify(record)}\n`);
  await ready;
  return keeper;
}

async function dismiss(keeper: ChildProcess): Promise<void> {
  if (keeper.exitCode !== null || keeper.signalCode !== null) return;
  keeper.stdin?.end('done\n');
  await waitFor('the end of the keeper', () => keeper.exitCode !== null || keeper.signalCode !== null);
}

/** @returns whose mount namespace the programs share */
async function startHolder(record: BedRecord): Promise<number> {
  const privateFolder = path.join(record.directory, 'private');
  mkdirSync(privateFolder);
  const args = ['--mount', '--propagation=slave', '--', 'sh', '-c', HOLDER_SCRIPT, 'holder', privateFolder];
  const holder = spawn(programPath('unshare'), args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: SEARCH_PATH.join(':'), [BED_VARIABLE]: record.directory },
  });
  await saysReady(holder, 'the mount namespace of the bed');
  holder.unref();
  return holder.pid ?? 0;
}

async function saysReady(child: ChildProcess, what: string): Promise<void> {
  const said = new Promise<string>((resolve) => {
    child.stdout?.once('data', (data: Buffer) => resolve(data.toString().trim()));
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  const answer = await within(said, HELPER_DEADLINE_MS, 'it said nothing in time');
  child.stdout?.destroy();
  if (answer !== 'ready') throw new Error(`${what} is not there: ${answer}`);
}

function addBridge({ bridge }: BedRecord): void {
  const taken = new Set(
    Object.values(networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).map(({ address }) => address.split('.').slice(0, 3).join('.')),
    ),
  );
  let network = `${NETWORK}.${randomInt(256)}`;
  while (taken.has(network)) network = `${NETWORK}.${randomInt(256)}`;
  run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  run('ip', ['address', 'add', `${network}.1/24`, 'dev', bridge]);
  run('ip', ['link', 'set', bridge, 'up']);
}

async function publishImages(registries: readonly Registry[]): Promise<void> {
  const busybox = busyboxLayer();
  const foreign = image({
    layers: [foreignBusyboxLayer()],
    architecture: foreignArchitecture(),
    command: ['echo', 'hello'],
  });
  const plain = {
    [IMAGES.hello]: image({ layers: [busybox], command: ['echo', 'hello'] }),
    [IMAGES.endless]: image({
      layers: [busybox],
      command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
    }),
    [IMAGES.entry]: image({ layers: [busybox], entrypoint: ['echo', 'entry:'], command: ['default'] }),
    [IMAGES.user]: image({ layers: [busybox], user: '1000:1000', workingDir: '/tmp', command: ['id'] }),
    [IMAGES.foreignSingle]: foreign,
    [IMAGES.large]: image({
      layers: [busybox, ballastLayer('one', LARGE_LAYER_BYTES), ballastLayer('two', LARGE_LAYER_BYTES)],
      command: ['ls', '/'],
    }),
  };
  for (const registry of registries) {
    for (const [repository, content] of Object.entries(plain)) await registry.publish(repository, content);
    await registry.publishForeign(IMAGES.foreign, foreign);
  }
}

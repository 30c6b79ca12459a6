/** `jarvisctl snapshot`: the state of a cluster as a file, what is in one, and a new cluster from it (docs/disaster.md). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { Command } from 'commander';

import { JarvisError, messageOf } from '../../lib/errors.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { daemonProgram } from '../dev/daemon.ts';
import { addExamples, outputOption, peerOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Peers } from '../peers.ts';

interface Facts {
  readonly file: string;
  readonly bytes: number;
  readonly cluster_id: string;
  readonly epoch: number;
  readonly index: number;
  readonly term: number;
  readonly time: string | null;
  readonly members: readonly { readonly name: string }[];
  readonly rows: Readonly<Record<string, number>>;
  readonly digest: string;
}

export function registerSnapshot(program: Command, context: Context): void {
  const snapshot = program
    .command('snapshot')
    .description('The state of the cluster as a file: save it, look into it, make a new cluster of it.');
  registerSave(snapshot, context);
  registerInspect(snapshot, context);
  registerRestore(snapshot, context);
}

function registerSave(snapshot: Command, context: Context): void {
  const command = snapshot
    .command('save')
    .description(
      'Write the state as of now into a file, and check it. The output of tasks is not part of it.',
    )
    .argument('<file>', 'must not exist')
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (file: string, options: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        await save(peers, file, context.terminal.interrupted);
        await printFacts(context, options, await inspect(file));
      });
    });
  addExamples(command, 'jarvisctl snapshot save jarvis.snapshot');
}

function registerInspect(snapshot: Command, context: Context): void {
  const command = snapshot
    .command('inspect')
    .description('Read all of a saved snapshot, check it, and say what is in it.')
    .argument('<file>')
    .addOption(outputOption())
    .action(async (file: string, options: OutputOptions) => {
      await printFacts(context, options, await inspect(file));
    });
  addExamples(
    command,
    'jarvisctl snapshot inspect jarvis.snapshot',
    'jarvisctl snapshot inspect jarvis.snapshot -o json',
  );
}

function registerRestore(snapshot: Command, context: Context): void {
  const command = snapshot
    .command('restore')
    .description(
      'Make the data directory of the first node of a new cluster; other nodes enter it with --join.',
    )
    .argument('<file>')
    .requiredOption('--data-dir <directory>', 'blank, or not there yet')
    .requiredOption('--name <name>', 'of the node')
    .requiredOption('--listen <host:port>', 'where others will reach it')
    .addOption(outputOption())
    .action(
      async (
        file: string,
        options: OutputOptions & { readonly dataDir: string; readonly name: string; readonly listen: string },
      ) => {
        const { dataDir, name, listen } = options;
        const words = ['snapshot-restore', file, '--data-dir', dataDir, '--name', name, '--listen', listen];
        const made = JSON.parse(await askDaemon(words)) as Readonly<Record<string, string | number>>;
        await printAnswer(context.terminal, options.output, {
          items: [made],
          columns: Object.keys(made).map((key) => ({
            title: key.toUpperCase().replaceAll('_', '-'),
            cell: (item: typeof made) => String(item[key] ?? ''),
          })),
          nameOf: (item) => String(item['name'] ?? ''),
          json: () => made,
          whenEmpty: '',
        });
      },
    );
  addExamples(
    command,
    'jarvisctl snapshot restore jarvis.snapshot --data-dir ./n1 --name n1 --listen 127.0.0.1:7101',
  );
}

/** Under another name until all of it is there, checked, and on disk. */
async function save(peers: Peers, file: string, signal: AbortSignal): Promise<void> {
  const part = `${file}.part`;
  await using target = await openNew(file);
  await using handle = await open(part, 'w', 0o600);
  try {
    await peers.call(async (peer, limited) => {
      await handle.truncate(0);
      let offset = 0;
      for await (const { data } of peer.saveSnapshot(limited)) {
        await handle.write(data, 0, data.byteLength, offset);
        offset += data.byteLength;
      }
    }, signal);
    await handle.sync();
    await inspect(part);
    await rename(part, file);
    await syncDirectoryOf(file);
  } catch (error) {
    await rm(part, { force: true });
    await rm(file, { force: true });
    throw error;
  }
  void target;
}

/** @throws JarvisError conflict where the file exists */
async function openNew(file: string) {
  try {
    return await open(file, 'wx', 0o600);
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw new JarvisError(
      isThere ? 'conflict' : 'invalid',
      `${file}: ${isThere ? 'is there already' : messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

async function syncDirectoryOf(file: string): Promise<void> {
  await using directory = await open(path.dirname(path.resolve(file)), 'r');
  await directory.sync();
}

async function inspect(file: string): Promise<Facts> {
  return JSON.parse(await askDaemon(['snapshot-inspect', file])) as Facts;
}

/** What is in such a file only `jarvisd` understands. @throws JarvisError conflict with what it says */
async function askDaemon(words: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [daemonProgram(), ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  const [status] = (await once(child, 'close')) as [number | null];
  if (status === 0) return texts.stdout;
  const [line = `jarvisd ended with ${status}`] = texts.stderr.trim().split('\n');
  throw new JarvisError('conflict', line.replace(/^jarvisd: /, ''));
}

async function printFacts(context: Context, options: OutputOptions, facts: Facts): Promise<void> {
  const columns: readonly (readonly [title: string, value: (facts: Facts) => string])[] = [
    ['INDEX', ({ index }) => String(index)],
    ['TERM', ({ term }) => String(term)],
    ['TIME', ({ time }) => time ?? '-'],
    ['CLUSTER', ({ cluster_id: id }) => id],
    ['EPOCH', ({ epoch }) => String(epoch)],
    ['MEMBERS', ({ members }) => members.map(({ name }) => name).join(',')],
    ['TASKS', ({ rows }) => String(rows['task'] ?? 0)],
    ['NODES', ({ rows }) => String(rows['node'] ?? 0)],
    ['BYTES', ({ bytes }) => String(bytes)],
  ];
  await printAnswer(context.terminal, options.output, {
    items: [facts],
    columns: columns.map(([title, cell]) => ({ title, cell })),
    nameOf: ({ file }) => file,
    json: () => facts,
    isAboutEach: true,
    whenEmpty: '',
  });
}

/**
 * What `jarvisd` does beside being a node: `recover`, and for `jarvisctl snapshot` the parts that read and write what only
 * a node understands. Each ends by itself; facts go to stdout as JSON where a program asks, as text for people.
 */
import type { Command } from 'commander';

import { splitAddress } from '../../lib/address.ts';
import { JarvisError } from '../../lib/errors.ts';
import { inspectSavedSnapshot } from './inspect.ts';
import { recoverCluster } from './recover.ts';
import { recoveryLines } from './recovery-lines.ts';
import { restoreCluster } from './restore.ts';

const EXIT_OK = 0;
const EXIT_USAGE = 2;

type Program = (command: Command, argv: readonly string[]) => Promise<number>;

const PROGRAMS: Readonly<Record<string, Program>> = {
  recover,
  'snapshot-inspect': inspect,
  'snapshot-restore': restore,
};

/** @returns null where the first word names none of them */
export function programOf(argv: readonly string[]): Program | null {
  const [word = ''] = argv;
  return Object.hasOwn(PROGRAMS, word) ? (PROGRAMS[word] ?? null) : null;
}

async function recover(command: Command, argv: readonly string[]): Promise<number> {
  const options = command
    .name('jarvisd recover')
    .description(
      'Make a new cluster from the one data directory that is left, where the majority is lost for good. Without --yes it only\n' +
        'says what is there and what may be lost. The node must be stopped; what was there is kept beside it.',
    )
    .requiredOption('--data-dir <directory>', 'of the node that is left')
    .requiredOption('--name <name>', 'of that node')
    .option('--advertise <host:port>', 'where others will reach it; default: as before')
    .option('--from-state', 'where the log is damaged or gone: do without it')
    .option('--yes', 'do it')
    .addHelpText('after', '\nExample:\n  jarvisd recover --data-dir /var/lib/jarvis --name n3 --yes')
    .parse(argv, { from: 'user' })
    .opts<{ dataDir: string; name: string; advertise?: string; yes?: boolean; fromState?: boolean }>();
  if (options.advertise !== undefined) splitAddress(options.advertise);
  const report = await recoverCluster({
    dataDir: options.dataDir,
    name: options.name,
    advertise: options.advertise ?? null,
    isConfirmed: options.yes === true,
    fromState: options.fromState === true,
  });
  process.stdout.write(`${recoveryLines(report, options.name).join('\n')}\n`);
  return 'done' in report && report.done === null ? EXIT_USAGE : EXIT_OK;
}

async function inspect(command: Command, argv: readonly string[]): Promise<number> {
  const [file = ''] = command
    .name('jarvisd snapshot-inspect')
    .argument('<file>')
    .parse(argv, { from: 'user' }).args;
  process.stdout.write(`${JSON.stringify(await inspectSavedSnapshot(file))}\n`);
  return EXIT_OK;
}

async function restore(command: Command, argv: readonly string[]): Promise<number> {
  const parsed = command
    .name('jarvisd snapshot-restore')
    .argument('<file>')
    .requiredOption('--data-dir <directory>')
    .requiredOption('--name <name>')
    .requiredOption('--listen <host:port>')
    .parse(argv, { from: 'user' });
  const [file = ''] = parsed.args;
  const { dataDir, name, listen } = parsed.opts<{ dataDir: string; name: string; listen: string }>();
  const { port } = splitAddress(listen);
  if (port === 0) throw new JarvisError('invalid', `listen: ${listen} is no address to connect to: port 0`);
  const { record, index } = await restoreCluster({ file, dataDir, name, advertise: listen });
  const { clusterId, epoch } = record;
  process.stdout.write(`${JSON.stringify({ cluster_id: clusterId, epoch, index, name, address: listen })}\n`);
  return EXIT_OK;
}

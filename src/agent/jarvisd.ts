/** jarvisd, the node: reads its settings, runs a daemon until a signal or a failure, and says in one line what went wrong. */
import { readFileSync } from 'node:fs';

import { Command, CommanderError, Option, type ErrorOptions } from 'commander';
import type { Logger } from 'pino';

import { systemClock } from '../lib/clock.ts';
import { JarvisError, messageOf, type ErrorCode } from '../lib/errors.ts';
import { LogLevels } from '../lib/log-levels.ts';
import { packageFile } from '../lib/program-files.ts';
import { MemberRemovedError } from '../raft/node.ts';
import type { StorageError } from '../raft/storage-error.ts';
import { CONFIG_KEYS, type RawConfig } from './config-schema.ts';
import { gatherConfig } from './config-sources.ts';
import { authRequired, parseConfig, type NodeConfig } from './config.ts';
import { Daemon } from './daemon.ts';
import { RoleChangedError } from './copyless/copyless-node.ts';
import { askForRole } from './copyless/ask-for-role.ts';
import { programOf } from './disaster/programs.ts';
import { withCertificate } from './enrolment/with-certificate.ts';
import { forgetVariable } from './join-credentials.ts';
import { createNodeLog } from './node-log.ts';
import { startSecurity, type NodeSecurity } from './node-security.ts';
import { checkStart } from './preflight.ts';
import { hasLostLog, rejoinAnew } from './rejoin.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** The stop of a node is bounded (docs/contract.md, section 1); what is not closed by then ends with the process. */
const STOP_TIMEOUT_MS = 5000;
/** A start that these prevent is the operator's to mend, and has changed nothing. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['invalid', 'malformed', 'conflict']);

class JarvisdCommand extends Command {
  override error(message: string, options?: ErrorOptions): never {
    return super.error(message + this.#allowed(options?.code), options);
  }

  #allowed(code: string | undefined): string {
    if (code === 'commander.excessArguments')
      return ` (${this.args.map((word) => JSON.stringify(word)).join(' ')}; allowed: only options)`;
    if (code !== 'commander.unknownOption') return '';
    const known = this.options.filter(({ hidden }) => !hidden).map(({ long }) => long);
    return `; allowed: ${known.join(', ')}`;
  }
}

/** Every flag, with what it says of itself. */
export function createCommand(): Command {
  return bare(new JarvisdCommand('jarvisd'))
    .description(
      'One node of a Jarvis cluster. All nodes are the same program, with the same flags. `jarvisd recover --help`: a new\n' +
        'cluster from what is left of one.',
    )
    .version(version(), '--version', 'print the version')
    .option('--config <file>', 'settings as YAML; JARVISD_* variables and flags win over it')
    .option('--name <name>', 'the name of this node; in --peers, where it is a founder')
    .option('--data-dir <directory>', 'where everything of this node is kept')
    .option('--listen <host:port>', 'gRPC, for peers, workers and clients')
    .option('--advertise <host:port>', 'where others reach --listen, if that is another address')
    .option('--http <host:port>', 'HTTP API and health')
    .option('--peers <list>', 'the founders, the same list on each: n1=host:port,n2=host:port,n3=host:port')
    .option('--join <list>', 'members of a running cluster, to become one of them: host:port,host:port')
    .option(
      '--join-token <token>',
      'lets this node in where the cluster asks for one; lists of processes show it',
    )
    .option('--join-token-file <file>', 'the same from a file, which is better')
    .option('--labels <list>', 'labels of this node: zone=a,rack=r1')
    .option('--capacity <list>', 'what it offers to tasks: cpu=4,memory=8Gi (default: measured)')
    .option('--reserve <list>', 'kept back from what was measured: cpu=500m,memory=1Gi')
    .option(
      '--drivers <list>',
      'how it runs tasks: process, docker, noop (default: process, and docker where an engine answers)',
    )
    .option(
      '--lease-reads',
      'read by lease: faster, and trusts clocks; on every node or on none (docs/raft.md)',
    )
    .option(
      '--snapshot-rate <rate>',
      'bound on the bandwidth of all snapshots to other members together (default: 100MiB/s)',
    )
    .option(
      '--restart-grace <duration>',
      'the lease that running tasks are left at a stop, for a restart that takes longer than theirs (default: 2m; 0: none)',
    )
    .option('--drain-on-exit', 'drain this node at SIGTERM, before it stops; a second signal ends that')
    .option(
      '--drain-deadline <duration>',
      'then, what still runs after so long is stopped, and moved to other nodes (default: 10m; at most 1d)',
    )
    .option(
      '--auth',
      'ask every caller for a token, without TLS as well; on every node or on none (docs/security.md)',
    )
    .option('--tls-cert <file>', 'TLS: the certificate of this node (PEM); `jarvisctl cert issue` makes one')
    .option('--tls-key <file>', 'TLS: its key')
    .option('--tls-ca <file>', 'TLS: the authorities of the cluster, whose certificates others must show')
    .option('--http-hosts <list>', 'names under which callers reach --http, beside its addresses')
    .option('--http-rate <number>', 'HTTP requests a second that one address may send (default: 10000)')
    .option(
      '--tls-ca-key <file>',
      'TLS: the key of the authority, on nodes that let others in by join tokens',
    )
    .option('--insecure', 'listen beyond loopback without TLS')
    .option(
      '--log-level <level>',
      'how much it logs, as JSON on stdout: trace, debug, info, warn, error or fatal (default: info)',
    )
    .addOption(
      new Option(
        '--kill-tasks-on-exit',
        'end the tasks with the daemon, as `jarvisctl dev` wants it',
      ).hideHelp(),
    )
    .option('--check', 'check the settings, the data directory and the ports, and do nothing')
    .addHelpText(
      'after',
      '\nExample:\n  jarvisd --name n1 --data-dir ./n1 --listen 127.0.0.1:7101 --http 127.0.0.1:8101 \\\n' +
        '    --peers n1=127.0.0.1:7101,n2=127.0.0.1:7102,n3=127.0.0.1:7103',
    );
}

/** How it speaks of what it cannot understand. */
function bare(command: Command): Command {
  return command
    .showSuggestionAfterError()
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(
          `jarvisd: ${text
            .replace(/^error: /, '')
            .replaceAll(/\s*\n\s*/g, ' ')
            .trim()}\n`,
        ),
    });
}

function version(): string {
  const text = readFileSync(packageFile(), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Flags by their keys in the file. */
function flagsOf(options: Readonly<Record<string, unknown>>): RawConfig {
  const flags: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const key = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (CONFIG_KEYS.includes(key)) flags[key] = value;
  }
  return flags;
}

async function main(): Promise<number> {
  // Tasks may run as other users: what is written here is no business of theirs.
  process.umask(0o077);
  const [word, ...rest] = process.argv.slice(2);
  const program = programOf(process.argv.slice(2));
  if (program !== null && word !== undefined) return await program(bare(new JarvisdCommand()), rest);
  const options = createCommand().parse(process.argv).opts<Readonly<Record<string, unknown>>>();
  const { config: file } = options;
  const raw = gatherConfig({
    file: typeof file === 'string' ? file : null,
    environment: process.env,
    flags: flagsOf(options),
  });
  const stated = parseConfig(raw);
  forgetVariable(process.env);
  const isCheck = options['check'] === true;
  const logLevels = new LogLevels(stated.logLevel, systemClock);
  const log = createNodeLog({ node: stated.name, levels: logLevels, enabled: !isCheck });
  if (isCheck) return await check(stated, log);
  const stop: Stop = { stopping: new AbortController(), running: { daemon: null } };
  const { signal } = stop.stopping;
  // Also while it asks for a certificate, which may take a while.
  stopOnSignals(stated, log, stop);
  try {
    const config = await withCertificate(stated, { isCheck, clock: systemClock, signal, log });
    return await runSecured({ config, log, logLevels }, stop);
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  }
}

async function check(stated: NodeConfig, log: Logger): Promise<number> {
  const { signal } = new AbortController();
  const config = await withCertificate(stated, { isCheck: true, clock: systemClock, signal, log });
  const security = await startSecurity(config, { clock: systemClock, log });
  try {
    await checkStart(config, security.channels);
  } finally {
    await security.close();
  }
  process.stdout.write('the settings are valid\n');
  return 0;
}

async function runSecured(given: Omit<NodeParts, 'security'>, stop: Stop): Promise<number> {
  const { config, log } = given;
  const security = await startSecurity(config, { clock: systemClock, log });
  try {
    await checkStart(config, security.channels);
    if (stop.stopping.signal.aborted) return 0;
    return await runUntilStopped({ ...given, security }, stop);
  } finally {
    await security.close();
  }
}

/** What a node is run with. */
interface NodeParts {
  readonly config: NodeConfig;
  readonly security: NodeSecurity;
  readonly log: Logger;
  readonly logLevels: LogLevels;
}

/** What signals are for. */
interface Stop {
  readonly stopping: AbortController;
  readonly running: Running;
}

async function runUntilStopped(node: NodeParts, { stopping, running }: Stop): Promise<number> {
  const { config, log } = node;
  if (config.insecure && config.tls === null) {
    log.warn(
      { listen: config.listen, http: config.http },
      authRequired(config)
        ? 'insecure: no TLS; whoever listens on the way sees the tokens, and whoever reaches the gRPC address can speak as a node'
        : 'insecure: no TLS and no authentication; whoever reaches these addresses can run commands on this machine',
    );
  }
  let isAnew = false;
  for (;;) {
    const end = await runOnce(node, stopping.signal, running);
    if (end === null) return 0;
    // Another log that is lost at once is no accident.
    if (end.why === 'lost' && isAnew) throw end.error;
    isAnew = end.why === 'lost';
    try {
      await prepareNext(node, end, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return 0;
      throw error;
    }
  }
}

/** What is between two daemons of a process. @throws whatever ends it */
async function prepareNext(
  { config, security, log }: NodeParts,
  end: End,
  signal: AbortSignal,
): Promise<void> {
  const asked = { config, security: security.channels, clock: systemClock, log, signal };
  if (end.why === 'lost') await rejoinAnew({ ...asked, cause: end.error });
  if (end.why === 'removed') await askForRole({ ...asked, members: end.members, cause: end.error });
}

/** Null before the first daemon and between two. */
interface Running {
  daemon: Daemon | null;
}

/** The first SIGTERM drains, where the settings say so; any other signal stops at once. */
function stopOnSignals({ drainOnExit }: NodeConfig, log: Logger, { stopping, running }: Stop): void {
  const hurry = new AbortController();
  let isDraining = false;
  const stop = (signal: NodeJS.Signals): void => {
    hurry.abort();
    log.info({ signal }, 'stopping');
    // From the signal on: a start that is under way is waited for no longer than the rest.
    if (!stopping.signal.aborted) limitStop(log);
    stopping.abort(signal);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (signal === 'SIGINT' || !drainOnExit || isDraining || running.daemon === null) return stop(signal);
      isDraining = true;
      void drainFirst({ daemon: running.daemon, hurry: hurry.signal, log }, () => stop(signal));
    });
  }
}

/** Never throws: whatever becomes of the drain, the node stops. */
async function drainFirst(
  { daemon, hurry, log }: { readonly daemon: Daemon; readonly hurry: AbortSignal; readonly log: Logger },
  stop: () => void,
): Promise<void> {
  try {
    await daemon.drain(hurry);
  } catch (error) {
    log.error({ error: messageOf(error) }, 'the drain failed');
  }
  if (!hurry.aborted) stop();
}

/** Why a daemon has ended by itself, where another one may go on in its place. */
type End =
  /** It cannot be who it was. */
  | { readonly why: 'lost'; readonly error: StorageError }
  /** It is no member any more, and may have a place without a copy. */
  | { readonly why: 'removed'; readonly error: MemberRemovedError; readonly members: readonly string[] }
  /** Its data directory says what it is now. */
  | { readonly why: 'changed' };

function endOf(error: unknown, config: NodeConfig, daemon: Daemon): End | null {
  if (hasLostLog(error, config)) return { why: 'lost', error };
  if (error instanceof MemberRemovedError) return { why: 'removed', error, members: daemon.memberAddresses };
  return error instanceof RoleChangedError ? { why: 'changed' } : null;
}

/** Resolves when the node was stopped, with null, or has ended by itself, and may go on. */
async function runOnce(
  { config, security, log, logLevels }: NodeParts,
  signal: AbortSignal,
  running: Running,
): Promise<End | null> {
  const daemon = new Daemon({ config, security, log, logLevels, version: version() });
  running.daemon = daemon;
  let end: End | null = null;
  let unlimit = nothing;
  try {
    await daemon.run(signal);
  } catch (error) {
    end = endOf(error, config, daemon);
    if (end === null) throw error;
  } finally {
    running.daemon = null;
    if (!signal.aborted) unlimit = limitStop(log);
    await daemon.close();
  }
  // The process goes on.
  if (end !== null) unlimit();
  return end;
}

function nothing(): void {}

function limitStop(log: Logger): () => void {
  const timer = setTimeout(() => {
    log.warn({}, 'not everything was closed in time');
    process.exit(EXIT_FAILED);
  }, STOP_TIMEOUT_MS);
  return () => clearTimeout(timer);
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  process.stderr.write(`jarvisd: ${messageOf(error)}\n`);
  if (!(error instanceof JarvisError)) {
    // A disk that is full or a file that may not be read is no bug: its message says all.
    const isSystemError = error instanceof Error && 'syscall' in error;
    if (error instanceof Error && error.stack !== undefined && !isSystemError) {
      process.stderr.write(`${error.stack}\n`);
    }
    return EXIT_FAILED;
  }
  return REFUSALS.has(error.code) ? EXIT_USAGE : EXIT_FAILED;
}

/** Ends the process. */
export async function runJarvisd(): Promise<never> {
  process.exit(await main().catch(report));
}

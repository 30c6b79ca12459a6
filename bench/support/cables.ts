/**
 * Hosts of their own on one machine: a network namespace for each, connected to a bridge in one more, to which this
 * process is connected as well. A cable that is pulled carries nothing either way, and nobody is told.
 */
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

import { missingPrograms, programPath, type Program } from '../../test/support/docker-bed/programs.ts';
import type { Host } from '../../test/support/cluster.ts';
import { within } from '../../test/support/wait.ts';
import type { Scope } from '../scope.ts';

const run = promisify(execFile);

const PROGRAM_TIMEOUT_MS = 20_000;
const GUARD_TIMEOUT_MS = 10_000;
const PROGRAMS: readonly Program[] = [
  { name: 'ip', packageName: 'iproute2' },
  { name: 'nsenter', packageName: 'util-linux' },
];
/** Set aside for benchmarks of networks (RFC 2544): nobody's address. The rest is this process's own. */
const NETWORK = '198.18';
const BRIDGE = 'bridge';

/** Removes the namespaces, and with them all cables, when this process is gone without having done so. */
const GUARD = `
  read -r names
  read -r last
  [ "$last" = done ] && exit
  sleep 2
  for name in $names; do ip netns del "$name" 2> /dev/null; done
`;

/** @returns why there can be no such hosts here; null where there can */
export function cablesObstacle(): string | null {
  if (process.platform !== 'linux') return `network namespaces need Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const missing = missingPrograms(PROGRAMS).map(({ name }) => name);
  return missing.length === 0 ? null : `not installed: ${missing.join(', ')}`;
}

export class Cables {
  readonly hosts: readonly Host[];
  readonly #prefix: string;
  readonly #subnet: string;

  private constructor(count: number) {
    this.#prefix = `jarvis-${process.pid}`;
    this.#subnet = `${NETWORK}.${process.pid % 256}`;
    this.hosts = Array.from({ length: count }, (_, at) => ({
      address: `${this.#subnet}.${at + 1}`,
      enter: [programPath('nsenter'), `--net=/var/run/netns/${this.#host(at)}`],
    }));
  }

  static async own(scope: Scope, count: number): Promise<Cables> {
    const { cables } = await scope.own({
      start: async () => {
        const made = new Cables(count);
        const dismiss = guardNamespaces(made.#namespaces());
        try {
          await made.#lay();
        } catch (error) {
          await made.#remove();
          throw error;
        }
        return { cables: made, dismiss };
      },
      end: async ({ cables: made, dismiss }) => {
        await made.#remove();
        await dismiss();
      },
    });
    return cables;
  }

  /** From now on nothing gets through, either way. */
  async pull(at: number): Promise<void> {
    await this.#hub('link', 'set', `p${at + 1}`, 'nomaster');
  }

  async plug(at: number): Promise<void> {
    await this.#hub('link', 'set', `p${at + 1}`, 'master', BRIDGE);
  }

  async #lay(): Promise<void> {
    for (const name of this.#namespaces()) {
      await ip('netns', 'add', name);
      await ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    await this.#hub('link', 'add', BRIDGE, 'type', 'bridge', 'forward_delay', '0');
    await this.#hub('link', 'set', BRIDGE, 'up');
    for (const [at, { address }] of this.hosts.entries()) {
      const [port, host] = [`p${at + 1}`, this.#host(at)];
      await ip(
        'link',
        'add',
        port,
        'netns',
        this.#hubName,
        'type',
        'veth',
        'peer',
        'name',
        'eth0',
        'netns',
        host,
      );
      await ip('-n', host, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
      await ip('-n', host, 'link', 'set', 'eth0', 'up');
      await this.#hub('link', 'set', port, 'master', BRIDGE, 'up');
    }
    const [port, own] = ['p0', `jarvis${process.pid}`];
    await ip('link', 'add', own, 'type', 'veth', 'peer', 'name', port, 'netns', this.#hubName);
    await ip('addr', 'add', `${this.#subnet}.254/24`, 'dev', own);
    await ip('link', 'set', own, 'up');
    await this.#hub('link', 'set', port, 'master', BRIDGE, 'up');
  }

  /** A namespace takes its ends of cables along, and each end its other one. */
  async #remove(): Promise<void> {
    const { stdout } = await run(programPath('ip'), ['netns', 'list'], { timeout: PROGRAM_TIMEOUT_MS });
    const present = new Set(stdout.split('\n').map((line) => line.split(' ')[0]));
    for (const name of this.#namespaces()) if (present.has(name)) await ip('netns', 'del', name);
  }

  #namespaces(): readonly string[] {
    return [this.#hubName, ...this.hosts.map((_, at) => this.#host(at))];
  }

  get #hubName(): string {
    return `${this.#prefix}-hub`;
  }

  #host(at: number): string {
    return `${this.#prefix}-${at + 1}`;
  }

  #hub(...args: string[]): Promise<void> {
    return ip('-n', this.#hubName, ...args);
  }
}

async function ip(...args: string[]): Promise<void> {
  await run(programPath('ip'), args, { timeout: PROGRAM_TIMEOUT_MS });
}

/** @returns what to call once they are removed */
function guardNamespaces(names: readonly string[]): () => Promise<void> {
  const child = spawn('sh', ['-c', GUARD], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = new Promise<boolean>((resolve) => {
    child.once('exit', () => resolve(true));
    child.once('error', () => resolve(true));
  });
  // It may be killed with the rest.
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${names.join(' ')}\n`);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return async () => {
    child.stdin.end('done\n');
    if (!(await within(ended, GUARD_TIMEOUT_MS, false))) child.kill('SIGKILL');
  };
}

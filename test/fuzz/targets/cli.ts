/** Command lines of jarvisctl, against a cluster that knows nothing. */
import { TestTerminal } from '../../../src/cli/run-cli.test-kit.ts';
import type { ClusterConnection } from '../../../src/cli/connection.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { invariant } from '../../../src/lib/assert.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import type { Random } from '../../../src/lib/random.ts';
import { anyWord, below, pick } from '../mutations.ts';
import type { Target } from '../target.ts';

/** None that writes files or starts programs. */
const VERBS: readonly (readonly string[])[] = [
  [
    ['run'],
    ['submit', '-f', '-'],
    ['plan', '-f', '-'],
    ['ls'],
    ['get'],
    ['describe'],
    ['explain'],
    ['wait'],
    ['logs'],
  ],
  [
    ['cancel'],
    ['retry'],
    ['update'],
    ['events'],
    ['batch', 'ls'],
    ['batch', 'get'],
    ['batch', 'wait'],
    ['dag', 'ls'],
  ],
  [
    ['dag', 'graph'],
    ['dag', 'retry'],
    ['node', 'ls'],
    ['node', 'drain'],
    ['node', 'label'],
    ['node', 'remove'],
  ],
  [
    ['cluster', 'status'],
    ['cluster', 'members'],
    ['config', 'get'],
    ['config', 'set'],
    ['top'],
    ['version'],
    ['batch'],
  ],
].flat();
const ARGUMENTS: readonly string[] = [
  [
    '--',
    '-o',
    'json',
    'yaml',
    'name',
    'table',
    '--status',
    'FAILED',
    '--label',
    'a=b',
    '--limit',
    '5',
    '--timeout',
    '1s',
  ],
  [
    '--name',
    'x',
    '--cpu',
    '500m',
    '--memory',
    '64Mi',
    '--env',
    'A=b',
    '--priority',
    'high',
    '--image',
    'a:b',
    '--help',
  ],
  [
    '--tail',
    '3',
    '--since',
    '1h',
    '-f',
    '-q',
    '--watch',
    'task-1',
    'batch-1',
    'n1',
    'heartbeat.timeout=1s',
    'true',
    'sh',
  ],
].flat();

const REFUSAL = new JarvisError('not_found', 'there is none');

/** An answer, or a stream, that is an error. */
function refused(): object {
  const answer = Promise.reject(REFUSAL);
  // Streams are read and never awaited.
  answer.catch(() => undefined);
  return Object.assign(answer, { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(REFUSAL) }) });
}

/** Whatever it is asked for is not there. */
function emptyCluster(address: string): ClusterConnection {
  const own: Record<string, unknown> = {
    address,
    connect: async () => undefined,
    freshness: () => null,
    close: () => undefined,
  };
  return new Proxy({} as ClusterConnection, {
    get: (_target, name) => (typeof name === 'string' ? (own[name] ?? refused) : undefined),
  });
}

function argumentsOf(random: Random): readonly string[] {
  const words = Array.from({ length: below(random, 7) }, () =>
    random() < 0.75 ? pick(random, ARGUMENTS) : anyWord(random),
  );
  return [...pick(random, VERBS), ...words];
}

const commandLines: Target = {
  name: 'command-line',
  what: 'arguments of jarvisctl: each ends with a status and a line that says why, and nothing that moves a terminal',
  weight: 3,
  open: () => ({
    input: (random) => Buffer.from(JSON.stringify(argumentsOf(random))),
    run: async (input) => {
      const words = JSON.parse(input.toString()) as readonly string[];
      const terminal = new TestTerminal({ stdin: 'command: [a]\n', env: { HOME: '/nonexistent' } });
      const argv = ['node', 'jarvisctl', ...words];
      const status = await runProgram(argv, { terminal, dial: (address) => emptyCluster(address) });
      const output = terminal.stdout.text + terminal.stderr.text;
      invariant(!output.includes('unexpected failure'), output);
      // oxlint-disable-next-line no-control-regex -- these are what is looked for
      const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.exec(output);
      invariant(control === null, `a control character in ${JSON.stringify(output)}`);
      return `status ${status}`;
    },
  }),
};

export const CLI_TARGETS: readonly Target[] = [commandLines];

/** What people write: files of tasks, settings, words of a command line. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import * as fc from 'fast-check';
import { parse as parseYaml, stringify } from 'yaml';

import { gatherConfig } from '../../../src/agent/config-sources.ts';
import { parseConfig } from '../../../src/agent/config.ts';
import {
  SubmitBatchRequest,
  SubmitDagRequest,
  TaskSpec as WireTask,
} from '../../../src/generated/cluster.ts';
import { splitAddress } from '../../../src/lib/address.ts';
import { parseImageReference } from '../../../src/lib/image-reference.ts';
import { isName } from '../../../src/lib/names.ts';
import { JarvisError } from '../../../src/lib/errors.ts';
import {
  formatCpuMillis,
  formatDurationMs,
  formatMemoryBytes,
  parseBytesPerSecond,
  parseCpuMillis,
  parseDurationMs,
  parseMemoryBytes,
} from '../../../src/lib/quantities.ts';
import type { Random } from '../../../src/lib/random.ts';
import { parseEventPosition } from '../../../src/operations/event-position.ts';
import { parseTime } from '../../../src/operations/requests.ts';
import { checkBatch } from '../../../src/spec/batch-schema.ts';
import { checkDag } from '../../../src/spec/dag-schema.ts';
import { batchToWire, dagToWire, plainBatch, plainDag } from '../../../src/spec/group-wire.ts';
import { parseDrain, parseNodeUpdate } from '../../../src/spec/node-changes.ts';
import * as specs from '../../../src/spec/plain-specs.test-kit.ts';
import { readSpecFile } from '../../../src/spec/spec-file.ts';
import { checkTaskSpec } from '../../../src/spec/task-schema.ts';
import { parseTaskUpdate } from '../../../src/spec/task-update.ts';
import { plainFromWire, wireFromPlain } from '../../../src/spec/wire.ts';
import { below, mutatedText, pick } from '../mutations.ts';
import { changedValue } from '../values.ts';
import { attempt, attemptAsync, expectSame, type Ending, type Target } from '../target.ts';

const EXAMPLES = path.join(import.meta.dirname, '../../../examples');

function examples(): readonly Buffer[] {
  const names = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'));
  return names.map((name) => readFileSync(path.join(EXAMPLES, name)));
}

/** One value of an arbitrary, by the numbers drawn. */
export function drawn<T>(random: Random, arbitrary: fc.Arbitrary<T>): T {
  const [value] = fc.sample(arbitrary, { seed: below(random, 2 ** 31), numRuns: 1 });
  return value as T;
}

const anySpec = fc.oneof(
  specs.plainTask,
  specs.plainBatch.map((batch) => ({ kind: 'Batch', ...batch })),
  specs.plainDag.map((dag) => ({ kind: 'Dag', ...dag })),
);

const yamlFiles: Target = {
  name: 'spec-yaml',
  what: 'files of tasks, batches and DAGs in YAML: the examples made worse',
  weight: 4,
  open: () => {
    const samples = examples();
    return {
      input: (random) =>
        random() < 0.8
          ? mutatedText(random, samples)
          : mutatedText(random, [Buffer.from(stringify(drawn(random, anySpec)))]),
      run: (input) => attemptAsync(() => readSpecFile(input.toString(), 'x.yaml'), ['invalid', 'too_large']),
    };
  },
};

/** What is found valid travels to a node and is the same there. */
async function checkSpec(value: unknown): Promise<Ending> {
  const kind = typeof value === 'object' && value !== null ? Reflect.get(value, 'kind') : undefined;
  if (kind === 'Batch') {
    const checked = await checkBatch(value);
    if (checked.type === 'invalid') return 'invalid';
    const bytes = SubmitBatchRequest.encode(batchToWire(value, '')).finish();
    const again = await checkBatch(await plainBatch(SubmitBatchRequest.decode(bytes)));
    expectSame('a batch after its way over the wire', again, checked);
    return 'ok';
  }
  if (kind === 'Dag') {
    const checked = await checkDag(value);
    if (checked.type === 'invalid') return 'invalid';
    const bytes = SubmitDagRequest.encode(dagToWire(value, '')).finish();
    const again = await checkDag(await plainDag(SubmitDagRequest.decode(bytes)));
    expectSame('a DAG after its way over the wire', again, checked);
    return 'ok';
  }
  const checked = checkTaskSpec(value);
  if (checked.type === 'invalid') return 'invalid';
  const bytes = WireTask.encode(wireFromPlain(value as Record<string, unknown>)).finish();
  expectSame(
    'a task after its way over the wire',
    checkTaskSpec(plainFromWire(WireTask.decode(bytes))),
    checked,
  );
  return 'ok';
}

const jsonSpecs: Target = {
  name: 'spec-json',
  what: 'tasks, batches and DAGs as JSON: what is valid is the same after its way to a node',
  weight: 5,
  open: () => ({
    input: (random) => {
      // On lines of their own, so that what is put between them may be a field.
      const json = Buffer.from(JSON.stringify(drawn(random, anySpec), null, random() < 0.5 ? 1 : 0));
      if (random() < 0.3) return json;
      return random() < 0.5
        ? mutatedText(random, [json])
        : Buffer.from(JSON.stringify(changedValue(random, JSON.parse(json.toString()))) ?? '');
    },
    run: async (input) => {
      let value: unknown;
      try {
        value = JSON.parse(input.toString());
      } catch {
        return 'no JSON';
      }
      for (const parse of [parseTaskUpdate, parseDrain, parseNodeUpdate])
        attempt(() => parse(value), ['invalid']);
      return await checkSpec(value);
    },
  }),
};

const CONFIG = `name: n1
data_dir: /var/lib/jarvis
listen: 127.0.0.1:7101
http: 127.0.0.1:8101
peers: { n1: 127.0.0.1:7101, n2: 127.0.0.1:7102, n3: 127.0.0.1:7103 }
labels: { zone: a, disk: ssd }
capacity: { cpu: 4, memory: 8Gi }
reserve: cpu=500m,memory=1Gi
drivers: [process, docker]
policy: { mounts: [{ source: /srv, read_only: true }], users: [app] }
heartbeat: { interval: 2s, warning: 10s, timeout: 30s }
membership: { voters: 3, learners: 2, voter_grace: 5m }
retention: { tasks: 7d, max_tasks: 1000, events: 1d, logs: 1d, max_log_bytes: 1Gi }
scheduling: { policy: spread }
retry_policy: { max_attempts: 3, backoff_strategy: exponential, backoff_base: 2, retryable_errors: [A] }
snapshot_rate: 64MB/s
restart_grace: 120s
drain_on_exit: true
drain_deadline: 10m
log_level: info
`;

const settings: Target = {
  name: 'config',
  what: "the settings of a node: a file's, and those of its environment",
  weight: 3,
  open: () => ({
    input: (random) =>
      random() < 0.5
        ? mutatedText(random, [Buffer.from(CONFIG)])
        : Buffer.from(stringify(changedValue(random, parseYaml(CONFIG)))),
    run: (input) => {
      const text = input.toString();
      let raw: unknown;
      try {
        raw = parseYaml(text, { maxAliasCount: 100, logLevel: 'error' });
      } catch {
        raw = null;
      }
      const environment = Object.fromEntries(
        text.split('\n').map((line) => {
          const at = line.indexOf(':');
          return [`JARVISD_${line.slice(0, at).toUpperCase()}`, line.slice(at + 1).trim()];
        }),
      );
      const fromEnvironment = attempt(
        () => parseConfig(gatherConfig({ file: null, environment, flags: {} })),
        ['invalid'],
      );
      if (typeof raw !== 'object' || raw === null) return fromEnvironment;
      return attempt(() => parseConfig({ ...raw }), ['invalid']);
    },
  }),
};

const WORDS: readonly string[] = [
  ['500m', '2', '0.5', '64Mi', '1G', '1048576', '100MiB/s', '30', '500ms', '1h30m', '7d', '10s'],
  ['2026-12-01T00:00:00Z', '2026-12-01T00:00:00.123+02:00', '12.3', '17', 'oldest', 'zone=a', 'node=n1'],
  [
    'python:3.9',
    'localhost:5000/a/b:c',
    'a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
  ],
  [
    '127.0.0.1:7101',
    '[::1]:7101',
    'host:0',
    'task-0123456789abcdefgh',
    'n1',
    'a-b_c.d',
    '11111111111111111111x',
  ],
].flat();

/** What is accepted is written back in its shortest form, and read again is the same. */
function checkRoundTrip(
  word: string,
  parse: (text: string) => number,
  format: (value: number) => string,
): void {
  let value: number;
  try {
    value = parse(word);
  } catch (error) {
    if (error instanceof JarvisError && error.code === 'invalid') return;
    throw error;
  }
  expectSame(`${JSON.stringify(word)} as it is written back`, parse(format(value)), value);
}

const words: Target = {
  name: 'words',
  what: 'quantities, durations, times, positions, names, addresses and images',
  weight: 16,
  open: () => {
    const samples = WORDS.map((word) => Buffer.from(word));
    return {
      input: (random) =>
        random() < 0.2
          ? Buffer.from(
              pick(random, ['1', '9', 'a', '1h', '.', '/', ':', ' ']).repeat(below(random, 3000)) + 'x',
            )
          : mutatedText(random, samples),
      run: (input) => {
        const word = input.toString();
        checkRoundTrip(word, parseCpuMillis, formatCpuMillis);
        checkRoundTrip(word, parseMemoryBytes, formatMemoryBytes);
        checkRoundTrip(word, parseDurationMs, formatDurationMs);
        parseTime(word);
        const endings = [
          isName(word) ? 'ok' : 'invalid',
          attempt(() => parseBytesPerSecond(word, 1), ['invalid']),
          attempt(() => parseEventPosition(word), ['invalid']),
          attempt(() => parseImageReference(word), ['invalid']),
          attempt(() => splitAddress(word), ['invalid']),
        ];
        return endings.includes('ok') ? 'ok' : 'invalid';
      },
    };
  },
};

export const SPEC_TARGETS: readonly Target[] = [yamlFiles, jsonSpecs, settings, words];

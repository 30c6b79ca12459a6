/** What a node hears from its watchdog, its engine, its workers and the other members, and what it kept of its attempts. */
import { parseContainerRecord } from '../../../src/agent/drivers/docker/container-record.ts';
import { readLines } from '../../../src/agent/drivers/docker/lines.ts';
import { OutputDamaged, readLogEntries } from '../../../src/agent/drivers/docker/log-frames.ts';
import { outcomeOf } from '../../../src/agent/drivers/outcome.ts';
import { registrationFromWire, reportFromWire } from '../../../src/agent/leader/wire.ts';
import { parseRemovals } from '../../../src/agent/logs/removed-logs.ts';
import { encodeFrame, FrameDecoder } from '../../../src/agent/watchdog/frames.ts';
import { decodeLogFrame, encodeLogFrame } from '../../../src/agent/watchdog/log-format.ts';
import { isAttemptView, parseRequest } from '../../../src/agent/watchdog/protocol.ts';
import { exitOf, registration, viewOf } from '../../../src/agent/worker/testing/values.ts';
import { Frame } from '../../../src/generated/raft.ts';
import { Register, Report } from '../../../src/generated/worker.ts';
import { invariant } from '../../../src/lib/assert.ts';
import type { Random } from '../../../src/lib/random.ts';
import { formatTime } from '../../../src/lib/times.ts';
import { message } from '../../../src/raft/testing/grpc-members.ts';
import { messageFromWire, messageToWire } from '../../../src/raft/transport/wire.ts';
import { encodeCommand } from '../../../src/store/codec.ts';
import { below, mutated, mutatedText, pick } from '../mutations.ts';
import { changedValue } from '../values.ts';
import { attempt, type Ending, type Target } from '../target.ts';

const KEY = { taskId: 'task-1', assignment: 1 };
const SPEC = {
  ...KEY,
  attempt: 1,
  session: 3,
  term: 2,
  fencingToken: '1',
  command: ['true'],
  env: { A: 'b' },
  workingDir: null,
  timeoutMs: 1000,
  stopGraceMs: 100,
  isLeased: true,
  container: null,
  user: null,
};
const REQUESTS: readonly object[] = [
  { id: 1, type: 'hello', protocol: 2, session: 3 },
  { id: 2, type: 'start', session: 3, spec: SPEC },
  { id: 3, type: 'stop', session: 3, ...KEY, graceMs: 100 },
  { id: 4, type: 'list', session: 3, after: null },
  { id: 5, type: 'guard', session: 3, ...KEY, cgroup: '/jarvis-n1', isLeased: true },
  { id: 6, type: 'lease', session: 3, deadlineMs: 1e9 },
  { id: 7, type: 'shutdown', session: 3, killAll: false },
];

const watchdogFrames: Target = {
  name: 'watchdog-frames',
  what: 'frames between daemon and watchdog, in pieces',
  weight: 16,
  open: () => {
    const samples = REQUESTS.map((request) => Buffer.concat([encodeFrame(request), encodeFrame(request)]));
    return {
      // The first byte says in what pieces it comes.
      input: (random) => {
        const frames =
          random() < 0.5
            ? mutated(random, samples)
            : encodeFrame(changedValue(random, pick(random, REQUESTS)) ?? 0);
        return Buffer.concat([Buffer.of(1 + below(random, 64)), frames]);
      },
      run: (input) => {
        const decoder = new FrameDecoder();
        const piece = Math.max(1, input[0] ?? 1);
        let known = 0;
        const ending = attempt(() => {
          for (let at = 1; at < input.length; at += piece)
            for (const one of decoder.push(input.subarray(at, at + piece)))
              if (parseRequest(one) !== null) known += 1;
        }, ['malformed']);
        return ending === 'ok' && known > 0 ? 'known' : ending;
      },
    };
  },
};

const RECORD = {
  version: 1,
  view: viewOf(1, 'running'),
  bootId: 'boot',
  image: 'a',
  containerId: null,
  cgroupParent: '/jarvis-n1',
  isStartSent: true,
  timeoutMs: null,
  stopGraceMs: 100,
};

const records: Target = {
  name: 'attempt-records',
  what: 'what a node has written down of its attempts, and the files that a task leaves behind',
  weight: 10,
  open: () => {
    const ended = { ...RECORD, view: viewOf(2, 'ended') };
    const others = [
      [{ endedUntilMs: 5, atMs: 7 }],
      { type: 'Timeout', message: 'too slow' },
      { rows: [1, 2] },
    ];
    const values = [RECORD, ended, ...others];
    const samples = values.map((one) => Buffer.from(JSON.stringify(one)));
    return {
      input: (random) =>
        random() < 0.3
          ? mutatedText(random, samples)
          : Buffer.from(JSON.stringify(changedValue(random, pick(random, values))) ?? ''),
      run: (input) => {
        const text = input.toString();
        const { error, result } = outcomeOf(exitOf({ exitCode: 1, errorFile: text, resultFile: text }));
        invariant(error !== null, 'what ended with 1 has an error');
        encodeCommand({ result });
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          return 'no JSON';
        }
        if (parseRemovals(value) !== null) return 'removals';
        if (typeof value !== 'object' || value === null) return 'none';
        const record = parseContainerRecord(value);
        invariant(record === null || isAttemptView(record.view), 'a record has a view');
        return record === null ? 'none' : 'record';
      },
    };
  },
};

const attemptLogs: Target = {
  name: 'attempt-logs',
  what: "frames of an attempt's log on disk",
  weight: 16,
  open: () => {
    const whole = Buffer.concat([
      encodeLogFrame('stdout', 1_700_000_000_000, Buffer.from('hello\n')),
      encodeLogFrame('stderr', 1_700_000_000_001, Buffer.alloc(300, 'x')),
      encodeLogFrame('end', 1_700_000_000_002, Buffer.alloc(0)),
    ]);
    return {
      input: (random) => mutated(random, [whole]),
      run: (input) => {
        for (let at = 0; at < input.length;) {
          const decoded = decodeLogFrame(input.subarray(at));
          if (typeof decoded === 'string') return decoded;
          invariant(decoded.length >= 16, 'a frame has a header');
          at += decoded.length;
        }
        return 'ok';
      },
    };
  },
};

function engineFrame(stream: number, text: string): Buffer {
  const content = Buffer.from(`2026-11-27T00:00:00.123456789Z ${text}`);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(content.length, 4);
  return Buffer.concat([header, content]);
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const MAX_LINE_BYTES = 65_536;

const engineOutput: Target = {
  name: 'engine-output',
  what: 'the output of containers and the lines that their engine sends',
  weight: 8,
  open: () => {
    const samples = [
      Buffer.concat([engineFrame(1, 'hello\n'), engineFrame(2, 'oh\n'), engineFrame(1, '')]),
      Buffer.from(
        '{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":2}}\r\n{"status":"x"}\n',
      ),
    ];
    return {
      input: (random) => Buffer.concat([Buffer.of(1 + below(random, 64)), mutated(random, samples)]),
      run: async (input) => {
        const [size = 1] = input;
        const bytes = input.subarray(1);
        for await (const line of readLines(pieces(bytes, size), MAX_LINE_BYTES * 8))
          invariant(line.trim() !== '', 'no line is empty');
        try {
          let count = 0;
          for await (const { atMs } of readLogEntries(pieces(bytes, size))) {
            invariant(Number.isFinite(atMs), 'an entry has a time');
            count += 1;
          }
          return count > 0 ? 'ok' : 'none';
        } catch (error) {
          if (error instanceof OutputDamaged) return 'damaged';
          throw error;
        }
      },
    };
  },
};

const ENCODING_TRIES = 4;

/** A message with values that it has no place for is none: others then, or damaged bytes. */
export function encodedOr(random: Random, samples: readonly Buffer[], encode: () => Uint8Array): Buffer {
  for (let attempts = 0; attempts < ENCODING_TRIES; attempts += 1) {
    try {
      return Buffer.from(encode());
    } catch {
      // The next one draws other values.
    }
  }
  return mutated(random, samples);
}

/** What does not decode never gets as far as the code: gRPC answers it. */
function decodedOrNull<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T | null {
  try {
    return decode(bytes);
  } catch {
    return null;
  }
}

const workerMessages: Target = {
  name: 'worker-messages',
  what: 'what workers send to their leader: whatever passes can be written down, and shown',
  weight: 14,
  open: () => {
    const report = Report.create({
      task_id: 'task-1',
      assignment: 1,
      status: 'COMPLETED',
      at_ms: 17e11,
      exit_code: 0,
      started_at_ms: 17e11,
      result: '{"a":[1,2]}',
      log_tail: 'hello\n',
      note: 'x',
      stopping: {
        reason: 'stopped',
        since_ms: 5,
        kill_at_ms: 10,
      },
    });
    const register = Register.create({ ...registration('n1', 's-1'), labels: { zone: 'a', __proto: 'b' } });
    const samples = [Report.encode(report).finish(), Register.encode(register).finish()].map((one) =>
      Buffer.from(one),
    );
    return {
      input: (random) => mutated(random, samples),
      run: (input) => {
        const endings: Ending[] = [];
        const asReport = decodedOrNull((bytes) => Report.decode(bytes), input);
        if (asReport !== null)
          endings.push(
            attempt(() => {
              const { atMs, startedAtMs, stopping, ...rest } = reportFromWire(asReport);
              for (const time of [atMs, startedAtMs, stopping?.sinceMs, stopping?.killAtMs])
                formatTime(time ?? 0);
              encodeCommand(rest);
            }, ['malformed']),
          );
        const asRegister = decodedOrNull((bytes) => Register.decode(bytes), input);
        if (asRegister !== null)
          endings.push(attempt(() => encodeCommand(registrationFromWire(asRegister)), ['malformed']));
        if (endings.length === 0) return 'undecodable';
        return endings.includes('ok') ? 'ok' : 'malformed';
      },
    };
  },
};

const raftMessages: Target = {
  name: 'raft-messages',
  what: 'frames between members',
  weight: 14,
  open: () => {
    const data = Buffer.from('data');
    const entries = [8, 9].map((index) => ({ term: 3, index, type: 'normal' as const, data }));
    const confState = {
      voters: [1, 2],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    const messages = [
      message(1, 2, { type: 'app', term: 5, index: 7, logTerm: 3, entries }),
      message(1, 2, { type: 'snap', term: 5, snapshot: { index: 9, term: 3, confState } }),
      message(2, 1, { type: 'appResp', term: 5, index: 9, reject: true, rejectHint: 4 }),
    ].map(messageToWire);
    const whole: Frame = { kind: { $case: 'batch', value: { messages } } };
    const samples = [Buffer.from(Frame.encode(whole).finish())];
    return {
      input: (random) =>
        random() < 0.4
          ? mutated(random, samples)
          : encodedOr(random, samples, () => {
              const value = changedValue(random, { messages }) as { messages: typeof messages };
              return Frame.encode({ kind: { $case: 'batch', value } }).finish();
            }),
      run: (input) => {
        const frame = decodedOrNull((bytes) => Frame.decode(bytes), input);
        if (frame?.kind?.$case !== 'batch') return frame === null ? 'undecodable' : 'other';
        const { messages: received } = frame.kind.value;
        return attempt(() => received.map(messageFromWire), ['malformed']);
      },
    };
  },
};

export const NODE_TARGETS: readonly Target[] = [
  watchdogFrames,
  records,
  attemptLogs,
  engineOutput,
  workerMessages,
  raftMessages,
];

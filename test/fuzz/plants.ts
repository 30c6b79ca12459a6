/** Deliberate bugs, one of each kind that the fuzzing is to find: proof that it would. */
import type { Mutant } from '../sim/mutants.ts';

/** `target`: where it shows. */
export interface Plant extends Mutant {
  readonly target: string;
}

export const PLANTS: readonly Plant[] = [
  {
    name: 'crash',
    what: 'the length of a batch in the log is not held against the end of its file',
    target: 'wal',
    file: 'src/raft/wal/batch-format.ts',
    find: 'if (end > segment.byteLength) return null;',
    replace: "if (end > segment.byteLength) throw new RangeError('beyond the end');",
  },
  {
    name: 'hang',
    what: 'the pattern of a duration backtracks without end',
    target: 'words',
    file: 'src/lib/quantities.ts',
    find: 'if (!/^(\\d+(\\.\\d+)?(ms|s|m|h|d))+$/.test(text)) return null;',
    replace: 'if (!/^((\\d+)+(\\.\\d+)?(ms|s|m|h|d)?)+$/.test(text)) return null;',
  },
  {
    name: 'growth',
    what: 'every value that was ever shown in a message is kept',
    target: 'spec-json',
    file: 'src/spec/faults.ts',
    find: 'export function show(value: unknown): string {',
    replace:
      'const shownBefore: unknown[] = [];\nexport function show(value: unknown): string {\n  shownBefore.push(Buffer.alloc(65536));',
  },
  {
    name: 'pollution',
    what: 'a key of a request is written into what every object inherits from',
    target: 'spec-json',
    file: 'src/spec/suggest.ts',
    find: 'let best: string | null = null;',
    replace:
      "let best: string | null = null;\n  if (wanted === 'constructor') Reflect.set(Object.prototype, 'polluted', wanted);",
  },
  {
    name: 'lost-field',
    what: 'a field of a task is lost on its way to a node',
    target: 'spec-json',
    file: 'src/spec/wire.ts',
    find: "stop_grace: text(plain['stop_grace']),",
    replace: 'stop_grace: undefined,',
  },
];

/**
 * What the tasks of a run do: leave a trace outside of the cluster, line by line, for as long as they run. Each line says
 * who it was and when, by the clock that all processes of the machine share: it is proof that the attempt ran then.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface RunLine {
  readonly key: string;
  readonly id: string;
  readonly attempt: number;
  readonly token: string;
  readonly node: string;
  readonly pid: number;
  /** CLOCK_BOOTTIME. */
  readonly atMs: number;
  readonly what: 'start' | 'beat' | 'end' | 'term';
}

export interface Recording {
  readonly key: string;
  readonly seconds: number;
  /** Fails in its first attempt. */
  readonly isFlaky: boolean;
  /** Leaves a process behind, which whoever ran the task is to end. */
  readonly leavesStray: boolean;
}

const BEAT_SECONDS = 0.1;
const STRAY_SECONDS = 300;

const SCRIPT = `
say() {
  read -r now rest < /proc/uptime
  echo "$JARVIS_TASK_ID $JARVIS_ATTEMPT $JARVIS_FENCING_TOKEN $JARVIS_NODE $$ $now $1" >> "$file"
}
file=$1 beats=$2 flaky=$3 stray=$4
trap 'say term; exit 143' TERM
say start
[ "$stray" = yes ] && sleep ${STRAY_SECONDS} &
while [ "$beats" -gt 0 ]; do
  sleep ${BEAT_SECONDS}
  say beat
  beats=$((beats - 1))
done
[ "$flaky" = yes ] && [ "$JARVIS_ATTEMPT" -lt 2 ] && exit 75
say end
`;

export class Recorder {
  readonly #directory: string;

  /** @param marks a directory that containers may mount */
  constructor(marks: string) {
    this.#directory = path.join(marks, 'runs');
    mkdirSync(this.#directory);
  }

  /** @param directory as the task sees that of the records */
  command({ key, seconds, isFlaky, leavesStray }: Recording, directory = this.#directory): readonly string[] {
    const beats = Math.ceil(seconds / BEAT_SECONDS);
    const words = [path.join(directory, key), String(beats), yesOrNo(isFlaky), yesOrNo(leavesStray)];
    return ['sh', '-c', SCRIPT, 'recorder', ...words];
  }

  get mount(): { readonly source: string; readonly target: string } {
    return { source: this.#directory, target: '/runs' };
  }

  lines(): readonly RunLine[] {
    return readdirSync(this.#directory).flatMap((key) =>
      parseLines(key, readFileSync(path.join(this.#directory, key), 'utf8')),
    );
  }
}

/** @throws Error where a line is not one of the recorder's */
export function parseLines(key: string, text: string): readonly RunLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', attempt = '', token = '', node = '', pid = '', seconds = '', what = ''] =
        line.split(' ');
      if (!isWhat(what)) throw new Error(`${key}: ${JSON.stringify(line)} is not a line of a task`);
      return {
        key,
        id,
        attempt: Number(attempt),
        token,
        node,
        pid: Number(pid),
        atMs: Number(seconds) * 1000,
        what,
      };
    });
}

function isWhat(word: string): word is RunLine['what'] {
  return ['start', 'beat', 'end', 'term'].includes(word);
}

function yesOrNo(is: boolean): string {
  return is ? 'yes' : 'no';
}

/** What happened, as a hash that two runs of a seed must share, and the last events for whoever reads a failure. */
const KEPT = 150;

/** A promise of the product is broken: what a run is there to find. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

type Noted = readonly [atMs: number, kind: string, details: readonly (string | number)[]];

function lineOf([atMs, kind, details]: Noted): string {
  return `${(atMs / 1000).toFixed(4).padStart(9)} s  ${kind} ${details.join(' ')}`;
}

export class Trace {
  #hash = 0x811c9dc5;
  #at = 0;
  readonly #last: Noted[] = [];
  readonly #story: Noted[] = [];
  readonly #kinds = new Map<string, number>();
  /** Rare paths, by name, and how often they were taken. */
  readonly counters = new Map<string, number>();

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  note(atMs: number, kind: string, ...details: readonly (string | number)[]): void {
    this.#mix(Math.round(atMs * 1000));
    this.#mix(this.#numberOf(kind));
    for (const detail of details) this.#mix(typeof detail === 'number' ? detail : this.#numberOf(detail));
    this.#last[this.#at % KEPT] = [atMs, kind, details];
    this.#at += 1;
  }

  /** The same, of what is worth more than the messages around it. */
  tell(atMs: number, kind: string, ...details: readonly (string | number)[]): void {
    this.note(atMs, kind, ...details);
    this.#story.push([atMs, kind, details]);
    if (this.#story.length > 2 * KEPT) this.#story.splice(0, KEPT);
  }

  story(): readonly string[] {
    return this.#story.map(lineOf);
  }

  count(counter: Counter): void {
    this.counters.set(counter, (this.counters.get(counter) ?? 0) + 1);
  }

  lastEvents(): readonly string[] {
    const start = this.#at % KEPT;
    return [...this.#last.slice(start), ...this.#last.slice(0, start)].map(lineOf);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash ^= this.#hash >>> 15;
  }

  #numberOf(text: string): number {
    const known = this.#kinds.get(text);
    if (known !== undefined) return known;
    let number = 0;
    for (let at = 0; at < text.length; at += 1) number = (Math.imul(number, 31) + text.charCodeAt(at)) | 0;
    this.#kinds.set(text, number);
    return number;
  }
}

/** Every rare path that the simulator must take from time to time; a test sees to it. */
export const COUNTERS = [
  'batch or DAG completed',
  'batch or DAG failed',
  'batch or DAG cancelled',
  'batch or DAG gone on with by another leader',
  'batch or DAG retried',
  'task of a batch or DAG begun anew by itself',
  'task changed',
  'finished tasks expired',
  'leader elected',
  'leader deposed by check-quorum',
  'leader paused and deposed',
  'leadership transferred',
  'vote kept over a restart',
  'conflicting suffix truncated',
  'completion of an earlier term',
  'proposal lost for certain',
  'proposal of unknown outcome',
  'proposal refused as overloaded',
  'read answered',
  'read refused before an own-term commit',
  'snapshot taken',
  'snapshot sent',
  'snapshot transfer failed',
  'snapshot installed',
  'snapshot installed while partitioned',
  'crash during an install',
  'log compacted',
  'power cut during a write',
  'process killed during a write',
  'unacknowledged write survived',
  'torn tail cut off',
  'power cut beside the log',
  'name of a file lost',
  'file renamed back',
  'removed file back again',
  'disk lied about its syncs',
  'lying disk wrote back in time',
  'lie of a disk uncovered',
  'lie of a disk not noticed',
  'lie of a disk that cost nothing',
  'damage in the log noticed',
  'damage where nothing was needed',
  'lost log noticed',
  'older copy refused by its peers',
  'log older than the state refused',
  'disk failed and the node ended',
  'disk lost and replaced under a new id',
  'learner promoted',
  'voter replaced through a joint configuration',
  'voter removed',
  'leader removed',
  'joint state survived a change of leader',
  'rolling restart',
  'scheduling begun',
  'task run to its end',
  'message duplicated',
  'link clogged',
  'one-way partition',
  'partition',
  'message of an ended process refused',
  'peer taken to have lost entries',
  'node taken for gone',
  'node taken for gone by a later leader',
  'lease ran out with a stopped daemon',
  'hung watchdog replaced',
  'watchdog killed',
  'container started into a frozen group',
  'engine stopped',
  'shorter timeout settled',
  'longer lease granted for a restart',
  'longer timeout of a restart counted',
  'tasks outlived a restart that was longer than a lease',
  'daemon stopped',
  'daemon killed',
  'daemon found attempts of earlier sessions',
  'machine rebooted',
  'data directory moved',
  'node back with an empty directory',
  'heartbeat came to a deposed leader',
  'heartbeat not answered after its round',
  'decision of another term refused',
  'attempt lost with the lease',
  'attempt executed',
  'start waits in a stopped engine',
  'watchdog away for longer than a lease',
  'node drained',
  'attempts stopped by a drain',
  'attempt moved by a drain',
  'assignment taken back by a drain',
] as const;
export type Counter = (typeof COUNTERS)[number];

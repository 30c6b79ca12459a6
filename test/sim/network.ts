/** Links between machines, one per direction: they lose, delay, reorder and repeat messages, clog, and are cut. */
import type { Chance } from './chance.ts';
import type { Trace } from './trace.ts';
import type { VirtualTime } from './virtual-time.ts';

interface Link {
  isCut: boolean;
  loss: number;
  /** Nothing arrives before; what is under way then arrives at once. */
  cloggedUntilMs: number;
}

export class Network {
  readonly #links: Link[][];
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #trace: Trace;
  /** Fast networks are not the only ones. */
  readonly #baseMs: number;
  readonly #repeats: number;
  readonly #slow: number;

  constructor(options: { size: number; time: VirtualTime; chance: Chance; trace: Trace }) {
    const { size, time, chance, trace } = options;
    this.#time = time;
    this.#chance = chance;
    this.#trace = trace;
    this.#baseMs = chance.pick([0.1, 0.5, 2, 10]) ?? 1;
    this.#repeats = chance.pick([0, 0, 0.005, 0.03]) ?? 0;
    this.#slow = chance.pick([0, 0.01, 0.1]) ?? 0;
    this.#links = Array.from({ length: size }, () =>
      Array.from({ length: size }, () => ({ isCut: false, loss: 0, cloggedUntilMs: 0 })),
    );
  }

  link(from: number, to: number): Link {
    const link = this.#links[from]?.[to];
    if (link === undefined) throw new Error(`no link from ${from} to ${to}`);
    return link;
  }

  get isDisturbed(): boolean {
    return this.#links.some((row) => row.some(({ isCut }) => isCut));
  }

  heal(): void {
    for (const link of this.#links.flat()) Object.assign(link, { isCut: false, loss: 0, cloggedUntilMs: 0 });
  }

  /** @returns whether it was put on its way: a link that is cut says so to its sender now and then, a lossy one never */
  carry(from: number, to: number, deliver: () => void | Promise<void>): boolean {
    const { isCut, loss, cloggedUntilMs } = this.link(from, to);
    if (isCut) return false;
    if (this.#chance.happens(loss)) return true;
    this.#deliverLater(cloggedUntilMs, deliver);
    if (this.#repeats > 0 && this.#chance.happens(this.#repeats)) {
      this.#trace.count('message duplicated');
      this.#deliverLater(cloggedUntilMs, deliver);
    }
    return true;
  }

  #deliverLater(cloggedUntilMs: number, deliver: () => void | Promise<void>): void {
    const { random } = this.#chance;
    let delayMs = this.#baseMs * (0.5 + random());
    // Some take so long that a process ends, or a term passes, before they arrive.
    if (random() < this.#slow) delayMs += random() * random() * 1500;
    this.#time.after(Math.max(delayMs, cloggedUntilMs - this.#time.nowMs), deliver);
  }
}

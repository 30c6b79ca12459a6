/**
 * The files of TLS as they are at present. They are read again at intervals, and what changed is taken over without a
 * restart once all of it fits together: whoever replaces them does so one after the other, by renaming, or by pointing a
 * symbolic link elsewhere (as Kubernetes does with secrets), and all of that is seen by reading what is there.
 */
import type { Clock } from './clock.ts';
import { messageOf } from './errors.ts';
import type { Log } from './log.ts';
import { RepeatedLines } from './repeated-lines.ts';
import { readTlsFiles, type TlsFiles, type TlsMaterial } from './tls-files.ts';

/** Between looks at the files. */
const LOOK_INTERVAL_MS = 5000;
const REFUSED_LINE_MS = 600_000;
const REFUSED_KINDS = 16;
const DAY_MS = 86_400_000;
/** How long before its end a certificate is complained about: daily, and more loudly in the last days. */
const SOON_DAYS = 30;
const VERY_SOON_DAYS = 7;

/** Current material, and word of each change. */
export interface TlsSource {
  readonly current: TlsMaterial;
  /** @returns ends it */
  onChange(listener: (material: TlsMaterial) => void): () => void;
}

interface TlsWatchOptions {
  readonly files: TlsFiles;
  /** Further demands on new contents: what they throw keeps the former in place. */
  readonly check?: (material: TlsMaterial) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class TlsWatch implements TlsSource {
  readonly #options: TlsWatchOptions;
  readonly #lines: RepeatedLines;
  readonly #endings: RepeatedLines;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  #current: TlsMaterial;
  #cancel: (() => void) | null = null;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: TlsWatchOptions, first: TlsMaterial) {
    const { clock } = options;
    this.#options = options;
    this.#current = first;
    this.#lines = new RepeatedLines({ clock, intervalMs: REFUSED_LINE_MS, kindsKept: REFUSED_KINDS });
    this.#endings = new RepeatedLines({ clock, intervalMs: DAY_MS, kindsKept: REFUSED_KINDS });
    this.#warnOfEnd();
    this.#schedule();
  }

  /** @throws JarvisError invalid where the files cannot be used as they are */
  static async start(options: TlsWatchOptions): Promise<TlsWatch> {
    const first = await readTlsFiles(options.files, options.clock.wallMs());
    options.check?.(first);
    return new TlsWatch(options, first);
  }

  get current(): TlsMaterial {
    return this.#current;
  }

  onChange(listener: (material: TlsMaterial) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks at the files now. */
  async look(): Promise<void> {
    const found = await this.#found();
    if (this.#closed) return;
    if (found !== null) {
      this.#current = found;
      const { files, log } = this.#options;
      log.info({ files, until: iso(found.endsMs) }, 'new TLS files are in use');
      for (const listener of this.#listeners) listener(found);
    }
    this.#warnOfEnd();
  }

  /** @returns null where there is nothing new, or nothing that can be used */
  async #found(): Promise<TlsMaterial | null> {
    const { files, check, clock } = this.#options;
    try {
      const found = await readTlsFiles(files, clock.wallMs());
      if (found.digest === this.#current.digest) return null;
      check?.(found);
      return found;
    } catch (error) {
      if (!this.#closed) this.#refuse(messageOf(error));
      return null;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#looking;
  }

  /** A pair that is half written fits a moment later: said once, and again only while it stays so. */
  #refuse(error: string): void {
    this.#lines.write(error, (heldBack) =>
      this.#options.log.warn({ error, heldBack }, 'the TLS files cannot be used; the former stay in use'),
    );
  }

  #warnOfEnd(): void {
    const { clock, log } = this.#options;
    const { endsMs } = this.#current;
    const days = Math.floor((endsMs - clock.wallMs()) / DAY_MS);
    if (days >= SOON_DAYS) return;
    const kind = days < VERY_SOON_DAYS ? 'very soon' : 'soon';
    this.#endings.write(`${kind} ${endsMs}`, () => {
      const fields = { until: iso(endsMs), days: Math.max(0, days) };
      if (days < VERY_SOON_DAYS) log.error(fields, 'the TLS certificate ends within a week');
      else log.warn(fields, 'the TLS certificate ends within a month');
    });
  }

  #schedule(): void {
    this.#cancel = this.#options.clock.after(LOOK_INTERVAL_MS, () => {
      this.#looking = this.#lookAgain();
    });
  }

  async #lookAgain(): Promise<void> {
    await this.look();
    if (!this.#closed) this.#schedule();
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

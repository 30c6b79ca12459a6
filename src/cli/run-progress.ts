/** What is worth saying on stderr of a task that has not begun, or that is tried again. */
import type { Task } from '../generated/cluster.ts';
import type { Terminal } from './terminal.ts';
import { notify, onOneLine, write } from './terminal.ts';

const CLEAR_LINE = '\r\u001b[K';
const DEFAULT_COLUMNS = 80;

/**
 * Why the task waits, what its start does at present, and that it failed and will be tried again. What the start does
 * changes often: on a terminal it is one line that is written over, elsewhere one line for each of its phases.
 */
export class RunProgress {
  readonly #terminal: Terminal;
  #said = '';
  #shown = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  async update(task: Task): Promise<void> {
    const note = noteOf(task);
    if (note !== '') return this.#show(note);
    await this.clear();
    const text = newsOf(task);
    if (text === '' || text === this.#said) return;
    this.#said = text;
    await notify(this.#terminal, text);
  }

  /** A line of its own. */
  async say(message: string): Promise<void> {
    await this.clear();
    await notify(this.#terminal, message);
  }

  /** Nothing of this stands in the way of what is written next. */
  async clear(): Promise<void> {
    if (this.#shown === '') return;
    this.#shown = '';
    await write(this.#terminal.stderr, CLEAR_LINE);
  }

  async #show(note: string): Promise<void> {
    const { stderr } = this.#terminal;
    if (stderr.isTTY !== true) {
      const phase = phaseOf(note);
      if (phase === this.#said) return;
      this.#said = phase;
      return notify(this.#terminal, phase);
    }
    // One column less than there are: a full line would wrap on some terminals.
    const line = `jarvisctl: ${onOneLine(note)}`.slice(0, (stderr.columns ?? DEFAULT_COLUMNS) - 1);
    if (line === this.#shown) return;
    this.#shown = line;
    await write(stderr, `${CLEAR_LINE}${line}`);
  }
}

/** What the start of its attempt does at present; empty where that is not known. */
function noteOf(task: Task): string {
  const { status, status_reason: reason } = task;
  return status !== 'ASSIGNED' || reason === undefined || reason === 'stopping' ? '' : reason;
}

/** `pulling localhost:5000/hello: 43 %` is the phase `pulling localhost:5000/hello`. */
function phaseOf(note: string): string {
  return note.split(/:(?:\s|$)/, 1)[0] ?? note;
}

function newsOf(task: Task): string {
  switch (task.status) {
    case 'PENDING':
      return (task.status_reason ?? '') === '' ? '' : `${task.id} is waiting: ${task.status_reason}`;
    case 'FAILED': {
      const reason = [task.error?.type, task.error?.message].filter((part) => (part ?? '') !== '').join(': ');
      const tries = `attempt ${task.attempt} of ${task.retry_policy?.max_attempts ?? task.attempt}`;
      return `${tries} failed${reason === '' ? '' : ` (${reason})`}, it will be tried again`;
    }
    default:
      return '';
  }
}

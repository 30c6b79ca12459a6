/** What is worth saying on stderr of a task that has not begun, or that is tried again. */
import type { Task } from '../generated/cluster.ts';
import { LiveLine } from './live-line.ts';
import type { Terminal } from './terminal.ts';
import { notify } from './terminal.ts';
import { withBar } from './output/bar.ts';

const BAR_WIDTH = 20;

/**
 * Why the task waits, what its start does at present, and that it failed and will be tried again. What the start does
 * changes often: on a terminal it is one line that is written over, elsewhere one line for each of its phases.
 */
export class RunProgress {
  readonly #terminal: Terminal;
  readonly #line: LiveLine;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#line = new LiveLine(terminal);
  }

  async update(task: Task): Promise<void> {
    const note = noteOf(task);
    if (note !== '') return this.#line.show(withBar(note, BAR_WIDTH), phaseOf(note), phaseOf(note));
    const text = newsOf(task);
    await (text === '' ? this.#line.clear() : this.#line.say(text));
  }

  /** A line of its own, however often. */
  async say(message: string): Promise<void> {
    await this.#line.clear();
    await notify(this.#terminal, message);
  }

  /** Nothing of this stands in the way of what is written next. */
  async clear(): Promise<void> {
    await this.#line.clear();
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

/** The processes of an instance are ended for good. */
import { pause } from '../../../lib/backoff.ts';
import type { Clock } from '../../../lib/clock.ts';
import { isAlive, processesOf, type ProcessId } from '../../../lib/node-processes.ts';
import { throwIfAborted } from '../provider.ts';

const LOOK_MS = 50;
/** For the kernel, after SIGKILL. */
const KILL_WAIT_MS = 5000;
/** For the watchdog, which looks once in a while, and for what it kills. */
const WATCHDOG_WAIT_MS = 3000;

/** Ends with TERM what can end by itself, and with KILL what cannot. @throws ProviderError unavailable where given up */
export async function endProcess(
  id: ProcessId,
  {
    graceMs,
    clock,
    signal,
  }: { readonly graceMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  send(id, 'SIGTERM');
  if (await hasEnded(id, { withinMs: graceMs, clock, signal })) return;
  send(id, 'SIGKILL');
  await hasEnded(id, { withinMs: KILL_WAIT_MS, clock, signal });
}

/**
 * Kills whatever works for the node of a data directory: of a node that was killed its tasks go on. Its watchdog ends them, and
 * knows more of them than can be found from outside: it does once the directory is gone, and is killed only where it does not.
 * @param directory as the node knew it. @param moved where it is now
 */
export async function killStrays(
  directory: string,
  moved: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const all = async (): Promise<readonly ProcessId[]> => [
    ...(await processesOf(directory)),
    ...(await processesOf(moved)),
  ];
  const deadlineMs = clock.monotonicMs() + WATCHDOG_WAIT_MS;
  while ((await all()).length > 0 && clock.monotonicMs() < deadlineMs) {
    throwIfAborted(signal);
    await pause(clock, LOOK_MS, signal);
  }
  const strays = await all();
  for (const stray of strays) send(stray, 'SIGKILL');
  for (const stray of strays) await hasEnded(stray, { withinMs: KILL_WAIT_MS, clock, signal });
}

function send(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    // It has just ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function hasEnded(
  id: ProcessId,
  options: { readonly withinMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<boolean> {
  const { withinMs, clock, signal } = options;
  const deadlineMs = clock.monotonicMs() + withinMs;
  while (isAlive(id)) {
    throwIfAborted(signal);
    if (clock.monotonicMs() >= deadlineMs) return false;
    await pause(clock, LOOK_MS, signal);
  }
  return true;
}

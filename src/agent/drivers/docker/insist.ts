import { Backoff, pause } from '../../../lib/backoff.ts';
import { systemClock } from '../../../lib/clock.ts';
import { EngineRefusal, NoAnswer } from './engine.ts';
import { DOCKER_LIMITS } from './limits.ts';

/**
 * Asks again for as long as the engine gives no answer: only for what may happen twice. The signal bounds it.
 * @throws whatever else the call throws; the signal's reason
 */
export async function insist<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const { retryMinMs: minMs, retryMaxMs: maxMs } = DOCKER_LIMITS;
  const backoff = new Backoff({ minMs, maxMs, random: Math.random });
  for (;;) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
    await pause(systemClock, backoff.next(), signal);
  }
}

/**
 * The same for what must come to pass and can only fail for the engine's own reasons, such as an error inside it or a
 * removal that is under way: a refusal is no answer either.
 */
export async function insistThroughRefusals<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  return insist(signal, async () => {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof EngineRefusal)) throw error;
      throw new NoAnswer(error.message, { cause: error });
    }
  });
}

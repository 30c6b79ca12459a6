/**
 * What an inspection of a container says about its attempt. Pure. One inspection is worth more than any number of events:
 * an event may be missed, or tell of a container that has been started again since (docs/containers.md).
 */
import { constants } from 'node:os';

import type { ContainerDetails } from './engine.ts';

export type Judgement =
  /** It was not started, as far as the engine has come. */
  | { readonly type: 'created'; readonly error: string; readonly imageId: string }
  /**
   * `startId`: the engine's name for this execution, its start to the nanosecond; null where it has not been asked.
   * `startedAtMs`: 0 where the engine does not know any more, as after its death in the middle of the start.
   */
  | { readonly type: 'running'; readonly startedAtMs: number; readonly startId: string | null }
  | {
      readonly type: 'ended';
      readonly startId: string;
      readonly startedAtMs: number;
      readonly finishedAtMs: number;
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly outOfMemory: boolean;
    }
  | { readonly type: 'gone' }
  /** It cannot be told what became of it, and nothing of it runs. */
  | { readonly type: 'lost'; readonly message: string };

/** What a shell and runc make of a signal: 128 and its number. */
const SIGNAL_BASE = 128;
const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map(
  // Some have a second, older name: it comes later.
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** @param details null: the engine knows no such container */
export function judge(details: ContainerDetails | null): Judgement {
  if (details === null) return { type: 'gone' };
  const { State: state } = details;
  switch (state.Status) {
    case 'created':
      // An engine that died in the middle of the start takes what has ended for what never began.
      if (timeOf(state.FinishedAt) > 0)
        return { type: 'lost', message: 'the container engine lost track of it; how it ended is not known' };
      return { type: 'created', error: state.Error, imageId: details.Image };
    case 'exited':
    case 'dead':
    case 'removing': {
      const startedAtMs = timeOf(state.StartedAt);
      const { exitCode, signal } = exitOf(state.ExitCode);
      // Removed before it ever ran, or while it did: the engine marks it, then kills it.
      const isRemoved = state.Status === 'removing' && signal === 'SIGKILL';
      if (startedAtMs <= 0 || isRemoved) return { type: 'gone' };
      return {
        type: 'ended',
        startId: state.StartedAt,
        startedAtMs,
        finishedAtMs: Math.max(startedAtMs, timeOf(state.FinishedAt)),
        exitCode,
        signal,
        outOfMemory: state.OOMKilled,
      };
    }
    default:
      // Also paused and restarting: something of it may execute.
      return { type: 'running', startedAtMs: timeOf(state.StartedAt), startId: state.StartedAt };
  }
}

/** An engine tells a signal by the exit code that a shell would give it. */
function exitOf(code: number): { readonly exitCode: number | null; readonly signal: string | null } {
  const signal = SIGNAL_NAMES.get(code - SIGNAL_BASE);
  return signal === undefined ? { exitCode: code, signal: null } : { exitCode: null, signal };
}

/** The year 1 where it has not happened. */
function timeOf(text: string): number {
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) || timeMs < 0 ? 0 : timeMs;
}

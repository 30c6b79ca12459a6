import { describe, expect, it } from 'vitest';

import type { Command } from '../model/commands.ts';
import { encodeCommand } from './codec.ts';
import { decodeEntry, expectCommand } from './entries.ts';
import { SchedulerCore } from './scheduler-machine.ts';

const core = new SchedulerCore();
const cancel = { type: 'cancelTask', atMs: 1, taskId: 'task-1', idempotency: null };

/** What no replica could apply. */
const POISON: readonly (readonly [string, unknown])[] = [
  ['of an unknown type', { ...cancel, type: 'launchMissiles' }],
  ['of a type that every object has', { ...cancel, type: 'constructor' }],
  ['without a type', { atMs: 1 }],
  ['without a time', { ...cancel, atMs: undefined }],
  ['at no time', { ...cancel, atMs: Number.NaN }],
  ['before all time', { ...cancel, atMs: -1 }],
  ['after all time', { ...cancel, atMs: 253_402_300_800_000 }],
  ['that is none', null],
  ['that is a list', [cancel]],
  ['that is not of its shape', { type: 'submitMany', atMs: 1 }],
  ['whose parts are not of their shape', { type: 'reportAttempts', atMs: 1, reports: [null] }],
  ['that names a row by no text', { ...cancel, taskId: { toString: '' } }],
];

describe('a command', () => {
  it.each(POISON)('%s is refused before it reaches the log', (_what, command) => {
    expect(() => expectCommand<Command>(core, command)).toThrow(
      expect.objectContaining({ code: 'internal' }),
    );
  });

  it.each(POISON.filter(([what]) => what !== 'at no time'))(
    '%s that is in the log all the same is taken for none by every replica',
    (_what, command) => {
      const data = encodeCommand(command as object);
      const entry = { term: 1, index: 1, type: 'normal', data } as const;
      expect(decodeEntry<Command>(core, entry)).toMatchObject({ command: null, names: [] });
    },
  );

  it('that is one passes', () => {
    expect(() => expectCommand<Command>(core, cancel)).not.toThrow();
  });
});

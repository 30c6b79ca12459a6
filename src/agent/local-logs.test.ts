import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { ReadLogRequest } from '../generated/worker.ts';
import { AttemptLogs } from './local-logs.ts';

let whyGone: (endedAtMs: number | null) => string | null = () => null;

async function read(dataDirectory: string, request: Partial<ReadLogRequest>): Promise<number> {
  let chunks = 0;
  const logs = new AttemptLogs({ dataDirectory, whyGone });
  for await (const chunk of logs.read(ReadLogRequest.create(request), new AbortController().signal)) {
    chunks += chunk.data.byteLength;
  }
  return chunks;
}

describe('the logs of attempts', () => {
  it.each(['../../secret', '..', '.', '', '/etc', 'a/b', 'a\0b', 'a\\..', '-x', 'x'.repeat(129), 'a\n'])(
    'are not read outside of their place: %j',
    async (taskId) => {
      const root = mkdtempSync(path.join(tmpdir(), 'jarvis-logs-'));
      onTestFinished(() => rmSync(root, { recursive: true }));
      // What such an id would lead to.
      mkdirSync(path.join(root, 'secret', '1'), { recursive: true });
      writeFileSync(path.join(root, 'secret', '1', 'log.000000'), 'secret');
      await expect(read(root, { task_id: taskId, assignment: 1 })).rejects.toMatchObject({ code: 'invalid' });
    },
  );

  it.each([-1, 1.5, Number.NaN, 2 ** 53])('name an assignment, which %d is not', async (assignment) => {
    await expect(read('/nowhere', { task_id: 'task', assignment })).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('that are not there are empty where nothing was written, else it is said what became of them', async () => {
    expect(await read('/nowhere', { task_id: 'task', assignment: 1 })).toBe(0);
    whyGone = (endedAtMs) => `which lost it after ${endedAtMs}`;
    onTestFinished(() => {
      whyGone = () => null;
    });
    await expect(read('/nowhere', { task_id: 'task', assignment: 1, ended_ms: 7 })).rejects.toMatchObject({
      code: 'logs_unavailable',
      message: 'which lost it after 7',
    });
  });
});

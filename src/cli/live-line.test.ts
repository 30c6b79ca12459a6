import { expect, it } from 'vitest';

import { LiveLine } from './live-line.ts';
import { TestTerminal } from './run-cli.test-kit.ts';

it('is one line that is written over, on a terminal, and never a full one', async () => {
  const terminal = new TestTerminal();
  Object.assign(terminal.stderr, { isTTY: true, columns: 20 });
  const line = new LiveLine(terminal);
  await line.show('3 tasks', '3');
  await line.show('3 tasks', '3');
  await line.show('2 tasks, and much more to say', '2');
  await line.say('done');
  await line.clear();
  const over = '\r\u001b[K';
  expect(terminal.stderr.text).toBe(
    `${over}jarvisctl: 3 tasks${over}jarvisctl: 2 tasks,${over}jarvisctl: done\n`,
  );
});

it('is a line for each step elsewhere', async () => {
  const terminal = new TestTerminal();
  const line = new LiveLine(terminal);
  await line.show('3 tasks, 10 s', '3');
  await line.show('3 tasks, 9 s', '3');
  await line.show('pulling: 10 %', 'pulling', 'pulling');
  await line.say('done');
  await line.say('done');
  await line.clear();
  expect(terminal.stderr.text).toBe('jarvisctl: 3 tasks, 10 s\njarvisctl: pulling\njarvisctl: done\n');
});

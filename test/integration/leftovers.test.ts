/** The tests' own promise: whatever becomes of a test run, its nodes, watchdogs, tasks and files go with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';

import { expect, it } from 'vitest';

import { processesOf } from '../support/processes.ts';
import { waitFor } from '../support/wait.ts';

/** Starts a node with a task, says where, and hangs. */
const PROGRAM = `
  const { TestCluster } = await import(process.argv[1]);
  const cluster = await TestCluster.create({ nodes: 1 });
  await cluster.start();
  const { id } = await cluster.api().submit({ command: ['sleep', '300'] });
  await cluster.task(id, ({ status }) => status === 'RUNNING');
  console.log(cluster.directory);
  setInterval(() => {}, 1000);
`;

it('a test run that is killed leaves nothing behind', async () => {
  const support = new URL('../support/cluster.ts', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, support], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  const directory = output.toString().trim();
  // The node, its watchdog, and the task.
  expect(processesOf(directory).length).toBeGreaterThanOrEqual(3);
  child.kill('SIGKILL');
  await waitFor('all processes are gone', () => processesOf(directory).length === 0);
  await waitFor('all files are gone', () => !existsSync(directory));
});

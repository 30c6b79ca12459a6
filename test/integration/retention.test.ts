/** What is over expires on real nodes, and readers of what has gone are told so; after restarts too. */
import { describe, expect, it } from 'vitest';

import { eventsOf } from '../support/event-follower.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

describe('retention', () => {
  it('deletes finished tasks and events, on every node alike, and answers 410 for positions before', async () => {
    const cluster = await startCluster({ retention: { tasks: '3s', max_tasks: 100, events: '3s' } });
    const api = cluster.api();
    const { id } = await api.submit({ command: ['true'] });
    const open = await api.submit({ command: ['sleep', '300'] });
    await cluster.finalTask(id);
    const [first] = await eventsOf(cluster, 'n1');
    await waitFor(
      'the task has expired',
      async () => (await api.call('GET', `/tasks/${id}`, null)).status === 404,
    );
    await waitFor('events have expired', async () => {
      const [oldest] = await eventsOf(cluster, 'n1');
      return (oldest?.index ?? Number.POSITIVE_INFINITY) > (first?.index ?? 0);
    });
    expect(await api.task(open.id)).toMatchObject({ status: 'RUNNING' });
    // Lost to checkpoints and restarts: none that is kept, and none that is gone comes back.
    await cluster.stopAll();
    await cluster.start();
    const after = await cluster.api().submit({ command: ['true'] });
    for (const { name } of cluster.nodes) {
      const answer = await cluster.node(name).api.call('GET', `/events?since=${first?.index}`, null);
      expect(answer.status).toBe(410);
      expect(JSON.parse(answer.text)).toMatchObject({ code: 'compacted', status: 410 });
      expect((await cluster.node(name).api.call('GET', `/tasks/${id}`, null)).status).toBe(404);
      expect((await eventsOf(cluster, name)).some((event) => event.id === after.id)).toBe(true);
    }
    const cli = await cluster.cli(['events', '--since', `${first?.index}`]);
    expect(cli).toMatchObject({ status: 1, stdout: '' });
    expect(cli.stderr).toMatch(/are kept no longer: the oldest are those of entry \d+/);
  });
});

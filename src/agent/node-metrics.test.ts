import { expect, it } from 'vitest';

import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { NodeMetrics } from './node-metrics.ts';

it('a node that is no member says nothing of Raft, of the log and of other nodes, which rules would take for a word', async () => {
  const metrics = new NodeMetrics({ name: 'w', version: '1', tls: null, clock: systemClock, log: silentLog });
  const gauges = new Set<string>();
  for (const line of (await metrics.text.scrape()).split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined && type === 'gauge') gauges.add(name);
  }
  const samples = (await metrics.text.scrape())
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const shown = [...gauges].filter((name) =>
    samples.some((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`)),
  );
  expect(gauges).toContain('jarvis_raft_is_leader');
  expect(shown.filter((name) => /^jarvis_(raft|wal|snapshot|nodes?|cluster|quorum)(_|$)/.test(name))).toEqual(
    [],
  );
  metrics.close();
});

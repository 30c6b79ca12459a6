import { describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import type { StatedSettings } from '../spec/settings/settings.ts';
import { SettingsNotice } from './settings-notice.ts';

function noticeOf(stated: StatedSettings) {
  const fields: object[] = [];
  const notice = new SettingsNotice(stated, { ...silentLog, warn: (what) => void fields.push(what) });
  return { fields, notice };
}

describe('a file whose settings are not those of the cluster', () => {
  const { cluster } = TestCluster.formed().state;

  it('is warned of once, as soon as the settings of the cluster are known, by their names', () => {
    const webhooks = [{ url: 'https://a.example', events: [], secret: 'canary' }];
    const { fields, notice } = noticeOf({
      heartbeat: { timeoutMs: 60_000, intervalMs: 2000 },
      retention: { maxTasks: 5 },
      alerts: { webhooks },
    });
    notice.look(null);
    expect(fields).toEqual([]);
    notice.look(cluster);
    notice.look(cluster);
    expect(fields).toEqual([{ settings: ['heartbeat.timeout', 'retention.max_tasks', 'alerts.webhooks'] }]);
  });

  it.each<StatedSettings>([
    {},
    { heartbeat: { timeoutMs: 30_000 } },
    { heartbeat: { intervalMs: 2000, warningMs: 10_000 } },
    { scheduling: null, alerts: { webhooks: null }, membership: { voters: 5 } },
  ])('is not %j', (stated) => {
    const { fields, notice } = noticeOf(stated);
    notice.look(cluster);
    expect(fields).toEqual([]);
  });
});

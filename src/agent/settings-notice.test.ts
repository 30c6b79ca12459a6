import { describe, expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { TestCluster } from '../scheduler/core/testing/test-cluster.ts';
import { SettingsNotice } from './settings-notice.ts';

function noticeOf(stated: ConstructorParameters<typeof SettingsNotice>[0]) {
  const fields: object[] = [];
  const notice = new SettingsNotice(stated, { ...silentLog, warn: (what) => void fields.push(what) });
  return { fields, notice };
}

describe('a file whose heartbeat is not that of the cluster', () => {
  const { cluster } = TestCluster.formed().state;

  it('is warned of once, as soon as the settings of the cluster are known', () => {
    const { fields, notice } = noticeOf({ timeoutMs: 60_000 });
    notice.look(null);
    expect(fields).toEqual([]);
    notice.look(cluster);
    notice.look(cluster);
    expect(fields).toEqual([{ stated: { timeoutMs: 60_000 }, counts: cluster?.config.heartbeat }]);
  });

  it.each([{}, { timeoutMs: 30_000 }, { intervalMs: 2000, warningMs: 10_000 }])('is not %j', (stated) => {
    const { fields, notice } = noticeOf(stated);
    notice.look(cluster);
    expect(fields).toEqual([]);
  });
});

import { createHmac } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { limits } from '../../lib/limits.ts';
import { formatOf } from '../../model/alerts.ts';
import type { AlertMessage } from './message.ts';
import { bodyOf } from './message.ts';
import { signatureOf } from './signature.ts';

const AT_MS = Date.UTC(2026, 10, 28);

function message(changes: Partial<AlertMessage> = {}): AlertMessage {
  const occurrence = {
    id: 'task-1',
    name: 'convert',
    oldStatus: 'RUNNING',
    newStatus: 'PERMANENTLY_FAILED',
    reason: 'all of its 3 attempts failed',
    atMs: AT_MS,
  };
  return {
    id: 'alert-1',
    event: 'task.permanently_failed',
    clusterId: 'cluster-1',
    createdAtMs: AT_MS,
    count: 1,
    occurrences: [occurrence],
    ...changes,
  };
}

describe('the document', () => {
  it('says what has happened, to what, and where to see it', () => {
    const about = {
      subject: { kind: 'task', id: 'task-1', name: 'convert' },
      old_status: 'RUNNING',
      new_status: 'PERMANENTLY_FAILED',
      reason: 'all of its 3 attempts failed',
      path: '/tasks/task-1',
      command: 'jarvisctl describe task-1',
    };
    expect(JSON.parse(bodyOf(message(), 'json'))).toEqual({
      id: 'alert-1',
      event: 'task.permanently_failed',
      cluster: 'cluster-1',
      at: '2026-11-28T00:00:00.000Z',
      count: 1,
      ...about,
      occurrences: [{ at: '2026-11-28T00:00:00.000Z', ...about }],
      omitted: 0,
    });
  });

  it('says how many occurrences it does not list', () => {
    expect(JSON.parse(bodyOf(message({ count: 999 }), 'json'))).toMatchObject({ count: 999, omitted: 998 });
  });
});

describe('the message for Slack', () => {
  it('is what its incoming webhooks take, with the first examples', () => {
    const [one] = message().occurrences;
    const occurrences = Array.from({ length: 7 }, (_, at) => ({ ...one, id: `task-${at}` }) as never);
    const { text, blocks } = JSON.parse(bodyOf(message({ count: 999, occurrences }), 'slack'));
    expect(text.split('\n')).toEqual([
      '*Tasks have failed for good* (999)',
      ...[0, 1, 2, 3, 4].map(
        (at) =>
          `• convert PERMANENTLY_FAILED: all of its 3 attempts failed (\`jarvisctl describe task-${at}\`)`,
      ),
      '• … and 994 more',
    ]);
    expect(blocks[0]).toEqual({ type: 'section', text: { type: 'mrkdwn', text } });
    expect(blocks[1].elements[0].text).toContain('alert-1');
    expect(text.length).toBeLessThan(3000);
  });

  it('is never longer than Slack takes, whatever stands in it', () => {
    const [one] = message().occurrences;
    const long = '&'.repeat(limits.alertTextBytes);
    const occurrences = Array.from({ length: 10 }, () => ({ ...one, name: long, reason: long }) as never);
    for (const count of [1, 10, 1_000_000]) {
      const shown = occurrences.slice(0, count);
      const { text } = JSON.parse(bodyOf(message({ count, occurrences: shown }), 'slack'));
      expect(text.length).toBeLessThanOrEqual(3000);
      expect(text).toContain('&amp;');
      expect(text.split('\n').length - 2).toBe(count === 1 ? 0 : 1);
    }
  });

  it('cannot be made to mention anybody, or to link anywhere', () => {
    const [one] = message().occurrences;
    const reason = 'see <https://evil.example|this> & <!channel>\n`x`';
    const { text } = JSON.parse(bodyOf(message({ occurrences: [{ ...one, reason } as never] }), 'slack'));
    expect(text).toContain('see &lt;https://evil.example|this&gt; &amp; &lt;!channel&gt;  x ');
    expect(text.split('\n')).toHaveLength(2);
  });

  it('goes to the addresses of Slack, or where the settings say so', () => {
    const webhook = { events: [], secret: null } as const;
    expect(formatOf({ ...webhook, url: 'https://hooks.slack.com/services/T/B/x' })).toBe('slack');
    expect(formatOf({ ...webhook, url: 'https://hooks.slack.com.example/services' })).toBe('json');
    expect(formatOf({ ...webhook, url: 'https://chat.example/hook', format: 'slack' })).toBe('slack');
    expect(formatOf({ ...webhook, url: 'https://hooks.slack.com/x', format: 'json' })).toBe('json');
  });
});

describe('the signature', () => {
  it('covers the time and the body', () => {
    const signature = signatureOf('secret', 1_700_000_000_999, '{"id":"alert-1"}');
    const digest = createHmac('sha256', 'secret').update('1700000000.{"id":"alert-1"}').digest('hex');
    expect(signature).toBe(`t=1700000000,v1=${digest}`);
    expect(signatureOf('secret', 1_700_000_001_000, '{"id":"alert-1"}')).not.toBe(signature);
    expect(signatureOf('other', 1_700_000_000_999, '{"id":"alert-1"}').split(',')[1]).not.toBe(
      `v1=${digest}`,
    );
  });
});

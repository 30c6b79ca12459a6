import { describe, expect, it } from 'vitest';

import { defaultSettings } from '../spec/settings/settings.ts';
import { foundingText } from './founding-text.ts';

function textWith(secret: string | null, path = ''): string {
  const url = `https://alerts.example.com/${path}`;
  const webhooks = [{ url, events: ['node.offline' as const], secret }];
  return foundingText({ ...defaultSettings(3), alerts: { webhooks } });
}

describe('the settings that founders compare', () => {
  it('are equal exactly where they say the same, secrets included', () => {
    expect(textWith('canary')).toBe(textWith('canary'));
    expect(textWith('canary')).not.toBe(textWith('other'));
    expect(textWith('canary')).not.toBe(textWith(null));
    expect(textWith(null, 'one')).not.toBe(textWith(null, 'two'));
    expect(textWith(null)).not.toBe(
      foundingText({ ...defaultSettings(3), scheduling: { policy: 'binpack' } }),
    );
  });

  it('hold no secret', () => {
    expect(textWith('canary')).not.toContain('canary');
    // Whoever knows such an address may write to the channel.
    expect(textWith(null, 'services/canary')).not.toContain('canary');
    expect(textWith(null, 'services/canary')).toContain('https://alerts.example.com/…');
  });
});

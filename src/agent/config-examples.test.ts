/** What is shown as a file of settings is one. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { checkStated, defaultSettings, resolveSettings } from '../spec/settings/settings.ts';
import type { RawConfig } from './config-schema.ts';
import { gatherConfig } from './config-sources.ts';
import { parseConfig } from './config.ts';
import { nodeFileSchema } from './node-file-schema.ts';

const root = path.join(import.meta.dirname, '..', '..');
/** For what shows a part only. */
const LEAST = {
  name: 'n1',
  data_dir: '/data/n1',
  listen: '127.0.0.1:7101',
  http: '127.0.0.1:8101',
  peers: 'n1=127.0.0.1:7101',
} as const satisfies RawConfig;
const WHOLE = /^# jarvisd --config/;

const shown = ['README.md', 'docs/configuration.md'].flatMap((page) =>
  [...readFileSync(path.join(root, page), 'utf8').matchAll(/^```yaml\n([^]*?)^```$/gm)].map(
    ([, text = '']) => [page, text] as const,
  ),
);

/** Beyond loopback without TLS only because no certificate is shown: a node that joins is given one. */
function parsed(text: string): { name: string } {
  const raw = parse(text) as RawConfig;
  return parseConfig(WHOLE.test(text) ? raw : { ...LEAST, ...raw });
}

describe('what is shown as settings', () => {
  it('is found', () => {
    expect(shown.length).toBeGreaterThanOrEqual(4);
  });

  it.each(shown)('in %s is taken as they are: %s', (_page, text) => {
    const isEnrolled = text.includes('join_token_file');
    expect(parsed(isEnrolled ? `${text}\ninsecure: true` : text).name).toMatch(/^n\d$/);
  });

  it.each(['jarvisd', 'settings'])('in examples/config/%s.yaml is what the JSON Schema takes', (name) => {
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(nodeFileSchema());
    const plain: unknown = parse(readFileSync(path.join(root, `examples/config/${name}.yaml`), 'utf8'));
    expect({ valid: validate(plain), errors: validate.errors }).toEqual({ valid: true, errors: null });
  });

  it('in examples/config/jarvisd.yaml is the file of a node', () => {
    const file = path.join(root, 'examples/config/jarvisd.yaml');
    const config = parseConfig(gatherConfig({ file, environment: {}, flags: {} }));
    expect(config.tls).not.toBeNull();
    expect(config.policy.shared.users).toEqual(['1000:1000', 'worker']);
    expect(config.cluster.retention.tasksMs).toBe(14 * 24 * 3_600_000);
  });

  it('in examples/config/settings.yaml is a change of settings', () => {
    const plain: unknown = parse(readFileSync(path.join(root, 'examples/config/settings.yaml'), 'utf8'));
    const result = checkStated(plain);
    expect(result.type).toBe('valid');
    const stated = result.type === 'valid' ? result.stated : {};
    const { settings, faults } = resolveSettings(stated, defaultSettings(3), defaultSettings(3));
    expect(faults).toEqual([]);
    expect(settings.heartbeat).toEqual({ intervalMs: 2000, warningMs: 20_000, timeoutMs: 60_000 });
    expect(settings.scheduling.policy).toBe('binpack');
  });
});

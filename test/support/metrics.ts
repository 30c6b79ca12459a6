/** What nodes answer on `/metrics`, read; and promtool, which judges it. */
import { spawnSync } from 'node:child_process';

import { missingPrograms, programPath, type Program } from './docker-bed/programs.ts';
import type { NodeProcess } from './node-process.ts';

const METRICS_PROGRAMS: readonly Program[] = [{ name: 'promtool', packageName: 'prometheus' }];

const TIMEOUT_MS = 30_000;

/** @returns why promtool cannot be asked here; null where it can */
export function promtoolObstacle(): string | null {
  if (missingPrograms(METRICS_PROGRAMS).length === 0) return null;
  return 'not installed: promtool (node scripts/test-bed.mjs metrics)';
}

/** What `promtool check metrics` has to say of them, and its exit status. */
export function promtoolSays(text: string): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(programPath('promtool'), ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  return { status, output: `${stdout}${stderr}` };
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Scrape {
  readonly text: string;
  /** By family. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
}

export async function scrape({ api }: NodeProcess): Promise<Scrape> {
  const { status, text } = await api.call('GET', '/metrics', null);
  if (status !== 200) throw new Error(`GET /metrics: ${status} ${text}`);
  return parseMetrics(text);
}

/** Label values of ours have neither quotes nor backslashes. */
function parseMetrics(text: string): Scrape {
  const lines = text.split('\n').filter((line) => line !== '');
  const types = lines.flatMap((line) => {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    return name === undefined || type === undefined ? [] : [[name, type] as const];
  });
  const samples = lines
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (name === '') throw new Error(`this is no sample: ${line}`);
      const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(
        ([, label = '', text_ = '']) => [label, text_] as const,
      );
      return { name, labels: Object.fromEntries(pairs), value: Number(value) };
    });
  return { text, types: new Map(types), samples };
}

/** Values of all samples of that name and with those labels, of each scrape that has any. */
export function valuesOf(
  scrapes: readonly Scrape[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): readonly number[] {
  return scrapes.flatMap(({ samples }) =>
    samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .map(({ value }) => value),
  );
}

export function sumOf(
  scrapes: readonly Scrape[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return valuesOf(scrapes, name, labels).reduce((sum, value) => sum + value, 0);
}

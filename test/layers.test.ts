/**
 * Who may import whom (docs/architecture.md), and what the pure cores may not touch. Read from the sources' own import
 * statements, so that a new file is judged without being listed anywhere.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..');
const source = path.join(root, 'src');

/** Folder → what it may import besides itself. The longest matching folder decides. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  model: ['lib'],
  generated: [],
  'raft/core': ['lib'],
  raft: ['raft/core', 'generated', 'lib'],
  'scheduler/core': ['model', 'lib'],
  scheduler: ['scheduler/core', 'model', 'lib'],
  store: ['scheduler', 'scheduler/core', 'raft', 'raft/core', 'model', 'lib'],
  spec: ['model', 'generated', 'lib'],
  operations: ['spec', 'scheduler', 'scheduler/core', 'model', 'generated', 'lib'],
  rpc: ['operations', 'spec', 'generated', 'model', 'lib'],
  http: ['operations', 'spec', 'generated', 'model', 'lib'],
  metrics: ['model', 'lib'],
  'agent/watchdog': ['agent/drivers', 'agent/cgroups', 'lib'],
  'agent/cgroups': ['lib'],
  'agent/drivers': ['agent/watchdog', 'agent/cgroups', 'model', 'lib'],
  'agent/worker': ['agent/drivers', 'agent/watchdog', 'rpc', 'generated', 'model', 'lib'],
  'agent/leader': ['scheduler', 'scheduler/core', 'rpc', 'generated', 'operations', 'model', 'lib'],
  agent: [
    'autoscaler',
    'autoscaler/core',
    'agent/cgroups',
    'agent/watchdog',
    'agent/drivers',
    'agent/worker',
    'agent/leader',
    'raft',
    'raft/core',
    'scheduler',
    'scheduler/core',
    'store',
    'operations',
    'rpc',
    'http',
    'metrics',
    'spec',
    'generated',
    'model',
    'lib',
  ],
  'autoscaler/core': ['scheduler/core', 'model', 'lib'],
  autoscaler: [
    'autoscaler/core',
    'scheduler',
    'scheduler/core',
    'rpc',
    'generated',
    'operations',
    'model',
    'lib',
  ],
  cli: ['autoscaler/core', 'rpc', 'spec', 'generated', 'model', 'lib'],
};

const PURE = ['raft/core', 'scheduler/core', 'autoscaler/core'];
/** Pure cores and the vocabulary beneath them take time, chance and I/O as arguments. */
const BANNED_IN_CORES: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a clock', /\b(Date\.now|new Date|performance\.now|process\.hrtime)\b/],
  ['a timer', /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/],
  ['chance', /\b(Math\.random|crypto)\b/],
  ['a logger', /\b(console\.|pino|Log\b)/],
  ['a promise', /\b(await|async|Promise|then\()\b/],
  ['version-dependent arithmetic', /\b(Math\.(pow|exp|log|log2|log10|sin|cos|tan)\b|Intl\b|toLocale)/],
];

interface SourceFile {
  readonly name: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function folderOf(file: string): string {
  const folders = Object.keys(MAY_IMPORT).filter((folder) => file.startsWith(`${folder}/`));
  return folders.reduce((longest, folder) => (folder.length > longest.length ? folder : longest), '');
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

const files: readonly SourceFile[] = readdirSync(source, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
  .map((entry) => {
    const absolute = path.join(entry.parentPath, entry.name);
    const text = withoutComments(readFileSync(absolute, 'utf8'));
    const statements = text.matchAll(
      /^\s*(?:import|export)\b[^;]*?\bfrom\s*'([^']+)'|^\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm,
    );
    const imports = [...statements].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
    const name = path.relative(source, absolute);
    return { name, folder: folderOf(name), text, imports };
  });
const production = files.filter(
  ({ name }) => !/\.test\.ts$|\/testing\/|test-support|-contract\.ts$/.test(name),
);

/** Folder → what docs/architecture.md says that it may import. */
function documented(): Readonly<Record<string, readonly string[]>> {
  const page = readFileSync(path.join(root, 'docs/architecture.md'), 'utf8');
  const rows = page.matchAll(/^\| `([a-z/]+)\/` +\|[^|]*\| (nothing|everything|`)(.*?) *\|$/gm);
  return Object.fromEntries(
    [...rows].map(([, folder = '', first, rest = '']) => {
      const named = [...`\`${rest}`.matchAll(/`([a-z/]+)`/g)].map(([, name = '']) => name);
      if (first === 'nothing') return [folder, []];
      if (first === 'everything')
        return [folder, Object.keys(MAY_IMPORT).filter((name) => name !== folder && !rest.includes(name))];
      return [folder, named];
    }),
  );
}

function sorted(table: Readonly<Record<string, readonly string[]>>): object {
  return Object.fromEntries(Object.entries(table).map(([folder, names]) => [folder, names.toSorted()]));
}

describe('layers', () => {
  it('are those of docs/architecture.md', () => {
    expect(sorted(documented())).toEqual(sorted(MAY_IMPORT));
  });

  it('every file belongs to a folder of the architecture', () => {
    expect(files.filter(({ folder }) => folder === '').map(({ name }) => name)).toEqual([]);
  });

  it('imports point one way', () => {
    const wrong = production.flatMap(({ name, folder, imports }) =>
      imports
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => path.join(path.dirname(name), specifier))
        .filter((target) => {
          const targetFolder = folderOf(target);
          return targetFolder !== folder && !MAY_IMPORT[folder]?.includes(targetFolder);
        })
        .map((target) => `${name} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('imports name the file, with its extension', () => {
    const wrong = files.flatMap(({ name, imports }) =>
      imports
        .filter((specifier) => specifier.startsWith('.') && !/\.(ts|json)$/.test(specifier))
        .map((specifier) => `${name}: ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  it('pure cores, model and lib import no package and nothing of Node', () => {
    const wrong = production
      .filter(({ folder }) => [...PURE, 'model'].includes(folder))
      .flatMap(({ name, imports }) =>
        imports.filter((specifier) => !specifier.startsWith('.')).map((specifier) => `${name}: ${specifier}`),
      );
    expect(wrong).toEqual([]);
  });

  it('pure cores know no clock, timer, chance, logger or promise', () => {
    const wrong = production
      .filter(({ folder }) => PURE.includes(folder))
      .flatMap(({ name, text }) =>
        BANNED_IN_CORES.flatMap(([what, pattern]) => {
          const found = pattern.exec(text);
          return found === null ? [] : [`${name} uses ${what}: ${found[0]}`];
        }),
      );
    expect(wrong).toEqual([]);
  });

  it('only the registry of metrics knows prom-client', () => {
    const users = files.filter(({ imports }) => imports.includes('prom-client')).map(({ name }) => name);
    expect(users).toEqual(['metrics/registry.ts']);
  });

  it('nothing is exported by default', () => {
    expect(production.filter(({ text }) => /^export default/m.test(text)).map(({ name }) => name)).toEqual(
      [],
    );
  });
});

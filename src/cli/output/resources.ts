/** What nodes and attempts use, for people. */
import type { AttemptUsage, NodeUsage, Task } from '../../generated/cluster.ts';
import { printable } from '../terminal.ts';
import type { Column } from './format.ts';
import { formatBytes } from './quantities.ts';
import { sparkline } from './sparkline.ts';

const NONE = '-';

/** A measured value by its title; the text and, where there is a history, its line. */
type Measure = readonly [title: string, text: string, line: string];

/** Nothing where nothing was measured. */
export function nodeResources({ node, usage, history }: NodeUsage): readonly string[] {
  if (usage === undefined) return [];
  const receive = history.map((sample) => sample.network_receive_bytes_per_second);
  const transmit = history.map((sample) => sample.network_transmit_bytes_per_second);
  return [
    printable(`${node} uses:`),
    ...lines([
      [
        'Cpu',
        `${Math.round(usage.cpu_percent)}%${usage.cpu_scope === '' ? '' : ' of its quota'}`,
        sparkline(
          history.map((sample) => sample.cpu_percent),
          100,
        ),
      ],
      [
        'Memory',
        ofAll(usage.memory_bytes, usage.memory_size_bytes),
        sparkline(
          history.map((sample) => sample.memory_bytes),
          usage.memory_size_bytes,
        ),
      ],
      [
        'Disk',
        ofAll(usage.disk_bytes, usage.disk_size_bytes),
        sparkline(
          history.map((sample) => sample.disk_bytes),
          usage.disk_size_bytes,
        ),
      ],
      ['Receives', rate(usage.network_receive_bytes_per_second), sparkline(receive)],
      ['Transmits', rate(usage.network_transmit_bytes_per_second), sparkline(transmit)],
    ]),
  ];
}

/** Title and value of each thing that could be measured. */
export function attemptResources(usage: AttemptUsage): readonly string[] {
  const { history } = usage;
  const limit = usage.memory_limit_bytes ?? 0;
  const measures: readonly (Measure | null)[] = [
    known('Cpu', usage.cpu_cores, formatCores, sparkline(history.map((sample) => sample.cpu_cores))),
    known(
      'Memory',
      usage.memory_bytes,
      (bytes) => ofAll(bytes, limit),
      sparkline(
        history.map((sample) => sample.memory_bytes),
        limit,
      ),
    ),
    known('Pids', usage.pids, String, sparkline(history.map((sample) => sample.pids))),
    known(
      'Reads',
      usage.read_bytes_per_second,
      rate,
      sparkline(history.map((one) => one.read_bytes_per_second)),
    ),
    known(
      'Writes',
      usage.write_bytes_per_second,
      rate,
      sparkline(history.map((one) => one.write_bytes_per_second)),
    ),
    known(
      'Receives',
      usage.network_receive_bytes_per_second,
      rate,
      sparkline(history.map((one) => one.network_receive_bytes_per_second)),
    ),
    known(
      'Transmits',
      usage.network_transmit_bytes_per_second,
      rate,
      sparkline(history.map((one) => one.network_transmit_bytes_per_second)),
    ),
  ];
  return lines(measures.filter((measure) => measure !== null));
}

/** An attempt, where it runs, and the task if that is known. */
export interface DemandingAttempt {
  readonly node: string;
  readonly usage: AttemptUsage;
  readonly task: Task | undefined;
}

export const ATTEMPT_COLUMNS: readonly Column<DemandingAttempt>[] = [
  { title: 'ID', cell: ({ usage }) => printable(usage.task_id) },
  { title: 'NAME', fit: 'cut', cell: ({ task }) => printable(task?.name ?? NONE) },
  { title: 'NODE', fit: 'cut', cell: ({ node }) => printable(node) },
  { title: 'CPU', cell: ({ usage }) => shown(usage.cpu_cores, formatCores) },
  { title: 'MEMORY', cell: ({ usage }) => shown(usage.memory_bytes, formatBytes) },
  { title: 'LIMIT', fit: 'drop', cell: ({ usage }) => shown(usage.memory_limit_bytes, formatBytes) },
  { title: 'PIDS', fit: 'drop', cell: ({ usage }) => shown(usage.pids, String) },
  { title: 'READS', fit: 'drop', cell: ({ usage }) => shown(usage.read_bytes_per_second, rate) },
  { title: 'WRITES', fit: 'drop', cell: ({ usage }) => shown(usage.write_bytes_per_second, rate) },
];

function known(
  title: string,
  value: number | undefined,
  show: (value: number) => string,
  line: string,
): Measure | null {
  return value === undefined ? null : [title, show(value), line];
}

function shown(value: number | undefined, show: (value: number) => string): string {
  return value === undefined ? NONE : show(value);
}

/** In columns. */
function lines(measures: readonly Measure[]): readonly string[] {
  const width = (at: 0 | 1): number => Math.max(...measures.map((measure) => measure[at].length));
  const [titles, texts] = [width(0) + 3, width(1) + 2];
  return measures.map(([title, text, line]) =>
    `  ${`${title}:`.padEnd(titles)}${text.padEnd(texts)}${line}`.trimEnd(),
  );
}

/** Two decimals: a hundredth of a core is worth seeing. */
function formatCores(cores: number): string {
  return `${Math.round(cores * 100) / 100} cores`;
}

function rate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/** @param all 0: not told, or no limit */
function ofAll(bytes: number, all: number): string {
  return all === 0 ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(all)}`;
}

/** What is left of a run: a table for people, a file for programs. */
import { renderTable } from '../src/cli/output/table.ts';
import type { Result } from './benchmark.ts';

const HEAD = ['BENCHMARK', 'MEDIAN', 'SPREAD', 'CEILING', 'UNIT', 'RATIO', 'GOAL', 'REACHED'];

export function tableOf(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.name,
    String(result.median),
    String(result.spread),
    String(result.ceiling),
    result.unit,
    result.ratio.toFixed(3),
    result.goal.toFixed(3),
    result.ratio >= result.goal ? 'yes' : 'no',
  ]);
  return renderTable(
    HEAD.map((title) => ({ title })),
    rows,
  );
}

export function jsonOf(results: readonly Result[]): string {
  return `${JSON.stringify(results, null, 2)}\n`;
}

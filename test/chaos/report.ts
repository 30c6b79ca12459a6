/** What a run came to: `report.json` for programs, `report.txt` for people. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import type { Fault } from './faults.ts';
import type { Finding } from './judges.ts';
import { plantOf } from './plants.ts';

export interface Report {
  readonly seed: number;
  readonly seconds: number;
  readonly passed: boolean;
  readonly plant: string | null;
  readonly workloads: readonly string[];
  readonly nemesis: readonly string[];
  readonly judges: readonly string[];
  /** Does the same again. */
  readonly command: string;
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<string, number>>;
  /** By kind, how often it was really inflicted. */
  readonly inflicted: Readonly<Record<string, number>>;
  /** As they were planned, lane by lane. */
  readonly faults: readonly (readonly Fault[])[];
  readonly tookMs: number;
}

const FINDINGS_SHOWN = 30;

export function writeReport(report: Report, directory: string): void {
  writeFileSync(path.join(directory, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(path.join(directory, 'report.txt'), reportText(report));
}

export function reportText(report: Report): string {
  const { passed, seed, findings } = report;
  const shown = findings.slice(0, FINDINGS_SHOWN).map(({ judge, message }) => `FAULT ${judge}: ${message}`);
  const more = findings.length - shown.length;
  if (more > 0) shown.push(`and ${more} more, see report.json`);
  return [
    `${passed ? 'PASS' : 'FAIL'} seed ${seed}${report.plant === null ? '' : `, plant ${report.plant}`}`,
    `again: ${report.command}`,
    `workload: ${report.workloads.join(', ')}; judges: ${report.judges.join(', ')}`,
    `faults: ${pairs(report.inflicted)}`,
    `counts: ${pairs(report.counts)}`,
    `took ${Math.round(report.tookMs / 1000)} s`,
    ...plantLines(report),
    ...shown,
    '',
  ].join('\n');
}

/** Whether the mistake was found by those who are to find it, or the run failed for something else. */
function plantLines({ plant, findings }: Report): readonly string[] {
  const known = plant === null ? null : plantOf(plant);
  if (known === null) return [];
  const found = new Set(findings.map(({ judge }) => judge));
  const caughtBy = known.judges.filter((name) => found.has(name));
  return [
    caughtBy.length > 0 ? `caught by: ${caughtBy.join(', ')}` : `NOT caught by ${known.judges.join(', ')}`,
  ];
}

function pairs(numbers: Readonly<Record<string, number>>): string {
  return Object.entries(numbers)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

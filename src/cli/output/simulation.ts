/** What `autoscaler simulate` shows: nodes and queue over time, as text and as a picture. */
import { scaleLinear } from 'd3-scale';
import { curveStepAfter, line } from 'd3-shape';
import { plot } from 'simple-ascii-chart';

import type { Simulation, Step } from '../../autoscaler/core/simulator.ts';
import { formatDurationMs } from '../../lib/quantities.ts';

/** A text chart shows no more than its columns. */
const CHART = { widest: 100, height: 8 };
const LABELS_WIDTH = 12;
/** Marks on an axis. */
const TICKS = 6;

const CURVES = [
  { title: 'nodes at work', valueOf: ({ active }: Step) => active, color: '#1f77b4' },
  { title: 'tasks that wait', valueOf: ({ queued }: Step) => queued, color: '#d62728' },
] as const;

/** @param columns of the terminal */
export function simulationText(simulation: Simulation, columns: number): string {
  const width = Math.max(20, Math.min(columns, CHART.widest) - LABELS_WIDTH);
  const charts = CURVES.map(({ title, valueOf }) => {
    const points = thinned(simulation.steps, width, valueOf);
    const chart = plot(points, {
      width,
      height: CHART.height,
      formatter: (value, { axis }) => (axis === 'x' ? hours(value) : value),
      customXAxisTicks: evenly(points, TICKS),
    });
    return `${title}\n${chart.replaceAll(/[ \t]+$/gm, '').replace(/^\n+/, '')}`;
  });
  return `${charts.join('\n')}\n${summaryOf(simulation).join('\n')}\n`;
}

function hours(minutes: number): string {
  return minutes < 120 ? `${Math.round(minutes)}m` : `${Math.round(minutes / 6) / 10}h`;
}

/** One point for each column: the highest of the time that it stands for, so that no peak is lost. Minutes. */
function thinned(steps: readonly Step[], width: number, valueOf: (step: Step) => number): [number, number][] {
  const size = Math.max(1, Math.ceil(steps.length / width));
  const points: [number, number][] = [];
  for (let from = 0; from < steps.length; from += size) {
    const part = steps.slice(from, from + size);
    points.push([(part[0]?.atMs ?? 0) / 60_000, greatest(part, valueOf)]);
  }
  // A curve needs two ends.
  return points.length === 1 ? [...points, ...points] : points;
}

/** There may be more than a call takes as arguments. */
function greatest(steps: readonly Step[], valueOf: (step: Step) => number): number {
  return steps.reduce((most, step) => Math.max(most, valueOf(step)), 0);
}

/** Some of the points' own times, for only at those can a text chart have a mark. */
function evenly(points: readonly [number, number][], count: number): number[] {
  const step = Math.max(1, Math.floor(points.length / count));
  return points.filter((_, at) => at % step === 0).map(([minutes]) => minutes);
}

function summaryOf(simulation: Simulation): readonly string[] {
  const { steps, completed, averageWait, longestWait, nodeHours, idealNodeHours } = simulation;
  const changes = steps.filter(({ decision }) => decision.action !== 'none');
  const most = greatest(steps, ({ active }) => active);
  const cost =
    idealNodeHours === 0
      ? ''
      : `, ${(nodeHours / idealNodeHours).toFixed(2)} of what who knows the future pays for nothing to wait`;
  return [
    `tasks:  ${completed} completed; waited ${seconds(averageWait)} on average, ${seconds(longestWait)} at the longest`,
    `nodes:  ${most} at most; ${changes.length} decisions to add or remove`,
    `cost:   ${nodeHours.toFixed(1)} node hours${cost}`,
  ];
}

function seconds(value: number): string {
  return formatDurationMs(Math.round(value) * 1000);
}

/** As the API shows such things: snake_case, times in seconds. */
export function simulationToJson(simulation: Simulation): object {
  return {
    completed: simulation.completed,
    average_wait: simulation.averageWait,
    longest_wait: simulation.longestWait,
    node_hours: simulation.nodeHours,
    ideal_node_hours: simulation.idealNodeHours,
    steps: simulation.steps.map(({ atMs, averageWaitTime, decision, ...counts }) => ({
      time: atMs / 1000,
      ...counts,
      average_wait_time: averageWaitTime,
      decision,
    })),
  };
}

/** Each decision that changed something, a line each. */
export function decisionsText({ steps }: Simulation): string {
  return steps
    .filter(({ decision }) => decision.action !== 'none')
    .map(({ atMs, decision }) => {
      const sign = decision.action === 'add_nodes' ? '+' : '-';
      return `${formatDurationMs(atMs).padStart(10)}  ${sign}${decision.count} to ${decision.desired}  ${decision.reason}\n`;
    })
    .join('');
}

const PICTURE = { width: 960, height: 280, left: 60, right: 20, top: 30, bottom: 30 };

/** A picture for each curve, one below the other. */
export function simulationSvg({ steps }: Simulation): string {
  const { width, height } = PICTURE;
  const parts = CURVES.map(
    (curve, at) => `<g transform="translate(0 ${at * height})">${pictureOf(steps, curve)}</g>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height * CURVES.length}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function pictureOf(steps: readonly Step[], { title, valueOf, color }: (typeof CURVES)[number]): string {
  const { width, height, left, right, top, bottom } = PICTURE;
  const x = scaleLinear([0, (steps.at(-1)?.atMs ?? 0) / 60_000], [left, width - right]);
  const y = scaleLinear([0, Math.max(1, greatest(steps, valueOf))], [height - bottom, top]).nice(TICKS);
  const curve = line<Step>(
    (step) => x(step.atMs / 60_000),
    (step) => y(valueOf(step)),
  ).curve(curveStepAfter);
  const rows = y.ticks(TICKS).map((tick) => {
    const at = y(tick).toFixed(1);
    return `<line x1="${left}" x2="${width - right}" y1="${at}" y2="${at}" stroke="#ddd"/><text x="${left - 6}" y="${at}" dy="4" text-anchor="end">${tick}</text>`;
  });
  const columns = x
    .ticks(TICKS)
    .map(
      (tick) =>
        `<text x="${x(tick).toFixed(1)}" y="${height - 10}" text-anchor="middle">${hours(tick)}</text>`,
    );
  return [
    `<text x="${left}" y="18" font-weight="bold">${title}</text>`,
    ...rows,
    ...columns,
    `<path d="${curve(steps) ?? ''}" fill="none" stroke="${color}" stroke-width="1.5"/>`,
  ].join('');
}

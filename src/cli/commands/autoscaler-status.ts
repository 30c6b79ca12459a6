/** `jarvisctl autoscaler status|history`: what the autoscaler sees, and what it has done. */
import type { Command } from 'commander';

import type { ScalingDecision, ScalingInstance, ScalingRule } from '../../generated/cluster.ts';
import { autoscalerToJson, decisionsToJson } from '../../spec/scaling-json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { addExamples, outputOption, parseCount, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer, printJson, tableOf } from '../output/format.ts';
import type { Column } from '../output/format.ts';
import { scalingSummary } from '../output/scaling.ts';
import { printable, writeLine } from '../terminal.ts';

export function registerScalingStatus(autoscaler: Command, context: Context): void {
  const command = autoscaler
    .command('status')
    .description('Show the load, what the rules come to now, and the nodes that were asked for.')
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async ({ output }: OutputOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const status = await peers.call(
          (peer, signal) => peer.getAutoscaler({}, signal),
          terminal.interrupted,
        );
        if (output === 'json' || output === 'yaml')
          return await printJson(terminal, output, autoscalerToJson(status));
        if (output === 'name')
          return await writeLine(
            terminal.stdout,
            status.instances.map(({ node }) => printable(node)).join('\n'),
          );
        const { rules, instances } = status;
        const parts = [scalingSummary(status, Date.now())];
        if (rules.length > 0)
          parts.push(tableOf(terminal, output, { ...NO_ANSWER, items: rules, columns: RULE_COLUMNS }));
        if (instances.length > 0) {
          const columns = instanceColumns(Date.now());
          parts.push(tableOf(terminal, output, { ...NO_ANSWER, items: instances, columns }));
        }
        await writeLine(terminal.stdout, parts.map((part) => part.trimEnd()).join('\n\n'));
      });
    });
  addExamples(command, 'jarvisctl autoscaler status', 'jarvisctl autoscaler status -o wide');
}

interface HistoryOptions extends OutputOptions {
  readonly limit: number;
}

export function registerScalingHistory(autoscaler: Command, context: Context): void {
  const command = autoscaler
    .command('history')
    .description('Show what was decided, the newest first, and what has become of it.')
    .option('--limit <n>', 'so many; at most 1000', parseCount, 20)
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async ({ limit, output }: HistoryOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const answer = await peers.call(
          (peer, signal) => peer.listScalingDecisions({ limit, cursor: '' }, signal),
          terminal.interrupted,
        );
        await printAnswer(terminal, output, {
          items: answer.items,
          columns: decisionColumns(Date.now()),
          nameOf: ({ number }) => String(number),
          json: () => decisionsToJson(answer),
          whenEmpty: 'nothing was decided so far',
        });
      });
    });
  addExamples(command, 'jarvisctl autoscaler history', 'jarvisctl autoscaler history --limit 100 -o wide');
}

const NO_ANSWER = { nameOf: () => '', json: () => ({}), whenEmpty: '' };

const RULE_COLUMNS: readonly Column<ScalingRule>[] = [
  { title: 'RULE', cell: ({ metric }) => printable(metric) },
  { title: 'VALUE', cell: ({ value }) => rounded(value) },
  {
    title: 'FIRES',
    cell: ({ action, threshold }) => `${action === 'add_nodes' ? 'above' : 'below'} ${rounded(threshold)}`,
  },
  { title: 'ACTION', cell: ({ action, count }) => `${action === 'add_nodes' ? '+' : '-'}${count}` },
  {
    title: 'NOW',
    cell: ({ fires, held }) =>
      fires ? `fires${held === undefined ? '' : `, held: ${printable(held)}`}` : '-',
  },
];

function instanceColumns(nowMs: number): readonly Column<ScalingInstance>[] {
  return [
    { title: 'NODE', cell: ({ node }) => printable(node) },
    { title: 'PHASE', cell: ({ phase }) => printable(phase) },
    { title: 'SINCE', cell: (one) => ageOf(one.phase_since, nowMs) },
    { title: 'AGE', cell: (one) => ageOf(one.created_at, nowMs) },
    {
      title: 'PROVIDER',
      cell: ({ provider, host }) => printable(host === undefined ? provider : `${provider} on ${host}`),
    },
    { title: 'ERROR', cell: ({ error }) => printable(error ?? '-') },
    { title: 'ID', wide: true, cell: (one) => printable(one.provider_id ?? one.id) },
    { title: 'REASON', wide: true, cell: ({ reason }) => printable(reason) },
  ];
}

function decisionColumns(nowMs: number): readonly Column<ScalingDecision>[] {
  return [
    { title: 'NUMBER', cell: ({ number }) => String(number) },
    { title: 'AGE', cell: ({ time }) => ageOf(time, nowMs) },
    { title: 'ACTION', cell: ({ action, count }) => `${action === 'add_nodes' ? '+' : '-'}${count}` },
    { title: 'TO', cell: (one) => String(one.desired_nodes) },
    { title: 'OUTCOME', cell: outcomeOf },
    { title: 'REASON', cell: ({ reason }) => printable(reason) },
    { title: 'NODES', wide: true, cell: ({ nodes }) => printable(nodes.join(',') || '-') },
  ];
}

function outcomeOf(decision: ScalingDecision): string {
  if (decision.dry_run) return 'dry run';
  const { count, done, failed, cancelled } = decision;
  const left = count - done - failed - cancelled;
  const parts = [
    [done, 'done'],
    [failed, 'failed'],
    [cancelled, 'cancelled'],
    [left, 'under way'],
  ] as const;
  return parts.flatMap(([number, what]) => (number > 0 ? [`${number} ${what}`] : [])).join(', ');
}

function rounded(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** `jarvisctl alerts ls|test`: what webhooks were told, and whether they can be. */
import { randomUUID } from 'node:crypto';

import type { Command } from 'commander';
import { Option } from 'commander';

import type { Alert, AlertWebhook } from '../../generated/cluster.ts';
import { ALERT_STATUSES } from '../../model/alert-outbox.ts';
import { alertsToJson, alertTestToJson } from '../../spec/alert-json.ts';
import type { Context } from '../context.ts';
import { withPeers } from '../context.ts';
import { EXIT_FAILED } from '../exit-status.ts';
import { addExamples, outputOption, parseCount, peerOption, staleOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { ageOf } from '../output/age.ts';
import { printAnswer, printJson, tableOf } from '../output/format.ts';
import type { Column } from '../output/format.ts';
import { printable, writeLine } from '../terminal.ts';

interface ListOptions extends OutputOptions {
  readonly webhook?: number;
  readonly status?: string;
}

export function registerAlerts(program: Command, context: Context): void {
  const alerts = program.command('alerts').description('What webhooks are told of what needs a person.');
  registerList(alerts, context);
  registerTest(alerts, context);
}

function registerList(alerts: Command, context: Context): void {
  const command = alerts
    .command('ls')
    .description('Show the webhooks, and the messages to them: those under way and the newest of the others.')
    .option('--webhook <number>', 'only that one', parseCount)
    .addOption(new Option('--status <status>', 'only messages in that status').choices(ALERT_STATUSES))
    .addOption(outputOption())
    .addOption(staleOption())
    .addOption(peerOption())
    .action(async ({ webhook = 0, status = '', output }: ListOptions) => {
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const answer = await peers.call(
          (peer, signal) => peer.listAlerts({ webhook, status }, signal),
          terminal.interrupted,
        );
        const hooks = answer.webhooks.filter((one) => webhook === 0 || one.webhook === webhook);
        if ((output === 'table' || output === 'wide') && hooks.length > 0)
          await writeLine(
            terminal.stdout,
            `${tableOf(terminal, output, { ...NO_ANSWER, items: hooks, columns: WEBHOOK_COLUMNS })}\n`,
          );
        await printAnswer(terminal, output, {
          items: answer.items,
          columns: columns(Date.now()),
          nameOf: ({ id }) => id,
          json: () => alertsToJson(answer),
          whenEmpty: hooks.length === 0 ? 'no webhooks in the settings of alerts' : 'no messages found',
        });
      });
    });
  addExamples(command, 'jarvisctl alerts ls', 'jarvisctl alerts ls --webhook 1 --status PENDING');
}

function registerTest(alerts: Command, context: Context): void {
  const command = alerts
    .command('test')
    .description('Send a test to one webhook now, and say what became of it.')
    .argument('[webhook]', 'its number in the settings', parseCount, 1)
    .addOption(outputOption())
    .addOption(peerOption())
    .action(async (webhook: number, { output }: OutputOptions) => {
      const request = { webhook, idempotency_key: randomUUID() };
      await withPeers(context, command, async (peers) => {
        const { terminal } = context;
        const test = await peers.call(
          (peer, signal) => peer.testAlert(request, signal),
          terminal.interrupted,
        );
        if (!test.delivered) context.exitStatus = EXIT_FAILED;
        if (output === 'json' || output === 'yaml')
          return await printJson(terminal, output, alertTestToJson(test));
        if (output === 'name') return await writeLine(terminal.stdout, test.id);
        const to = `webhook ${test.webhook} (${printable(test.target)})`;
        if (test.delivered) await writeLine(terminal.stdout, `${test.id} was delivered to ${to}`);
        else
          await writeLine(
            terminal.stderr,
            `${test.id} was not delivered to ${to}: ${printable(test.error ?? '')}`,
          );
      });
    });
  addExamples(command, 'jarvisctl alerts test', 'jarvisctl alerts test 2');
}

const NO_ANSWER = { nameOf: () => '', json: () => ({}), whenEmpty: '' };

const WEBHOOK_COLUMNS: readonly Column<AlertWebhook>[] = [
  { title: 'WEBHOOK', cell: ({ webhook }) => String(webhook) },
  { title: 'TARGET', cell: ({ target }) => printable(target) },
  { title: 'FORMAT', cell: ({ format }) => printable(format) },
  { title: 'SIGNED', cell: ({ signed }) => (signed ? 'yes' : 'no') },
  { title: 'PENDING', cell: ({ pending }) => String(pending) },
  { title: 'DELIVERED', cell: ({ delivered }) => String(delivered) },
  { title: 'GIVEN UP', cell: (one) => String(one.given_up) },
  { title: 'EVENTS', wide: true, cell: ({ events }) => printable(events.join(',')) },
];

function columns(nowMs: number): readonly Column<Alert>[] {
  return [
    { title: 'ID', cell: ({ id }) => id },
    { title: 'WEBHOOK', cell: ({ webhook }) => String(webhook) },
    { title: 'EVENT', cell: ({ event }) => printable(event) },
    { title: 'STATUS', cell: ({ status }) => printable(status) },
    { title: 'COUNT', cell: ({ count }) => String(count) },
    { title: 'ATTEMPTS', cell: ({ attempts }) => String(attempts) },
    { title: 'AGE', cell: (alert) => ageOf(alert.created_at, nowMs), ticks: true },
    { title: 'NEXT', wide: true, cell: (alert) => alert.next_attempt_at ?? '-' },
    { title: 'ABOUT', cell: ({ occurrences }) => printable(occurrences[0]?.name ?? '-') },
    { title: 'ERROR', cell: ({ error }) => printable(error ?? '-') },
  ];
}

/** What a leader does about alerts: notices that the quorum is at risk, and carries the outbox. */
import { QuorumWatch, type QuorumWatchOptions } from '../quorum-watch.ts';
import { AlertSender } from './sender.ts';
import { webhookSender } from './webhooks.ts';
import type { Replica } from '../../scheduler/ports.ts';

interface AlertDutiesOptions extends QuorumWatchOptions {
  readonly replica: Replica;
  /** Of Jarvis. */
  readonly version: string;
}

export function alertDuties(options: AlertDutiesOptions): readonly [QuorumWatch, AlertSender] {
  const { clock, version } = options;
  return [new QuorumWatch(options), new AlertSender({ ...options, send: webhookSender({ clock, version }) })];
}

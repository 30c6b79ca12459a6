/** What a webhook is sent (docs/alerts.md): a document of Jarvis, or a message as Slack's incoming webhooks take it. */
import { formatTime } from '../../lib/times.ts';
import type { AlertOccurrence, AlertRow } from '../../model/alert-outbox.ts';
import type { AlertEvent, AlertFormat } from '../../model/alerts.ts';

/** `test` is what a person asks for, to see whether a webhook works. */
type ToldEvent = AlertEvent | 'test';

export interface AlertMessage extends Pick<AlertRow, 'id' | 'createdAtMs' | 'count' | 'occurrences'> {
  readonly event: ToldEvent;
  readonly clusterId: string;
}

/** Listed one by one in a message for people. */
const MOST_LINES = 5;
/** Slack refuses a message with a longer text as a whole (3,000); the title and the last line have room beside it. */
const MOST_LINE_CHARACTERS = 2800;

const TITLES: Readonly<Record<ToldEvent, readonly [one: string, many: string]>> = {
  'node.unhealthy': ['A node is silent', 'Nodes are silent'],
  'node.offline': ['A node is offline', 'Nodes are offline'],
  'task.permanently_failed': ['A task has failed for good', 'Tasks have failed for good'],
  'quorum.at_risk': ['The quorum', 'The quorum'],
  'autoscaler.failed': ['The autoscaler has failed', 'The autoscaler has failed'],
  test: ['A test', 'A test'],
};

/** What the occurrences of an event are about, where the API shows it, and what to type to see it. */
const SUBJECTS: Readonly<
  Record<ToldEvent, { readonly kind: string; path(id: string): string; command(id: string): string }>
> = {
  'node.unhealthy': node(),
  'node.offline': node(),
  'task.permanently_failed': {
    kind: 'task',
    path: (id) => `/tasks/${encodeURIComponent(id)}`,
    command: (id) => `jarvisctl describe ${id}`,
  },
  'quorum.at_risk': { kind: 'cluster', path: () => '/cluster', command: () => 'jarvisctl cluster status' },
  'autoscaler.failed': {
    kind: 'autoscaler',
    path: () => '/autoscaler',
    command: () => 'jarvisctl autoscaler status',
  },
  test: { kind: 'cluster', path: () => '/alerts', command: () => 'jarvisctl alerts ls' },
};

function node() {
  return {
    kind: 'node',
    path: (id: string) => `/nodes/${encodeURIComponent(id)}`,
    command: (id: string) => `jarvisctl node get ${id}`,
  };
}

/** JSON, the same for the same message. */
export function bodyOf(message: AlertMessage, format: AlertFormat): string {
  return JSON.stringify(format === 'slack' ? slackMessage(message) : document(message));
}

function document({ id, event, clusterId, createdAtMs, count, occurrences }: AlertMessage): object {
  const [first] = occurrences;
  return {
    id,
    event,
    cluster: clusterId,
    at: formatTime(createdAtMs),
    count,
    ...(first === undefined ? {} : about(event, first)),
    occurrences: occurrences.map((one) => ({ at: formatTime(one.atMs), ...about(event, one) })),
    omitted: count - occurrences.length,
  };
}

function about(event: ToldEvent, { id, name, oldStatus, newStatus, reason }: AlertOccurrence): object {
  const subject = SUBJECTS[event];
  return {
    subject: { kind: subject.kind, id, name },
    old_status: oldStatus,
    new_status: newStatus,
    reason,
    path: subject.path(id),
    command: subject.command(id),
  };
}

/** `text` is what notifications show. */
function slackMessage(message: AlertMessage): object {
  const { id, event, clusterId, count, occurrences } = message;
  const [one, many] = TITLES[event];
  const title = `*${count === 1 ? one : many}*${count === 1 ? '' : ` (${count})`}`;
  const lines = fitting(occurrences.slice(0, MOST_LINES).map((occurrence) => lineOf(event, occurrence)));
  const omitted = count - lines.length;
  const text = [title, ...lines, ...(omitted === 0 ? [] : [`• … and ${omitted} more`])].join('\n');
  const context = `\`${event}\` · cluster ${escaped(clusterId)} · ${formatTime(message.createdAtMs)} · ${id}`;
  return {
    text,
    blocks: [
      { type: 'section', text: { type: 'mrkdwn', text } },
      { type: 'context', elements: [{ type: 'mrkdwn', text: context }] },
    ],
  };
}

/** The first lines that fit. */
function fitting(lines: readonly string[]): readonly string[] {
  let characters = 0;
  const end = lines.findIndex((line) => (characters += line.length) > MOST_LINE_CHARACTERS);
  return end < 0 ? lines : lines.slice(0, end);
}

function lineOf(event: ToldEvent, { id, name, newStatus, reason }: AlertOccurrence): string {
  const status = newStatus === null ? '' : ` ${newStatus}`;
  const why = reason === null ? '' : `: ${escaped(reason)}`;
  return `• ${escaped(name)}${status}${why} (\`${escaped(SUBJECTS[event].command(id))}\`)`;
}

/** As Slack asks for it; what is left has no meaning to it but emphasis. */
function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[`\r\n]/g, ' ');
}

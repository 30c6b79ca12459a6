/** The cluster for people: a few lines on the whole, and a line for each member. */
import type { ClusterStatus, DiskError, Member } from '../../generated/cluster.ts';
import { printable, styled } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';
import type { Column } from './format.ts';
import { formatBytes } from './quantities.ts';

const NONE = '-';
/** In one line. */
const MOST_NAMES = 5;

export function clusterSummary(terminal: Terminal, status: ClusterStatus): string {
  const lines: [title: string, text: string][] = [
    ['Cluster', printable(status.cluster_id)],
    ['Leader', status.leader === '' ? styled(terminal.stdout, 'red', 'none') : printable(status.leader)],
    ['Term', String(status.term)],
    ['Commit', `${status.commit_index} (applied ${status.applied_index})`],
    ['Voters', votersLine(terminal, status)],
  ];
  // A node of an earlier version does not say.
  if (status.cluster_version > 0) lines.push(['Version', String(status.cluster_version)]);
  if (status.learners.length > 0) lines.push(['Learners', String(status.learners.length)]);
  if (status.workers.length > 0) lines.push(['Workers', workersLine(terminal, status)]);
  if (status.joint !== undefined) {
    const { incoming, outgoing } = status.joint;
    lines.push(['Joint', `${namesOf(outgoing)} gives way to ${namesOf(incoming)}`]);
  }
  if (status.transfer_target !== undefined) {
    lines.push(['Transfer', `leadership is being handed to ${printable(status.transfer_target)}`]);
  }
  if (status.stale && status.node !== undefined) {
    const { name, role, vote } = status.node;
    const voted = vote === undefined ? '' : `, voted for ${printable(vote)}`;
    lines.push(['Seen by', `${printable(name)} alone (${role}${voted}); it may be old`]);
  }
  for (const line of differences(status)) lines.push(['State', styled(terminal.stdout, 'red', line)]);
  for (const line of diskErrors(status)) lines.push(['Disk', styled(terminal.stdout, 'red', line)]);
  return lines.map(([title, text]) => `${`${title}:`.padEnd(12)} ${text}`).join('\n');
}

/** Those that have a copy, for a table below which there is room for more: of the others the summary says how many. */
export function withCopy({ members }: ClusterStatus): readonly Member[] {
  return members.filter(({ role }) => role !== 'worker');
}

export function memberColumns(terminal: Terminal): readonly Column<Member>[] {
  return [
    { title: 'NAME', fit: 'cut', cell: (member) => printable(member.name) },
    { title: 'ROLE', cell: (member) => member.role },
    {
      title: 'STATE',
      cell: ({ active, state }) =>
        active
          ? state || NONE
          : styled(terminal.stdout, 'red', [state, 'silent'].filter((word) => word !== '').join(',')),
    },
    { title: 'LAG', cell: (member) => optional(member.lag) },
    { title: 'CONTACT', fit: 'drop', ticks: true, cell: contactCell },
    { title: 'ADDRESS', fit: 'cut', cell: (member) => printable(member.address) },
    { title: 'MATCH', wide: true, cell: (member) => optional(member.match_index) },
    { title: 'NEXT', wide: true, cell: (member) => optional(member.next_index) },
    { title: 'APPLIED', wide: true, cell: (member) => optional(member.report?.applied_index) },
    { title: 'INFLIGHT', wide: true, cell: inflightCell },
    { title: 'SNAPSHOT', wide: true, cell: snapshotCell },
    { title: 'LOG', wide: true, cell: ({ report }) => bytesCell(report?.log?.bytes) },
    { title: 'NODE', wide: true, cell: (member) => optional(member.node_status) },
    { title: 'VERSION', wide: true, cell: (member) => printable(optional(member.version)) },
    { title: 'RAFT-ID', wide: true, cell: ({ raft_id: id }) => (id === 0 ? NONE : String(id)) },
  ];
}

function votersLine(terminal: Terminal, { voters, failure_tolerance: tolerance }: ClusterStatus): string {
  if (tolerance === undefined) return String(voters.length);
  const more = `of which ${tolerance} more may fail`;
  return `${voters.length}, ${tolerance === 0 ? styled(terminal.stdout, 'red', more) : more}`;
}

/** There may be thousands: those that somebody may have to look after have names. */
function workersLine(terminal: Terminal, { workers, members }: ClusterStatus): string {
  const names = members
    .filter(({ role, active }) => role === 'worker' && !active)
    .map(({ name }) => printable(name));
  const line = `${workers.length}, without a copy of the state`;
  if (names.length === 0) return line;
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : '';
  const silent = `${names.length} silent: ${names.slice(0, MOST_NAMES).join(', ')}${more}`;
  return `${line}; ${styled(terminal.stdout, 'red', silent)}`;
}

function differences({ node, members }: ClusterStatus): readonly string[] {
  const lines = [node, ...members.map(({ report }) => report)].flatMap((report) => {
    if (report?.state_difference === undefined) return [];
    const { index, digests } = report.state_difference;
    const names = Object.keys(digests).sort().map(printable);
    return [`differs at index ${index} between ${names.join(', ')}: what they answer cannot be trusted`];
  });
  return [...new Set(lines)];
}

function diskErrors({ node, members }: ClusterStatus): readonly string[] {
  const lines = members.flatMap(({ name, report, last_words: lastWords }) => [
    ...(report?.disk_errors ?? []).map((error) => diskErrorLine(name, error)),
    ...lastWords.map((error) => diskErrorLine(`${name}, before it stopped`, error)),
  ]);
  if (node !== undefined) lines.push(...node.disk_errors.map((error) => diskErrorLine(node.name, error)));
  return [...new Set(lines)];
}

function diskErrorLine(name: string, { kind, message }: DiskError): string {
  return `${printable(name)}: ${printable(kind)}: ${printable(message)}`;
}

function contactCell(member: Member): string {
  const { last_contact_seconds: silent, state } = member;
  if (state === 'leader' || silent === undefined) return NONE;
  return `${silent < 10 ? silent.toFixed(1) : Math.floor(silent)}s`;
}

function inflightCell({ inflight, paused }: Member): string {
  return inflight === undefined ? NONE : `${inflight}${paused === true ? ',paused' : ''}`;
}

function snapshotCell({ snapshot }: Member): string {
  if (snapshot === undefined) return NONE;
  const { taken_bytes: taken, total_bytes: total, failures } = snapshot;
  const failed = failures === 0 ? '' : `,failed ${failures}x`;
  return total === 0
    ? `waiting${failed}`
    : `${Math.floor((100 * taken) / total)}% of ${formatBytes(total)}${failed}`;
}

function bytesCell(bytes: number | undefined): string {
  return bytes === undefined ? NONE : formatBytes(bytes);
}

function namesOf(names: readonly string[]): string {
  return names.map(printable).join(', ');
}

function optional(value: number | string | undefined): string {
  return value === undefined ? NONE : String(value);
}

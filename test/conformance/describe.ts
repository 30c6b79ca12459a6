/** How the scripts write entries, messages, configurations and progress. */
import { decodeConfChange } from '../../src/raft/core/confchange-codec.ts';
import type { ConfChangeType } from '../../src/raft/core/confchange.ts';
import type { ProgressStatus } from '../../src/raft/core/status.ts';
import type {
  ConfState,
  Entry,
  HardState,
  Message,
  MessageType,
  Role,
  SnapshotMeta,
} from '../../src/raft/core/types.ts';

export const ROLE_NAMES: Readonly<Record<Role, string>> = {
  follower: 'StateFollower',
  preCandidate: 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
};

const MESSAGE_NAMES: Readonly<Record<MessageType, string>> = {
  app: 'MsgApp',
  appResp: 'MsgAppResp',
  heartbeat: 'MsgHeartbeat',
  heartbeatResp: 'MsgHeartbeatResp',
  vote: 'MsgVote',
  voteResp: 'MsgVoteResp',
  preVote: 'MsgPreVote',
  preVoteResp: 'MsgPreVoteResp',
  snap: 'MsgSnap',
  timeoutNow: 'MsgTimeoutNow',
  readIndex: 'MsgReadIndex',
  readIndexResp: 'MsgReadIndexResp',
  transferLeader: 'MsgTransferLeader',
  forgetLeader: 'MsgForgetLeader',
  propose: 'MsgProp',
};

const CHANGE_LETTERS: Readonly<Record<ConfChangeType, string>> = {
  addVoter: 'v',
  addLearner: 'l',
  remove: 'r',
  update: 'u',
};

/** In the context of a change that the script wants written in the library's older format. */
export const OLD_FORMAT = new Uint8Array([1]);

/** A message as the scripts have them, with the two that go to and from a node's own storage threads. */
export interface Described {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly commit: number;
  readonly vote: number;
  readonly entries: readonly Entry[];
  readonly snapshot: SnapshotMeta | null;
  readonly responses: readonly Described[];
}

function messageName(type: MessageType): string {
  return MESSAGE_NAMES[type];
}

export function describedMessage(message: Message): Described {
  const { type, from, to } = message;
  return { ...message, name: messageName(type), from: String(from), to: String(to), responses: [] };
}

export function describeMessage(message: Described, indent = ''): readonly string[] {
  const { name, from, to, term, logTerm, index, entries, snapshot, responses } = message;
  let first = `${indent}${from}->${to} ${name} Term:${term} Log:${logTerm}/${index}`;
  if (message.reject) first += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) first += ` Commit:${message.commit}`;
  if (message.vote !== 0) first += ` Vote:${message.vote}`;
  const lines = [first];
  const extend = (text: string): void => {
    lines.push((lines.pop() ?? '') + text);
  };
  if (entries.length === 1) extend(` Entries:[${entries.map(describeEntry).join('')}]`);
  if (entries.length > 1) {
    extend(' Entries:[');
    lines.push(...entries.map((entry) => `${indent}  ${describeEntry(entry)}`), `${indent}]`);
  }
  if (snapshot !== null) lines.push(`${indent}  Snapshot: ${describeSnapshot(snapshot)}`);
  if (responses.length > 0) {
    extend(' Responses:[');
    lines.push(...responses.flatMap((response) => describeMessage(response, `${indent}  `)), `${indent}]`);
  }
  return lines;
}

export function describeEntry(entry: Entry): string {
  const position = `${entry.term}/${entry.index}`;
  if (entry.type === 'normal') {
    return `${position} EntryNormal ${JSON.stringify(new TextDecoder().decode(entry.data))}`;
  }
  const change = decodeConfChange(entry.data);
  const name = change?.context.length === 1 ? 'EntryConfChange' : 'EntryConfChangeV2';
  const changes = (change?.changes ?? []).map(({ type, id }) => ` ${CHANGE_LETTERS[type]}${id}`);
  return `${position} ${name}${changes.join('')}`;
}

export function describeSnapshot({ index, term, confState }: SnapshotMeta): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const parts = [
    `Voters:[${voters.join(' ')}]`,
    `VotersOutgoing:[${votersOutgoing.join(' ')}]`,
    `Learners:[${learners.join(' ')}]`,
    `LearnersNext:[${learnersNext.join(' ')}]`,
    `AutoLeave:${autoLeave}`,
  ];
  return `Index:${index} Term:${term} ConfState:${parts.join(' ')}`;
}

export function describeHardState({ term, vote, commit }: HardState): string {
  return `HardState Term:${term}${vote === 0 ? '' : ` Vote:${vote}`} Commit:${commit}`;
}

export function describeConfiguration(confState: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  let text = `voters=(${voters.join(' ')})`;
  if (votersOutgoing.length > 0) text += `&&(${votersOutgoing.join(' ')})`;
  if (learners.length > 0) text += ` learners=(${learners.join(' ')})`;
  if (learnersNext.length > 0) text += ` learners_next=(${learnersNext.join(' ')})`;
  return autoLeave ? `${text} autoleave` : text;
}

const PROGRESS_NAMES = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
} as const;

export function describeProgress(progress: ProgressStatus): string {
  let text = `${progress.id}: ${PROGRESS_NAMES[progress.state]} match=${progress.match} next=${progress.next}`;
  if (progress.isLearner) text += ' learner';
  if (progress.isPaused) text += ' paused';
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`;
  if (!progress.recentActive) text += ' inactive';
  if (progress.inflight > 0)
    text += ` inflight=${progress.inflight}${progress.isInflightFull ? '[full]' : ''}`;
  return text;
}

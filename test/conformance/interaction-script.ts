/** interaction/: scenarios of several nodes, whose messages the script delivers, delays and drops. */
import { seededRandom } from '../../src/lib/random.ts';
import type { ConfChangeTransition } from '../../src/raft/core/confchange.ts';
import { makeMessage } from '../../src/raft/core/messages.ts';
import type { ProposeResult, RaftConfig } from '../../src/raft/core/raft-core.ts';
import type { ConfState, SnapshotMeta } from '../../src/raft/core/types.ts';
import { parseChanges } from './confchange-script.ts';
import { Arguments, type Directive } from './datadriven.ts';
import { describeMessage, describeProgress, OLD_FORMAT, ROLE_NAMES } from './describe.ts';
import { envelopeOf, ScriptNode, type Envelope } from './script-node.ts';

const UNLIMITED = Number.MAX_SAFE_INTEGER;
const ELECTION_TICKS = 3;
const HEARTBEAT_TICKS = 1;
/** Rounds of one `stabilize`: a cluster that never comes to rest ends as a failure. */
const STABILIZE_ROUNDS = 10_000;

export class InteractionScript {
  readonly nodes: ScriptNode[] = [];
  #inTransit: Envelope[] = [];
  #output: string[] = [];
  #isQuiet = false;

  /** `quiet`: the script has switched the output off, but for errors. */
  run(directive: Directive): { output: readonly string[]; quiet: boolean } {
    this.#output = [];
    const args = new Arguments(directive);
    const level = args.text('log-level');
    const before = this.#isQuiet;
    if (level !== undefined) this.#isQuiet = level === 'none';
    const error = this.#execute(directive, args);
    const quiet = this.#isQuiet;
    if (level !== undefined) this.#isQuiet = before;
    const output = this.#output;
    if (error !== null) output.push(error);
    return { output: output.length === 0 ? ['ok'] : output, quiet: quiet && error === null };
  }

  /** @returns the error that the script sees, or null */
  #execute(directive: Directive, args: Arguments): string | null {
    const [first = 0, second = 0] = args.numbers;
    switch (directive.name) {
      case 'log-level':
        this.#isQuiet = args.bare[0]?.toLowerCase() === 'none';
        return null;
      case 'add-nodes':
        this.#addNodes(args, first);
        return null;
      case 'propose':
        return this.#propose(first, args.bare.slice(1).join(' '));
      case 'propose-conf-change':
        return this.#proposeConfChange(first, args, directive.input);
      case 'process-ready':
        this.#each(args, 'handling Ready', (node) => this.#processReady(node));
        return null;
      case 'process-append-thread':
        this.#each(args, 'processing append thread', (node) => this.#perform(node, 'append'));
        return null;
      case 'process-apply-thread':
        this.#each(args, 'processing apply thread', (node) => this.#perform(node, 'apply'));
        return null;
      case 'deliver-msgs':
        this.#deliverDirective(args);
        return null;
      case 'stabilize':
        this.#stabilize(this.#selected(args));
        return null;
      case 'send-snapshot':
        this.#sendSnapshot(this.#node(first), second);
        return null;
      default:
        return this.#executeOnNode(directive.name, args, this.#node(this.#firstNode(args)));
    }
  }

  #executeOnNode(name: string, args: Arguments, node: ScriptNode): null {
    const { core } = node;
    switch (name) {
      case 'campaign':
        core.campaign();
        return null;
      case 'tick-election':
        for (let tick = 0; tick < ELECTION_TICKS; tick += 1) core.tick();
        return null;
      case 'tick-heartbeat':
        for (let tick = 0; tick < HEARTBEAT_TICKS; tick += 1) core.tick();
        return null;
      case 'set-randomized-election-timeout':
        core.setElectionTimeout(args.number('timeout') ?? ELECTION_TICKS);
        return null;
      case 'transfer-leadership':
        core.transferLeadership(args.number('to') ?? 0);
        return null;
      case 'forget-leader':
        core.forgetLeader();
        return null;
      case 'report-unreachable':
        core.reportUnreachable(args.numbers[1] ?? 0);
        return null;
      case 'compact':
        node.compact(args.numbers[1] ?? 0);
        this.#print(node.rawLog());
        return null;
      case 'raft-log':
        this.#print(node.rawLog());
        return null;
      case 'raft-state':
        this.#print(this.raftState());
        return null;
      case 'status':
        this.#print(core.status().progress.map(describeProgress));
        return null;
      default:
        throw new Error(`unknown directive ${name}`);
    }
  }

  raftState(): readonly string[] {
    return this.nodes.map(({ id, core }) => {
      const { role, term, leader, confState } = core.status();
      const votes = confState.voters.includes(id) || confState.votersOutgoing.includes(id);
      return `${id}: ${ROLE_NAMES[role]} (${votes ? 'Voter' : 'Non-Voter'}) Term:${term} Lead:${leader}`;
    });
  }

  #addNodes(args: Arguments, count: number): void {
    const index = args.number('index') ?? 0;
    const confState: ConfState = {
      voters: args.numberList('voters'),
      votersOutgoing: [],
      learners: args.numberList('learners'),
      learnersNext: [],
      autoLeave: false,
    };
    const snapshot: SnapshotMeta = { index, term: index > 0 ? 1 : 0, confState };
    const isAsynchronous = args.flag('async-storage-writes');
    for (let added = 0; added < count; added += 1) {
      const id = this.nodes.length + 1;
      const config: RaftConfig = {
        id,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        random: seededRandom(id),
        maxInflightMessages: args.number('inflight') ?? UNLIMITED,
        maxInflightBytes: 0,
        maxMessageBytes: UNLIMITED,
        maxUncommittedBytes: UNLIMITED,
        maxCommittedBytesPerReady: args.number('max-committed-size-per-ready') ?? UNLIMITED,
        preVote: args.flag('prevote'),
        checkQuorum: args.flag('checkquorum'),
        forwardProposals: true,
        readOnly: args.text('read-only') === 'lease-based' ? 'lease' : 'safe',
        stepDownOnRemoval: args.flag('step-down-on-removal'),
        disableConfChangeValidation: args.flag('disable-conf-change-validation'),
        applyBeforeDurable: !isAsynchronous,
        campaignBeforeDurable: isAsynchronous,
      };
      this.nodes.push(new ScriptNode(config, snapshot, isAsynchronous));
    }
  }

  #propose(id: number, text: string): string | null {
    return errorOf(this.#node(id).core.propose([new TextEncoder().encode(text)]));
  }

  #proposeConfChange(id: number, args: Arguments, input: readonly string[]): string | null {
    const { core } = this.#node(id);
    const transition = (args.text('transition') ?? 'auto') as ConfChangeTransition;
    const context = args.flag('v1') ? OLD_FORMAT : new Uint8Array();
    const result = core.proposeConfChange({ transition, changes: parseChanges(input), context });
    if (result.type === 'refused' && result.reason === 'pendingConfChange') {
      // The library appends an empty entry in its place; here the caller is told, and may do the same.
      return errorOf(core.propose([new Uint8Array()]));
    }
    return errorOf(result);
  }

  #processReady(node: ScriptNode): void {
    const { lines, sent } = node.processReady();
    this.#print(lines);
    this.#inTransit.push(...sent);
  }

  #perform(node: ScriptNode, thread: 'append' | 'apply'): void {
    const { lines, sent } = node.perform(thread);
    this.#print(lines);
    this.#inTransit.push(...sent);
  }

  #sendSnapshot(node: ScriptNode, to: number): void {
    const { term } = node.core.status();
    const message = makeMessage({ type: 'snap', from: node.id, to, term, snapshot: node.snapshot });
    const envelope = envelopeOf(message);
    this.#print(describeMessage(envelope.described));
    this.#inTransit.push(envelope);
  }

  #deliverDirective(args: Arguments): void {
    const type = args.text('type') ?? null;
    let delivered = 0;
    for (const id of args.numbers) delivered += this.#deliver(id, { type, drop: false });
    for (const id of args.numberList('drop')) delivered += this.#deliver(id, { type, drop: true });
    if (delivered === 0) this.#print(['no messages']);
  }

  /** @returns how many messages there were */
  #deliver(to: number, options: { type: string | null; drop: boolean }): number {
    const { type, drop } = options;
    const isMeant = (envelope: Envelope): boolean =>
      envelope.to === to &&
      !(drop && envelope.isLocal) &&
      (type === null || type === envelope.described.name);
    const messages = this.#inTransit.filter(isMeant);
    this.#inTransit = this.#inTransit.filter((envelope) => !isMeant(envelope));
    for (const envelope of messages) {
      const lines = describeMessage(envelope.described);
      this.#print(drop ? lines.map((line, at) => (at === 0 ? `dropped: ${line}` : line)) : lines);
      if (drop) continue;
      const node = this.#node(to);
      if (isFromStranger(envelope, node)) this.#print(['raft: cannot step as peer not found']);
      envelope.deliver(node);
    }
    return messages.length;
  }

  #stabilize(nodes: readonly ScriptNode[]): void {
    for (let round = 0; round < STABILIZE_ROUNDS; round += 1) {
      let isDone = true;
      const turn = (node: ScriptNode, what: string, act: () => void): void => {
        isDone = false;
        this.#output.push(`> ${node.id} ${what}`);
        this.#indented(act);
      };
      for (const node of nodes) {
        if (node.core.hasReady()) turn(node, 'handling Ready', () => this.#processReady(node));
      }
      for (const node of nodes) {
        if (!this.#inTransit.some(({ to }) => to === node.id)) continue;
        turn(node, 'receiving messages', () => this.#deliver(node.id, { type: null, drop: false }));
      }
      for (const thread of ['append', 'apply'] as const) {
        for (const node of nodes) {
          const queue = thread === 'append' ? node.appendWork : node.applyWork;
          if (queue.length === 0) continue;
          turn(node, `processing ${thread} thread`, () => {
            while (queue.length > 0) this.#perform(node, thread);
          });
        }
      }
      if (isDone) return;
    }
    throw new Error('the cluster never comes to rest');
  }

  #each(args: Arguments, what: string, act: (node: ScriptNode) => void): void {
    const nodes = this.#selected(args);
    const [only] = nodes;
    if (nodes.length === 1 && only !== undefined) {
      act(only);
      return;
    }
    for (const node of nodes) {
      this.#output.push(`> ${node.id} ${what}`);
      this.#indented(() => act(node));
    }
  }

  #indented(act: () => void): void {
    const outer = this.#output;
    this.#output = [];
    act();
    outer.push(...this.#output.map((line) => `  ${line}`));
    this.#output = outer;
  }

  #print(lines: readonly string[]): void {
    this.#output.push(...lines);
  }

  #selected(args: Arguments): readonly ScriptNode[] {
    const ids = args.numbers;
    return ids.length === 0 ? this.nodes : ids.map((id) => this.#node(id));
  }

  #firstNode(args: Arguments): number {
    return args.numbers[0] ?? args.number('from') ?? 1;
  }

  #node(id: number): ScriptNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }
}

function errorOf(result: ProposeResult): string | null {
  return result.type === 'accepted' ? null : 'raft proposal dropped';
}

/** Answers of those that have left the configuration are not heeded, and the script is told. */
function isFromStranger(envelope: Envelope, node: ScriptNode): boolean {
  if (!envelope.isResponse) return false;
  const { voters, votersOutgoing, learners, learnersNext } = node.core.confState;
  const members = [...voters, ...votersOutgoing, ...learners, ...learnersNext];
  return !members.includes(Number(envelope.described.from));
}

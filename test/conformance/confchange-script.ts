/** confchange/: configurations as they are changed step by step, with the progress of their members. */
import { unreachable } from '../../src/lib/assert.ts';
import {
  enterJoint,
  leaveJoint,
  simpleChange,
  type Changed,
  type SingleChange,
} from '../../src/raft/core/confchange.ts';
import { Inflights } from '../../src/raft/core/inflights.ts';
import { Progress } from '../../src/raft/core/progress.ts';
import type { ConfState } from '../../src/raft/core/types.ts';
import { Arguments, type Directive } from './datadriven.ts';
import { describeConfiguration, describeProgress } from './describe.ts';

const CHANGE_TYPES = { v: 'addVoter', l: 'addLearner', r: 'remove', u: 'update' } as const;

/** `v1 l2 r3 u4`, on one line or several. */
export function parseChanges(input: readonly string[]): readonly SingleChange[] {
  const words = input
    .join(' ')
    .split(/\s+/)
    .filter((word) => word !== '');
  return words.map((word) => {
    const [letter, id] = [word.slice(0, 1), Number(word.slice(1))];
    if (letter !== 'v' && letter !== 'l' && letter !== 'r' && letter !== 'u') {
      throw new Error(`unknown change ${word}`);
    }
    return { type: CHANGE_TYPES[letter], id };
  });
}

export class ConfChangeScript {
  #confState: ConfState = {
    voters: [],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  #progress = new Map<number, Progress>();
  #lastIndex = 0;

  run(directive: Directive): readonly string[] {
    const output = this.#run(directive);
    this.#lastIndex += 1;
    return output;
  }

  #run(directive: Directive): readonly string[] {
    const changes = parseChanges(directive.input);
    const changed = this.#change(directive, changes);
    if (changed.type === 'refused') return [changed.reason];
    const { confState, members } = changed;
    this.#confState = confState;
    const kept = this.#progress;
    this.#progress = new Map();
    for (const [id, origin] of [...members].sort(([a], [b]) => a - b)) {
      const isLearner = confState.learners.includes(id);
      const before = origin === 'kept' ? kept.get(id) : undefined;
      const progress =
        before ?? new Progress(0, Math.max(this.#lastIndex, 1), isLearner, new Inflights(10, 0));
      progress.isLearner = isLearner;
      progress.recentActive = true;
      this.#progress.set(id, progress);
    }
    return [
      describeConfiguration(confState),
      ...[...this.#progress].map(([id, progress]) =>
        describeProgress({
          id,
          match: progress.match,
          next: progress.next,
          state: progress.state,
          isLearner: progress.isLearner,
          isPaused: progress.isPaused,
          inflight: progress.inflights.count,
          isInflightFull: progress.inflights.isFull,
          recentActive: progress.recentActive,
          pendingSnapshot: progress.pendingSnapshot,
        }),
      ),
    ];
  }

  #change(directive: Directive, changes: readonly SingleChange[]): Changed {
    switch (directive.name) {
      case 'simple':
        return simpleChange(this.#confState, changes);
      case 'enter-joint':
        return enterJoint(this.#confState, changes, new Arguments(directive).flag('autoleave'));
      case 'leave-joint':
        return changes.length > 0
          ? { type: 'refused', reason: 'this command takes no input' }
          : leaveJoint(this.#confState);
      default:
        return unreachable(directive.name as never);
    }
  }
}

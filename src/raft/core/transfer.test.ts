/** Leadership transfer where it meets what else a leader does. */
import { describe, expect, it } from 'vitest';

import { isJoint } from './confchange.ts';
import { ELECTION_TICKS, LoneCore } from './lone-core.test-kit.ts';

/** A leader in a joint configuration that it could not leave: its leadership is being handed to member 3. */
function transferringInJoint(): LoneCore {
  const node = new LoneCore();
  node.lead();
  node.acknowledge(2, 3);
  node.settle();
  node.core.proposeConfChange({
    transition: 'auto',
    changes: [
      { type: 'addVoter', id: 4 },
      { type: 'remove', id: 3 },
    ],
    context: new Uint8Array(),
  });
  node.settle();
  node.core.transferLeadership(3);
  node.acknowledge(2);
  node.settle();
  expect(isJoint(node.core.confState)).toBe(true);
  return node;
}

/** Members 2 and 4 acknowledge whatever there is. */
function settleAll(node: LoneCore): void {
  node.settle();
  for (let round = 0; round < 2; round += 1) {
    node.acknowledge(2, 4);
    node.settle();
  }
}

describe('a transfer of leadership in a joint configuration', () => {
  it('that fails has it left afterwards, without another entry', () => {
    const node = transferringInJoint();
    for (let tick = 0; tick < ELECTION_TICKS; tick += 1) node.core.tick();
    settleAll(node);
    expect(node.core.status()).toMatchObject({ role: 'leader', transferTarget: 0 });
    expect(isJoint(node.core.confState)).toBe(false);
  });

  it('that is called off has it left as well', () => {
    const node = transferringInJoint();
    node.core.transferLeadership(1);
    settleAll(node);
    expect(isJoint(node.core.confState)).toBe(false);
  });
});

it('a follower has no leadership to transfer, and says nothing in the name of another', () => {
  const node = new LoneCore();
  node.receive('heartbeat', 2, { term: 1 });
  node.settle();
  expect(node.core.transferLeadership(3)).toBe(false);
  node.receive('transferLeader', 3);
  expect(node.settle()).toEqual([]);
});

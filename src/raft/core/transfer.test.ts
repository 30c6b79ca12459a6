/** Leadership transfer where it meets what else a leader does. */
import { expect, it } from 'vitest';

import { isJoint } from './confchange.ts';
import { ELECTION_TICKS, LoneCore } from './lone-core.test-kit.ts';

it('a joint configuration is left after a transfer that failed, without another entry', () => {
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
  for (let tick = 0; tick < ELECTION_TICKS; tick += 1) node.core.tick();
  node.settle();
  for (let round = 0; round < 2; round += 1) {
    node.acknowledge(2, 4);
    node.settle();
  }
  expect(node.core.status()).toMatchObject({ role: 'leader', transferTarget: 0 });
  expect(isJoint(node.core.confState)).toBe(false);
});

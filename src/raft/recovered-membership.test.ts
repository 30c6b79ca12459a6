import { describe, expect, it } from 'vitest';

import { recoveredMembership, type FoundOnDisk } from './recovered-membership.ts';

const peers = [1, 2, 1009].map((raftId) => ({
  raftId,
  name: `n${raftId}`,
  incarnation: `of ${raftId}`,
  address: `host${raftId}:1`,
}));
const confState = {
  voters: [1, 1009],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const base = { index: 20, term: 2, confState };
const members = peers.filter(({ raftId }) => raftId !== 2);

function find(found: Partial<FoundOnDisk>) {
  return recoveredMembership({
    founders: peers.slice(0, 2),
    path: 'log',
    log: { snapshot: base, entries: [] },
    files: [],
    applied: 30,
    ...found,
  });
}

describe('the membership that a node finds on its disk', () => {
  it('is the founding one where the log was never cut', () => {
    expect(find({ log: { snapshot: null, entries: [] } }).peers).toEqual(peers.slice(0, 2));
  });

  it('is that of the log, without any snapshot file', () => {
    const log = { snapshot: { ...base, peers: members }, entries: [] };
    expect(find({ log })).toEqual({ index: 20, confState, peers: members });
  });

  it('is that of a snapshot file where a log of an older version does not tell', () => {
    const files = [40, 25, 10].map((index) => ({ meta: { ...base, index }, peers: members }));
    expect(find({ files })).toEqual({ index: 25, confState, peers: members });
  });

  it('counts as lost with the log where nobody says who a member is', () => {
    expect(() => find({})).toThrow(
      /who the members 1009 are: no snapshot file of index 20 or later is whole/,
    );
    const old = [{ meta: { ...base, index: 10 }, peers: members }];
    expect(() => find({ files: old })).toThrow(expect.objectContaining({ kind: 'log_corrupt' }));
  });

  it('is known without either where all are founders', () => {
    const ofFounders = { ...confState, voters: [1], learners: [2] };
    const log = { snapshot: { ...base, confState: ofFounders }, entries: [] };
    expect(find({ log }).peers).toEqual(peers.slice(0, 2));
  });
});

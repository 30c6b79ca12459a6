import { describe, expect, it } from 'vitest';

import { compactionPoint } from './applier.ts';

const conf = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

function files(...indexes: readonly number[]) {
  return indexes.map((index) => ({ meta: { index, term: 1, confState: conf } }));
}

describe('compactionPoint', () => {
  it('is the older of two files, once there are two', () => {
    expect(compactionPoint(files(30), 30).base).toBeNull();
    expect(compactionPoint(files(30, 20), 30)).toMatchObject({ base: { index: 20 }, keep: 2 });
    expect(compactionPoint(files(30, 20, 10), 30)).toMatchObject({ base: { index: 20 }, keep: 2 });
  });

  it('does not count files that were received and are not installed', () => {
    expect(compactionPoint(files(50, 30), 30).base).toBeNull();
    expect(compactionPoint(files(50, 40, 30, 20, 10), 30)).toMatchObject({ base: { index: 20 }, keep: 4 });
  });
});

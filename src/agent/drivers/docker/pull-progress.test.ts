import { describe, expect, it } from 'vitest';

import { PullProgress } from './pull-progress.ts';

const MIB = 1024 * 1024;

describe('PullProgress', () => {
  it('says how much of all layers has come, and how many are done', () => {
    const progress = new PullProgress('python:3.9');
    expect(progress.note).toBe('pulling python:3.9');
    progress.add({ status: 'Pulling from library/python', id: '3.9' });
    expect(progress.note).toBe('pulling python:3.9');
    for (const id of ['a', 'b', 'c']) progress.add({ status: 'Pulling fs layer', id });
    expect(progress.note).toBe('pulling python:3.9: 0 of 3 layers');
    progress.add({ status: 'Already exists', id: 'c' });
    progress.add({ status: 'Downloading', id: 'a', progressDetail: { current: 3 * MIB, total: 4 * MIB } });
    progress.add({ status: 'Downloading', id: 'b', progressDetail: { current: MIB / 2, total: 8 * MIB } });
    expect(progress.note).toBe('pulling python:3.9: 3.5 of 12.0 MiB, 1 of 3 layers');
    progress.add({ status: 'Download complete', id: 'b' });
    // Of extracting the sizes are others.
    progress.add({ status: 'Extracting', id: 'a', progressDetail: { current: 1, total: 900 * MIB } });
    progress.add({ status: 'Pull complete', id: 'a' });
    progress.add({ status: 'Digest: sha256:1' });
    expect(progress.note).toBe('pulling python:3.9: 12.0 of 12.0 MiB, 2 of 3 layers');
  });
});

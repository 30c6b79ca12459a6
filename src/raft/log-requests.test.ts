import { describe, expect, it } from 'vitest';

import type { Entry, HardState, PersistRequest } from './core/types.ts';
import { LogRequests } from './log-requests.ts';

const ENTRY: Entry = { term: 1, index: 2, type: 'normal', data: new Uint8Array() };

function request(mustSync: boolean, hardState: HardState | null): PersistRequest {
  const entries = mustSync ? [ENTRY] : [];
  return { term: 1, index: 2, hardState, entries, snapshot: null, mustSync, afterDurable: [] };
}

describe('what goes to the log', () => {
  it('is nothing where only the commit index changed, and that with the next write', () => {
    const requests = new LogRequests();
    const hardState = { term: 1, vote: 1, commit: 7 };
    expect(requests.next(request(false, hardState))).toBe(null);
    expect(requests.next(request(false, null))).toBe(null);
    expect(requests.next(request(true, null))).toEqual({ hardState, entries: [ENTRY], snapshot: null });
    expect(requests.next(request(true, null))?.hardState).toBe(null);
  });

  it('is the newest of what was held back', () => {
    const requests = new LogRequests();
    requests.next(request(false, { term: 1, vote: 1, commit: 7 }));
    requests.next(request(false, { term: 1, vote: 1, commit: 8 }));
    expect(requests.next(request(true, null))?.hardState?.commit).toBe(8);
    requests.next(request(false, { term: 1, vote: 1, commit: 9 }));
    expect(requests.next(request(true, { term: 2, vote: 0, commit: 9 }))?.hardState?.term).toBe(2);
  });
});

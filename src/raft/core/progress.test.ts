import { describe, expect, it } from 'vitest';

import { Inflights } from './inflights.ts';
import { Progress } from './progress.ts';

function progress(match: number, next: number, window = new Inflights(2, 100)): Progress {
  return new Progress(match, next, false, window);
}

describe('the window', () => {
  it('is full by number', () => {
    const window = new Inflights(2, 0);
    window.add(1, 1000);
    expect(window.isFull).toBe(false);
    window.add(2, 1000);
    expect(window.isFull).toBe(true);
    window.freeUpTo(1);
    expect(window.isFull).toBe(false);
    expect(window.count).toBe(1);
  });

  it('is full by bytes, and takes one message that overfills it', () => {
    const window = new Inflights(100, 10);
    window.add(1, 9);
    expect(window.isFull).toBe(false);
    window.add(2, 50);
    expect(window.isFull).toBe(true);
    window.freeUpTo(2);
    expect(window).toMatchObject({ isFull: false, count: 0 });
  });

  it('frees what is acknowledged and nothing else, however it wanders', () => {
    const window = new Inflights(1000, 0);
    const counts = Array.from({ length: 500 }, (_, at) => {
      window.add(at, 1);
      if (at % 3 === 0) window.freeUpTo(at - 2);
      return window.count;
    });
    expect(counts.slice(-3)).toEqual([4, 2, 3]);
    expect(Math.max(...counts)).toBe(4);
  });
});

describe('progress', () => {
  it('sends one message with entries while probing, and a window of them while replicating', () => {
    const peer = progress(0, 5);
    peer.sentEntries(0, 0);
    expect(peer.isPaused).toBe(false);
    peer.sentEntries(3, 30);
    expect(peer).toMatchObject({ isPaused: true, next: 5 });
    peer.acknowledge(7);
    peer.becomeReplicate();
    expect(peer).toMatchObject({ isPaused: false, match: 7, next: 8 });
    peer.sentEntries(2, 20);
    expect(peer).toMatchObject({ isPaused: false, next: 10 });
    peer.sentEntries(1, 10);
    expect(peer).toMatchObject({ isPaused: true, next: 11 });
  });

  it('goes back to what a rejection hints at, but never below what is acknowledged', () => {
    const peer = progress(3, 10);
    expect(peer.decreaseTo(8, 5)).toBe(false);
    expect(peer.decreaseTo(9, 5)).toBe(true);
    expect(peer.next).toBe(6);
    expect(peer.decreaseTo(5, 0)).toBe(true);
    expect(peer.next).toBe(4);
    peer.becomeReplicate();
    expect(peer.decreaseTo(3, 0)).toBe(false);
  });

  it('continues behind a snapshot that was sent, or where it was before one that failed', () => {
    const peer = progress(0, 1);
    peer.becomeSnapshot(10);
    expect(peer).toMatchObject({ isPaused: true, next: 11 });
    peer.becomeProbe();
    expect(peer.next).toBe(11);
    peer.becomeSnapshot(20);
    peer.pendingSnapshot = 0;
    peer.becomeProbe();
    expect(peer.next).toBe(1);
  });

  it('tells a commit index once, unless what told it was lost', () => {
    const peer = progress(5, 6);
    peer.becomeReplicate();
    expect(peer.canBumpCommit(4)).toBe(true);
    peer.sentCommit(4);
    expect(peer.canBumpCommit(4)).toBe(false);
    expect(peer.canBumpCommit(5)).toBe(true);
    peer.sentCommit(5);
    // Beyond what was sent the follower could not commit.
    expect(peer.canBumpCommit(6)).toBe(false);
  });
});

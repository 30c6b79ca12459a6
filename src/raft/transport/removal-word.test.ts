import { describe, expect, it } from 'vitest';

import { RemovalWord } from './removal-word.ts';

const others = [2, 3, 4, 5];

describe('the word that this node was removed', () => {
  it('is believed of a leader', () => {
    expect(new RemovalWord().isBelieved(2, true, others)).toBe(true);
  });

  it('is believed of nobody else alone, however often it says so', () => {
    const word = new RemovalWord();
    for (let count = 0; count < 9; count += 1) expect(word.isBelieved(2, false, others)).toBe(false);
    expect(new RemovalWord().isBelieved(2, false, [2, 3])).toBe(false);
  });

  it('is believed of a majority of the others, who must be members still', () => {
    const word = new RemovalWord();
    expect(word.isBelieved(9, false, others)).toBe(false);
    expect(word.isBelieved(2, false, others)).toBe(false);
    expect(word.isBelieved(3, false, others)).toBe(false);
    expect(word.isBelieved(4, false, others)).toBe(true);
    expect(new RemovalWord().isBelieved(2, false, [2])).toBe(true);
  });

  it('counts no more from who takes it for a member again', () => {
    const word = new RemovalWord();
    word.isBelieved(2, false, others);
    word.isBelieved(3, false, others);
    word.takenBack(3);
    expect(word.isBelieved(4, false, others)).toBe(false);
  });
});

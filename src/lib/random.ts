/** A source of uniformly distributed numbers in [0, 1). Cores get theirs injected, so that a seed replays a run. */
export type Random = () => number;

/** sfc32 (Chris Doty-Humphrey's Small Fast Counter), seeded with one 32-bit integer: the same seed, the same run. */
export function seededRandom(seed: number): Random {
  let a = seed | 0;
  let b = 0x9e3779b9;
  let c = 0x243f6a88;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let round = 0; round < 15; round += 1) next();
  return next;
}

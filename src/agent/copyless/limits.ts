/** Of nodes without a copy. */
export const COPYLESS_LIMITS = {
  /** Between two questions of what this node is, and who leads. Thousands of nodes ask one leader. */
  askMs: 3000,
  /** Where there was reason to doubt it. */
  hurryMs: 50,
  /** Where nobody has answered who leads: it doubles up to the usual time. */
  retryMinMs: 100,
  /**
   * Of those who may know, one after the other, before it waits again: thousands of nodes look for a leader at the same time, and
   * members that were asked by each of them would have no time left to elect one.
   */
  askedAtOnce: 4,
  /** For each of these nodes, within how much time all of them ask where their leader is gone: they notice at the same moment. */
  spreadPerNodeMs: 0.2,
  /** One that is stopped is not waited for as long as a change of the membership may take. */
  callTimeoutMs: 2000,
  /** Of views, to all of them together, on account of the names of those without a copy: with each name, all others are sent again to all. */
  viewBytesPerMs: 10_000,
} as const;

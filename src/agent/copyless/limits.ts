/** Of nodes without a copy. */
export const COPYLESS_LIMITS = {
  /** Between two questions of what this node is, and who leads. Thousands of nodes ask one leader. */
  askMs: 3000,
  /** Where there was reason to doubt it. */
  hurryMs: 50,
  /** Where nobody has answered who leads: it doubles up to the usual time. */
  retryMinMs: 100,
  /** One that is stopped is not waited for as long as a change of the membership may take. */
  callTimeoutMs: 2000,
  /** Of views, to all of them together, on account of the names of those without a copy: with each name, all others are sent again to all. */
  viewBytesPerMs: 10_000,
} as const;

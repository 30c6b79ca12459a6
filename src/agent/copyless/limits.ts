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
} as const;

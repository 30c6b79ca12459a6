/** How long a node is given to make and end instances on its machine. */
export const HOST_LIMITS = {
  /** With the pull of an image. */
  createMs: 300_000,
  listMs: 10_000,
  /** A node is asked to end first, and its tasks with it. */
  terminateMs: 60_000,
  /** Of a process or container, after SIGTERM. */
  stopGraceMs: 20_000,
  /** On one machine. */
  instances: 32,
} as const;

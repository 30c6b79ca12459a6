import type { DriverName } from '../drivers/driver.ts';

/** Where the node itself finds programs; tasks get the same unless they say otherwise. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What this node adds to the environment of every attempt. */
export interface NodeEnvironment {
  readonly node: string;
  readonly path: string;
  readonly home: string;
}

/**
 * The environment of an attempt, built from scratch: nothing of the daemon's own gets through, and the task's `env` has
 * the last word (docs/contract.md, section 3). The names that identify the attempt are the driver's, which sets them
 * after these.
 */
export function attemptEnvironment(
  node: NodeEnvironment,
  driver: DriverName,
  env: Readonly<Record<string, string>>,
  user: string | null,
): Readonly<Record<string, string>> {
  // An image brings its own PATH and HOME, another user a HOME.
  const path: Record<string, string> = driver === 'docker' ? {} : { PATH: node.path };
  const home: Record<string, string> = driver === 'docker' || user !== null ? {} : { HOME: node.home };
  return { ...path, ...home, JARVIS_NODE: node.node, ...env };
}

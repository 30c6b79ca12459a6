import type { NodePolicy } from '../../../model/policy.ts';
import type { LogLimits } from '../../watchdog/limits.ts';

/** What this node lets containers use (`policy:` of its settings, docs/contract.md section 6). */
export interface DockerPolicy {
  /** What tasks may ask for; told to the cluster. */
  readonly shared: NodePolicy;
  /** Kept for every container, such as `NET_BIND_SERVICE`; all others are dropped. */
  readonly capabilities: readonly string[];
  /** Host paths of devices that every container is given. */
  readonly devices: readonly string[];
  /** Registry → file with its user name and password. */
  readonly credentialFiles: ReadonlyMap<string, string>;
  readonly logLimits: LogLimits;
  readonly imageLimits: ImageLimits;
}

/** Beyond which images that Jarvis pulled, and that nothing uses, are removed. */
export interface ImageLimits {
  /** Since its last use. */
  readonly maxAgeMs: number;
  /** Of all that Jarvis pulled; the longest unused go first. */
  readonly maxBytes: number;
}

export const DEFAULT_IMAGE_LIMITS: ImageLimits = {
  maxAgeMs: 7 * 24 * 3600 * 1000,
  maxBytes: 20 * 1024 ** 3,
};

/** Who starts containers here. */
export interface ContainerOwner {
  readonly node: string;
  readonly incarnation: string;
  /** Absolute. */
  readonly dataDirectory: string;
}

/** Everything that is fuzzed. */
import { NODE_TARGETS } from './targets/node.ts';
import { SPEC_TARGETS } from './targets/spec.ts';
import { STATE_TARGETS } from './targets/state.ts';
import { STORAGE_TARGETS } from './targets/storage.ts';
import type { Target } from './target.ts';

export const TARGETS: readonly Target[] = [
  ...SPEC_TARGETS,
  ...STORAGE_TARGETS,
  ...NODE_TARGETS,
  ...STATE_TARGETS,
];

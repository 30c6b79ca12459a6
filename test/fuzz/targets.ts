/** Everything that is fuzzed. */
import { CLI_TARGETS } from './targets/cli.ts';
import { NODE_TARGETS } from './targets/node.ts';
import { SERVER_TARGETS } from './targets/server.ts';
import { SPEC_TARGETS } from './targets/spec.ts';
import { STATE_TARGETS } from './targets/state.ts';
import { STORAGE_TARGETS } from './targets/storage.ts';
import type { Target } from './target.ts';

export const TARGETS: readonly Target[] = [
  ...SPEC_TARGETS,
  ...STORAGE_TARGETS,
  ...NODE_TARGETS,
  ...STATE_TARGETS,
  ...SERVER_TARGETS,
  ...CLI_TARGETS,
];

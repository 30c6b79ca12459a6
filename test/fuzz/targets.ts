/** Everything that is fuzzed. */
import { STORAGE_TARGETS } from './targets/storage.ts';
import { SPEC_TARGETS } from './targets/spec.ts';
import type { Target } from './target.ts';

export const TARGETS: readonly Target[] = [...SPEC_TARGETS, ...STORAGE_TARGETS];

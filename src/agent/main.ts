#!/usr/bin/env node
/**
 * The program jarvisd. What loads is garbage soon, and lets V8 grow its young generation to its largest, which an idle
 * node would keep: so it may grow only once all is loaded, and work makes garbage of its own.
 */
import { setFlagsFromString } from 'node:v8';

const YOUNG_GROWTH = '--semi-space-growth-factor';

setFlagsFromString(`${YOUNG_GROWTH}=1`);
const { runJarvisd } = await import('./jarvisd.ts');
setFlagsFromString(`${YOUNG_GROWTH}=2`);
await runJarvisd();

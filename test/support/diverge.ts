/** Loaded before `jarvisd`: what this process makes of a submission differs a little from what the others make of it. */
import { registerHooks } from 'node:module';

const TARGET = new URL('../../src/scheduler/core/apply/submit-tasks.ts', import.meta.url).href;
const FIND = 'createdAtMs: transaction.nowMs,';

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== TARGET) return loaded;
    const { source: bytes } = loaded;
    const source = typeof bytes === 'string' ? bytes : Buffer.from(bytes as Uint8Array).toString();
    if (source.split(FIND).length !== 2) throw new Error(`${FIND} is to occur once`);
    return { ...loaded, source: source.replace(FIND, 'createdAtMs: transaction.nowMs + 1,') };
  },
});

/** Plants a deliberate bug: the source of one module is patched as it is loaded. Nothing on disk changes. */
import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { invariant } from '../../src/lib/assert.ts';
import type { Mutant } from './mutants.ts';

export const ROOT = path.join(import.meta.dirname, '../..');

/** From now on the module is another one; it must not have been loaded yet. */
export function plant({ name, file, find, replace }: Mutant): void {
  const target = pathToFileURL(path.join(ROOT, file)).href;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (url !== target) return loaded;
      const { source: bytes } = loaded;
      const source = typeof bytes === 'string' ? bytes : Buffer.from(bytes as Uint8Array).toString();
      invariant(source.split(find).length === 2, `what mutant ${name} replaces occurs once in ${file}`);
      return { ...loaded, source: source.replace(find, () => replace) };
    },
  });
}

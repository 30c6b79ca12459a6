/** Plants a deliberate bug: the sources of modules are patched as they are loaded. Nothing on disk changes. */
import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { invariant } from '../../src/lib/assert.ts';
import type { Edit, Mutant } from './mutants.ts';

export const ROOT = path.join(import.meta.dirname, '../..');

export function editsOf({ file, find, replace, also = [] }: Mutant): readonly Edit[] {
  return [{ file, find, replace }, ...also];
}

/** From now on the modules are others; they must not have been loaded yet. */
export function plant(mutant: Mutant): void {
  const byUrl = new Map<string, Edit[]>();
  for (const edit of editsOf(mutant)) {
    const url = pathToFileURL(path.join(ROOT, edit.file)).href;
    byUrl.set(url, [...(byUrl.get(url) ?? []), edit]);
  }
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const edits = byUrl.get(url);
      if (edits === undefined) return loaded;
      const { source: bytes } = loaded;
      let source = typeof bytes === 'string' ? bytes : Buffer.from(bytes as Uint8Array).toString();
      for (const { file, find, replace } of edits) {
        invariant(
          source.split(find).length === 2,
          `what mutant ${mutant.name} replaces occurs once in ${file}`,
        );
        source = source.replace(find, () => replace);
      }
      return { ...loaded, source };
    },
  });
}

// Bundles src to dist, with what it uses. Run by `npm ci` (prepare), so that `npx jarvisctl` works at once.
// One file instead of a thousand modules: a node starts in half the time and is twenty megabytes smaller.
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';

import { rolldown } from 'rolldown';

const root = path.join(import.meta.dirname, '..');
const output = path.join(root, 'dist');
/** Each with the files that it starts beside itself. What two programs share is in each: neither loads the other's. */
const PROGRAMS = {
  agent: ['agent/main', 'agent/watchdog/main', 'raft/wal/writer-thread'],
  cli: ['cli/main'],
};
/** What has native parts, looks for files beside its own, or is large and seldom loaded. */
const UNBUNDLED = ['@aws-sdk/client-ec2', 'classic-level', 'dockerode', 'fs-native-extensions', 'msgpackr'];

rmSync(output, { recursive: true, force: true });
for (const [program, names] of Object.entries(PROGRAMS)) {
  const bundle = await rolldown({
    input: Object.fromEntries(names.map((name) => [name, path.join(root, 'src', `${name}.ts`)])),
    external: [/^node:/, ...UNBUNDLED],
    platform: 'node',
    cwd: root,
  });
  await bundle.write({
    dir: output,
    format: 'esm',
    chunkFileNames: `${program}/parts/[name]-[hash].js`,
    sourcemap: true,
    // Names of functions and classes stay: a stack must be readable.
    // A file per package: the parser keeps what its largest took.
    codeSplitting: { groups: [{ name: packageOf, debugName: 'packages', test: /node_modules/ }] },
    minify: { compress: { keepNames: { function: true, class: true } }, mangle: { keepNames: true } },
  });
  await bundle.close();
}
// npm links what others bring along and never a package's own: without these, `npx jarvisctl` would install this package
// once more beside itself, and take seconds instead of a moment.
const linked = path.join(root, 'node_modules/.bin');
const { bin } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
mkdirSync(linked, { recursive: true });
for (const [name, program] of Object.entries(bin)) {
  chmodSync(path.join(root, program), 0o755);
  rmSync(path.join(linked, name), { force: true });
  symlinkSync(path.join('../..', program), path.join(linked, name));
}

/** @param {string} id of a module: its file */
function packageOf(id) {
  const [scope = '', name = ''] = id.slice(id.lastIndexOf('node_modules/')).split('/').slice(1);
  return scope.startsWith('@') ? `${scope.slice(1)}-${name}` : scope;
}

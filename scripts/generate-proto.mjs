// Generates src/generated from proto/; with --check it only says whether what is checked in is current.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const output = mkdtempSync(path.join(tmpdir(), 'jarvis-proto-'));
const check = process.argv.includes('--check');

/** Every file below a folder with its text, by its path there. */
function filesBelow(folder) {
  const files = new Map();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files.set(path.relative(folder, file), readFileSync(file, 'utf8'));
  }
  return files;
}

/**
 * What cannot be kept as it came is refused: text that is no UTF-8 would become other text, and the key `__proto__` of a map
 * would be lost.
 * @param {string} text of a generated file
 */
function strict(text) {
  return text
    .replaceAll('reader.string()', 'reader.string(true)')
    .replaceAll(
      /^( *)(message\.\w+\[(entry\d+)\.key\] = )/gm,
      '$1if ($3.key === "__proto__") throw new globalThis.Error("a key __proto__");\n$1$2',
    );
}

try {
  const buf = path.join(root, 'node_modules/.bin/buf');
  execFileSync(buf, ['lint'], { cwd: root, stdio: 'inherit' });
  execFileSync(buf, ['generate', '--output', output], { cwd: root, stdio: 'inherit' });
  const generated = path.join(output, 'src/generated');
  for (const [name, text] of filesBelow(generated)) writeFileSync(path.join(generated, name), strict(text));
  const target = path.join(root, 'src/generated');
  if (!check) {
    rmSync(target, { recursive: true, force: true });
    cpSync(generated, target, { recursive: true });
  } else {
    const wanted = filesBelow(generated);
    const present = filesBelow(target);
    const names = new Set([...wanted.keys(), ...present.keys()]);
    const stale = [...names].filter((name) => wanted.get(name) !== present.get(name));
    if (stale.length > 0) {
      console.error(`src/generated is not current (${stale.join(', ')}): run npm run proto`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(output, { recursive: true, force: true });
}

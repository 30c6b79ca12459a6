/** The files that are run by themselves. They stand in the same places among the sources (`src`) and built (`dist`). */
import { existsSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const THIS_FILE = fileURLToPath(import.meta.url);
const EXTENSION = extname(THIS_FILE);
/** Of the package. Built, this file is part of another one, wherever that is. */
const ROOT = rootAbove(THIS_FILE);

/** @param name without extension, such as `agent/main` */
export function programFile(name: string): string {
  return join(ROOT, EXTENSION === '.ts' ? 'src' : 'dist', name + EXTENSION);
}

export function packageFile(): string {
  return join(ROOT, 'package.json');
}

function rootAbove(file: string): string {
  let directory = dirname(file);
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

// Writes docs/openapi.json from the table of calls; with --check it only says whether what is checked in is current.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { openApiDocument } from '../src/http/openapi.ts';
import { ROUTES } from '../src/http/routes/table.ts';

const root = path.join(import.meta.dirname, '..');
const file = path.join(root, 'docs/openapi.json');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const wanted = `${JSON.stringify(openApiDocument(ROUTES, version), null, 2)}\n`;

if (!process.argv.includes('--check')) writeFileSync(file, wanted);
else if (!isCurrent()) {
  console.error('docs/openapi.json is not current: run npm run openapi');
  process.exitCode = 1;
}

function isCurrent() {
  try {
    return readFileSync(file, 'utf8') === wanted;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

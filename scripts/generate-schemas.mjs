// Writes schemas/ from the zod schemas that read tasks, batches, DAGs and files of nodes; with --check it only says whether what is checked in
// is current.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { nodeFileSchema } from '../src/agent/node-file-schema.ts';
import { batchSchemaOf, dagSchemaOf, taskSchema } from '../src/spec/json-schemas.ts';

const folder = path.join(import.meta.dirname, '..', 'schemas');
const check = process.argv.includes('--check');
const schemas = { task: taskSchema(), batch: batchSchemaOf(), dag: dagSchemaOf(), config: nodeFileSchema() };

function present(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

if (!check) mkdirSync(folder, { recursive: true });
for (const [name, schema] of Object.entries(schemas)) {
  const file = path.join(folder, `${name}.json`);
  const text = `${JSON.stringify(schema, null, 2)}\n`;
  if (present(file) === text) continue;
  if (check) {
    console.error(`schemas/${name}.json is not current: run npm run schemas`);
    process.exitCode = 1;
  } else writeFileSync(file, text);
}

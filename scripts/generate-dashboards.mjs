// Writes deploy/grafana/*.json from scripts/dashboards; with --check it only says whether what is checked in is current.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { cluster } from './dashboards/cluster.mjs';
import { nodes } from './dashboards/nodes.mjs';
import { raft } from './dashboards/raft.mjs';
import { scheduler } from './dashboards/scheduler.mjs';

const folder = path.join(import.meta.dirname, '..', 'deploy', 'grafana');
const dashboards = { cluster, scheduler, nodes, raft };
const isCheck = process.argv.includes('--check');

for (const [name, dashboard] of Object.entries(dashboards)) {
  const file = path.join(folder, `${name}.json`);
  const text = `${JSON.stringify(dashboard, null, 2)}\n`;
  if (!isCheck) {
    writeFileSync(file, text);
    continue;
  }
  if (readFileSync(file, 'utf8') === text) continue;
  console.error(`deploy/grafana/${name}.json is not current: npm run dashboards`);
  process.exitCode = 1;
}

// Writes docs/metrics.md from the families of metrics; with --check it only says whether what is checked in is current.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { FAMILY_GROUPS } from '../src/metrics/families/table.ts';
import { table } from './markdown-table.mjs';

const target = path.join(import.meta.dirname, '..', 'docs', 'metrics.md');

const INTRODUCTION = `# Metrics

Every node answers \`GET /metrics\` on its HTTP address, in the text format of Prometheus. Where the cluster asks for tokens,
one of the role viewer is enough; Prometheus shows it with \`authorization: {credentials_file: …}\`.

\`\`\`sh
curl http://127.0.0.1:8101/metrics
curl --cacert ca.pem -H "Authorization: Bearer $JARVIS_TOKEN" https://n1.example.org:8101/metrics
\`\`\`

This page is made from the program (\`npm run docs\`); do not edit it.

## How things are counted

- **Ask every node.** A node tells of itself, and the leader of the cluster too. A gauge that only the leader has is
  absent elsewhere, so that \`sum()\` over the nodes is right, and nothing stale stays when another node leads. Between two
  leaders nobody has it. A node without a copy of the state has none of Raft's gauges, nor of the log's.
- **Counters of the leader** are counted by the node that has led the term in which an entry was proposed, also where it
  leads no more by the time the entry is applied. So everything counts once, and \`sum(rate(…))\` over the nodes is the rate of
  the cluster. A leader that stops between commit and apply takes the few that it would have counted with it, and an
  entry that a node gets within a snapshot is not counted. Like all counters these begin with 0 at a start of the node.
- **Labels have few values.** None is an id or a text that users choose. \`node_id\` and \`peer\` are names of nodes.
  \`error_type\` is one of those of docs/contract.md, section 3, or named in the cluster's own \`retry_policy\`; all others are
  \`Other\`. \`route\` is the pattern of a path.
- **How long tasks wait** is known exactly of those that were queued since the node started. Of a task that was queued before
  that, \`jarvis_queue_oldest_seconds\` counts from the start of the node.
- **A read is cheap.** Nothing goes through the tasks, and those who ask at the same time share an answer. What comes from a
  disk that does not answer within a second is as it was at the last read.
`;

function rowOf({ name, type, labels, unit, help, exposure }) {
  const shown = labels.map((label) => `\`${label}\``).join(', ');
  return [`\`${name}\``, type, shown, unit, help, exposure];
}

function section({ title, families }) {
  const head = ['name', 'type', 'labels', 'unit', 'meaning', 'exposed by'];
  return `## ${title}\n\n${table([head, ...families.map(rowOf)])}\n`;
}

const page = [INTRODUCTION, ...FAMILY_GROUPS.map(section)].join('\n');
if (!process.argv.includes('--check')) {
  writeFileSync(target, page);
} else if (page !== readFileSync(target, 'utf8')) {
  console.error('docs/metrics.md is not current: run npm run docs');
  process.exitCode = 1;
}

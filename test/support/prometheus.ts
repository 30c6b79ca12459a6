/**
 * A real Prometheus and a real Alertmanager over a cluster under test, with the project's own rules and routes from
 * deploy/, and a receiver in the place of Slack and of the pager. What is changed of the files is said here: addresses,
 * and times, which are made short.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { programPath, missingPrograms, type Program } from './docker-bed/programs.ts';
import { freePort, HOST } from './ports.ts';
import { waitFor, within } from './wait.ts';

export const PROMETHEUS_PROGRAMS: readonly Program[] = [
  { name: 'prometheus', packageName: 'prometheus' },
  { name: 'promtool', packageName: 'prometheus' },
  { name: 'prometheus-alertmanager', packageName: 'prometheus-alertmanager' },
  { name: 'amtool', packageName: 'prometheus-alertmanager' },
];

const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));
const STOP_MS = 10_000;

/** @returns why they cannot be run here; null where they can */
export function prometheusObstacle(): string | null {
  const missing = missingPrograms(PROMETHEUS_PROGRAMS).map(({ name }) => name);
  return missing.length === 0
    ? null
    : `not installed: ${missing.join(', ')} (node scripts/test-bed.mjs metrics)`;
}

interface Alert {
  readonly status: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** As Alertmanager posts it to a webhook. */
interface Notification {
  readonly alerts: readonly Alert[];
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [atSeconds: number, value: string];
}

function changed(file: string, changes: readonly (readonly [RegExp, string])[]): string {
  let content = readFileSync(path.join(DEPLOY, file), 'utf8');
  for (const [pattern, replacement] of changes) {
    if (!pattern.test(content)) throw new Error(`deploy/${file} has nothing like ${String(pattern)}`);
    content = content.replace(pattern, replacement);
  }
  return content;
}

export class Monitoring {
  readonly pages: Notification[] = [];
  /** Bodies as Slack gets them. */
  readonly slack: string[] = [];
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'jarvis-prometheus-'));
  readonly #receiver: Server;
  readonly #children: ChildProcess[] = [];
  #port = 0;
  #said = '';

  constructor() {
    this.#receiver = createServer((request, response) => void this.#take(request, response));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    if (request.url === '/page') this.pages.push(JSON.parse(body) as Notification);
    else this.slack.push(body);
    response.end('ok');
  }

  /** @param nodes addresses of HTTP, to be asked for their targets */
  async start(nodes: readonly string[]): Promise<void> {
    const [port, alertmanager] = [await freePort(), await freePort()];
    this.#port = port;
    this.#receiver.listen(0, HOST);
    await once(this.#receiver, 'listening');
    const address = this.#receiver.address();
    if (address === null || typeof address === 'string') throw new Error('the receiver has no port');
    const receiver = `http://${HOST}:${address.port}`;
    this.#write('slack-url', `${receiver}/slack`);
    this.#write(
      'alertmanager.yml',
      changed('alertmanager/alertmanager.yml', [
        [/http:\/\/127\.0\.0\.1:9099\/page/, `${receiver}/page`],
        [/group_wait: 10s/, 'group_wait: 1s'],
        [/group_interval: 2m/, 'group_interval: 1s'],
      ]),
    );
    this.#write('rules.yml', changed('prometheus/rules.yml', [[/for: \d+[sm]$/gm, 'for: 3s']]));
    this.#write(
      'prometheus.yml',
      changed('prometheus/prometheus.yml', [
        [/(scrape|evaluation)_interval: 15s/g, '$1_interval: 1s'],
        [/refresh_interval: 30s/g, 'refresh_interval: 1s'],
        [/127\.0\.0\.1:9093/, `${HOST}:${alertmanager}`],
        [/127\.0\.0\.1:8101/, nodes[0] ?? ''],
        [/127\.0\.0\.1:8102/, nodes[1] ?? ''],
      ]),
    );
    this.#run('prometheus-alertmanager', [
      `--config.file=${path.join(this.#folder, 'alertmanager.yml')}`,
      `--storage.path=${this.#data('alertmanager')}`,
      `--web.listen-address=${HOST}:${alertmanager}`,
      '--cluster.listen-address=',
    ]);
    this.#run('prometheus', [
      `--config.file=${path.join(this.#folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${this.#data('prometheus')}`,
      `--web.listen-address=${HOST}:${port}`,
    ]);
    await waitFor('Prometheus is ready', async () => (await fetch(`http://${HOST}:${port}/-/ready`)).ok);
    await waitFor(
      'Alertmanager is ready',
      async () => (await fetch(`http://${HOST}:${alertmanager}/-/ready`)).ok,
    );
  }

  /** What a query of PromQL finds now. @throws Error where Prometheus does not take it */
  async query(expression: string): Promise<readonly Series[]> {
    const url = `http://${HOST}:${this.#port}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await (await fetch(url)).json()) as {
      readonly status: string;
      readonly error?: string;
      readonly data?: { readonly result: readonly Series[] };
    };
    if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`);
    return answer.data?.result ?? [];
  }

  /** Once the pager has been told. @returns the alert */
  async page(
    alertname: string,
    status: 'firing' | 'resolved',
    labels: Readonly<Record<string, string>>,
  ): Promise<Alert> {
    const wanted = Object.entries({ ...labels, alertname });
    return await waitFor(
      `the pager hears that ${alertname} is ${status}`,
      () =>
        this.pages
          .flatMap(({ alerts }) => alerts)
          .find(
            (alert) =>
              alert.status === status && wanted.every(([name, value]) => alert.labels[name] === value),
          ) ?? null,
      { timeoutMs: 90_000 },
    );
  }

  /** What both programs have said, for a test that fails. */
  get said(): string {
    return this.#said.slice(-8000);
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      if ((await within(ended, STOP_MS, null)) === null) child.kill('SIGKILL');
      await ended;
    }
    const closed = once(this.#receiver, 'close');
    this.#receiver.close();
    this.#receiver.closeAllConnections();
    await closed;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #write(name: string, content: string): void {
    writeFileSync(path.join(this.#folder, name), content);
  }

  #data(name: string): string {
    const folder = path.join(this.#folder, `${name}-data`);
    mkdirSync(folder);
    return folder;
  }

  #run(name: string, args: readonly string[]): void {
    const child = spawn(programPath(name), args, { cwd: this.#folder, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => {
        this.#said = (this.#said + part).slice(-100_000);
      });
    this.#children.push(child);
  }
}

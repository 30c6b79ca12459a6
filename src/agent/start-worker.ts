/** The part of a node that runs tasks: its drivers, what it measures, and its session with the leader. */
import path from 'node:path';

import { bootTimeMs } from '../lib/boot-time.ts';
import type { DataDirectory } from '../raft/data-directory.ts';
import { channelOptions } from '../rpc/channel.ts';
import type { NodeConfig } from './config.ts';
import type { NodeLogs } from './logs/node-logs.ts';
import { ResourceMonitor } from './monitor/resource-monitor.ts';
import { nodeConfinement } from './node-confinement.ts';
import { NodeDrivers } from './node-drivers.ts';
import type { NodeParts } from './node-parts.ts';
import { registrationOf } from './registration.ts';
import { DEFAULT_PATH } from './worker/environment.ts';
import { GrpcSessionConnector } from './worker/session-connector.ts';
import { WorkerAgent } from './worker/worker-agent.ts';

const KILL_TASKS_TIMEOUT_MS = 3000;

interface WorkerParts {
  readonly directory: DataDirectory;
  /** Where the leader may be reached, the likeliest first; asked for anew for each session. */
  readonly sessionAddresses: () => readonly string[];
  /** In step with the leader, again on each session. */
  readonly onSynced: () => void;
  readonly logs: NodeLogs;
  /** What is used here can be told from now on, also while the worker is still taking up its attempts. */
  readonly onMonitor: (monitor: ResourceMonitor) => void;
}

export async function startWorker(
  node: NodeParts,
  { directory, sessionAddresses, onSynced, logs, onMonitor }: WorkerParts,
): Promise<WorkerAgent> {
  const { config, security, version, clock, log, metrics, closing } = node;
  const { incarnation } = directory.identity;
  let agent: WorkerAgent | null = null;
  const drivers = await NodeDrivers.create({
    config,
    incarnation,
    clock,
    log,
    onChange: () => agent?.registerAgain('what this node can run has changed'),
  });
  closing('watchdog', () => drivers.close());
  for (const driver of drivers.all) closing(`driver ${driver.name}`, () => driver.close());
  const confinement = nodeConfinement({ node: config.name, incarnation, dataDirectory: config.dataDir });
  const monitor = new ResourceMonitor({
    node: config.name,
    directory: config.dataDir,
    confinement,
    drivers: drivers.all,
    clock,
    log,
  });
  monitor.start();
  closing('monitor', () => monitor.close());
  onMonitor(monitor);
  const worker = await WorkerAgent.start({
    registration: () => registrationOf({ config, directory, version, drivers, bounds: confinement.bounds() }),
    environment: { node: config.name, path: DEFAULT_PATH, home: process.env['HOME'] ?? '/' },
    drivers: drivers.all,
    lease: drivers.lease,
    bootMs: bootTimeMs,
    connector: new GrpcSessionConnector({
      addresses: sessionAddresses,
      credentials: () => security.channels.credentials(),
      channelOptions,
    }),
    onSynced,
    onEnded: (end) => metrics.worker.ended(end),
    reportsDirectory: path.join(directory.paths.root, 'reports'),
    usage: monitor,
    clock,
    random: Math.random,
    log,
  });
  agent = worker;
  metrics.runs(worker, { monitor, drivers, logs });
  closing('worker', () => closeWorker(config, worker, drivers));
  return worker;
}

async function closeWorker(config: NodeConfig, worker: WorkerAgent, drivers: NodeDrivers): Promise<void> {
  if (!config.killTasksOnExit) await worker.prepareRestart(config.restartGraceMs);
  await worker.close();
  if (config.killTasksOnExit && worker.status().session > 0)
    await drivers.killAll(AbortSignal.timeout(KILL_TASKS_TIMEOUT_MS));
}

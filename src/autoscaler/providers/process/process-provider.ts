/**
 * Nodes as processes of this machine, below the data directory of the node that makes them. They are sessions of their own, and
 * outlive that node's daemon: it finds them again by their records. One that has ended by itself stays ended.
 */
import { spawn } from 'node:child_process';
import { open, writeFile } from 'node:fs/promises';

import { joinAddress } from '../../../lib/address.ts';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import { isAlive, processesOf, processWithArgument, type ProcessId } from '../../../lib/node-processes.ts';
import { processStartTime } from '../../../lib/process-start.ts';
import { Slots } from '../../../lib/slots.ts';
import type { ScalingCapacity } from '../../../model/autoscaling.ts';
import { freePorts } from '../free-ports.ts';
import { withoutVariables } from '../node-variables.ts';
import {
  checkRequest,
  ProviderError,
  throwIfAborted,
  type Instance,
  type InstanceRequest,
  type Provider,
} from '../provider.ts';
import { Turns } from '../turns.ts';
import { InstanceFiles, type InstanceRecord } from './instance-files.ts';
import { endProcess, killStrays } from './instance-processes.ts';

/** What a node made here has in common with the one that makes it. */
export interface ProcessHost {
  readonly clusterId: string;
  readonly dataDirectory: string;
  /** Without ports: what gRPC and HTTP listen on, and where others reach gRPC. */
  readonly hosts: { readonly listen: string; readonly advertise: string; readonly http: string };
  /** Where neither the request nor the settings say one. */
  readonly capacity: ScalingCapacity;
  readonly labels: Readonly<Record<string, string>>;
  /** As its file has them: authentication, policy, drivers. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface ProcessProviderOptions {
  readonly host: ProcessHost;
  /** jarvisd. */
  readonly program: string;
  /** At most so many at once on this machine. */
  readonly most: number;
  /** After SIGTERM; then it is killed. */
  readonly stopGraceMs: number;
  readonly clock: Clock;
}

export class ProcessProvider implements Provider {
  readonly name = 'process';
  readonly #options: ProcessProviderOptions;
  readonly #files: InstanceFiles;
  readonly #turns = new Turns();
  /** One at a time counts, and looks for ports. */
  readonly #making = new Slots(1);

  constructor(options: ProcessProviderOptions) {
    this.#options = options;
    this.#files = new InstanceFiles(options.host.dataDirectory);
  }

  async create(request: InstanceRequest, signal: AbortSignal): Promise<Instance> {
    checkRequest(request);
    return this.#turns.take(request.clientToken, () =>
      this.#making.use(async () => {
        throwIfAborted(signal);
        const record = (await this.#files.read(request.clientToken)) ?? (await this.#intend(request));
        const { clientToken, node, clusterId } = record;
        if (node !== request.node || clusterId !== request.clusterId)
          throw new ProviderError('invalid', `${clientToken} is of node ${node} of cluster ${clusterId}`);
        if (record.process !== null || record.isStopping) return this.#instanceOf(record);
        return this.#instanceOf(await this.#begin(record, request));
      }),
    );
  }

  async list(signal: AbortSignal): Promise<readonly Instance[]> {
    throwIfAborted(signal);
    await this.#files.sweep(this.#options.clock.wallMs());
    const records = (await this.#files.all()).filter(
      ({ clusterId }) => clusterId === this.#options.host.clusterId,
    );
    for (const { clientToken } of records) await this.#files.trimLog(clientToken);
    return Promise.all(records.map((record) => this.#instanceOf(record)));
  }

  async terminate(id: string, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const known = (await this.#files.all()).some(({ clientToken }) => clientToken === id);
    if (!known) return;
    await this.#turns.take(id, async () => {
      throwIfAborted(signal);
      const record = await this.#files.read(id);
      if (record === null || record.clusterId !== this.#options.host.clusterId) return;
      await this.#files.update({ ...record, isStopping: true });
      const { stopGraceMs: graceMs, clock } = this.#options;
      const running = record.process ?? (await this.#found(id));
      if (running !== null) await endProcess(running, { graceMs, clock, signal });
      await killStrays(this.#files.pathsOf(id).data, { clock, signal });
      await this.#files.remove(id);
    });
  }

  /** Before anything is begun, so that what a crash leaves is known to be there. */
  async #intend({ clientToken, clusterId, node }: InstanceRequest): Promise<InstanceRecord> {
    const { most } = this.#options;
    const records = await this.#files.all();
    if (records.length >= most)
      throw new ProviderError(
        'quota',
        `there are ${records.length} instances on this node; allowed: ${most}`,
      );
    const record = {
      format: 1 as const,
      clientToken,
      clusterId,
      node,
      process: null,
      launchedAtMs: null,
      ports: [],
      isStopping: false,
    };
    await this.#files.add(record);
    return record;
  }

  async #begin(intent: InstanceRecord, request: InstanceRequest): Promise<InstanceRecord> {
    const { clientToken } = intent;
    let ports: readonly number[] = intent.ports;
    let running = await this.#found(clientToken);
    if (running === null) {
      const taken = new Set((await this.#files.all()).flatMap((record) => record.ports));
      ports = await freePorts(2, this.#options.host.hosts.listen, taken);
      await this.#writeSettings(request, ports);
      // Known before anything listens there.
      await this.#files.update({ ...intent, ports: [...ports] });
      running = await this.#spawn(clientToken);
    }
    const begun = {
      ...intent,
      ports: [...ports],
      process: running,
      launchedAtMs: this.#options.clock.wallMs(),
    };
    await this.#files.update(begun);
    return begun;
  }

  async #writeSettings(request: InstanceRequest, ports: readonly number[]): Promise<void> {
    const { hosts, capacity, labels, settings } = this.#options.host;
    const paths = this.#files.pathsOf(request.clientToken);
    const [rpc = 0, http = 0] = ports;
    const cpuMillis = request.capacity.cpuMillis ?? capacity.cpuMillis;
    const memoryBytes = request.capacity.memoryBytes ?? capacity.memoryBytes;
    const content = {
      ...settings,
      name: request.node,
      data_dir: paths.data,
      listen: joinAddress(hosts.listen, rpc),
      advertise: joinAddress(hosts.advertise, rpc),
      http: joinAddress(hosts.http, http),
      join: request.join,
      ...(request.joinToken === null ? {} : { join_token_file: paths.joinToken }),
      labels: { ...labels, ...request.labels },
      capacity: {
        ...(cpuMillis === null ? {} : { cpu: `${cpuMillis}m` }),
        ...(memoryBytes === null ? {} : { memory: String(memoryBytes) }),
      },
      // It is stopped for good only.
      kill_tasks_on_exit: true,
    };
    const mode = { mode: 0o600 };
    if (request.joinToken !== null) await writeFile(paths.joinToken, `${request.joinToken}\n`, mode);
    await writeFile(paths.settings, `${JSON.stringify(content, null, 2)}\n`, mode);
  }

  async #spawn(clientToken: string): Promise<ProcessId> {
    const { directory, settings, log } = this.#files.pathsOf(clientToken);
    const output = await open(log, 'a', 0o600);
    try {
      const child = spawn(process.execPath, [this.#options.program, '--config', settings], {
        cwd: directory,
        env: withoutVariables(process.env),
        stdio: ['ignore', output.fd, output.fd],
        detached: true,
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      child.unref();
      const pid = child.pid ?? 0;
      return { pid, startTime: processStartTime(pid) ?? '' };
    } catch (error) {
      throw new ProviderError('unavailable', `jarvisd cannot be started: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      await output.close();
    }
  }

  /** Begun by a daemon that could not record it any more. */
  async #found(clientToken: string): Promise<ProcessId | null> {
    return processWithArgument(this.#files.pathsOf(clientToken).settings);
  }

  async #instanceOf(record: InstanceRecord): Promise<Instance> {
    const { clientToken, node, launchedAtMs } = record;
    const instance = { id: clientToken, clientToken, node, launchedAtMs };
    if (record.process === null) return { ...instance, state: record.isStopping ? 'stopping' : 'pending' };
    if (isAlive(record.process)) return { ...instance, state: record.isStopping ? 'stopping' : 'running' };
    const words = (await this.#files.lastWords(clientToken)) || 'it has said nothing';
    // Tasks outlive their daemon: that it has ended is no proof that nothing runs [HINT].
    const left = await processesOf(this.#files.pathsOf(clientToken).data);
    if (left.length > 0) {
      const state = record.isStopping ? ('stopping' as const) : ('running' as const);
      return { ...instance, state, message: `its daemon has ended, and what it began has not: ${words}` };
    }
    return { ...instance, state: 'gone', message: `the process has ended: ${words}` };
  }
}

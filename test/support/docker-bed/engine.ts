/** The bed's private dockerd with its containerd, and what befalls an engine. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { BedProcess, pauseProcess } from './bed-process.ts';
import { DATA_FOLDER } from './clear.ts';
import type { BedRecord } from './clear.ts';
import { EngineApi } from './engine-api.ts';

export interface EngineSettings {
  readonly record: BedRecord;
  readonly namespacePid: number;
  /** Further arguments of dockerd. */
  readonly args: readonly string[];
}

export class Engine {
  readonly socketPath: string;
  readonly api: EngineApi;
  readonly #dockerd: BedProcess;
  readonly #dataFolder: string;
  readonly #pidFiles: { readonly dockerd: string; readonly containerd: string };

  private constructor({ record, namespacePid, args }: EngineSettings) {
    const { directory, bridge, cgroupParent } = record;
    const at = (...parts: string[]) => path.join(directory, ...parts);
    this.socketPath = at('docker.sock');
    this.#dataFolder = at(DATA_FOLDER);
    this.api = new EngineApi(this.socketPath);
    this.#pidFiles = {
      dockerd: at('dockerd.pid'),
      containerd: at('exec', 'containerd', 'containerd.pid'),
    };
    this.#dockerd = new BedProcess({
      name: 'dockerd',
      args: [
        `--data-root=${at(DATA_FOLDER)}`,
        `--exec-root=${at('exec')}`,
        `--pidfile=${this.#pidFiles.dockerd}`,
        `--host=unix://${this.socketPath}`,
        `--bridge=${bridge}`,
        // Rules of the host stay as they are: containers reach the host and each other by the bridge, nothing beyond.
        '--iptables=false',
        '--ip6tables=false',
        '--ip-forward=false',
        '--ip-masq=false',
        '--userland-proxy=false',
        `--cgroup-parent=${cgroupParent}`,
        '--exec-opt=native.cgroupdriver=cgroupfs',
        ...args,
      ],
      directory,
      logFile: at('dockerd.log'),
      namespacePid,
      isReady: () => this.api.isReady(),
    });
  }

  /** Where the engine keeps the output of a container, for those who want to damage it. */
  containerLog(id: string): string {
    return path.join(this.#dataFolder, 'containers', id, 'local-logs', 'container.log');
  }

  static async start(settings: EngineSettings): Promise<Engine> {
    for (const folder of [DATA_FOLDER, 'exec']) mkdirSync(path.join(settings.record.directory, folder));
    const engine = new Engine(settings);
    await engine.start();
    return engine;
  }

  /** Of dockerd. */
  get pid(): number {
    return this.#dockerd.pid;
  }

  get containerdPid(): number {
    return Number(readFileSync(this.#pidFiles.containerd, 'utf8'));
  }

  get isRunning(): boolean {
    return this.#dockerd.isRunning;
  }

  /** On the same folders as before. */
  async start(): Promise<void> {
    // They may name a process that ended but that nobody has asked about: to dockerd it is alive.
    for (const file of Object.values(this.#pidFiles)) if (existsSync(file)) rmSync(file);
    await this.#dockerd.start();
  }

  /** SIGSTOP: it takes connections and answers nothing until `resume`. */
  async pause(which: 'dockerd' | 'containerd' = 'dockerd'): Promise<void> {
    await pauseProcess(which === 'dockerd' ? this.pid : this.containerdPid);
  }

  resume(which: 'dockerd' | 'containerd' = 'dockerd'): void {
    process.kill(which === 'dockerd' ? this.pid : this.containerdPid, 'SIGCONT');
  }

  /** SIGKILL. Its containerd ends with it; the containers and their shims live on. */
  async kill(): Promise<void> {
    await this.#dockerd.kill();
  }

  /** SIGTERM: it first ends all containers. */
  async stop(): Promise<void> {
    await this.#dockerd.terminate();
  }

  async restart(how: 'stop' | 'kill' = 'stop'): Promise<void> {
    await this[how]();
    await this.start();
  }

  /** Whatever has befallen it: it runs again, and answers. */
  async heal(): Promise<void> {
    if (!this.isRunning) return this.start();
    this.resume();
    this.resume('containerd');
    return undefined;
  }

  logTail(): string {
    return this.#dockerd.logTail();
  }
}

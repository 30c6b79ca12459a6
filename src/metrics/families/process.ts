/** The process of a node, and what it is. */
import { counter, gauge, summary } from '../family.ts';
import type { CounterHandle, GaugeHandle, MetricsRegistry, SummaryReading } from '../registry.ts';

export const PROCESS_FAMILIES = {
  build: gauge({
    name: 'jarvis_build_info',
    help: 'Always 1: the versions of Jarvis and of Node.js that this node runs',
    labels: ['version', 'node_version'],
  }),
  lag: summary({
    name: 'jarvis_event_loop_lag_seconds',
    help: 'How late the event loop of this node is, over the last ten seconds or so',
  }),
  cpu: counter({
    name: 'jarvis_process_cpu_seconds_total',
    help: 'Processor time that this process has used',
    unit: 'seconds',
  }),
  resident: gauge({
    name: 'jarvis_process_resident_memory_bytes',
    help: 'Memory of this process, its watchdog and its tasks not included',
  }),
  heap: gauge({ name: 'jarvis_process_heap_bytes', help: 'Heap of JavaScript in use' }),
  files: gauge({
    name: 'jarvis_process_open_fds',
    help: 'File descriptors that this process holds',
    unit: 'files',
  }),
  start: gauge({
    name: 'jarvis_process_start_time_seconds',
    help: 'When this process began, in seconds since 1970',
  }),
  certificate: gauge({
    name: 'jarvis_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of this node, or the first of the authorities that it trusts, ends, in seconds since 1970; absent without TLS',
    labels: ['kind'],
  }),
} as const;

interface ProcessReading {
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

export interface ProcessPort {
  readonly version: string;
  readonly nodeVersion: string;
  readonly startedAtMs: number;
  read(): ProcessReading;
  openFiles(): Promise<number>;
  /** Seconds. */
  eventLoopLag(): SummaryReading;
  /** When they end; null: without TLS. */
  certificates(): { readonly nodeMs: number; readonly authorityMs: number } | null;
}

export class ProcessMetrics {
  readonly #cpu: CounterHandle<never>;
  readonly #resident: GaugeHandle<never>;
  readonly #heap: GaugeHandle<never>;
  readonly #files: GaugeHandle<never>;
  readonly #certificate: GaugeHandle<'kind'>;

  constructor(registry: MetricsRegistry, port: ProcessPort) {
    registry.gauge(PROCESS_FAMILIES.build).set(1, { version: port.version, node_version: port.nodeVersion });
    registry.summary(PROCESS_FAMILIES.lag, () => port.eventLoopLag());
    this.#cpu = registry.counter(PROCESS_FAMILIES.cpu);
    this.#resident = registry.gauge(PROCESS_FAMILIES.resident);
    this.#heap = registry.gauge(PROCESS_FAMILIES.heap);
    this.#files = registry.gauge(PROCESS_FAMILIES.files);
    registry.gauge(PROCESS_FAMILIES.start).set(port.startedAtMs / 1000);
    this.#certificate = registry.gauge(PROCESS_FAMILIES.certificate);
    registry.onScrape('process', () => this.#sample(port));
    registry.onScrape('open files', async () => this.#files.set(await port.openFiles()));
  }

  #sample(port: ProcessPort): void {
    const { cpuMs, residentBytes, heapBytes } = port.read();
    this.#cpu.follow(cpuMs / 1000);
    this.#resident.set(residentBytes);
    this.#heap.set(heapBytes);
    this.#certificate.clear();
    const ends = port.certificates();
    if (ends === null) return;
    this.#certificate.set(ends.nodeMs / 1000, { kind: 'node' });
    this.#certificate.set(ends.authorityMs / 1000, { kind: 'authority' });
  }
}

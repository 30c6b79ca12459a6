/** What makes further nodes on the machine of this one: the same settings, authentication and policy as this node's. */
import { DockerProvider, DockerTurns } from '../autoscaler/providers/docker/docker-provider.ts';
import { Engine } from '../autoscaler/providers/docker/engine.ts';
import { ProcessProvider, type ProcessHost } from '../autoscaler/providers/process/process-provider.ts';
import {
  instanceHostService,
  type MachineProviders,
} from '../autoscaler/providers/remote/instance-host-service.ts';
import { HOST_LIMITS } from '../autoscaler/providers/limits.ts';
import { splitAddress } from '../lib/address.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { programFile } from '../lib/program-files.ts';
import type { Service } from '../rpc/server.ts';
import type { NodeConfig } from './config.ts';
import type { DockerPolicy } from './drivers/docker/options.ts';

interface ProviderParts {
  readonly config: NodeConfig;
  readonly clusterId: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** For other nodes, which ask for them over gRPC. */
export function nodeProviderService(parts: ProviderParts): Service {
  const { clusterId, log } = parts;
  return instanceHostService({ clusterId, machine: machineProviders(parts), log });
}

function machineProviders({ config, clusterId, clock }: ProviderParts): MachineProviders {
  const processes = new ProcessProvider({
    host: processHost(config, clusterId),
    program: programFile('agent/main'),
    most: HOST_LIMITS.instances,
    stopGraceMs: HOST_LIMITS.stopGraceMs,
    clock,
  });
  const { hosts } = processHost(config, clusterId);
  const docker = {
    clusterId,
    engine: new Engine(),
    hosts,
    common: {
      AUTH: String(config.auth),
      INSECURE: String(config.insecure),
      LEASE_READS: String(config.leaseReads),
      LOG_LEVEL: config.logLevel,
    },
    most: HOST_LIMITS.instances,
    stopGraceMs: HOST_LIMITS.stopGraceMs,
    turns: new DockerTurns(),
  };
  return {
    provider: (name, settings) =>
      name === 'process' ? processes : new DockerProvider({ ...docker, settings }),
  };
}

/** @returns as a node made here has it */
export function processHost(config: NodeConfig, clusterId: string): ProcessHost {
  const { dataDir: dataDirectory, capacity, labels } = config;
  return {
    clusterId,
    dataDirectory,
    hosts: {
      listen: splitAddress(config.listen).host,
      advertise: splitAddress(config.advertise).host,
      http: splitAddress(config.http).host,
    },
    capacity,
    labels: Object.fromEntries(labels),
    settings: {
      auth: config.auth,
      insecure: config.insecure,
      lease_reads: config.leaseReads,
      log_level: config.logLevel,
      policy: policySettings(config.policy),
      ...(config.drivers === null ? {} : { drivers: config.drivers }),
    },
  };
}

/** As a file has it. */
function policySettings({ shared, ...own }: DockerPolicy): object {
  const { mounts, hostNetwork, users, registries } = shared;
  return {
    mounts: mounts.map(({ source, readOnly }) => ({ source, read_only: readOnly })),
    host_network: hostNetwork,
    ...(users === null ? {} : { users }),
    ...(registries === null
      ? {}
      : {
          registries: Object.fromEntries(
            registries.map((host) => {
              const credentials = own.credentialFiles.get(host);
              return [host, credentials === undefined ? {} : { credentials }];
            }),
          ),
        }),
    capabilities: own.capabilities,
    devices: own.devices,
    log_limits: { max_file_bytes: own.logLimits.maxFileBytes, max_files: own.logLimits.maxFiles },
    image_limits: { max_age: own.imageLimits.maxAgeMs / 1000, max_bytes: own.imageLimits.maxBytes },
  };
}

/** Nodes as containers keep the promises of every provider, on a real engine. */
import { DockerProvider, DockerTurns } from '../../src/autoscaler/providers/docker/docker-provider.ts';
import { Engine } from '../../src/autoscaler/providers/docker/engine.ts';
import { CLUSTER_ID, describeProvider } from '../../src/autoscaler/providers/provider-contract.test-kit.ts';
import { describeWithBed } from '../support/docker-bed/describe-with-bed.ts';
import { IMAGES } from '../support/docker-bed/docker-bed.ts';

const LABEL = 'jarvis:cluster';

describeWithBed('the docker provider', (bed) => {
  describeProvider('docker', async () => {
    const { api, socketPath } = bed().engine;
    const capacity = { cpuMillis: null, memoryBytes: null };
    // The first one pulls it.
    const image = bed().openRegistry.reference(IMAGES.endless);
    const providerOf = (clusterId: string): DockerProvider =>
      new DockerProvider({
        clusterId,
        engine: new Engine(socketPath),
        settings: { image, capacity, network: null, mounts: null },
        hosts: { listen: '127.0.0.1', advertise: '127.0.0.1', http: '127.0.0.1' },
        common: {},
        most: 32,
        stopGraceMs: 5000,
        turns: new DockerTurns(),
      });
    const made = async () => (await api.list()).filter(({ Labels }) => LABEL in Labels);
    return {
      provider: providerOf(CLUSTER_ID),
      again: () => providerOf(CLUSTER_ID),
      stranger: () => providerOf('cluster-b'),
      end: (id) => api.kill(id),
      leftovers: async () => (await made()).map(({ Id }) => Id),
      // The environment is for those who may use the engine.
      said: async () => JSON.stringify(await made()),
      dispose: async () => {
        for (const { Id } of await made()) await api.remove(Id);
      },
    };
  });
});

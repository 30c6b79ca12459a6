import { expect, it } from 'vitest';

import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';

it('the region of EC2 stays while there are machines in it: nobody would list or end them any more', async () => {
  const cluster = new TestCluster(['n1']);
  cluster.register('n1', 'n1:7101');
  const operations = testOperations(cluster, 'n1', { remotes: inProcessRemotes(new Map()) });
  const set = async (autoscaling: object) => {
    const changes = JSON.stringify({ autoscaling });
    const { blocks } = await operations.setConfig(
      { heartbeat: undefined, idempotency_key: '', changes },
      testContext(),
    );
    return JSON.parse(blocks) as { autoscaling: { aws: { region: string } | null } };
  };
  const aws = { region: 'eu-central-1', instance_type: 'm7i.large', image_id: 'ami-1' };
  await set({ provider: 'aws', aws });
  const other = { ...aws, region: 'eu-west-1' };
  expect((await set({ aws: other })).autoscaling.aws).toMatchObject({ region: 'eu-west-1' });
  await set({ aws });
  const step = { type: 'adopted', id: 'instance-1', node: 'node-1', providerId: 'i-1', host: null } as const;
  cluster.execute({
    type: 'instanceProgress',
    term: cluster.term,
    steps: [{ ...step, provider: 'aws', phase: 'TERMINATING' }],
    hasRecovered: false,
  });
  const refusal = {
    code: 'invalid',
    faults: [
      {
        path: 'autoscaling.aws.region',
        message:
          'stays eu-central-1 while machines are there that the autoscaler has made (1: node-1): let them leave first',
      },
    ],
  };
  await expect(set({ aws: other })).rejects.toMatchObject(refusal);
  await expect(set({ provider: 'process', aws: null })).rejects.toMatchObject(refusal);
  expect((await set({ max_nodes: 5, aws: { ...aws, image_id: 'ami-2' } })).autoscaling.aws).toMatchObject({
    region: 'eu-central-1',
  });
});

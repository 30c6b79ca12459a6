import { beforeEach, describe, expect, it } from 'vitest';

import { testContext, testOperations } from './operations.test-kit.ts';
import { TestCluster } from './test-cluster.test-kit.ts';
import { inProcessRemotes } from './test-remotes.test-kit.ts';
import type { RoutingOperations } from './router.ts';

const context = testContext();
const NAMES = ['n1', 'n2', 'n3'];
let cluster: TestCluster;
let nodes: Map<string, RoutingOperations>;

beforeEach(() => {
  cluster = new TestCluster(NAMES);
  nodes = new Map();
  for (const name of NAMES) {
    cluster.register(name, `${name}:7101`);
    nodes.set(`${name}:7101`, testOperations(cluster, name, { remotes: inProcessRemotes(nodes) }));
  }
});

function at(name: string): RoutingOperations {
  return nodes.get(`${name}:7101`) as RoutingOperations;
}

describe('the level of a log', () => {
  it('is that of the node that it is asked of, wherever and whoever leads, and no other changes', async () => {
    cluster.lead(null);
    expect(await at('n2').setLogLevel({ name: 'n3', level: 'debug' }, context)).toEqual({
      node: 'n3',
      level: 'debug',
      configured: 'info',
      until: expect.any(String) as string,
    });
    for (const name of NAMES)
      expect(await at('n1').getLogLevel({ name }, context)).toMatchObject({
        node: name,
        level: name === 'n3' ? 'debug' : 'info',
      });
  });

  it('stays until the next start where that is asked for', async () => {
    const asked = { name: 'n1', level: 'warn', for: '0' };
    expect(await at('n2').setLogLevel(asked, context)).toMatchObject({ level: 'warn', until: undefined });
  });

  it.each([
    [{ level: 'loud' }, /level: "loud" is no level; allowed: trace, debug, info, warn, error, fatal/],
    [{ level: 'debug', for: '25h' }, /for: "25h" is not allowed: a duration such as 10m, 24h at most/],
    [{ level: 'debug', for: 'soon' }, /for: "soon" is not allowed/],
  ])('is refused as %j, and stays', async (asked, message) => {
    await expect(at('n2').setLogLevel({ name: 'n1', ...asked }, context)).rejects.toThrow(message);
    expect(await at('n1').getLogLevel({ name: 'n1' }, context)).toMatchObject({ level: 'info' });
  });

  it('is of a node that there is, and a forwarded question is answered by nobody else', async () => {
    await expect(at('n1').getLogLevel({ name: 'n9' }, context)).rejects.toMatchObject({ code: 'not_found' });
    await expect(at('n1').getLogLevel({ name: 'n2' }, { ...context, forwarded: true })).rejects.toMatchObject(
      { code: 'unavailable' },
    );
  });
});

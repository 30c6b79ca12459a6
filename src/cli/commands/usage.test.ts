import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createSecureServer } from 'node:tls';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { JarvisError } from '../../lib/errors.ts';
import { materialOf, newAuthority } from '../../lib/testing/tls.test-kit.ts';
import { FakeCluster, fakeTask } from '../fake-cluster.test-kit.ts';
import { CliProcess, runInProcess } from '../run-cli.test-kit.ts';

let cluster: FakeCluster;

beforeEach(async () => {
  cluster = await FakeCluster.start();
});
afterEach(() => cluster.stop());

describe('bad usage', () => {
  it.each([
    [
      ['ls', '--lmit', '3'],
      /^jarvisctl: unknown option '--lmit' \(Did you mean --limit\?\); allowed: .*--node.*\n$/,
    ],
    [['lss'], /^jarvisctl: unknown command 'lss' \(Did you mean ls\?\); allowed: dev, run, .*\n$/],
    [['ls', 'x'], /^jarvisctl: too many arguments for 'ls'.* Not expected: "x"\n$/],
    [['get'], "jarvisctl: missing required argument 'task'\n"],
    [['get', ''], 'jarvisctl: a task id must not be empty\n'],
    [['submit'], "jarvisctl: required option '-f, --file <file>' not specified\n"],
    [['ls', '--peer', 'n1'], /^jarvisctl: option '--peer .*"n1" is not an address, allowed: host:port.*\n$/],
    [['ls', '--peer', 'n1:70000'], /"n1:70000" is not an address/],
    [['ls', '--limit', '-1'], /^jarvisctl: option '--limit <n>' argument '-1' is invalid. Allowed: .*\n$/],
    [['ls', '--status', 'DONE'], /'DONE' is invalid. Allowed: WAITING, PENDING/],
    [['ls', '-l', 'team'], /'team' is invalid. Allowed: key=value.\n$/],
    [['ls', '-o', 'xml'], /Allowed: table, wide, json, yaml, name/],
    [['wait', 'x', '--timeout', 'soon'], /'soon' is invalid. Allowed: seconds, or a duration/],
    [
      ['logs', 'x', '--since', 'yesterday'],
      /'yesterday' is invalid. Allowed: a duration such as 5m, or a time/,
    ],
    [['dev', '--nodes', '0'], /'0' is invalid. Allowed: a whole number from 1 to 9/],
    [['run', '--cpu', 'many', '--', 'true'], /^jarvisctl: --cpu: "many" is not allowed: .*500m.*\n$/],
    [
      ['run', '--env', 'A B=1', '--name', '-', '--', 'true'],
      /^jarvisctl: --name: .*\njarvisctl: --env .*A B.*\n$/,
    ],
    [['run'], /^jarvisctl: command: is required without an image/],
    [['run', '--network', 'host', '--', 'true'], /^jarvisctl: --network: needs an image in this version\n$/],
    [['run', '--mount', '/a', '--', 'true'], /'\/a' is invalid. Allowed: source:target or source:target:ro/],
    [['run', '--mount', '/a:/b:rx', '--', 'true'], /'\/a:\/b:rx' is invalid. Allowed: source:target/],
    [['run', '--network', 'mesh', '--', 'true'], /Allowed: bridge, none, host/],
    [
      ['run', '--image', 'A', '--mount', '/a:/run/jarvis', '--user', 'a b', '--limit-memory', '1'],
      /^jarvisctl: --image: "A" .*\n(.*\n)*jarvisctl: --mount \[0\]\.target: .*reserved.*\n(.*\n)*$/,
    ],
    [
      ['run', '--image', 'a', '--cpu', '2', '--limit-cpu', '1'],
      /^jarvisctl: --cpu: "2" is above limits.cpu, "1"/,
    ],
    [['run', '--working-dir', 'here', '--', 'true'], /^jarvisctl: --working-dir: "here" .*absolute/],
  ])('%j: a clear line and exit status 2', async (args, message) => {
    const { stdout, stderr, status } = await runInProcess(args, { env: { JARVIS_PEERS: cluster.address } });
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toMatch(message);
    expect(cluster.calls).toEqual([]);
  });

  it('names the variable that holds no address', async () => {
    const { stderr, status } = await runInProcess(['ls'], { env: { JARVIS_PEERS: 'here' } });
    expect(status).toBe(2);
    expect(stderr).toBe('jarvisctl: JARVIS_PEERS: "here" is not a list host:port[,host:port…]\n');
  });

  it('shows help for want of a command, on stderr', async () => {
    const { stdout, stderr, status } = await runInProcess([]);
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toContain('Usage: jarvisctl');
  });
});

describe('help', () => {
  it('is that of the command that its words lead to', async () => {
    const asked = await runInProcess(['help', 'dag', 'graph']);
    expect(asked).toEqual(await runInProcess(['dag', 'graph', '--help']));
    expect(asked.stdout).toContain('Usage: jarvisctl dag graph');
    expect(await runInProcess(['help'])).toEqual(await runInProcess(['--help']));
  });

  it.each([
    ['help dag grph', 'unknown command "grph" (did you mean graph?); allowed: ls, get, wait,'],
    ['help cancel task-1', 'cancel has no command "task-1"'],
    ['help lst', 'unknown command "lst" (did you mean ls?); allowed: dev, run,'],
  ])('%s does nothing, and says what is wrong', async (line, message) => {
    const { stdout, stderr, status } = await runInProcess(line.split(' '));
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toContain(message);
  });

  const commands = [
    'batch ls',
    'batch wait',
    'dag get',
    'dag graph',
    'dev',
    'run',
    'submit',
    'ls',
    'get',
    'describe',
    'explain',
    'plan',
    'wait',
    'logs',
    'cancel',
    'node ls',
    'top',
    'cluster status',
    'version',
  ];
  it.each(commands)('%s has an example', async (command) => {
    const { stdout, stderr, status } = await runInProcess([...command.split(' '), '--help']);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toContain(`$ jarvisctl ${command}`);
  });
});

describe('peers', () => {
  it('names those that it tried and exits with 3 where none can be reached', async () => {
    cluster.stop();
    const { stdout, stderr, status } = await runInProcess(['ls', '--peer', `${cluster.address},127.0.0.1:1`]);
    expect({ stdout, status }).toEqual({ stdout: '', status: 3 });
    expect(stderr).toBe(`jarvisctl: no peer can be reached, tried ${cluster.address}, 127.0.0.1:1\n`);
  });

  it('tries them in turn, also before the name of the command and from the environment', async () => {
    const peers = `127.0.0.1:1,${cluster.address}`;
    const before = await runInProcess(['--peer', peers, 'ls', '-o', 'name']);
    const environment = await runInProcess(['ls', '-o', 'name'], { env: { JARVIS_PEERS: peers } });
    const ok = { stdout: '', stderr: '', status: 0 };
    expect([before, environment]).toEqual([ok, ok]);
  });

  it('passes over one that accepts connections and says nothing', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = silent.address() as AddressInfo;
      const peers = `127.0.0.1:${port},${cluster.address}`;
      expect(await runInProcess(['ls', '-o', 'name', '--peer', peers])).toMatchObject({
        stderr: '',
        status: 0,
      });
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('says where one is asked in plain text that speaks TLS, and asks for certificates', async () => {
    const authority = await newAuthority();
    const { certificatePem: cert, keyPem: key } = await materialOf(authority, { kind: 'node', name: 'n1' });
    const ca = authority.certificatePem;
    const secure = createSecureServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true });
    secure.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = secure.address() as AddressInfo;
      const { stderr, status } = await runInProcess(['ls', '--peer', `127.0.0.1:1,127.0.0.1:${port}`]);
      expect(stderr).toBe(
        `jarvisctl: no peer can be reached, tried 127.0.0.1:1, 127.0.0.1:${port}; ` +
          `127.0.0.1:${port} speaks TLS: --context, or --tls-ca, --tls-cert and --tls-key\n`,
      );
      expect(status).toBe(3);
    } finally {
      secure.close();
    }
  });

  it('asks another peer where one knows no leader', async () => {
    const other = await FakeCluster.start();
    try {
      cluster.before = () => {
        throw new JarvisError('no_leader', 'there is no leader');
      };
      other.setTask(fakeTask({ id: 'task-1' }));
      const peers = `${cluster.address},${other.address}`;
      const { stdout, status } = await runInProcess(['ls', '-o', 'name', '--peer', peers]);
      expect({ stdout, status }).toEqual({ stdout: 'task-1\n', status: 0 });
    } finally {
      other.stop();
    }
  });

  it('rides out an election', async () => {
    let refusals = 3;
    cluster.before = () => {
      if (refusals-- > 0) throw new JarvisError('no_leader', 'there is no leader');
    };
    expect(await runInProcess(['ls', '-o', 'name', '--peer', cluster.address])).toMatchObject({
      stderr: '',
      status: 0,
    });
  });
});

describe('a reader that goes away', () => {
  it('ends it quietly', async () => {
    for (let index = 0; index < 5000; index += 1)
      cluster.setTask(fakeTask({ id: `task-${index}`, name: 'x'.repeat(100) }));
    // More than the pipe holds, so that the write fails in the middle.
    const cli = new CliProcess(['ls', '-o', 'json', '--peer', cluster.address]);
    cli.closeStdout();
    expect(await cli.result).toEqual({ stdout: '', stderr: '', status: 0 });
  });
});

import { DEFAULT_RETRY_POLICY } from '../spec/task-schema.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { JarvisError } from '../lib/errors.ts';
import { CONFIG_KEYS, type RawConfig } from './config-schema.ts';
import { gatherConfig } from './config-sources.ts';
import { parseConfig, type NodeConfig } from './config.ts';

const LEAST = {
  name: 'n1',
  data_dir: '/data/n1',
  listen: '127.0.0.1:7101',
  http: '127.0.0.1:8101',
  peers: 'n1=127.0.0.1:7101,n2=127.0.0.1:7102',
} as const satisfies RawConfig;

const TOKEN = `jarvisjoin_join-${'a'.repeat(18)}_${'b'.repeat(64)}`;

function faultOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof JarvisError && error.code === 'invalid') return error.message;
    throw error;
  }
  return 'accepted';
}

function fileWith(text: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-config-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'node.yaml');
  writeFileSync(file, text);
  return file;
}

/** Each key, as a flag or variable has it, as YAML has it, and what comes of it. */
const KEYS: readonly (readonly [
  key: string,
  text: string,
  yaml: string,
  pick: (config: NodeConfig) => unknown,
  expected: unknown,
])[] = [
  ['name', 'n2', 'n2', ({ name }) => name, 'n2'],
  ['data_dir', '/d', '/d', ({ dataDir }) => dataDir, '/d'],
  ['listen', '127.0.0.1:9', '127.0.0.1:9', ({ listen }) => listen, '127.0.0.1:9'],
  ['advertise', 'a:9', 'a:9', ({ advertise }) => advertise, 'a:9'],
  ['http', '[::1]:1', "'[::1]:1'", ({ http }) => http, '[::1]:1'],
  ['peers', 'n9=h:1', '{n9: "h:1"}', ({ peers }) => peers, [{ name: 'n9', address: 'h:1' }]],
  ['join', 'a:1,b:2', '[a:1, b:2]', ({ join }) => join, ['a:1', 'b:2']],
  ['join_token', TOKEN, TOKEN, ({ joinToken }) => joinToken, TOKEN],
  ['join_token_file', '/t', '/t', ({ joinTokenFile }) => joinTokenFile, '/t'],
  [
    'labels',
    'zone=b,a=1,flag',
    '{zone: b, a: 1, flag: ""}',
    ({ labels }) => labels,
    [
      ['a', '1'],
      ['flag', ''],
      ['zone', 'b'],
    ],
  ],
  [
    'capacity',
    'cpu=1.5,memory=1Gi',
    '{cpu: 1.5, memory: 1Gi}',
    ({ capacity }) => capacity,
    { cpuMillis: 1500, memoryBytes: 2 ** 30 },
  ],
  ['reserve', 'cpu=500m', '{cpu: 500m}', ({ reserve }) => reserve, { cpuMillis: 500, memoryBytes: 0 }],
  ['drivers', 'noop,process', '[noop, process]', ({ drivers }) => drivers, ['noop', 'process']],
  [
    'policy',
    '{host_network: true, mounts: [/srv]}',
    '{host_network: true, mounts: [/srv]}',
    ({ policy }) => policy.shared,
    { mounts: [{ source: '/srv', readOnly: false }], hostNetwork: true, users: null, registries: null },
  ],
  ['lease_reads', 'true', 'true', ({ leaseReads }) => leaseReads, true],
  ['snapshot_rate', '64MB/s', '64MB/s', ({ snapshotBytesPerSecond }) => snapshotBytesPerSecond, 64_000_000],
  ['restart_grace', '90s', '1.5m', ({ restartGraceMs }) => restartGraceMs, 90_000],
  ['drain_on_exit', 'true', 'true', ({ drainOnExit }) => drainOnExit, true],
  ['drain_deadline', '90s', '1.5m', ({ drainDeadlineMs }) => drainDeadlineMs, 90_000],
  ['auth', 'true', 'true', ({ auth }) => auth, true],
  [
    'http_hosts',
    'a.example, b.example',
    '[a.example, b.example]',
    ({ httpHosts }) => httpHosts,
    ['a.example', 'b.example'],
  ],
  ['http_rate', '50', '50', ({ httpRate }) => httpRate, 50],
  ['insecure', 'true', 'true', ({ insecure }) => insecure, true],
  ['tls_cert', '/c', '/c', ({ tls }) => tls?.certificate, '/c'],
  ['tls_key', '/k', '/k', ({ tls }) => tls?.key, '/k'],
  ['tls_ca', '/a', '/a', ({ tls }) => tls?.authorities, '/a'],
  ['tls_ca_key', '/s', '/s', ({ tlsCaKey }) => tlsCaKey, '/s'],
  ['kill_tasks_on_exit', 'true', 'true', ({ killTasksOnExit }) => killTasksOnExit, true],
  ['log_level', 'debug', 'debug', ({ logLevel }) => logLevel, 'debug'],
  [
    'heartbeat',
    'interval=1s,warning=5s,timeout=10s',
    '{interval: 1s, warning: 5s, timeout: 10}',
    ({ cluster }) => cluster.heartbeat,
    { intervalMs: 1000, warningMs: 5000, timeoutMs: 10_000 },
  ],
  [
    'membership',
    'voters=5,learners=2,voter_grace=1m',
    '{voters: 5, learners: 2, voter_grace: 1m}',
    ({ cluster }) => cluster.membership,
    { voters: 5, learners: 2, voterGraceMs: 60_000 },
  ],
  [
    'retention',
    'tasks=2d,max_tasks=1000,events=90,logs=1h,max_log_bytes=2Gi',
    '{tasks: 2d, max_tasks: 1000, events: 90, logs: 1h, max_log_bytes: 2Gi}',
    ({ cluster }) => cluster.retention,
    {
      tasksMs: 2 * 24 * 3_600_000,
      maxTasks: 1000,
      eventsMs: 90_000,
      logsMs: 3_600_000,
      maxLogBytes: 2 * 1024 ** 3,
    },
  ],
  [
    'retry_policy',
    '{max_attempts: 5, backoff_strategy: fixed, retryable_errors: [Busy]}',
    '{max_attempts: 5, backoff_strategy: fixed, retryable_errors: [Busy]}',
    ({ cluster }) => cluster.retryPolicy,
    { ...DEFAULT_RETRY_POLICY, maxAttempts: 5, backoffStrategy: 'fixed', retryableErrors: ['Busy'] },
  ],
  [
    'scheduling',
    'policy=binpack',
    '{policy: binpack}',
    ({ cluster }) => cluster.scheduling,
    { policy: 'binpack' },
  ],
  [
    'autoscaling',
    '{enabled: true, max_nodes: 5, process: {capacity: {cpu: 500m}}}',
    '{enabled: true, max_nodes: 5, process: {capacity: {cpu: 0.5}}}',
    ({ cluster: { autoscaling } }) => [autoscaling.enabled, autoscaling.maxNodes, autoscaling.process],
    [true, 5, { capacity: { cpuMillis: 500, memoryBytes: null } }],
  ],
  [
    'alerts',
    '{webhooks: [{url: "https://alerts.example.com/x", events: [node.offline], secret: s, format: slack}]}',
    '{webhooks: [{url: "https://alerts.example.com/x", events: [node.offline], secret: s, format: slack}]}',
    ({ cluster }) => cluster.alerts.webhooks,
    [{ url: 'https://alerts.example.com/x', events: ['node.offline'], secret: 's', format: 'slack' }],
  ],
];

const TLS = { tls_cert: '/cert', tls_key: '/key', tls_ca: '/ca' };

/** Makes whatever a key is set to fit the rest. */
function completed(raw: RawConfig): RawConfig {
  const tls = Object.keys(raw).some((key) => key.startsWith('tls_')) ? TLS : {};
  const all = { ...LEAST, ...tls, ...raw };
  if ('join' in raw) return { ...all, peers: undefined };
  const peers = 'peers' in raw && raw['peers'] !== LEAST.peers ? raw['peers'] : undefined;
  if (peers !== undefined) return { ...all, name: 'n9', advertise: 'h:1' };
  const address = 'advertise' in raw ? String(raw['advertise']) : all.listen;
  return { ...all, peers: `${all.name}=${address}` };
}

describe('the settings of a node', () => {
  it('are all tested here', () => {
    expect(KEYS.map(([key]) => key)).toEqual(CONFIG_KEYS);
  });

  it.each(KEYS)('%s comes from the file, a variable and a flag', (key, text, yaml, pick, expected) => {
    const environment = { [`JARVISD_${key.toUpperCase()}`]: text, PATH: '/bin', JARVIS: 'x' };
    const file = fileWith(`${key}: ${yaml}\n`);
    const sources = [
      gatherConfig({ file, environment: {}, flags: {} }),
      gatherConfig({ file: null, environment, flags: {} }),
      gatherConfig({ file: null, environment: {}, flags: { [key]: text } }),
    ];
    for (const raw of sources) expect(pick(parseConfig(completed(raw)))).toEqual(expected);
  });

  it('rise in precedence from file over variable to flag', () => {
    const file = fileWith('name: file\nlog_level: debug\nhttp: 127.0.0.1:1\n');
    const environment = { JARVISD_NAME: 'variable', JARVISD_LOG_LEVEL: 'warn' };
    expect(gatherConfig({ file, environment, flags: { name: 'flag' } })).toEqual({
      name: 'flag',
      log_level: 'warn',
      http: '127.0.0.1:1',
    });
  });

  it('have defaults', () => {
    expect(parseConfig(LEAST)).toEqual({
      name: 'n1',
      dataDir: '/data/n1',
      listen: '127.0.0.1:7101',
      advertise: '127.0.0.1:7101',
      http: '127.0.0.1:8101',
      peers: [
        { name: 'n1', address: '127.0.0.1:7101' },
        { name: 'n2', address: '127.0.0.1:7102' },
      ],
      join: [],
      joinToken: null,
      joinTokenFile: null,
      labels: [],
      capacity: { cpuMillis: null, memoryBytes: null },
      reserve: { cpuMillis: 0, memoryBytes: 0 },
      drivers: null,
      policy: {
        shared: { mounts: [], hostNetwork: false, users: null, registries: null },
        capabilities: [],
        devices: [],
        credentialFiles: new Map(),
        logLimits: { maxFileBytes: 10 * 1024 * 1024, maxFiles: 5 },
        imageLimits: { maxAgeMs: 7 * 24 * 3600 * 1000, maxBytes: 20 * 1024 ** 3 },
      },
      leaseReads: false,
      restartGraceMs: 120_000,
      drainOnExit: false,
      drainDeadlineMs: 600_000,
      stated: {},
      snapshotBytesPerSecond: 100 * 1024 * 1024,
      auth: false,
      httpHosts: [],
      httpRate: 10_000,
      insecure: false,
      tls: null,
      tlsCaKey: null,
      killTasksOnExit: false,
      logLevel: 'info',
      cluster: {
        heartbeat: { intervalMs: 2000, warningMs: 10_000, timeoutMs: 30_000 },
        membership: { voters: 2, learners: 20, voterGraceMs: 300_000 },
        retention: {
          tasksMs: 7 * 24 * 3_600_000,
          maxTasks: 1_000_000,
          eventsMs: 24 * 3_600_000,
          logsMs: 7 * 24 * 3_600_000,
          maxLogBytes: 10 * 1024 ** 3,
        },
        retryPolicy: DEFAULT_RETRY_POLICY,
        scheduling: { policy: 'spread' },
        autoscaling: {
          enabled: false,
          dryRun: false,
          minNodes: 1,
          maxNodes: 20,
          scaleUpRules: [],
          scaleDownRules: [],
          intervalMs: 10_000,
          provider: 'process',
          process: null,
          docker: null,
          aws: null,
          command: null,
        },
        alerts: { webhooks: [] },
      },
    });
  });

  it('come from a file that may be empty', () => {
    expect(gatherConfig({ file: fileWith('# nothing\n'), environment: {}, flags: {} })).toEqual({});
  });

  it('know each driver once', () => {
    expect(parseConfig({ ...LEAST, drivers: 'noop, noop' }).drivers).toEqual(['noop']);
  });
});

describe('the settings of the cluster in the file of a founder', () => {
  it('are read exactly as they stand in the use cases', () => {
    const file = fileWith(`
retry_policy:
  max_attempts: 3
  backoff_strategy: exponential
  backoff_base: 2
  max_backoff: 300  # 5 minutes
  retryable_errors:
    - "ConnectionTimeout"
    - "ServiceUnavailable"
    - "TemporaryFailure"
  non_retryable_errors:
    - "InvalidInput"
    - "AuthenticationError"
    - "ResourceNotFound"
autoscaling:
  enabled: true
  min_nodes: 1
  max_nodes: 20

  scale_up_rules:
    - metric: queue_depth
      threshold: 100
      action: add_nodes
      count: 2
    - metric: average_wait_time
      threshold: 300  # 5 minutes
      action: add_nodes
      count: 1

  scale_down_rules:
    - metric: cluster_utilization
      threshold: 30  # percent
      cooldown: 600  # 10 minutes
      action: remove_nodes
      count: 1
`);
    const { cluster } = parseConfig({ ...LEAST, ...gatherConfig({ file, environment: {}, flags: {} }) });
    expect(cluster.retryPolicy).toEqual(DEFAULT_RETRY_POLICY);
    expect(cluster.autoscaling).toMatchObject({
      enabled: true,
      minNodes: 1,
      maxNodes: 20,
      provider: 'process',
      intervalMs: 10_000,
      scaleUpRules: [
        { metric: 'queue_depth', threshold: 100, count: 2, cooldownMs: 0 },
        { metric: 'average_wait_time', threshold: 300, count: 1, cooldownMs: 0 },
      ],
      scaleDownRules: [{ metric: 'cluster_utilization', threshold: 30, cooldownMs: 600_000, count: 1 }],
    });
  });

  it('are wrong together with those of the node', () => {
    expect(() => parseConfig({ ...LEAST, log_level: 'loud', scheduling: { policy: 'x' } })).toThrow(
      /^log_level: .*; scheduling.policy: /,
    );
  });
});

describe('a bad value is named with its key and with what is allowed', () => {
  it.each([
    [{ name: '-x' }, /^name: "-x" is not a name of letters/],
    [{ name: ['a'] }, /^name: \["a"\] is not a text$/],
    [{ name: undefined }, /^name: is required$/],
    [{ data_dir: '' }, /^data_dir: "" is not a path$/],
    [{ listen: 'x' }, /^listen: "x" is not host:port, such as 127/],
    [{ listen: '127.0.0.1:65536' }, /^listen: "127.0.0.1:65536" is not host:port/],
    [{ advertise: '[::1]' }, /^advertise: "\[::1\]" is not host:port/],
    [{ http: 8101 }, /^http: 8101 is not host:port/],
    [{ peers: '' }, /^peers: names no peer; a list such as n1=host:7101/],
    [{ peers: 'n1' }, /^peers: n1=: "" is not host:port[^;]*$/],
    [{ peers: 'n1=127.0.0.1:7101,n1=127.0.0.1:7103' }, /^peers: .* names "n1" twice$/],
    [{ peers: 'n1=127.0.0.1:7101,n2=127.0.0.1:7101' }, /^peers: two peers have the same address$/],
    [{ peers: 'n1=127.0.0.1:7101,n2=127.0.0.1:0' }, /^peers: n2=127.0.0.1:0: .* port 0$/],
    [{ peers: 'n2=h:1,n3=h:2' }, /^peers: does not name this node, n1; it names n2, n3$/],
    [
      { peers: 'n1=h:1' },
      /^peers: says h:1 for this node, n1; it listens on \(or advertises\) 127.0.0.1:7101$/,
    ],
    [{ peers: 5 }, /^peers: 5 is not a list/],
    [{ join: 'h:1' }, /^join: and peers exclude each other/],
    [{ peers: undefined, join: 'h' }, /^join: "h" is not host:port/],
    [{ peers: undefined, join: 'h:0' }, /^join: "h:0" .* port 0$/],
    [{ membership: { voters: 4 } }, /^membership.voters: 4 is not allowed: 1, 3, 5, 7$/],
    [{ http_rate: 0 }, /^http_rate: "0" is not allowed: a whole number, 1 to 1000000$/],
    [{ http_rate: '1e3' }, /^http_rate: "1e3" is not allowed: a whole number, 1 to 1000000$/],
    [{ membership: { learners: -1 } }, /^membership.learners: -1 is not allowed: a whole number, 0 to 100$/],
    [
      { membership: { voter: 3 } },
      /^membership.voter: unknown field "voter", did you mean voters\? \(known: voters, learners, voter_grace\)$/,
    ],
    [{ retry_policy: { max_attempts: 0 } }, /^retry_policy.max_attempts: 0 is too small: at least 1$/],
    [
      { retry_policy: { backoff_strategy: 'linear', attempts: 1 } },
      /^retry_policy.backoff_strategy: "linear" is not allowed.*; retry_policy.attempts: unknown field/,
    ],
    [{ retry_policy: 'twice' }, /^retry_policy: must be an object, not "twice"$/],
    [{ retention: { tasks: '1ms' } }, /^retention.tasks: "1ms" is not allowed: .*; 1s to 3650d$/],
    [
      { retention: { max_tasks: -1 } },
      /^retention.max_tasks: -1 is not allowed: a whole number, 0 to 100000000$/,
    ],
    [{ retention: { events: 'soon' } }, /^retention.events: "soon" is not allowed: seconds, or a duration/],
    [{ retention: { logs: '10ms' } }, /^retention.logs: "10ms" is not allowed: .*; 1s to 3650d$/],
    [{ retention: { max_log_bytes: 'much' } }, /^retention.max_log_bytes: "much" is not allowed: bytes, or/],
    [
      { retention: { keys: 1 } },
      /^retention.keys: unknown field "keys" \(known: tasks, max_tasks, events, logs, max_log_bytes\)$/,
    ],
    [
      { scheduling: { policy: 'pack' } },
      /^scheduling.policy: "pack" is no policy; allowed: spread, binpack$/,
    ],
    [
      { scheduling: 'polcy=spread' },
      /^scheduling.polcy: unknown field "polcy", did you mean policy\? \(known: policy\)$/,
    ],
    [
      { autoscaling: { aws: { region: 5, capacity: { cpu: 'lots' } } } },
      /^autoscaling\.aws\.region: must be a string, not 5: quote it, "5"; autoscaling\.aws\.instance_type: is required; autoscaling\.aws\.capacity\.cpu: "lots" is not allowed: cores [^;]*; more than 0$/,
    ],
    [
      { autoscaling: { command: { add: ['a'], remove: ['r'], list: ['l'], capacity: { gpu: 1 } } } },
      /^autoscaling\.command\.capacity\.gpu: unknown field "gpu", did you mean cpu\? \(known: cpu, memory\)$/,
    ],
    [
      { autoscaling: { docker: { image: 'i', mounts: ['relative'] } } },
      /^autoscaling\.docker\.mounts\[0\]: "relative" is not SOURCE:TARGET or SOURCE:TARGET:ro, both absolute paths$/,
    ],
    [{ peers: '-=h:1,n1=127.0.0.1:7101' }, /^peers: "-" is not a name/],
    [{ labels: '-a=1' }, /^labels: "-a" is not a name/],
    [{ labels: 'a=1,a=2' }, /^labels: .* names "a" twice$/],
    [{ labels: { a: 'x'.repeat(257) } }, /^labels.a: is longer than 256 characters$/],
    [{ capacity: 'gpu=1' }, /^capacity.gpu: is not a resource; allowed: cpu, memory$/],
    [{ capacity: 'cpu=x' }, /^capacity.cpu: cpu "x" is not allowed: a number of cores/],
    [{ reserve: 'memory=1Q' }, /^reserve.memory: memory "1Q" is not allowed: a number of bytes/],
    [{ drivers: 'podman' }, /^drivers: "podman"; allowed: process, docker, noop$/],
    [{ drivers: [] }, /^drivers: names none; allowed: process, docker, noop$/],
    [{ drivers: 5 }, /^drivers: 5 is not a list; allowed: process, docker, noop$/],
    [{ insecure: 'maybe' }, /^insecure: "maybe" is neither true nor false$/],
    [{ kill_tasks_on_exit: 3 }, /^kill_tasks_on_exit: 3 is neither true nor false$/],
    [
      { log_level: 'loud' },
      /^log_level: "loud" is not a level; allowed: trace, debug, info, warn, error, fatal$/,
    ],
    [{ policy: 5 }, /^policy: 5 is not a map of settings$/],
    [{ policy: { mount: [] } }, /^policy.mount: is not a setting; allowed: mounts, host_network, users, /],
    [{ policy: { mounts: 'x' } }, /^policy.mounts: "x" is not a list$/],
    [{ policy: { mounts: ['x'] } }, /^policy.mounts.0: "x" is not an absolute path/],
    [
      { policy: { mounts: [{ source: '/a', ro: 1 }] } },
      /^policy.mounts.0.ro: .*; allowed: source, read_only$/,
    ],
    [{ policy: { mounts: ['/srv/'] } }, /^policy.mounts.0: "\/srv\/" is not an absolute path/],
    [{ policy: { host_network: 'yes' } }, /^policy.host_network: "yes" is neither true nor false$/],
    [{ policy: { users: ['a b'] } }, /^policy.users.0: "a b" is not a user/],
    [{ policy: { capabilities: ['net'] } }, /^policy.capabilities.0: "net" is not a capability/],
    [{ policy: { devices: ['sda'] } }, /^policy.devices.0: "sda" is not an absolute path/],
    [{ policy: { registries: ['a'] } }, /^policy.registries: \["a"\] is not a map of hosts/],
    [{ policy: { registries: { a: { user: 1 } } } }, /^policy.registries.a.user: .*; allowed: credentials$/],
    [
      { policy: { log_limits: { files: 3 } } },
      /^policy.log_limits.files: .*; allowed: max_file_bytes, max_files$/,
    ],
    [
      { policy: { log_limits: { max_file_bytes: '1k' } } },
      /^policy.log_limits.max_file_bytes: "1k" .* 65536$/,
    ],
    [
      { policy: { image_limits: { max_age: 'x' } } },
      /^policy.image_limits.max_age: duration "x" is not allowed/,
    ],
    [{ heartbeat: { interval: 'x' } }, /^heartbeat.interval: "x" is not allowed: seconds, or/],
    [
      { heartbeat: { often: 1 } },
      /^heartbeat.often: unknown field "often" \(known: interval, warning, timeout\)$/,
    ],
    [{ heartbeat: 5 }, /^heartbeat: must be an object, not 5$/],
    [
      { heartbeat: { interval: '20s' } },
      /^heartbeat: interval 20000 ms, .*; allowed: an interval of at least/,
    ],
    [{ raft_id: 1 }, /^raft_id: is not a setting; allowed: name, data_dir, listen/],
  ] as const)('%j', (raw, message) => {
    expect(faultOf(() => parseConfig({ ...LEAST, ...raw }))).toMatch(message);
  });

  it('all of them at once', () => {
    const message = faultOf(() => parseConfig({ ...LEAST, listen: 'x', log_level: 'loud' }));
    expect(message).toMatch(/listen: .*; log_level: /);
  });

  it('an unknown variable', () => {
    const environment = { JARVISD_RAFT_ID: '1' };
    expect(faultOf(() => gatherConfig({ file: null, environment, flags: {} }))).toMatch(
      /^JARVISD_RAFT_ID: is not a setting; allowed: JARVISD_NAME, JARVISD_DATA_DIR/,
    );
  });

  it.each([
    ['- a\n', /a map of settings is expected/],
    ['name: n1\nname: n2\n', /unique/i],
    ['{', /--config .*node\.yaml: /],
  ])('a file of %j', (text, message) => {
    expect(faultOf(() => gatherConfig({ file: fileWith(text), environment: {}, flags: {} }))).toMatch(
      message,
    );
  });

  it('a file that is not there', () => {
    expect(faultOf(() => gatherConfig({ file: '/nowhere/node.yaml', environment: {}, flags: {} }))).toMatch(
      /^--config \/nowhere\/node\.yaml: ENOENT/,
    );
  });
});

describe('without TLS a node listens on loopback only', () => {
  const open = { ...LEAST, listen: '10.0.0.1:7101', peers: 'n1=10.0.0.1:7101' };

  it('unless it is told to be insecure', () => {
    expect(faultOf(() => parseConfig(open))).toMatch(
      /^listen: 10\.0\.0\.1:7101 is not a loopback.*--insecure/,
    );
    expect(parseConfig({ ...open, insecure: true }).listen).toBe('10.0.0.1:7101');
  });

  it('and with TLS anywhere', () => {
    expect(parseConfig({ ...open, ...TLS })).toMatchObject({
      listen: '10.0.0.1:7101',
      tls: { certificate: '/cert', key: '/key', authorities: '/ca' },
    });
  });

  it('and with a join token of a cluster that has it, from which it gets its files', () => {
    const { peers, ...rest } = open;
    const joining = { ...rest, join: peers.slice('n1='.length) };
    expect(parseConfig({ ...joining, join_token: `${TOKEN}_${'c'.repeat(64)}` }).tls).toEqual({
      certificate: '/data/n1/tls/node.pem',
      key: '/data/n1/tls/node.pem',
      authorities: '/data/n1/tls/ca.pem',
    });
    expect(faultOf(() => parseConfig({ ...joining, join_token: TOKEN }))).toMatch(/^listen: /);
  });

  it('and keeps the key of an authority for nothing without it', () => {
    expect(faultOf(() => parseConfig({ ...LEAST, tls_ca_key: '/s' }))).toBe(
      'tls_ca_key: is of no use without TLS (tls_cert, tls_key and tls_ca)',
    );
  });

  it.each(['tls_cert', 'tls_key', 'tls_ca'])('%s is not left out where TLS is wanted', (key) => {
    const message = `${key}: is missing: TLS needs tls_cert, tls_key and tls_ca`;
    expect(faultOf(() => parseConfig({ ...LEAST, ...TLS, [key]: undefined }))).toBe(message);
  });

  it.each(['0.0.0.0:1', '[::]:1', '127.0.0.1.example:1', 'localhost.example:1', '1.127.0.0:1'])(
    '%s is none',
    (http) => {
      expect(faultOf(() => parseConfig({ ...LEAST, http }))).toMatch(/^http: .* is not a loopback address/);
    },
  );

  it.each(['localhost:1', '127.9.9.9:1', '[::1]:1'])('%s is one', (http) => {
    expect(parseConfig({ ...LEAST, http }).http).toBe(http);
  });
});

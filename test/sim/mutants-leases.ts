/**
 * One rule of docs/leases.md left out by each, which names it; found by the runs with nodes. Where two rules cover for each
 * other, both are left out.
 */
import type { Mutant } from './mutants.ts';

const WORKER = 'src/agent/worker';
const LEADER = 'src/agent/leader';
const WATCHDOG = 'src/agent/watchdog';
const APPLY = 'src/scheduler/core/apply';

const RULES: readonly Omit<Mutant, 'world'>[] = [
  {
    name: 'lease-SENT',
    what: 'an answer grants from the newest heartbeat on, whichever it answers',
    file: `${WORKER}/worker-lease.ts`,
    find: 'const sentMs = this.#sentMs.get(number);',
    replace: 'const sentMs = this.#sentMs.has(number) ? [...this.#sentMs.values()].at(-1) : undefined;',
  },
  {
    name: 'lease-RI',
    what: 'heartbeats are answered without asking a quorum',
    file: `${LEADER}/node-session.ts`,
    find: 'term = await this.#replica.confirmLeadership(this.#over.signal);',
    replace: 'term = this.#options.term;',
  },
  {
    name: 'lease-STOPGRANT',
    what: 'heartbeats are answered after OFFLINE was proposed',
    file: `${LEADER}/node-monitor.ts`,
    find: 'return this.#watches.get(node)?.endingSession === session ? null : row;',
    replace: 'return row;',
  },
  {
    name: 'lease-NEWLEADER',
    what: 'a new leader takes nodes that it has not heard of for silent all the time',
    file: `${LEADER}/node-monitor.ts`,
    find: '        sinceMs: nowMs,\n',
    replace: '        sinceMs: nowMs - (this.#replica.state.cluster?.config.heartbeat.timeoutMs ?? 0),\n',
  },
  {
    name: 'lease-WAIT',
    what: 'a node is taken for gone before its lease can be over',
    file: `${LEADER}/node-monitor.ts`,
    find: 'if (silentMs >= timeoutMs) {',
    replace: 'if (silentMs >= 0.7 * timeoutMs) {',
  },
  {
    name: 'lease-REGTIMER',
    what: 'in a new session a node that has not been heard of counts as silent all the time',
    file: `${LEADER}/node-monitor.ts`,
    find: '      watch.sessionSinceMs = nowMs;\n      watch.sinceMs = nowMs;\n',
    replace:
      '      watch.sessionSinceMs = nowMs;\n      watch.sinceMs = nowMs - (this.#replica.state.cluster?.config.heartbeat.timeoutMs ?? 0);\n',
  },
  {
    name: 'lease-APPLYTERM',
    what: 'a decision of one term is carried out in a later one',
    file: `${APPLY}/apply.ts`,
    find: 'command.term !== transaction.entry.term',
    replace: 'command.term > transaction.entry.term',
  },
  {
    name: 'lease-OFFSESS',
    what: 'OFFLINE ends whichever session the node has',
    file: `${APPLY}/node-health.ts`,
    find: 'command: NodeOfflineCommand): Outcome {\n  const opened = openSession(transaction, command);',
    replace:
      "command: NodeOfflineCommand): Outcome {\n  const opened = openSession(transaction, { ...command, session: transaction.get('node', command.node)?.session ?? 0 });",
  },
  {
    name: 'lease-OFFENDS-INVBEFORE',
    what: 'a session goes on after OFFLINE, and an inventory judges assignments of its own session',
    file: `${APPLY}/register-node.ts`,
    find: 'const sameStart = known !== null && known.sessionOpen && known.startId',
    replace: 'const sameStart = known !== null && known.startId',
    also: [
      {
        file: `${APPLY}/reconcile-node.ts`,
        find: '    if (attempt.session >= command.session) continue;\n',
        replace: '',
      },
      {
        file: `${LEADER}/node-session.ts`,
        find: 'if (this.#replica.state.nodes.get(this.#node)?.reconciled !== true) {',
        replace: '{',
      },
    ],
  },
  {
    name: 'lease-BUMP',
    what: 'a restarted daemon goes on in the session of the one before',
    file: `${APPLY}/register-node.ts`,
    find: 'const session = sameStart ? known.session : nextSession(transaction);',
    replace: 'const session = known?.sessionOpen === true ? known.session : nextSession(transaction);',
    also: [
      {
        file: `${APPLY}/reconcile-node.ts`,
        find: 'if (attempt.session >= command.session) continue;',
        replace: 'if (attempt.session > command.session) continue;',
      },
    ],
  },
  {
    name: 'lease-INC',
    what: 'the inventory of another data directory speaks for the one before',
    file: `${APPLY}/register-node.ts`,
    find: 'return known.incarnation === command.incarnation && known.machineId === command.machineId;',
    replace: 'return known.machineId === command.machineId;',
  },
  {
    name: 'lease-MACHINE',
    what: 'the inventory of a data directory that was moved speaks for the machine before',
    file: `${APPLY}/register-node.ts`,
    find: 'return known.incarnation === command.incarnation && known.machineId === command.machineId;',
    replace: 'return known.incarnation === command.incarnation;',
  },
  {
    name: 'lease-NEWER',
    what: 'what an earlier attempt came to ends the newest one',
    file: `${APPLY}/report-attempts.ts`,
    find: 'if (attempt.assignment !== report.assignment || attempt.node !== node) return false;',
    replace: '',
  },
  {
    name: 'lease-WDLEASE',
    what: 'the watchdog starts what comes after the lease is over',
    file: `${WATCHDOG}/lease.ts`,
    find: 'return !isLeased || this.holds;',
    replace: 'return isLeased || !isLeased;',
  },
  {
    name: 'lease-RECORD',
    what: 'a watchdog that is started anew grants itself a minute',
    file: `${WATCHDOG}/lease.ts`,
    find: 'lease.#deadlineMs = await lease.#recorded();',
    replace: 'lease.#deadlineMs = (await lease.#recorded(), options.nowMs() + 60_000);',
  },
  {
    name: 'lease-WDSESS',
    what: 'the watchdog carries out what a daemon of an older session asked for',
    file: `${WATCHDOG}/requests.ts`,
    find: 'if (session !== this.#session)\n',
    replace: 'if (session > this.#session)\n',
  },
  {
    name: 'lease-FREEZE',
    what: 'groups are not frozen when the lease is over',
    file: `${WATCHDOG}/guards.ts`,
    find: '        await groups.freeze(cgroup);\n        if (groups',
    replace: '        if (groups',
    also: [
      {
        file: `${WATCHDOG}/guards.ts`,
        find: '          await groups.kill(cgroup);\n          await groups.freeze(cgroup);\n',
        replace: '          await groups.kill(cgroup);\n',
      },
    ],
  },
  {
    name: 'lease-PERATTEMPT',
    what: 'all containers of a node share one group',
    file: 'src/agent/drivers/docker/naming.ts',
    find: 'const name = containerNameOf(owner, key);',
    replace:
      'const name = containerNameOf(owner, { taskId: `all-${key.taskId.slice(0, 0)}`, assignment: 0 });',
  },
  {
    name: 'lease-KEEPFROZEN',
    what: 'a frozen group is removed once it is empty',
    file: `${WATCHDOG}/guards.ts`,
    find: '    while (!guard.isReleased) {\n',
    replace:
      '    while (!guard.isReleased) {\n      if (pauseMs > 16 && groups.remove(cgroup) !== null) return;\n',
  },
  {
    name: 'lease-HELD',
    what: 'a new lease thaws what the one before froze',
    file: `${WATCHDOG}/guards.ts`,
    find: '    while (!guard.isReleased) {\n',
    replace:
      '    while (!guard.isReleased) {\n      if (this.#options.lease.permits({ isLeased: true })) return groups.kill(cgroup);\n',
  },
  {
    name: 'lease-INVQUEUED',
    what: 'the list of attempts leaves out what does not run yet',
    file: `${WATCHDOG}/attempt-table.ts`,
    find: '      if (after !== null && number <= after) continue;\n',
    replace: "      if ((after !== null && number <= after) || view.type === 'registered') continue;\n",
  },
  {
    name: 'lease-KAPPA',
    what: 'a lease leaves no time for killing',
    file: 'src/model/lease.ts',
    find: '(timeoutMs / (1 + CLOCK_RATE_ERROR) - killMs)',
    replace: '(timeoutMs / (1 + CLOCK_RATE_ERROR))',
    also: [
      {
        file: 'src/model/lease.ts',
        find: 'leaseMs / (1 - CLOCK_RATE_ERROR) + killMs <=',
        replace: 'leaseMs / (1 - CLOCK_RATE_ERROR) <=',
      },
    ],
  },
  {
    name: 'lease-EMPTY',
    what: 'an attempt has ended once what is left of it was told to die',
    file: `${WATCHDOG}/cgroup-containment.ts`,
    find: '        if (groups.isOccupied(group)) await groups.kill(group);\n',
    replace:
      '        if (groups.isOccupied(group)) return (void groups.kill(group), { outOfMemory: false });\n',
  },
  {
    name: 'lease-STARTSESS',
    what: 'a start that is under way is given up neither at the deadline nor with its session, and carried out in the next one',
    file: `${WORKER}/driver-runner.ts`,
    find: '      start.controller.abort();\n      this.#starts.delete(name);\n',
    replace: '      start.inSession = session;\n',
    also: [
      {
        file: `${WORKER}/driver-runner.ts`,
        find: 'return await driver.start(spec, signal, onProgress);',
        replace:
          'return await driver.start({ ...spec, session: start.inSession ?? spec.session }, signal, onProgress);',
      },
      {
        file: `${WORKER}/known-attempts.ts`,
        find: "if (!attempt.isLeased || attempt.phase === 'ended') continue;",
        replace:
          "if (!attempt.isLeased || attempt.phase === 'ended' || attempt.phase === 'starting') continue;",
      },
    ],
  },
  {
    name: 'lease-STARTIDX',
    what: 'what has ended starts again where it is asked for again: worker and watchdog forget what they have seen',
    file: `${WORKER}/known-attempts.ts`,
    find: '    if (this.#attempts.has(nameOf(key))) return;\n    if (this.#seen.has(key.assignment)) {\n',
    replace:
      "    if ((this.#attempts.get(nameOf(key))?.phase ?? 'ended') !== 'ended') return;\n    if (Number.isNaN(key.assignment)) {\n",
    also: [
      {
        file: `${WORKER}/known-attempts.ts`,
        find: "      invariant(attempt?.phase === 'ended', 'an acknowledged end is one that was reported');\n",
        replace: "      if (attempt?.phase !== 'ended') continue;\n",
      },
      {
        file: `${WORKER}/report-outbox.ts`,
        find: "    invariant(earlier === undefined || !isAttemptOver(earlier.status), 'nothing is reported after the end');\n",
        replace: '    if (earlier !== undefined && isAttemptOver(earlier.status)) return;\n',
      },
      {
        file: `${WATCHDOG}/attempt-table.ts`,
        find: '    const known = this.find(spec);\n',
        replace:
          "    const found = this.find(spec);\n    const known = found?.view.type === 'ended' ? undefined : found;\n",
      },
      {
        file: `${WATCHDOG}/attempt-table.ts`,
        find: '    if (key.assignment <= highest)\n',
        replace: '    if (key.assignment < 0 * highest)\n',
      },
    ],
  },
  {
    name: 'lease-TOMB',
    what: 'a stop leaves no trace of what is not known, in worker and watchdog, and overtakes its start in the socket',
    file: `${WORKER}/known-attempts.ts`,
    find: "    this.#seen.add(key.assignment);\n    const attempt = this.#attempts.get(nameOf(key)) ?? this.#know(key, null, 'running');\n",
    replace: "    const attempt = this.#attempts.get(nameOf(key)) ?? this.#know(key, null, 'running');\n",
    also: [
      {
        file: `${WATCHDOG}/attempt-table.ts`,
        find: '    if (attempt === undefined) {\n      await this.#options.store.addTombstone(key);\n      return null;\n    }\n',
        replace: '    if (attempt === undefined) return null;\n',
      },
      {
        file: 'test/sim/nodes/watchdog-link.ts',
        find: 'this.watchdog.process.later(this.#arrivesMs - time.nowMs, ',
        replace:
          "this.watchdog.process.later(body.type === 'start' ? this.#arrivesMs - time.nowMs + 1500 * this.#host.chance.random() ** 4 : 0.1, ",
      },
    ],
  },
  {
    name: 'lease-WAITPROOF',
    what: 'a task that waits for its node is given up with it after the timeout',
    file: `${APPLY}/node-health.ts`,
    find: "else if (onNodeLossOf(transaction.spec(task).spec) === 'wait') leaveWaiting(transaction, task, node.name);\n",
    replace: 'else if (!node.sessionOpen) leaveWaiting(transaction, task, node.name);\n',
  },
];

const CHANGES: readonly Omit<Mutant, 'world'>[] = [
  {
    name: 'lease-SHORTWAIT',
    what: 'a shorter timeout counts as soon as the lease is shorter',
    file: `${LEADER}/timeout-settler.ts`,
    find: 'if ((this.#settling?.index ?? null) !== this.#index) this.#count();',
    replace:
      'if ((this.#settling?.index ?? null) === this.#index) return;\n      this.#count();\n      if (this.#index !== null) void this.#settle();',
  },
  {
    name: 'lease-SHORTNEW',
    what: 'a new leader takes the shorter timeout for one that has been waited for',
    file: `${LEADER}/timeout-settler.ts`,
    find: '    });\n    this.#count();\n',
    replace: '    });\n    this.#count();\n    if (this.#index !== null) void this.#settle();\n',
  },
  {
    name: 'lease-EXTCOMMIT',
    what: 'a leader grants the longer lease as soon as it was asked for, before it is committed',
    file: `${LEADER}/node-monitor.ts`,
    find: 'return grantedMs(cluster, row);',
    replace:
      'const heartbeat = { ...cluster.config.heartbeat };\n    heartbeat.timeoutMs = Math.max(heartbeat.timeoutMs, globalThis.proposedTimeoutMs ?? 0);\n    return grantedMs({ ...cluster, config: { ...cluster.config, heartbeat } }, row);',
    also: [
      {
        file: `${LEADER}/node-monitor.ts`,
        find: '    this.#term = term;\n',
        replace: '    this.#term = term;\n    globalThis.proposedTimeoutMs = 0;\n',
      },
      {
        file: 'src/store/codec.ts',
        find: '  let packed: Buffer;\n  try {\n    packed = pack(command);\n',
        replace:
          "  let packed: Buffer;\n  if (command.type === 'setHeartbeat') globalThis.proposedTimeoutMs = command.heartbeat.timeoutMs;\n  try {\n    packed = pack(command);\n",
      },
    ],
  },
  {
    name: 'lease-GRACE',
    what: 'the longer lease for a restart is granted before the longer timeout is committed',
    file: `${LEADER}/node-session.ts`,
    find: 'if (restartMs > 0) await this.#giveGrace(session, restartMs);',
    replace: 'if (restartMs > 0) this.#carryOut(this.#giveGrace(session, restartMs));',
    also: [
      {
        file: `${LEADER}/node-session.ts`,
        find: 'const value = { session, number, lease_ms: leaseMs, heartbeat',
        replace: 'const value = { session, number, lease_ms: Math.max(leaseMs, restartMs), heartbeat',
      },
    ],
  },
  {
    name: 'lease-GRACEOVER',
    what: 'the longer timeout of a restart ends as soon as the node is back',
    file: `${LEADER}/node-monitor.ts`,
    find: 'nowMs - watch.sessionSinceMs >= grace.timeoutMs',
    replace: 'nowMs - watch.sessionSinceMs >= 0 * grace.timeoutMs',
  },
];

/** Of a drain: docs/draining.md. */
const DRAINS: readonly Omit<Mutant, 'world'>[] = [
  {
    name: 'drain-moves-early',
    what: 'what is stopped at the deadline of a drain is moved before its node says that it is over',
    file: `${APPLY}/drain-steps.ts`,
    find: "transaction.putTask({ ...withAttempt(task, { stopFor: 'drain' }), statusReason });",
    replace:
      "if (!task.cancelRequested) transaction.putTask({ ...withAttempt(task, { status: 'LOST' }), status: 'PENDING', statusReason });",
  },
];

export const LEASE_MUTANTS: readonly Mutant[] = [...RULES, ...CHANGES, ...DRAINS].map((mutant) => ({
  ...mutant,
  world: 'nodes',
}));

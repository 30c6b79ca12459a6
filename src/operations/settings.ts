/** The settings that belong to the cluster (docs/configuration.md), as requests change them and answers show them. */
import type { ClusterSettings, SetConfigRequest } from '../generated/cluster.ts';
import { JarvisError } from '../lib/errors.ts';
import { shownTarget } from '../lib/webhook-target.ts';
import { alertsOf } from '../model/alerts.ts';
import type { IdempotencyKey, Outcome } from '../model/commands.ts';
import type { ClusterRow } from '../model/cluster.ts';
import { DEFAULT_MEMBERSHIP } from '../model/cluster.ts';
import { settlingOf } from '../model/earlier-rows.ts';
import { mayAct } from '../model/token.ts';
import type { CommandInput, Replica, StateView } from '../scheduler/ports.ts';
import type { LocatedFault } from '../spec/faults.ts';
import { formatPath, invalidInput } from '../spec/faults.ts';
import type { AllSettings, StatedSettings } from '../spec/settings/settings.ts';
import {
  SETTING_NAMES,
  allSettings,
  checkStated,
  defaultSettings,
  plainChanges,
  resolveSettings,
  showSettings,
} from '../spec/settings/settings.ts';
import type { ClusterInsight } from './insight.ts';
import { PERMISSIONS } from './permissions.ts';
import type { CallContext } from './port.ts';
import { idempotencyOf } from './requests.ts';
import { throwIfAborted } from './waiting.ts';

/** One after the other, each a matter of milliseconds. */
const MOST_WAITING = 100;
const MOST_NAMED = 5;
/** What stands before the id of a token in the name of whoever shows it. */
const TOKEN = 'token:';

interface Parts {
  readonly replica: Replica;
  readonly insight: Pick<ClusterInsight, 'members'>;
  readonly barrier: (context: Pick<CallContext, 'isStale' | 'signal'>) => Promise<void>;
  readonly outcome: (proposed: Promise<Outcome>, signal: AbortSignal) => Promise<unknown>;
  readonly isRemembered: (idempotency: IdempotencyKey | null) => Promise<boolean>;
}

export class LocalSettings {
  readonly #parts: Parts;
  #changing: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async get(context: CallContext): Promise<ClusterSettings> {
    await this.#parts.barrier(context);
    return settingsView(this.#cluster(), this.#mayKnowAddresses(context.principal));
  }

  /** Whoever knows the address of a webhook may often write to the channel behind it; a token for metrics is no token for that. */
  #mayKnowAddresses(principal: string): boolean {
    if (!principal.startsWith(TOKEN)) return true;
    const token = this.#parts.replica.state.tokens.get(principal.slice(TOKEN.length));
    return token !== undefined && mayAct(token.role, PERMISSIONS.setConfig.role);
  }

  /**
   * What becomes of a change depends on what there is, so that one comes after the other; what another leader began is
   * refused by its term.
   */
  async set(request: SetConfigRequest, context: CallContext): Promise<ClusterSettings> {
    const stated = parseSetConfig(request);
    if (this.#waiting >= MOST_WAITING)
      throw new JarvisError('too_many', `${this.#waiting} changes of settings are waiting already`);
    this.#waiting += 1;
    const turn = this.#changing.then(async () => this.#change(stated, request, context));
    // Whoever asked hears of it.
    this.#changing = turn.catch(() => undefined).finally(() => (this.#waiting -= 1));
    return await turn;
  }

  async #change(
    stated: StatedSettings,
    request: SetConfigRequest,
    context: CallContext,
  ): Promise<ClusterSettings> {
    const { barrier, outcome, isRemembered, replica } = this.#parts;
    const { idempotency } = idempotencyOf({
      principal: context.principal,
      route: 'PUT /config',
      key: request.idempotency_key,
      content: stated,
    });
    await barrier({ signal: context.signal });
    const { term } = replica.leadership();
    const { config } = this.#cluster();
    const defaults = defaultSettings(this.#voters());
    const before = allSettings(config, defaults);
    const { settings, faults: own } = resolveSettings(stated, before, defaults);
    const faults = [...own, ...regionFaults(before, settings, replica.state.instances)];
    if (faults.length > 0 && !(await isRemembered(idempotency))) throw invalid(faults);
    throwIfAborted(context.signal);
    await outcome(replica.propose(commandOf({ stated, settings, term, idempotency })), context.signal);
    return settingsView(this.#cluster(), true);
  }

  #cluster(): ClusterRow {
    const { cluster } = this.#parts.replica.state;
    if (cluster === null) throw new JarvisError('unavailable', 'the cluster is still being formed');
    return cluster;
  }

  /** What a cluster whose number of voters is reset keeps: as many as it has, made odd. */
  #voters(): number {
    const voters = this.#parts.insight.members().filter(({ role }) => role === 'voter').length;
    return Math.min(7, Math.max(1, voters % 2 === 0 ? voters - 1 : voters));
  }
}

/** What is in one region nobody lists, nor ends, who asks another. */
function regionFaults(
  { autoscaling: { aws: before } }: AllSettings,
  { autoscaling: { aws: after } }: AllSettings,
  instances: StateView['instances'],
): readonly LocatedFault[] {
  if (before === null || before.region === after?.region) return [];
  const there = [...instances.values()].filter(({ provider, isAsked }) => provider === 'aws' && isAsked);
  if (there.length === 0) return [];
  const names = there.slice(0, MOST_NAMED).map(({ node }) => node);
  const message = `stays ${before.region} while machines are there that the autoscaler has made (${there.length}: ${names.join(', ')}): let them leave first`;
  return [{ path: ['autoscaling', 'aws', 'region'], message }];
}

function invalid(faults: readonly LocatedFault[]): JarvisError {
  return invalidInput(faults.map(({ path, message }) => ({ path: formatPath(path), message })));
}

/** @throws JarvisError invalid, with everything that is wrong with single values */
function parseSetConfig({ heartbeat, changes }: SetConfigRequest): StatedSettings {
  const result = checkStated(changes === '' ? { heartbeat: { ...heartbeat } } : plainChanges(changes));
  if (result.type === 'invalid') throw invalid(result.faults);
  const isEmpty = Object.values(result.stated).every(
    (block) => block !== null && Object.keys(block).length === 0,
  );
  if (isEmpty)
    throw invalidInput([
      { path: '', message: `names nothing to change; allowed: settings of ${SETTING_NAMES.join(', ')}` },
    ]);
  return result.stated;
}

function commandOf({
  stated,
  settings,
  term,
  idempotency,
}: {
  readonly stated: StatedSettings;
  readonly settings: AllSettings;
  readonly term: number;
  readonly idempotency: IdempotencyKey | null;
}): CommandInput {
  const { heartbeat: beats, ...others } = settings;
  const heartbeat = named(beats, stated.heartbeat);
  const changed = Object.entries(others).filter(([key]) => Object.hasOwn(stated, key));
  // Nodes of earlier versions know no other command.
  if (changed.length === 0) return { type: 'setHeartbeat', heartbeat, idempotency };
  return {
    type: 'setConfig',
    term,
    heartbeat,
    blocks: Object.fromEntries(changed),
    idempotency,
  };
}

/** What is not named stays as it is, also where another changes it. */
function named(
  beats: AllSettings['heartbeat'],
  stated: StatedSettings['heartbeat'],
): Partial<AllSettings['heartbeat']> {
  if (stated === null) return beats;
  const names = Object.keys(stated ?? {});
  return Object.fromEntries(Object.entries(beats).filter(([name]) => names.includes(name)));
}

function settingsView(cluster: ClusterRow, withAddresses: boolean): ClusterSettings {
  const { heartbeat, membership } = cluster.config;
  const settling = settlingOf(cluster);
  const all = allSettings(cluster.config, defaultSettings(0));
  const webhooks = alertsOf(cluster.config).webhooks.map((one) => ({ ...one, url: shownTarget(one.url) }));
  const shown = showSettings(withAddresses ? all : { ...all, alerts: { webhooks } });
  const voters = membership?.voters;
  return {
    heartbeat: {
      interval: heartbeat.intervalMs / 1000,
      warning: heartbeat.warningMs / 1000,
      timeout: heartbeat.timeoutMs / 1000,
    },
    membership: {
      voters,
      learners: membership?.learners ?? DEFAULT_MEMBERSHIP.learners,
      voter_grace: (membership?.voterGraceMs ?? DEFAULT_MEMBERSHIP.voterGraceMs) / 1000,
    },
    settling_timeout: settling === null ? undefined : settling.timeoutMs / 1000,
    // Where none is set, as many are kept as there are.
    blocks: JSON.stringify({ ...shown, membership: { ...shown['membership'], voters: voters ?? null } }),
  };
}

/** What is used, in the JSON of the API: what cannot be told is null. */
import type { AttemptSample, AttemptUsage, NodeUsage, TaskUsage } from '../generated/cluster.ts';

/** A list of attempts comes without their histories. */
export function nodeUsageToJson(usage: NodeUsage): object {
  return {
    node: usage.node,
    sampled_at: usage.sampled_at ?? null,
    interval: usage.interval,
    usage: usage.usage ?? null,
    history: usage.history,
    attempts: usage.attempts.map(attemptToJson),
    attempts_total: usage.attempts_total,
  };
}

/** With the history of its attempt. */
export function taskUsageToJson({ node, interval, usage }: TaskUsage): object {
  if (usage === undefined) return { node, interval };
  return { ...attemptToJson(usage), node, interval, history: usage.history.map(sampleToJson) };
}

/** Without its history. */
export function attemptToJson(usage: AttemptUsage): object {
  return {
    task_id: usage.task_id,
    attempt: usage.attempt,
    assignment: usage.assignment,
    driver: usage.driver,
    sampled_at: usage.sampled_at,
    memory_limit_bytes: usage.memory_limit_bytes ?? null,
    ...amountsToJson(usage),
  };
}

function sampleToJson(sample: AttemptSample): object {
  return { at: sample.at, ...amountsToJson(sample) };
}

function amountsToJson(of: AttemptSample | AttemptUsage): object {
  return {
    cpu_cores: of.cpu_cores ?? null,
    memory_bytes: of.memory_bytes ?? null,
    pids: of.pids ?? null,
    read_bytes_per_second: of.read_bytes_per_second ?? null,
    write_bytes_per_second: of.write_bytes_per_second ?? null,
    network_receive_bytes_per_second: of.network_receive_bytes_per_second ?? null,
    network_transmit_bytes_per_second: of.network_transmit_bytes_per_second ?? null,
  };
}

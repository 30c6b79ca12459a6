import { describe, expect, it } from 'vitest';

import { Register, Report } from '../../generated/worker.ts';
import { DEFAULT_POLICY } from '../../model/policy.ts';
import { registration } from '../worker/testing/values.ts';
import { LEADER_LIMITS } from './limits.ts';
import { registrationFromWire, reportFromWire } from './wire.ts';

type WirePolicy = NonNullable<Register['policy']>;

function policyOf(policy: WirePolicy | undefined) {
  const register = Register.decode(Register.encode({ ...registration('n1', 's'), policy }).finish());
  return registrationFromWire(register).policy;
}

const nothing: WirePolicy = { mounts: [], host_network: false };

describe('a registration', () => {
  it('without a policy allows nothing of the node', () => {
    expect(policyOf(undefined)).toEqual(DEFAULT_POLICY);
    expect(policyOf(nothing)).toEqual(DEFAULT_POLICY);
  });

  it('tells an empty list from one that is absent', () => {
    const policy = {
      mounts: [{ source: '/srv', read_only: true }],
      host_network: true,
      users: { names: [] },
      registries: { names: ['localhost:5000'] },
    };
    expect(policyOf(policy)).toEqual({
      mounts: [{ source: '/srv', readOnly: true }],
      hostNetwork: true,
      users: [],
      registries: ['localhost:5000'],
    });
  });

  it.each([
    { ...nothing, mounts: [{ source: 'srv', read_only: true }] },
    { ...nothing, users: { names: [''] } },
    { ...nothing, registries: { names: ['x'.repeat(LEADER_LIMITS.policyEntryCharacters + 1)] } },
    { ...nothing, users: { names: Array.from({ length: LEADER_LIMITS.policyEntries + 1 }, () => 'a') } },
  ])('is malformed with a policy that is none', (policy) => {
    expect(() => policyOf(policy)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

function nested(depth: number): string {
  return `${'['.repeat(depth)}${']'.repeat(depth)}`;
}

describe('a report', () => {
  it.each([
    { at_ms: 8.64e15 + 1 },
    { at_ms: Number.MAX_SAFE_INTEGER },
    { started_at_ms: 253_402_300_800_000 },
    { stopping: { reason: 'stopped', since_ms: 0, kill_at_ms: 8.64e15 + 1 } },
  ])('is malformed with times that nobody can write: %j', (times) => {
    const report = Report.fromPartial({ task_id: 't', assignment: 1, status: 'RUNNING', ...times });
    expect(() => reportFromWire(report)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  it('has its note and image, within bounds', () => {
    const report = Report.create({ task_id: 't', assignment: 1, status: 'STARTING' });
    expect(reportFromWire(report)).toMatchObject({ note: '', imageDigest: null });
    const long = { ...report, note: 'x'.repeat(10_000), image_digest: 'y'.repeat(10_000) };
    const { note, imageDigest } = reportFromWire(long);
    expect(note).toHaveLength(LEADER_LIMITS.noteCharacters);
    expect(imageDigest).toHaveLength(LEADER_LIMITS.imageDigestCharacters);
  });

  it('has no result that no entry could hold', () => {
    const report = Report.create({ task_id: 't', assignment: 1, status: 'COMPLETED' });
    expect(reportFromWire({ ...report, result: nested(32) }).result).toEqual([expect.any(Array)]);
    for (const depth of [33, 100, 2048])
      expect(reportFromWire({ ...report, result: nested(depth) }).result).toBeNull();
  });

  it('says what is being done to end the attempt', () => {
    const report = Report.create({ task_id: 't', assignment: 1, status: 'RUNNING' });
    const stopping = { reason: 'timeout', since_ms: 5, kill_at_ms: 10_005 };
    expect(reportFromWire({ ...report, stopping }).stopping).toEqual({
      reason: 'timeout',
      sinceMs: 5,
      killAtMs: 10_005,
    });
    expect(reportFromWire(report)).not.toHaveProperty('stopping');
    expect(() => reportFromWire({ ...report, stopping: { ...stopping, reason: 'boredom' } })).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });
});

import { readFileSync } from 'node:fs';
import path from 'node:path';

import * as grpc from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import { ERROR_CODES, isErrorCode, JarvisError } from '../lib/errors.ts';
import { limits } from '../lib/limits.ts';
import { fromServiceError, STATUS_CODES, toStatus } from './errors.ts';

const codes = Object.keys(ERROR_CODES).filter(isErrorCode);
const statuses = Object.values(grpc.status).filter(
  (value): value is grpc.status => typeof value === 'number',
);
const documentation = readFileSync(path.join(import.meta.dirname, '../../docs/grpc.md'), 'utf8');

function failure(code: number, metadata = new grpc.Metadata()): grpc.ServiceError {
  return Object.assign(new Error('failed'), { code, details: 'failed', metadata });
}

/** Cells of the rows of the table below that heading. */
function table(heading: string): string[][] {
  const section = documentation.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('a code', () => {
  it.each(codes)('%s has a status and comes back as itself, for reads and for writes', (code) => {
    const status = toStatus(new JarvisError(code, 'why'));
    expect(grpc.status[status.code]).toBeDefined();
    expect(status.code).not.toBe(grpc.status.OK);
    for (const write of [false, true]) {
      const error = fromServiceError(failure(status.code, status.metadata), { address: 'n1:1', write });
      expect(error).toMatchObject({ code, message: 'failed' });
    }
  });

  it('stands in the documentation with what it becomes', () => {
    const rows = table('Errors').map(([code, status, http]) => [code, status, Number(http)]);
    expect(rows).toEqual(
      codes.map((code) => [
        `\`${code}\``,
        `\`${grpc.status[ERROR_CODES[code].grpc]}\``,
        ERROR_CODES[code].http,
      ]),
    );
  });
});

function received(metadata: grpc.Metadata): JarvisError {
  return fromServiceError(failure(grpc.status.UNAVAILABLE, metadata), { address: 'n1:7101', write: true });
}

describe('an error', () => {
  it('says after what time another try makes sense, where that is known', () => {
    const sent = toStatus(new JarvisError('unavailable', 'not yet', { retryAfterMs: 1500.2 }));
    expect(received(sent.metadata).retryAfterMs).toBe(1501);
    expect(received(toStatus(new JarvisError('unavailable', 'now')).metadata).retryAfterMs).toBeNull();
    sent.metadata.set('jarvis-retry-after-ms', '-1e9');
    expect(received(sent.metadata)).toMatchObject({ code: 'unavailable', retryAfterMs: null });
  });
});

describe('a status without a code', () => {
  it('is in the table, whichever it is', () => {
    expect(Object.keys(STATUS_CODES).map(Number)).toEqual(statuses);
  });

  it.each(statuses)('%i becomes one that names who answered', (status) => {
    for (const write of [false, true]) {
      const error = fromServiceError(failure(status), { address: 'n1:7101', write });
      expect(error.message).toMatch(/^n1:7101.*: failed$/);
      expect(error.code).toBe(STATUS_CODES[status][write ? 'write' : 'read']);
    }
  });

  it('of an earlier version says so, and that there is no use in asking again at once', () => {
    const error = fromServiceError(failure(grpc.status.UNIMPLEMENTED), { address: 'n1:7101', write: true });
    expect(error).toMatchObject({
      code: 'unavailable',
      message: 'n1:7101 does not know this request (an earlier version?): failed',
      retryAfterMs: limits.upgradeRetryMs,
    });
  });

  it('that leaves open whether a write has happened never says that it has not', () => {
    for (const status of [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED])
      expect(STATUS_CODES[status].write).toBe('outcome_unknown');
  });

  it('that is none at all is internal', () => {
    expect(fromServiceError(failure(99), { address: 'n1:1', write: true }).code).toBe('internal');
  });

  it('with a code that is none is taken by its status', () => {
    const metadata = new grpc.Metadata();
    metadata.set('jarvis-code', '__proto__');
    const error = fromServiceError(failure(grpc.status.NOT_FOUND, metadata), {
      address: 'n1:1',
      write: false,
    });
    expect(error.code).toBe('not_found');
  });
});

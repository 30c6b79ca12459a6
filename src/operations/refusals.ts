/** Refusals of `apply` as errors. */
import { unreachable } from '../lib/assert.ts';
import { JarvisError, type ErrorCode } from '../lib/errors.ts';
import type { Outcome, RefusalCode } from '../model/commands.ts';

export function errorOfRefusal({ code, message }: Extract<Outcome, { type: 'refused' }>): JarvisError {
  return new JarvisError(codeOfRefusal(code), message);
}

function codeOfRefusal(code: RefusalCode): ErrorCode {
  switch (code) {
    case 'not_found':
    case 'forbidden':
    case 'conflict':
    case 'idempotency_conflict':
    case 'invalid':
    case 'too_many':
      return code;
    // Decided by a leader that was replaced meanwhile: the next one decides anew.
    case 'stale_decision':
      return 'no_leader';
    case 'stale_session':
    case 'internal':
      return 'internal';
    default:
      return unreachable(code);
  }
}

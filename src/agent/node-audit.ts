/**
 * Records what is asked of a node without the token of a caller: to be let in, to have a certificate, and connections whose
 * certificate is refused. Each has another proof of who it is.
 */
import { JarvisError } from '../lib/errors.ts';
import type { AuditRecord, AuditTrail } from '../operations/guard.ts';
import type { CallContext } from '../operations/port.ts';

export interface NodeRequest {
  readonly operation: 'join' | 'enrol' | 'renew';
  /** The name that it is about. */
  readonly node: string;
  /** Where it was carried out: by what it was allowed. */
  readonly principal: string;
  readonly caller: CallContext['caller'];
}

export class NodeAudit {
  readonly #trail: AuditTrail | null;

  /** @param trail null: nothing is recorded */
  constructor(trail: AuditTrail | null) {
    this.#trail = trail;
  }

  /** Carried out, and recorded where it fails. */
  async attempt<T>(request: NodeRequest, carryOut: () => Promise<T>): Promise<T> {
    try {
      return await carryOut();
    } catch (error) {
      const result = error instanceof JarvisError ? error.code : 'internal';
      // Whoever is refused has proved nothing.
      this.#trail?.record(recordOf({ ...request, principal: null }, result), true);
      throw error;
    }
  }

  done(request: NodeRequest): void {
    this.#trail?.record(recordOf(request, 'ok'), false);
  }

  refused(address: string, code: string, result: 'unauthenticated' | 'forbidden'): void {
    const refusal = { operation: 'connect', principal: null, target: code, address, result } as const;
    this.#trail?.record({ ...refusal, name: null, role: null, forwarded: false }, true);
  }
}

function recordOf(
  { operation, node, principal, caller }: Omit<NodeRequest, 'principal'> & { principal: string | null },
  result: AuditRecord['result'],
): AuditRecord {
  const address = caller?.address ?? '';
  return { principal, name: null, role: null, operation, target: node, address, forwarded: false, result };
}

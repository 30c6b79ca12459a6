import type { NodeRow } from '../../../model/node.ts';
import type { Transaction } from '../transaction.ts';
import { refuse } from './outcomes.ts';
import type { Refused } from './outcomes.ts';

type Opened = { readonly type: 'open'; readonly node: NodeRow } | Refused;

/** The node, where the session that is named is its present one and stands; OFFLINE ends one for good [OFFENDS]. */
export function openSession(transaction: Transaction, named: { node: string; session: number }): Opened {
  const node = transaction.get('node', named.node);
  if (node === null) return refuse('not_found', `there is no node ${named.node}`);
  if (node.session !== named.session || !node.sessionOpen) {
    return refuse(
      'stale_session',
      `session ${named.session} of node ${node.name} is over; the newest is ${node.session}`,
    );
  }
  return { type: 'open', node };
}

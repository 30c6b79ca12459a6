/** That something is not there, and where whoever asks for it may have gone wrong. */
import { JarvisError } from '../lib/errors.ts';
import { show } from '../spec/faults.ts';

const PLURALS = { task: 'tasks', batch: 'batches', dag: 'DAGs' } as const;
type Kind = keyof typeof PLURALS;

/** @param text what was taken for an id, or its beginning; of a DAG also for its name */
export function absent(kind: Kind, text: string): JarvisError {
  return new JarvisError('not_found', `there is no ${kind} ${show(text)}${hint(kind, text)}`);
}

function hint(kind: Kind, text: string): string {
  const kinds = Object.keys(PLURALS) as Kind[];
  const meant = kinds.find((one) => text.startsWith(`${one}-`));
  if (meant === kind) return '';
  if (meant !== undefined) return `; ids of ${PLURALS[meant]} begin with ${meant}-`;
  return kind === 'dag' ? '' : `; ${PLURALS[kind]} are asked for by their ids, which begin with ${kind}-`;
}

/** Who asked another node than the leader for what only that knows. */
export function notLeading({ nodeName }: { readonly nodeName: string }): JarvisError {
  return new JarvisError('no_leader', `${nodeName} does not lead`);
}

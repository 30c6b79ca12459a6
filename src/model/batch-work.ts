import type { BatchWork } from './commands.ts';

/** Tasks that it makes. */
export function sizeOfWork(work: BatchWork): number {
  switch (work.type) {
    case 'tasks':
      return work.specs.changes.length;
    case 'template':
      return work.count;
    default:
      return work.parameters.length;
  }
}

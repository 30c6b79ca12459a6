import type { Outcome, RefusalCode } from '../../../model/commands.ts';

export function done<Result>(result: Result): Outcome<Result> {
  return { type: 'done', result };
}

export function refuse(code: RefusalCode, message: string): Outcome<never> {
  return { type: 'refused', code, message };
}

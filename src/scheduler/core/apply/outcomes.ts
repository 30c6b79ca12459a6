import type { Outcome, RefusalCode } from '../../../model/commands.ts';

export type Done<Result> = Extract<Outcome<Result>, { type: 'done' }>;
export type Refused = Extract<Outcome, { type: 'refused' }>;

export function done<Result>(result: Result): Done<Result> {
  return { type: 'done', result };
}

/** Nothing has changed. @param message says what stands against it, for people */
export function refuse(code: RefusalCode, message: string): Refused {
  return { type: 'refused', code, message };
}

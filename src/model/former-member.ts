/** A member that an operator has removed: its certificate may be good for long, and lets it in no more by itself. */
export interface FormerMemberRow {
  readonly name: string;
  readonly removedAtMs: number;
}

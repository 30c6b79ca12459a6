/** Where the output of attempts is that ran on a node which has left: kept per node, never per task. */
export interface LogHolderRow {
  /** On which they ran. */
  readonly node: string;
  /** By assignment, rising; a node of that name that came later has further ones. */
  readonly spans: readonly LogSpan[];
}

export interface LogSpan {
  /** Of attempts with an assignment up to this one, and above that of the span before. */
  readonly upTo: number;
  /** The node that has their output. */
  readonly holder: string;
  readonly sinceMs: number;
  /** Of the node that handed it over. */
  readonly incarnation: string;
}

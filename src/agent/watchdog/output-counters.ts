/** How much output of tasks a process has put into logs since it started, and how much the disk did not take. */
export interface OutputCounts {
  /** Bytes of the files: of each piece of output also its time and stream. */
  readonly writtenBytes: number;
  readonly lostBytes: number;
}

export class OutputCounters implements OutputCounts {
  writtenBytes = 0;
  lostBytes = 0;
}

/** `jarvisctl logs -f` beside a test. */
import { startCli } from './cli-process.ts';
import type { CliProcess } from './cli-process.ts';

export interface LogFollower extends Omit<CliProcess, 'until'> {
  /** Resolves once stdout ends so. */
  until(end: string): Promise<void>;
}

/** @param peers as `--peer` takes them. Ends with the test. */
export function followLogs(id: string, peers: string): LogFollower {
  const cli = startCli(['logs', '-f', id, '--peer', peers]);
  return {
    get stdout() {
      return cli.stdout;
    },
    get stderr() {
      return cli.stderr;
    },
    until: (end) => cli.until(`output that ends with ${JSON.stringify(end)}`, (text) => text.endsWith(end)),
    interrupt: () => cli.interrupt(),
    ended: cli.ended,
  };
}

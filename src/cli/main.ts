#!/usr/bin/env node
/** jarvisctl, the client: sets up the process's side (signals, broken pipes, exit status) and runs one command. */
import { exitStatusOfInterrupt } from './exit-status.ts';
import { dialGrpc } from './grpc-connection.ts';
import { runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

const interruption = new AbortController();

// It moves no cursor and shows no colours, such as a shell in an editor: all is as in a pipe.
if (process.env['TERM'] === 'dumb') {
  process.stdout.isTTY = false;
  process.stderr.isTTY = false;
}

const terminal: Terminal = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupted: interruption.signal,
  brokenPipeStatus: 0,
};

/** Under npm one Ctrl-C arrives twice: from the terminal, and sent on by npm. */
const SAME_INTERRUPTION_MS = 1000;
let interruptedAtMs: number | null = null;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    const now = performance.now();
    if (interruptedAtMs === null) {
      interruptedAtMs = now;
      interruption.abort(signal);
    } else if (now - interruptedAtMs > SAME_INTERRUPTION_MS) {
      // Whoever asks twice does not want to wait for good manners.
      process.exit(exitStatusOfInterrupt(interruption.signal));
    }
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(terminal.brokenPipeStatus);
  throw error;
});
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runProgram(process.argv, { terminal, dial: dialGrpc });

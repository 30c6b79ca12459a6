#!/usr/bin/env node
/** jarvisctl, the client: sets up the process's side (signals, broken pipes, exit status) and runs one command. */
import { dialGrpc } from './grpc-connection.ts';
import { runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

const interruption = new AbortController();

const terminal: Terminal = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  interrupted: interruption.signal,
  brokenPipeStatus: 0,
};

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Whoever asks twice does not want to wait for good manners.
    if (interruption.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143);
    interruption.abort(signal);
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

/**
 * A process that outlives the tests' own by a moment: when that ends, in whatever way (a killed test run cannot clean up),
 * it kills what is left of a directory's processes, removes the control groups that those were in, lets go what is mounted
 * there, removes the directory, and the control groups of the nodes' containers as soon as nothing runs there any more.
 */
import { spawn } from 'node:child_process';

import { within } from './wait.ts';

/** The directory comes through the pipe, not as an argument: else the guard would be one of its processes itself. */
const SCRIPT = `
  read -r directory
  read -r last
  [ "$last" = done ] && exit
  for round in 1 2 3 4 5; do
    found=$(grep -lszF "$directory/" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d/ -f3 | sort -u)
    groups="$groups $(for pid in $found; do grep -o '/.*jarvis-process-.*' /proc/$pid/cgroup; done)"
    [ -n "$found" ] && kill -9 $found
    sleep 0.2
  done 2> /dev/null
  for folder in $(grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5); do
    for group in $groups; do [ -d "$folder$group" ] && rmdir "$folder$group"; done
  done 2> /dev/null
  incarnations=$(sed -n 's/^ *"incarnation": *"\\(........\\).*/\\1/p' "$directory"/*/identity.json 2> /dev/null | sort -u)
  grep -F " $directory/" /proc/mounts | cut -d' ' -f2 | xargs -r umount -l 2> /dev/null
  rm -rf "$directory"
  for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    left=
    for incarnation in $incarnations; do
      find /sys/fs/cgroup -depth -type d -path "*/jarvis-$incarnation-*" -exec rmdir {} ';'
      left="$left$(find /sys/fs/cgroup -type d -name "jarvis-$incarnation-*")"
    done
    [ -z "$left" ] && exit
    sleep 2
  done 2> /dev/null
`;
const END_TIMEOUT_MS = 5000;

export interface Guard {
  /** The directory needs it no more. */
  dismiss(): Promise<void>;
}

export function guardDirectory(directory: string): Guard {
  // A session of its own: what ends the tests does not end it.
  const child = spawn('sh', ['-c', SCRIPT], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('exit', () => resolve());
    child.once('error', reject);
  });
  // It may be killed with the rest.
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${directory}\n`);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return {
    async dismiss() {
      child.stdin.end('done\n');
      const gone = ended.then(() => true);
      if (!(await within(gone, END_TIMEOUT_MS, false))) child.kill('SIGKILL');
    },
  };
}

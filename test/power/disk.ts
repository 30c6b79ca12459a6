/**
 * A disk whose power can be cut: a file that is mounted as ext4 through a loop device. The cut is ext4's own shutdown
 * (EXT4_IOC_SHUTDOWN): from then on nothing reaches the disk, every write and sync fails, and what was not synced before
 * is gone once the file system is mounted anew.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { messageOf } from '../../src/lib/errors.ts';
import { programPath } from '../support/docker-bed/programs.ts';
import { waitFor } from '../support/wait.ts';

const run = promisify(execFile);

const PROGRAM_TIMEOUT_MS = 60_000;
/** A process that was killed may take a moment to let its files go. */
const UNMOUNT_TIMEOUT_MS = 20_000;
/**
 * Node.js has no ioctl, and perl-base is on every Debian. The number is `_IOR('X', 125, __u32)` where the direction is
 * coded as on x86 and ARM. All are opened before the first is cut.
 */
const CUT = `
  my $how = pack('L', shift @ARGV);
  my @disks = map { open(my $disk, '<', $_) or die "$_: $!\\n"; $disk } @ARGV;
  for my $disk (@disks) { ioctl($disk, 0x8004587d, $how) or die "the shutdown of ext4: $!\\n" }
`;

/**
 * What of the unsynced becomes durable at the last moment: nothing, or what was in the journal, as where ext4 committed
 * just before. Then names and sizes may be newer than contents.
 */
const LAST_WRITES = { nothing: 2, journal: 1 } as const;
export type LastWrites = keyof typeof LAST_WRITES;

export class PowerDisk {
  /** Absolute; where the file system is while the disk has power. */
  readonly mountPoint: string;
  readonly #image: string;

  private constructor(directory: string) {
    this.mountPoint = path.join(directory, 'disk');
    this.#image = path.join(directory, 'image');
  }

  /**
   * Made and mounted.
   * @param directory must not exist; the image takes there what is written to it, not its whole size
   * @throws Error where the machine cannot
   */
  static async create(directory: string, sizeBytes: number): Promise<PowerDisk> {
    mkdirSync(directory);
    const disk = new PowerDisk(directory);
    mkdirSync(disk.mountPoint);
    writeFileSync(disk.#image, '');
    truncateSync(disk.#image, sizeBytes);
    // Tasks leave many small files: an inode for each 4 KiB.
    await program('mkfs.ext4', '-q', '-F', '-i', '4096', disk.#image);
    await disk.mount();
    // A task's user must get to its files.
    await chmod(disk.mountPoint, 0o755);
    return disk;
  }

  /** The journal is replayed, as after any crash. The loop device goes by itself with the last mount. */
  async mount(): Promise<void> {
    await program('mount', '-t', 'ext4', '-o', 'loop,noatime', this.#image, this.mountPoint);
  }

  /** @throws Error where something still holds it */
  async unmount(): Promise<void> {
    await waitFor(
      `the end of ${this.mountPoint}`,
      async () => {
        await program('umount', this.mountPoint);
        return true;
      },
      { timeoutMs: UNMOUNT_TIMEOUT_MS, intervalMs: 50 },
    );
  }

  /** What the cut left: nothing of it is in the page cache any more. */
  async powerCycle(): Promise<void> {
    await this.unmount();
    await this.mount();
  }
}

/** All of them within well under a millisecond of each other. */
export async function cutPower(disks: readonly PowerDisk[], last: LastWrites = 'nothing'): Promise<void> {
  await program('perl', '-e', CUT, String(LAST_WRITES[last]), ...disks.map(({ mountPoint }) => mountPoint));
}

async function program(name: string, ...args: string[]): Promise<void> {
  try {
    await run(programPath(name), args, { timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL' });
  } catch (error) {
    throw new Error(`${name}: ${messageOf(error)}`, { cause: error });
  }
}

/** Whether the power of a disk can be cut on this machine: it is tried, and must lose what was not synced and only that. */
import { existsSync, mkdtempSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { messageOf } from '../../src/lib/errors.ts';
import { missingPrograms } from '../support/docker-bed/programs.ts';
import { guardDirectory } from '../support/guard.ts';
import { cutPower, PowerDisk } from './disk.ts';
import { POWER_PROGRAMS } from './programs.ts';

const TRIAL_BYTES = 32 * 1024 * 1024;

/**
 * @returns why it cannot be done here; null where it can
 * @throws Error where a cut can be made and does not do what one does: then nothing that is judged by it would hold
 */
export async function powerObstacle(): Promise<string | null> {
  if (process.platform !== 'linux') return `loop devices need Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'mounting needs root';
  const missing = missingPrograms(POWER_PROGRAMS).map(({ name }) => name);
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (node scripts/test-bed.mjs power)`;
  const directory = mkdtempSync(path.join(tmpdir(), 'jarvis-power-trial-'));
  const guard = guardDirectory(directory);
  try {
    const disk = await diskOrReason(path.join(directory, 'n'));
    if (typeof disk === 'string') return disk;
    try {
      return await tryCut(disk);
    } finally {
      await disk.unmount();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
    await guard.dismiss();
  }
}

async function diskOrReason(directory: string): Promise<PowerDisk | string> {
  try {
    return await PowerDisk.create(directory, TRIAL_BYTES);
  } catch (error) {
    return `no file can be mounted here: ${messageOf(error).trim()}`;
  }
}

async function tryCut(disk: PowerDisk): Promise<string | null> {
  const [synced, unsynced] = ['synced', 'unsynced'].map((name) => path.join(disk.mountPoint, name));
  if (synced === undefined || unsynced === undefined) throw new Error('two files');
  await writeFile(synced, 'x', { flush: true });
  const folder = await open(disk.mountPoint);
  await folder.sync();
  await folder.close();
  await writeFile(unsynced, 'x');
  try {
    await cutPower([disk]);
  } catch (error) {
    return `this kernel cannot cut: ${messageOf(error).trim()}`;
  }
  await disk.powerCycle();
  const kept = [synced, unsynced].map((file) => existsSync(file));
  if (kept[0] !== true || kept[1] !== false) {
    throw new Error(`a cut of the power must lose what was not synced and only that: ${kept.join(', ')}`);
  }
  return null;
}

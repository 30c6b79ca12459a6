import { closeSync, constants, openSync } from 'node:fs';

import { tryLock } from 'fs-native-extensions';

/** Ends by `release`, or with the process, however that ends. */
export interface FileLock {
  release(): void;
}

/** Takes the lock of a file, which is created where it does not exist. @returns null where another process holds it */
export function lockFile(path: string): FileLock | null {
  // The descriptor is closed on exec: a child does not keep the lock.
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  let locked = false;
  try {
    locked = tryLock(descriptor);
  } finally {
    if (!locked) closeSync(descriptor);
  }
  return locked ? { release: () => closeSync(descriptor) } : null;
}

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';

import { tryLock } from 'fs-native-extensions';

/** Ends by `release`, or with the process, however that ends. */
export interface FileLock {
  /** Takes the place of what the file holds, for whoever wants to know who has the lock. */
  write(text: string): void;
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
  if (!locked) return null;
  return {
    write: (text) => {
      ftruncateSync(descriptor);
      writeSync(descriptor, text, 0);
    },
    release: () => closeSync(descriptor),
  };
}

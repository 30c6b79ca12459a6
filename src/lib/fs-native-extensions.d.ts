/** The package brings no types; this is the part that is used. */
declare module 'fs-native-extensions' {
  /** An exclusive lock of the open file, gone with its last descriptor. @returns false where another holds it */
  export function tryLock(descriptor: number): boolean;
}

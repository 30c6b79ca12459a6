/** Text from bytes of a stranger's. */
import { JarvisError } from './errors.ts';

/** @throws JarvisError invalid where they are no UTF-8, which names the first byte that is none, counted from 0 */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const at = firstInvalidByte(bytes);
    const message =
      at === bytes.length
        ? `${what}: is not UTF-8: it ends within a character`
        : `${what}: is not UTF-8: byte ${at} (0x${(bytes[at] ?? 0).toString(16).padStart(2, '0')})`;
    throw new JarvisError('invalid', message, { cause: error });
  }
}

/** Its length where only its end is missing. */
function firstInvalidByte(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = Math.floor((valid + invalid) / 2);
    if (middle <= bytes.length && isBeginning(bytes.subarray(0, middle))) valid = middle;
    else invalid = middle;
  }
  return Math.min(valid, bytes.length);
}

/** Of valid text, which may end within a character. */
function isBeginning(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/**
 * Whether parsed JSON may become part of the replicated state: no list or object stands deeper than `most` others, no
 * number is beyond all bounds (as `1e999` is read), and no object has a key `__proto__`, which an object that is made from
 * it would not have. Without recursion: the text is a stranger's.
 */
export function isStorable(value: unknown, most: number): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; ; depth += 1) {
    if (level.some((one) => typeof one === 'number' && !Number.isFinite(one))) return false;
    const inner = level.filter((one): one is object => typeof one === 'object' && one !== null);
    if (inner.length === 0) return true;
    if (depth === most || inner.some((one) => Object.hasOwn(one, '__proto__'))) return false;
    level = inner.flatMap((one) => Object.values(one));
  }
}

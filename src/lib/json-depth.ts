/** Whether no list or object of parsed JSON stands deeper than `most` others. Without recursion: the text is a stranger's. */
export function isShallow(value: unknown, most: number): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; ; depth += 1) {
    const inner = level.filter((one): one is object => typeof one === 'object' && one !== null);
    if (inner.length === 0) return true;
    if (depth === most) return false;
    level = inner.flatMap((one) => Object.values(one));
  }
}

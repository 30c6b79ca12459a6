/** Names of nodes, labels and whatever else users name (docs/contract.md, section 3). */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const NAME_RULE =
  'a name of letters, digits, ".", "_" and "-", at most 128, the first a letter or digit';

export function isName(text: string): boolean {
  return NAME_PATTERN.test(text);
}

/** How many cases a property is tried with: `PROPERTY_RUNS=10000 npx vitest run --project unit property` tries more. */
const given = process.env['PROPERTY_RUNS'];

/** @param usual where nobody asks for more. @throws Error for a number that is none */
export function runs(usual: number): number {
  if (given === undefined) return usual;
  const count = Number(given);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new Error(`PROPERTY_RUNS is ${given}; allowed: a whole number from 1`);
  return count;
}

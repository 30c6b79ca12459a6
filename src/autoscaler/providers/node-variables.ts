/** What a node to be is told in variables of its environment, as `JARVISD_*` without that. */
import { formatCpuMillis } from '../../lib/quantities.ts';
import { ProviderError, type InstanceRequest, type Provider } from './provider.ts';

/**
 * @param token how it is told its join token; nothing where there is none
 * @throws ProviderError invalid where a label cannot be said in a variable
 */
export function nodeVariables(
  provider: Provider['name'],
  { node, join, capacity, labels }: Pick<InstanceRequest, 'capacity' | 'join' | 'labels' | 'node'>,
  token: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { cpuMillis, memoryBytes } = capacity;
  const offered = [
    ...(cpuMillis === null ? [] : [`cpu=${formatCpuMillis(cpuMillis)}`]),
    ...(memoryBytes === null ? [] : [`memory=${memoryBytes}`]),
  ];
  const marks = Object.entries(labels).map(([key, value]) => {
    if (!/[,\p{Cc}]/u.test(value)) return `${key}=${value}`;
    const given = `${provider}: label ${key} is ${JSON.stringify(value)}`;
    throw new ProviderError('invalid', `${given}; allowed: no comma, no control character`);
  });
  return {
    NAME: node,
    JOIN: join.join(','),
    ...token,
    ...(offered.length === 0 ? {} : { CAPACITY: offered.join(',') }),
    ...(marks.length === 0 ? {} : { LABELS: marks.join(',') }),
  };
}

/** What this daemon was told in its environment is not for what it starts. */
export function withoutVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('JARVISD_')));
}

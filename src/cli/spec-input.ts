/** The file that `-f` names, or stdin. */
import { createReadStream } from 'node:fs';

import { parse as parseYaml } from 'yaml';

import { JarvisError, messageOf } from '../lib/errors.ts';
import { decodeUtf8 } from '../lib/utf8.ts';
import type { SpecFile } from '../spec/spec-file.ts';
import { readSpecFile } from '../spec/spec-file.ts';
import { clientLimits } from './limits.ts';
import type { Terminal } from './terminal.ts';

/** What it asks for, checked. @param file `-` for stdin @throws JarvisError invalid with every fault, too_large */
export async function readSpecs(terminal: Terminal, file: string): Promise<SpecFile> {
  return await readSpecFile(await readText(terminal, file), file === '-' ? 'stdin' : file);
}

/** @param file `-` for stdin @throws JarvisError invalid where it cannot be read or is no UTF-8, too_large */
export async function readText(terminal: Terminal, file: string): Promise<string> {
  const isStdin = file === '-';
  const input = isStdin ? terminal.stdin : createReadStream(file);
  return await readAll(input, isStdin ? 'stdin' : file, terminal.interrupted);
}

/** @throws JarvisError invalid where it cannot be read or is no UTF-8, too_large */
async function readAll(
  input: AsyncIterable<string | Uint8Array>,
  fileName: string,
  signal: AbortSignal,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of input) {
      signal.throwIfAborted();
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      size += bytes.length;
      if (size > clientLimits.specFileBytes) break;
      chunks.push(bytes);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw new JarvisError('invalid', `cannot read ${fileName}: ${messageOf(error)}`, { cause: error });
  }
  if (size > clientLimits.specFileBytes) throw new JarvisError('too_large', `${fileName}: more than 16 MiB`);
  return decodeUtf8(Buffer.concat(chunks), fileName);
}

const MAX_ALIASES = 100;

/** @throws JarvisError invalid where it is no YAML; what is written there is not repeated, it may be secret */
export function plainYaml(text: string, where: string): unknown {
  try {
    return parseYaml(text, { maxAliasCount: MAX_ALIASES, logLevel: 'error' }) as unknown;
  } catch (error) {
    const [what = ''] = messageOf(error).split('\n');
    throw new JarvisError('invalid', `${where}: ${what.replace(/:$/, '')}`, { cause: error });
  }
}

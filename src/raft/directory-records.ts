/** The small files of a data directory, as JSON that is checked when it is read, and the names beside them. */
import { z } from 'zod';

import { writeDurably } from './durable-file.ts';
import { nodeFiles } from './durable-files.ts';
import { StorageError } from './storage-error.ts';

/** Of the files of a data directory, other than where `newest` says more. */
export const FORMAT = 1;

/** Durable when it resolves. */
export async function writeRecord(path: string, record: unknown, files = nodeFiles): Promise<void> {
  await writeDurably(path, `${JSON.stringify(record, null, 2)}\n`, files);
}

/** @throws StorageError store_lost where it is damaged, format_unknown */
export async function readRecord<T>(
  path: string,
  schema: z.ZodType<T>,
  {
    files = nodeFiles,
    newest = FORMAT,
  }: { readonly files?: typeof nodeFiles; readonly newest?: number } = {},
): Promise<T> {
  const text = await files.readText(path);
  let plain: unknown;
  try {
    plain = JSON.parse(text);
  } catch (cause) {
    throw new StorageError('store_lost', path, 'a file of the data directory is damaged: it is no JSON', {
      cause,
    });
  }
  const format = z.object({ format: z.int() }).safeParse(plain);
  if (format.success && (format.data.format < FORMAT || format.data.format > newest))
    throw new StorageError(
      'format_unknown',
      path,
      `format ${format.data.format} of the data directory; this version knows ${newest}`,
    );
  const record = schema.safeParse(plain);
  if (record.success) return record.data;
  const where = record.error.issues.map((issue) => issue.path.join('.') || 'it').join(', ');
  throw new StorageError(
    'store_lost',
    path,
    `a file of the data directory is damaged: ${where} cannot be right`,
    {
      cause: record.error,
    },
  );
}

/** What is in it; nothing where it does not exist. @throws StorageError directory_refused where it is none */
export async function namesIn(directory: string, files = nodeFiles): Promise<readonly string[]> {
  try {
    return await files.names(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    if (code === 'ENOTDIR')
      throw new StorageError('directory_refused', directory, 'not a directory', { cause: error });
    throw error;
  }
}

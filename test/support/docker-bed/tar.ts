/** Tar archives (POSIX ustar) in memory, as layers of images are. Names and link targets have at most 100 bytes. */

export type TarEntry =
  | { readonly type: 'file'; readonly name: string; readonly content: Buffer; readonly mode: number }
  | { readonly type: 'folder'; readonly name: string; readonly mode: number }
  | { readonly type: 'link'; readonly name: string; readonly target: string };

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const TYPE_FLAGS = { file: '0', link: '2', folder: '5' } as const;

/** The same entries give the same bytes: all belong to root and date from 1970. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    blocks.push(header(entry));
    if (entry.type === 'file') blocks.push(entry.content, padding(entry.content.length));
  }
  blocks.push(Buffer.alloc(2 * BLOCK_BYTES));
  return Buffer.concat(blocks);
}

function header(entry: TarEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const mode = entry.type === 'link' ? 0o777 : entry.mode;
  const size = entry.type === 'file' ? entry.content.length : 0;
  writeName(block, 0, entry.name);
  writeOctal(block, 100, 8, mode);
  writeOctal(block, 108, 8, 0);
  writeOctal(block, 116, 8, 0);
  writeOctal(block, 124, 12, size);
  writeOctal(block, 136, 12, 0);
  block.write(TYPE_FLAGS[entry.type], 156);
  if (entry.type === 'link') writeName(block, 157, entry.target);
  block.write('ustar\x0000', 257);
  // The sum counts its own field as eight spaces.
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function writeName(block: Buffer, offset: number, name: string): void {
  if (Buffer.byteLength(name) > NAME_BYTES) throw new Error(`too long for a tar header: ${name}`);
  block.write(name, offset);
}

function writeOctal(block: Buffer, offset: number, bytes: number, value: number): void {
  block.write(`${value.toString(8).padStart(bytes - 1, '0')}\0`, offset);
}

function padding(contentBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (contentBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

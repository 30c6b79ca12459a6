/** Lines of a stream of the engine's, the empty ones left out. @throws Error where one is longer than allowed */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield line;
    if (rest.length > maxBytes) throw new Error(`a line of more than ${maxBytes} bytes`);
  }
  if (rest.trim() !== '') yield rest;
}

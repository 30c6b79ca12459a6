/** Server-sent events as text, read by the rules of the HTML standard. */

export interface EventMessage {
  readonly id: string;
  readonly data: string;
}

/** Those that a reader is given. @throws Error for a line that is none of such a stream, and for an `error` of the server */
export function messagesOf(text: string): readonly EventMessage[] {
  const messages: EventMessage[] = [];
  let id = '';
  for (const block of text.split('\n\n')) {
    const fields = new Map<string, string>();
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^(id|event|data|retry|): ?(.*)$/.exec(line) ?? [];
      if (line !== '' && name === '' && !line.startsWith(':')) throw new Error(`not of a stream: ${line}`);
      fields.set(name, value);
    }
    const data = fields.get('data');
    if (fields.has('event')) throw new Error(`${fields.get('event')}: ${data}`);
    id = fields.get('id') ?? id;
    if (data !== undefined) messages.push({ id, data });
  }
  return messages;
}

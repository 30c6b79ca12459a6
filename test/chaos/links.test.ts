/** Links carry everything until they are cut, one way or both, and then neither side is told. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { waitFor } from '../support/wait.ts';
import { Links } from './links.ts';

/** Long enough for loopback. */
const QUIET_MS = 100;

/** A node that remembers what came and says what it is told to. */
class Listener {
  readonly sockets: Socket[] = [];
  received = '';
  readonly #server = createServer((socket) => {
    this.sockets.push(socket);
    socket.on('error', () => undefined).on('data', (data) => (this.received += data.toString()));
  });

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

let b: Listener;
let links: Links;
let addressOfB: string;
const callers: Caller[] = [];

class Caller {
  received = '';
  isClosed = false;
  readonly #socket: Socket;

  constructor(address: string) {
    const [host, port] = address.split(':');
    this.#socket = connect({ host: host ?? '', port: Number(port) });
    this.#socket.on('error', () => undefined).on('close', () => (this.isClosed = true));
    this.#socket.on('data', (data) => (this.received += data.toString()));
    callers.push(this);
  }

  say(text: string): void {
    this.#socket.write(text);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** From a to b, by the link. */
function call(): Caller {
  return new Caller(links.addressesOf('a')[addressOfB] ?? '');
}

beforeEach(async () => {
  b = new Listener();
  addressOfB = await b.open();
  links = await Links.open([
    { name: 'a', listen: '127.0.0.1:1' },
    { name: 'b', listen: addressOfB },
  ]);
});

afterEach(async () => {
  for (const caller of callers.splice(0)) caller.close();
  b.close();
  await links.close();
});

/** Both have said something and heard the other. */
async function connected(): Promise<Caller> {
  const caller = call();
  caller.say('1');
  await waitFor('b to be called', () => b.received === '1');
  b.sockets[0]?.write('a');
  await waitFor('an answer', () => caller.received === 'a');
  return caller;
}

describe('a link', () => {
  it('that is cut one way carries the other way, and stays open', async () => {
    const caller = await connected();
    links.cut('a', 'b');
    caller.say('2');
    b.sockets[0]?.write('b');
    await waitFor('the other way', () => caller.received === 'ab');
    await delay(QUIET_MS);
    expect({ received: b.received, isClosed: caller.isClosed }).toEqual({ received: '1', isClosed: false });
  });

  it('that is cut from the other side loses the answers', async () => {
    const caller = await connected();
    links.cut('b', 'a');
    caller.say('2');
    b.sockets[0]?.write('b');
    await waitFor('the call', () => b.received === '12');
    await delay(QUIET_MS);
    expect(caller.received).toBe('a');
  });

  it('that is mended late brings what was said meanwhile, in order', async () => {
    const caller = await connected();
    links.cut('a', 'b');
    caller.say('2');
    await delay(QUIET_MS);
    caller.say('3');
    links.mend('a', 'b', 'late');
    caller.say('4');
    await waitFor('all of it', () => b.received.length === 4);
    expect(b.received).toBe('1234');
  });

  it('that has lost what was said closes its connections when it is mended, and takes new ones', async () => {
    const caller = await connected();
    links.cut('a', 'b');
    caller.say('2');
    links.mend('a', 'b', 'lost');
    await waitFor('the end of the connection', () => caller.isClosed);
    expect(b.received).toBe('1');
    call().say('new');
    await waitFor('the new connection', () => b.received === '1new');
  });

  it('that is cut does not answer who calls, nor tell that somebody hung up', async () => {
    const before = await connected();
    links.cut('a', 'b');
    links.cut('b', 'a');
    const during = call();
    during.say('x');
    before.close();
    await delay(QUIET_MS);
    expect(b.sockets.map(({ destroyed }) => destroyed)).toEqual([false]);
    expect(during.isClosed).toBe(false);
    links.mendAll();
    await waitFor('both to see it', () => during.isClosed && b.sockets[0]?.destroyed === true);
  });

  it('passes on that one side has hung up', async () => {
    const caller = await connected();
    b.sockets[0]?.destroy();
    await waitFor('the end', () => caller.isClosed);
    expect(caller.received).toBe('a');
  });
});

describe('a program with the preload', () => {
  it('gets to the other nodes by the links', async () => {
    links.cut('b', 'a');
    const [host, port] = addressOfB.split(':');
    const script = `const s = require('node:net').connect(${port}, '${host}'); s.on('error', () => {}); s.write('x');`;
    const child = spawn(process.execPath, ['-e', script], {
      env: {
        NODE_OPTIONS: `--import=${pathToFileURL(path.join(import.meta.dirname, 'preload.ts')).href}`,
        JARVIS_CHAOS_LINKS: JSON.stringify(links.addressesOf('a')),
      },
      stdio: 'inherit',
    });
    try {
      await delay(1500);
      expect(b.sockets).toEqual([]);
      expect(child.exitCode).toBe(null);
      links.mendAll();
      await once(child, 'exit');
    } finally {
      child.kill('SIGKILL');
    }
  });
});

/** What the provider needs of EC2, over HTTP and as EC2 speaks: forms in, XML out. With its faults: late lists, quotas, lost answers. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Machine {
  readonly id: string;
  readonly tags: ReadonlyMap<string, string>;
  /** As it was asked for, by the names that the protocol has. */
  readonly asked: ReadonlyMap<string, string>;
  state: 'pending' | 'running' | 'shutting-down' | 'stopped' | 'terminated';
}

interface Ec2Fault {
  readonly status: number;
  readonly code: string;
  /** The work is done first, and its answer lost. */
  readonly isDone?: boolean;
}

const CODES = { pending: 0, running: 16, 'shutting-down': 32, terminated: 48, stopped: 80 } as const;

class Refused extends Error {
  readonly code: string;
  constructor(code: string) {
    super(`the message of ${code}`);
    this.code = code;
  }
}

export class Ec2Server {
  readonly machines = new Map<string, Machine>();
  /** Actions, in the order in which they came. */
  readonly calls: string[] = [];
  /** Of the next calls of an action each has one of these. */
  readonly faults = new Map<string, Ec2Fault[]>();
  /** Not (yet) known to describe and terminate. */
  readonly unknown = new Set<string>();
  /** How many may run at once. */
  quota = Infinity;
  pageSize = Infinity;
  /** Goes on for ever, with nothing. */
  isEndless = false;
  readonly #server: Server;
  readonly #byToken = new Map<string, Machine>();

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () =>
        this.#answer(new Map(new URLSearchParams(Buffer.concat(parts).toString())), response),
      );
    });
  }

  static async start(): Promise<Ec2Server> {
    const server = new Ec2Server();
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  fail(action: string, ...faults: readonly Ec2Fault[]): void {
    this.faults.set(action, [...(this.faults.get(action) ?? []), ...faults]);
  }

  #answer(form: ReadonlyMap<string, string>, response: ServerResponse): void {
    const action = form.get('Action') ?? '';
    this.calls.push(action);
    const fault = this.faults.get(action)?.shift();
    const send = (status: number, body: string): void => {
      response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8' });
      response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`);
    };
    try {
      if (fault !== undefined && fault.isDone !== true) throw new Refused(fault.code);
      const content = this.#work(action, form);
      if (fault !== undefined) throw new Refused(fault.code);
      send(200, `<${action}Response><requestId>r-1</requestId>${content}</${action}Response>`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const content = `<Code>${error.code}</Code><Message>${error.message}</Message>`;
      const body = `<Response><Errors><Error>${content}</Error></Errors><RequestID>r-1</RequestID></Response>`;
      send(fault?.status ?? 400, body);
    }
  }

  #work(action: string, form: ReadonlyMap<string, string>): string {
    if (action === 'RunInstances')
      return `<reservationId>r-0</reservationId>${setOf('instancesSet', [this.#run(form)])}`;
    if (action === 'DescribeInstances') return this.#describe(form);
    if (action === 'TerminateInstances') return this.#terminate(form);
    throw new Refused('InvalidAction');
  }

  #run(form: ReadonlyMap<string, string>): string {
    const token = form.get('ClientToken') ?? '';
    const known = this.#byToken.get(token);
    if (known !== undefined) {
      const isSame = [...form].every(([key, value]) => known.asked.get(key) === value);
      if (!isSame) throw new Refused('IdempotentParameterMismatch');
      return xmlOf(known);
    }
    const alive = [...this.machines.values()].filter(({ state }) => state !== 'terminated');
    if (alive.length >= this.quota) throw new Refused('VcpuLimitExceeded');
    const machine: Machine = {
      id: `i-${randomBytes(8).toString('hex')}`,
      tags: tagsOf(form),
      asked: form,
      state: 'pending',
    };
    this.machines.set(machine.id, machine);
    this.#byToken.set(token, machine);
    return xmlOf(machine);
  }

  #describe(form: ReadonlyMap<string, string>): string {
    if (this.isEndless) return `${setOf('reservationSet', [])}<nextToken>more</nextToken>`;
    const filters = new Map<string, string>();
    for (let at = 1; form.has(`Filter.${at}.Name`); at += 1)
      filters.set(form.get(`Filter.${at}.Name`) ?? '', form.get(`Filter.${at}.Value.1`) ?? '');
    const all = [...this.machines.values()].filter(
      ({ id, tags }) =>
        !this.unknown.has(id) &&
        [...filters].every(
          ([name, value]) => (name === 'instance-id' ? id : tags.get(name.slice('tag:'.length))) === value,
        ),
    );
    const from = Number(form.get('NextToken') ?? 0);
    const page = all.slice(from, from + this.pageSize);
    const shown = page.map(xmlOf).map((machine) => setOf('instancesSet', [machine]));
    // It runs from when it is first looked at.
    for (const machine of page) if (machine.state === 'pending') machine.state = 'running';
    const next = from + this.pageSize < all.length ? `<nextToken>${from + this.pageSize}</nextToken>` : '';
    return `${setOf('reservationSet', shown)}${next}`;
  }

  #terminate(form: ReadonlyMap<string, string>): string {
    const id = form.get('InstanceId.1') ?? '';
    if (!/^i-[0-9a-f]{8,17}$/.test(id)) throw new Refused('InvalidInstanceID.Malformed');
    const machine = this.machines.get(id);
    if (machine === undefined || this.unknown.has(id)) throw new Refused('InvalidInstanceID.NotFound');
    machine.state = 'terminated';
    return setOf('instancesSet', [`<instanceId>${id}</instanceId>`]);
  }
}

function tagsOf(form: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const tags = new Map<string, string>();
  const base = 'TagSpecification.1.Tag';
  for (let at = 1; form.has(`${base}.${at}.Key`); at += 1)
    tags.set(form.get(`${base}.${at}.Key`) ?? '', form.get(`${base}.${at}.Value`) ?? '');
  return tags;
}

function xmlOf({ id, tags, state }: Machine): string {
  const shown = [...tags].map(([key, value]) => `<key>${key}</key><value>${value}</value>`);
  return [
    `<instanceId>${id}</instanceId>`,
    `<instanceState><code>${CODES[state]}</code><name>${state}</name></instanceState>`,
    '<launchTime>2026-01-02T03:04:05.000Z</launchTime>',
    setOf('tagSet', shown),
  ].join('');
}

function setOf(name: string, items: readonly string[]): string {
  return `<${name}>${items.map((item) => `<item>${item}</item>`).join('')}</${name}>`;
}

/**
 * Real nodes tell a real receiver, while the one that leads dies at the worst moments: what needs a person arrives, under one id however often
 * it is sent, and nothing is lost.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

import { describe, expect, it, onTestFinished } from 'vitest';

import { SHORT_HEARTBEAT, type TestCluster } from '../support/cluster.ts';
import { messagesOf } from '../support/event-stream.ts';
import { startCluster } from '../support/test-cluster.ts';
import { waitFor } from '../support/wait.ts';

interface Occurrence {
  readonly subject: { readonly id: string };
  readonly new_status: string | null;
}

interface Received {
  readonly path: string;
  readonly id: string;
  readonly attempt: number;
  readonly event: string;
  readonly body: string;
  readonly occurrences: readonly Occurrence[];
}

interface ListedAlert {
  readonly id: string;
  readonly event: string;
  readonly status: string;
  readonly attempts: number;
  readonly occurrences: readonly { readonly id: string; readonly new_status: string | null }[];
}

/** What a webhook is there for: takes messages, or does with them whatever it is told to. */
class Receiver {
  readonly received: Received[] = [];
  /** Null: never answers. */
  answer: (message: Received) => number | null = () => 200;
  readonly #server = createServer((request, response) => void this.#take(request, response));

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  of(id: string): readonly Received[] {
    return this.received.filter((message) => message.id === id);
  }

  async telling(what: string, matches: (message: Received) => boolean): Promise<Received> {
    return await waitFor(`a message of ${what}`, () => this.received.find(matches) ?? null);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const { event, occurrences } = JSON.parse(body) as Pick<Received, 'event' | 'occurrences'>;
    const message = {
      path: request.url ?? '',
      id: String(request.headers['jarvis-alert-id']),
      attempt: Number(request.headers['jarvis-attempt']),
      event,
      body,
      occurrences,
    };
    const status = this.answer(message);
    this.received.push(message);
    if (status !== null) response.writeHead(status).end();
  }
}

async function begun(): Promise<{ readonly cluster: TestCluster; readonly receiver: Receiver }> {
  const receiver = new Receiver();
  await receiver.start();
  onTestFinished(() => receiver.stop());
  return { cluster: await startCluster({ heartbeat: SHORT_HEARTBEAT }), receiver };
}

async function ask<T>(cluster: TestCluster, method: string, path: string, body?: object): Promise<T> {
  const node = cluster.nodes.find(({ isRunning }) => isRunning);
  const response = await fetch(`http://${node?.settings.http ?? ''}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.text();
  if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
  return JSON.parse(answer) as T;
}

async function tell(cluster: TestCluster, url: string): Promise<void> {
  await ask(cluster, 'PUT', '/config', { alerts: { webhooks: [{ url, secret: 'canary' }] } });
}

async function listed(cluster: TestCluster): Promise<readonly ListedAlert[]> {
  return (await ask<{ items: readonly ListedAlert[] }>(cluster, 'GET', '/alerts')).items;
}

/** One that is tried once. @returns its id */
async function failingTask(cluster: TestCluster): Promise<string> {
  const { id } = await cluster.api().submit({ command: ['false'], retry_policy: { max_attempts: 1 } });
  await cluster.finalTask(id);
  return id;
}

/** Of what needs a person, by event, object and status. */
async function happened(cluster: TestCluster): Promise<readonly string[]> {
  const node = cluster.nodes.find(({ isRunning }) => isRunning);
  const url = `http://${node?.settings.http ?? ''}/events?follow=false&kind=alert`;
  const response = await fetch(url, { signal: AbortSignal.timeout(30_000) });
  return messagesOf(await response.text()).map(({ data }) => {
    const { name, id, new_status: status } = JSON.parse(data) as Record<string, string>;
    return `${name} ${id} ${status}`;
  });
}

describe('alerts of real nodes', () => {
  it('arrive though their leader dies when it has sent one and has not said so', async () => {
    const { cluster, receiver } = await begun();
    await tell(cluster, receiver.url('/a'));
    // Taken, and the leader never hears of it.
    receiver.answer = () => null;
    const taskId = await failingTask(cluster);
    const isOfTask = ({ occurrences }: Received) => occurrences.some(({ subject }) => subject.id === taskId);
    const first = await receiver.telling(taskId, isOfTask);
    const leader = await cluster.leader();
    await cluster.kill(leader.name);
    receiver.answer = () => 200;
    await waitFor('its successor sends it again', () => receiver.of(first.id).length > 1);
    await waitFor('it is DELIVERED', async () =>
      (await listed(cluster)).some(({ id, status }) => id === first.id && status === 'DELIVERED'),
    );
    const times = receiver.of(first.id);
    expect(times.map(({ attempt }) => attempt)).toEqual(times.map(() => 1));
    expect(new Set(times.map(({ body }) => body)).size).toBe(1);
    // And under no other id.
    expect(new Set(receiver.received.filter(isOfTask).map(({ id }) => id))).toEqual(new Set([first.id]));
    const offline = await receiver.telling('the dead node', ({ event }) => event === 'node.offline');
    expect(offline.occurrences).toMatchObject([{ subject: { id: leader.name }, new_status: 'OFFLINE' }]);
    await receiver.telling('the quorum', ({ event }) => event === 'quorum.at_risk');

    await cluster.restart(leader.name);
    await waitFor('the quorum is safe again', async () =>
      (await happened(cluster)).some((one) => one.startsWith('quorum.at_risk') && one.endsWith(' SAFE')),
    );
    // Whatever has happened was told, or is about to be.
    const told = new Set([
      ...receiver.received.flatMap(({ event, occurrences }) =>
        occurrences.map((one) => `${event} ${one.subject.id} ${one.new_status}`),
      ),
      ...(await listed(cluster)).flatMap(({ event, occurrences }) =>
        occurrences.map((one) => `${event} ${one.id} ${one.new_status}`),
      ),
    ]);
    expect((await happened(cluster)).filter((one) => !told.has(one))).toEqual([]);
    const texts = cluster.nodes.map((node) => node.log()).join('');
    expect(texts).toContain('an alert was delivered');
    expect(texts).not.toContain('canary');
    expect(texts).not.toContain(receiver.url('/a'));
  });

  it('arrive though their leader dies while it waits to send one again', async () => {
    const { cluster, receiver } = await begun();
    await tell(cluster, receiver.url('/b'));
    receiver.answer = ({ event }) => (event === 'task.permanently_failed' ? 503 : 200);
    const taskId = await failingTask(cluster);
    const { id } = await receiver.telling(taskId, ({ event }) => event === 'task.permanently_failed');
    const waiting = await waitFor('it waits', async () => {
      const one = (await listed(cluster)).find((alert) => alert.id === id);
      return one !== undefined && one.attempts > 0 && one;
    });
    expect(waiting).toMatchObject({ status: 'PENDING' });
    const { name } = await cluster.leader();
    await cluster.kill(name);
    receiver.answer = () => 200;
    await waitFor('it is DELIVERED', async () =>
      (await listed(cluster)).some((alert) => alert.id === id && alert.status === 'DELIVERED'),
    );
    const times = receiver.of(id);
    expect(new Set(times.map(({ body }) => body)).size).toBe(1);
    expect(times.at(-1)?.attempt).toBeGreaterThan(1);
    const { stdout } = await cluster.cli(['alerts', 'test'], {
      peer: (await cluster.followers())[0]?.name ?? '',
    });
    expect(stdout).toMatch(/^test-\S+ was delivered to webhook 1 \(http:\/\/127\.0\.0\.1:\d+\/…\)\n$/);
    expect(receiver.received.at(-1)).toMatchObject({ event: 'test', path: '/b' });
  });
});

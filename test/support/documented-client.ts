/** Calls a node, and holds what is sent and answered to docs/openapi.json. */
import type { Api } from './api.ts';
import type { DocumentedApi } from './documented-api.ts';
import { waitFor } from './wait.ts';

export type Json = Readonly<Record<string, unknown>>;

export class DocumentedClient {
  readonly #document: DocumentedApi;
  readonly #node: Api;

  constructor(document: DocumentedApi, node: Api) {
    this.#document = document;
    this.#node = node;
  }

  /**
   * @param where as in the URL
   * @returns the body
   * @throws Error where the answer has another status, or anything is not as documented
   */
  async call(operation: string, where: string, body: object | null = null, status = 200): Promise<Json> {
    const { method } = this.#document.operation(operation);
    const sent = body === null ? null : JSON.stringify(body);
    const url = new URL(where, 'http://node');
    const request = { method, url, body: sent, headers: new Map<string, string>(), output: null };
    const answer = await this.#node.call(method as Parameters<Api['call']>[0], where, sent);
    const faults = [
      ...this.#document.faultsOfRequest(operation, request),
      ...this.#document.faultsOfAnswer(operation, {
        status: answer.status,
        headers: new Map(answer.headers),
        body: Buffer.from(answer.text),
      }),
    ];
    if (answer.status === status && faults.length === 0) return JSON.parse(answer.text) as Json;
    throw new Error([`${method} ${where}: ${answer.status} ${answer.text}`, ...faults].join('\n'));
  }

  /** @returns the task as it was submitted */
  async submit(task: object): Promise<Json & { readonly id: string }> {
    return (await this.call('submitTask', '/tasks', task, 201)) as Json & { readonly id: string };
  }

  async until(id: string, condition: (task: Json) => boolean): Promise<Json> {
    return await waitFor(`a state of ${id}`, async () => {
      const task = await this.call('getTask', `/tasks/${id}`);
      return condition(task) && task;
    });
  }
}

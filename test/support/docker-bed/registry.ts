/** A registry of the bed's own on loopback, open or with a password, and how images come into it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { freePort, HOST } from '../ports.ts';
import { BedProcess } from './bed-process.ts';
import { digestOf, foreignArchitecture } from './image.ts';
import type { Blob, Image } from './image.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** What the registry with a password asks for. */
export const BED_CREDENTIALS: Credentials = { username: 'jarvis', password: 'bed password' };
/** bcrypt of that password, the only kind of hash that the registry reads. */
const PASSWORD_FILE = 'jarvis:$2y$05$teuquguqsvqlttesjijoyepGgKK37bUdjuj8SZ1PdmNfkF8OsC/Di\n';

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';
const MANIFEST_LIST_TYPE = 'application/vnd.docker.distribution.manifest.list.v2+json';
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json';
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const REQUEST_DEADLINE_MS = 30_000;

export interface RegistrySettings {
  readonly name: string;
  /** Of the bed. */
  readonly directory: string;
  readonly namespacePid: number;
  readonly credentials: Credentials | null;
}

export class Registry {
  /** `localhost:PORT`: an engine speaks plain HTTP to that without being told to. */
  readonly host: string;
  readonly credentials: Credentials | null;
  readonly process: BedProcess;
  readonly #url: string;

  private constructor(port: number, settings: RegistrySettings, configFile: string) {
    const { name, directory, namespacePid, credentials } = settings;
    this.host = `localhost:${port}`;
    this.credentials = credentials;
    this.#url = `http://${HOST}:${port}/v2/`;
    this.process = new BedProcess({
      name: 'docker-registry',
      args: ['serve', configFile],
      directory,
      logFile: path.join(directory, `${name}.log`),
      namespacePid,
      isReady: async () => (await this.#request('GET', '')).ok,
    });
  }

  static async start(settings: RegistrySettings): Promise<Registry> {
    const folder = path.join(settings.directory, settings.name);
    mkdirSync(folder);
    const port = await freePort();
    const configFile = path.join(folder, 'config.json');
    const passwordFile = path.join(folder, 'htpasswd');
    writeFileSync(passwordFile, PASSWORD_FILE);
    // YAML reads JSON.
    const config = {
      version: '0.1',
      log: { level: 'warn', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: path.join(folder, 'storage') },
        delete: { enabled: true },
      },
      http: { addr: `${HOST}:${port}`, secret: 'of no use to anybody' },
      ...(settings.credentials === null ? {} : { auth: { htpasswd: { realm: 'bed', path: passwordFile } } }),
    };
    writeFileSync(configFile, JSON.stringify(config));
    const registry = new Registry(port, settings, configFile);
    await registry.process.start();
    return registry;
  }

  reference(repository: string, tag = 'latest'): string {
    return `${this.host}/${repository}:${tag}`;
  }

  /** @returns the digest by which the engine knows the image as `HOST/REPOSITORY@DIGEST` */
  async publish(repository: string, image: Image, tag = 'latest'): Promise<string> {
    for (const blob of [image.config, ...image.layers]) await this.#upload(repository, blob);
    return this.#putManifest(repository, tag, MANIFEST_TYPE, manifestOf(image));
  }

  /** Under a list of platforms, of which the machine's own is none. */
  async publishForeign(repository: string, image: Image, tag = 'latest'): Promise<string> {
    const digest = await this.publish(repository, image, 'single');
    const manifest = {
      mediaType: MANIFEST_TYPE,
      size: JSON.stringify(manifestOf(image)).length,
      digest,
      platform: { architecture: foreignArchitecture(), os: 'linux' },
    };
    const list = { schemaVersion: 2, mediaType: MANIFEST_LIST_TYPE, manifests: [manifest] };
    return this.#putManifest(repository, tag, MANIFEST_LIST_TYPE, list);
  }

  async #upload(repository: string, blob: Blob): Promise<void> {
    const existing = await this.#request('HEAD', `${repository}/blobs/${blob.digest}`);
    if (existing.ok) return;
    const opened = await this.#request('POST', `${repository}/blobs/uploads/`);
    const location = opened.headers.get('location');
    if (location === null) throw new Error(`no upload was opened: ${opened.status}`);
    const target = new URL(location, this.#url);
    target.searchParams.set('digest', blob.digest);
    await this.#expect(await this.#request('PUT', target, blob.content, 'application/octet-stream'));
  }

  async #putManifest(repository: string, tag: string, type: string, manifest: object): Promise<string> {
    const content = Buffer.from(JSON.stringify(manifest));
    await this.#expect(await this.#request('PUT', `${repository}/manifests/${tag}`, content, type));
    return digestOf(content);
  }

  async #request(method: string, where: string | URL, body?: Buffer, type?: string): Promise<Response> {
    const headers = new Headers();
    if (this.credentials !== null) {
      const { username, password } = this.credentials;
      headers.set('authorization', `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`);
    }
    if (type !== undefined) headers.set('content-type', type);
    const signal = AbortSignal.timeout(REQUEST_DEADLINE_MS);
    const init: RequestInit = { method, headers, signal, ...(body === undefined ? {} : { body }) };
    return fetch(new URL(where, this.#url), init);
  }

  async #expect(response: Response): Promise<void> {
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text}`);
  }
}

function manifestOf({ config, layers }: Image): object {
  return {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, size: config.content.length, digest: config.digest },
    layers: layers.map(({ content, digest }) => ({ mediaType: LAYER_TYPE, size: content.length, digest })),
  };
}

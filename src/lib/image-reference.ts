/**
 * References of images as the OCI distribution specification and its reference implementation write them:
 * `[host[:port]/]path[:tag][@digest]`. There is no maintained library for this small grammar.
 */
import { JarvisError } from './errors.ts';

export interface ImageReference {
  /** `docker.io` where none is named. */
  readonly registry: string;
  /** Registry and path, as engines name them. */
  readonly repository: string;
  /** `latest` where neither tag nor digest is named; null beside a digest. */
  readonly tag: string | null;
  /** `sha256:…` */
  readonly digest: string | null;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_TAG = 'latest';
/** With a registry's host in front; the limit of the reference implementation. */
const MAX_NAME_LENGTH = 255;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const REFERENCE = new RegExp(
  String.raw`^(${COMPONENT}(?:/${COMPONENT})*)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`,
);
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$/;

/** @throws JarvisError invalid */
export function parseImageReference(text: string): ImageReference {
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  // A first part without dot, port or capital is a part of the path on the default registry.
  const isHost = first === 'localhost' || /[.:[A-Z]/.test(first);
  const [, path, tag, digest] = REFERENCE.exec(isHost ? text.slice(slash + 1) : text) ?? [];
  const registry = isHost ? first : DEFAULT_REGISTRY;
  const isHostValid = !isHost || HOST.test(first);
  if (
    path === undefined ||
    !isHostValid ||
    (!isHost && isImageId(path)) ||
    registry.length + path.length >= MAX_NAME_LENGTH
  ) {
    throw new JarvisError(
      'invalid',
      'is no image: [host[:port]/]path[:tag][@sha256:…], such as python:3.9 or registry.example.com/team/app@sha256:…',
    );
  }
  return {
    registry,
    repository: isHost ? `${first}/${path}` : path,
    tag: tag ?? (digest === undefined ? DEFAULT_TAG : null),
    digest: digest ?? null,
  };
}

/** What an engine is asked for: always one image, never all tags of a repository. */
export function canonicalImage({ repository, tag, digest }: ImageReference): string {
  return digest === null ? `${repository}:${tag}` : `${repository}@${digest}`;
}

/** An engine would take it for an image by its content, wherever that came from. */
function isImageId(path: string): boolean {
  return path === 'sha256' || /^[0-9a-f]{64}$/.test(path);
}

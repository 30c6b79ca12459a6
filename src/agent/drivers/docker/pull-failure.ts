/**
 * Why an image could not be pulled. The engine's pull has one status for nearly everything, so the registry is asked once
 * more through the engine, which passes on what that says about the image: its status, and for which platforms it is.
 */
import { messageOf } from '../../../lib/errors.ts';
import type { ImageReference } from '../../../lib/image-reference.ts';
import { canonicalImage } from '../../../lib/image-reference.ts';
import { withoutPassword } from './credentials.ts';
import type { Credentials, Engine } from './engine.ts';
import { EngineRefusal } from './engine.ts';
import { StartFailure } from './start-failure.ts';

/** The client in the engine has no status for a registry that wants a login where there is none: only these words. */
const NO_CREDENTIALS = 'no basic auth credentials';

export async function explainPullFailure(options: {
  readonly engine: Engine;
  readonly reference: ImageReference;
  readonly credentials: Credentials | null;
  /** What the pull failed with. */
  readonly error: Error;
  /** What this node runs. */
  readonly platform: { readonly architecture: string; readonly os: string };
  readonly signal: AbortSignal;
}): Promise<StartFailure> {
  const { engine, reference, credentials, error, platform, signal } = options;
  const name = canonicalImage(reference);
  const said = (failure: Error): string => withoutPassword(failure.message, credentials);
  const missing = (why: string): StartFailure =>
    new StartFailure(`${name}: ${why}`, { errorType: 'ImageNotFound', cause: error });
  if (error instanceof EngineRefusal && error.status === 404) return missing(said(error));
  if (error.message.includes(NO_CREDENTIALS)) return loginNeeded(reference, credentials, error);
  try {
    const platforms = await engine.platforms(reference, credentials, signal);
    const isForUs = platforms.some(
      ({ architecture, os }) => architecture === platform.architecture && os === platform.os,
    );
    if (platforms.length > 0 && !isForUs) {
      const offered = platforms.map(({ architecture, os }) => `${os}/${architecture}`).join(', ');
      return missing(`it is for ${offered}, this node is ${platform.os}/${platform.architecture}`);
    }
  } catch (second) {
    signal.throwIfAborted();
    if (second instanceof EngineRefusal && (second.status === 401 || second.status === 403))
      return loginNeeded(reference, credentials, error);
    if (second instanceof EngineRefusal && second.status === 404) return missing(said(second));
    if (messageOf(second).includes(NO_CREDENTIALS)) return loginNeeded(reference, credentials, error);
  }
  return new StartFailure(`${name}: ${said(error)}`, { errorType: 'ImagePullFailed', cause: error });
}

function loginNeeded(reference: ImageReference, credentials: Credentials | null, error: Error): StartFailure {
  const why =
    credentials === null
      ? `${reference.registry} wants a login, and policy.registries of this node names no credentials for it`
      : `${reference.registry} does not accept the credentials of this node`;
  const message = `${canonicalImage(reference)}: ${why}`;
  return new StartFailure(message, { errorType: 'AuthenticationError', cause: error });
}

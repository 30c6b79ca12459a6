import { describe, expect, it } from 'vitest';

import { orAborted, Scope } from './scope.ts';

function scopeWith(events: string[], signal = new AbortController().signal) {
  const scope = new Scope(signal);
  const own = (name: string) =>
    scope.own({
      start: () => Promise.resolve(name),
      end: (value) => {
        events.push(`end ${value}`);
        return Promise.resolve();
      },
      describe: (value) => `${value};`,
    });
  return { scope, own };
}

describe('a scope', () => {
  it('ends what it owns in the opposite order, once', async () => {
    const events: string[] = [];
    const { scope, own } = scopeWith(events);
    await own('bed');
    await own('cluster');
    expect(scope.describe()).toBe('bed;cluster;');
    await scope.end();
    await scope.end();
    expect(events).toEqual(['end cluster', 'end bed']);
  });

  it('waits for what is still starting, and ends it', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const events: string[] = [];
    const scope = new Scope(new AbortController().signal);
    const starting = scope.own({
      start: () => promise,
      end: (value) => {
        events.push(value);
        return Promise.resolve();
      },
    });
    const ending = scope.end();
    resolve('late');
    await ending;
    expect(events).toEqual(['late']);
    expect(await starting).toBe('late');
  });

  it('has nothing to end of what did not start', async () => {
    const events: string[] = [];
    const scope = new Scope(new AbortController().signal);
    const failing = scope.own({
      start: () => Promise.reject(new Error('no room')),
      end: () => {
        events.push('end');
        return Promise.resolve();
      },
    });
    await expect(failing).rejects.toThrow('no room');
    await scope.end();
    expect(events).toEqual([]);
  });

  it('ends the rest where one cannot be ended, and says so', async () => {
    const events: string[] = [];
    const { scope, own } = scopeWith(events);
    await own('bed');
    await scope.own({ start: () => Promise.resolve(1), end: () => Promise.reject(new Error('stuck')) });
    await expect(scope.end()).rejects.toThrow('Error: stuck');
    expect(events).toEqual(['end bed']);
  });

  it('takes nothing more once it has ended or was interrupted', async () => {
    const { scope, own } = scopeWith([]);
    await scope.end();
    await expect(own('late')).rejects.toThrow('the scope has ended');
    const interrupted = scopeWith([], AbortSignal.abort('SIGINT'));
    await expect(interrupted.own('late')).rejects.toBe('SIGINT');
  });

  it('ends a part when that is through, or with the whole after a failure', async () => {
    const events: string[] = [];
    const { scope, own } = scopeWith(events);
    await own('bed');
    const inner = (name: string) => ({
      start: () => Promise.resolve(name),
      end: () => {
        events.push(`end ${name}`);
        return Promise.resolve();
      },
      describe: () => `${name};`,
    });
    await scope.nested((part) => part.own(inner('first')));
    expect(events).toEqual(['end first']);
    const failing = scope.nested(async (part) => {
      await part.own(inner('second'));
      throw new Error('it failed');
    });
    await expect(failing).rejects.toThrow('it failed');
    expect(scope.describe()).toBe('bed;second;');
    await scope.end();
    expect(events).toEqual(['end first', 'end second', 'end bed']);
  });
});

describe('waiting until something is there or it is interrupted', () => {
  it('gives what comes first', async () => {
    const controller = new AbortController();
    expect(await orAborted(Promise.resolve(1), controller.signal)).toBe(1);
    const never = orAborted(new Promise(() => undefined), controller.signal);
    controller.abort('SIGTERM');
    await expect(never).rejects.toBe('SIGTERM');
    await expect(orAborted(Promise.reject(new Error('late')), controller.signal)).rejects.toBe('SIGTERM');
  });
});

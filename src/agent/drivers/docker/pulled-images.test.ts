import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { PulledImage } from './pulled-images.ts';
import { imagesToRemove, PulledImages } from './pulled-images.ts';

function image(name: string, changes: Partial<PulledImage> = {}): PulledImage {
  return { name, imageId: `sha256:${name}`, sizeBytes: 100, usedAtMs: 1000, ...changes };
}

function directory(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'jarvis-images-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

function names(
  images: readonly PulledImage[],
  limits: { readonly maxAgeMs: number; readonly maxBytes: number },
  inUse: readonly string[] = [],
): readonly string[] {
  return imagesToRemove(images, { nowMs: 10_000, inUse: new Set(inUse), limits }).map(({ name }) => name);
}

describe('imagesToRemove', () => {
  const roomy = { maxAgeMs: 1_000_000, maxBytes: 1_000_000 };

  it('takes what was not used for long', () => {
    const images = [image('old', { usedAtMs: 2000 }), image('new', { usedAtMs: 9000 })];
    expect(names(images, roomy)).toEqual([]);
    expect(names(images, { ...roomy, maxAgeMs: 5000 })).toEqual(['old']);
    expect(names(images, { ...roomy, maxAgeMs: 5000 }, ['old'])).toEqual([]);
  });

  it('takes the longest unused until the rest is small enough', () => {
    const images = [5000, 3000, 4000].map((usedAtMs) => image(`at-${usedAtMs}`, { usedAtMs }));
    expect(names(images, { ...roomy, maxBytes: 300 })).toEqual([]);
    expect(names(images, { ...roomy, maxBytes: 299 })).toEqual(['at-3000']);
    expect(names(images, { ...roomy, maxBytes: 0 }, ['at-4000'])).toEqual(['at-3000', 'at-5000']);
  });
});

describe('PulledImages', () => {
  it('remembers', async () => {
    const at = directory();
    const images = await PulledImages.open(at);
    await images.add(image('a'));
    await images.add(image('b'));
    images.used('a', 5000);
    images.used('a', 4000);
    images.used('unknown', 1);
    images.forget('b');
    await images.save();
    expect((await PulledImages.open(at)).all()).toEqual([image('a', { usedAtMs: 5000 })]);
  });

  it('begins anew where its file is damaged', async () => {
    const at = directory();
    for (const text of ['{', '[1]', '"x"']) {
      writeFileSync(path.join(at, 'images.json'), text);
      expect((await PulledImages.open(at)).all()).toEqual([]);
    }
  });
});

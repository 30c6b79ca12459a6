import { describe, expect, it } from 'vitest';

import { decodeUtf8 } from './utf8.ts';

describe('text from bytes', () => {
  it('is what the bytes say', () => {
    expect(decodeUtf8(Buffer.from('größe 🚀\n'), 'f')).toBe('größe 🚀\n');
    expect(decodeUtf8(new Uint8Array(), 'f')).toBe('');
  });

  it.each([
    [[0xff], 'byte 0 (0xff)'],
    [[0x61, 0x62, 0x80, 0x63], 'byte 2 (0x80)'],
    // An overlong slash, and half of a surrogate pair.
    [[0x61, 0xc0, 0xaf], 'byte 1 (0xc0)'],
    [[0xed, 0xa0, 0x80], 'byte 1 (0xa0)'],
    [[...Buffer.from('ü'.repeat(1000)), 0xc3, 0x28], 'byte 2001 (0x28)'],
    [[0x61, 0xf0, 0x9f, 0x9a], 'it ends within a character'],
  ])('is refused with the place of the first byte that is none: case %#', (bytes, message) => {
    expect(() => decodeUtf8(Uint8Array.from(bytes), 'f.yaml')).toThrow(`f.yaml: is not UTF-8: ${message}`);
  });
});

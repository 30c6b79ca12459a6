import { describe, expect, it } from 'vitest';

import { ETCD_PUT, ETCD_PUTS } from './etcd.ts';

describe('what etcd is sent', () => {
  it('is a PutRequest: key in field 1, value in field 2', () => {
    expect(ETCD_PUT.requestSerialize({ key: 'k', value: 'vw' }).toString('hex')).toBe('0a016b12027677');
  });

  it('is a TxnRequest whose success, field 2, has a RequestOp with a put, its field 2, for each', () => {
    const bytes = ETCD_PUTS.requestSerialize([
      { key: 'a', value: '' },
      { key: 'b', value: 'c' },
    ]);
    expect(bytes.toString('hex')).toBe('120712050a01611200120812060a0162120163');
  });
});

import { describe, expect, it } from 'vitest';

import { NetworkCounters } from './network-counters.ts';

/** /proc/net/dev of interfaces by what they received and sent. */
function table(interfaces: Readonly<Record<string, readonly [received: number, sent: number]>>): string {
  return [
    'Inter-|   Receive                                                |  Transmit',
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets',
    ...Object.entries(interfaces).map(
      ([name, [received, sent]]) => `${name.padStart(6)}:${received} 1 0 0 0 0 0 0 ${sent} 1 0 0 0 0 0 0`,
    ),
    '',
  ].join('\n');
}

describe('counters of the network', () => {
  it('add up what all interfaces received, and what they sent', () => {
    const counters = new NetworkCounters();
    expect(counters.take(table({ eth0: [100, 20], 'eth0:1': [7, 3] }))).toEqual({
      receivedBytes: 107,
      transmittedBytes: 23,
    });
  });

  it('leave out the loopback and what passes on the traffic of containers', () => {
    const passing = ['lo', 'docker0', 'br-0123456789ab', 'veth12ab', 'virbr0', 'cni0', 'flannel.1'];
    const all = Object.fromEntries(passing.map((name) => [name, [900, 900]] as const));
    // A bridge that somebody named is the interface of the machine.
    const counted = new NetworkCounters().take(table({ ...all, eth0: [1, 2], br0: [10, 20] }));
    expect(counted).toEqual({ receivedBytes: 11, transmittedBytes: 22 });
  });

  it('never fall, whichever interfaces come and go', () => {
    const counters = new NetworkCounters();
    const received = [
      table({ eth0: [100, 0], eth1: [50, 0] }),
      table({ eth0: [110, 0] }),
      // Made anew.
      table({ eth0: [120, 0], eth1: [5, 0] }),
      table({ eth0: [3, 0], eth1: [6, 0] }),
    ].map((text) => counters.take(text).receivedBytes);
    expect(received).toEqual([150, 160, 175, 179]);
  });
});

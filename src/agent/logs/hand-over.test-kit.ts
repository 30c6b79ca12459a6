/** Nodes with logs, for tests of the hand-over: data directories, and receivers that are reached without a network. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { pino } from 'pino';

import type { LogPiece } from '../../generated/log_hand_over.ts';
import { systemClock } from '../../lib/clock.ts';
import { JarvisError } from '../../lib/errors.ts';
import { encodeLogFrame } from '../watchdog/log-format.ts';
import type { Candidate, HandOverPeers } from './log-hand-over.ts';
import { LogHandOver } from './log-hand-over.ts';
import { LogReceiver } from './log-receiver.ts';

export const CLUSTER_ID = 'cluster-1';
export const silent = pino({ enabled: false });

export class Bed {
  readonly root = mkdtempSync(path.join(tmpdir(), 'jarvis-hand-over-'));
  readonly receivers = new Map<string, LogReceiver>();
  readonly rooms = new Map<string, number>();
  /** Attempts in the order in which they were sent, with the node that they went to. */
  readonly sent: string[] = [];
  readonly recorded: string[] = [];
  /** Makes of the pieces what arrives; may throw. */
  onSend: (to: string, pieces: AsyncIterable<LogPiece>) => AsyncIterable<LogPiece> = (_to, pieces) => pieces;
  onRecord: () => void = () => undefined;

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  directory(node: string): string {
    return path.join(this.root, node);
  }

  receiver(node: string, roomBytes = 2 ** 30): LogReceiver {
    this.rooms.set(node, roomBytes);
    mkdirSync(this.directory(node), { recursive: true });
    const { rooms } = this;
    const room = {
      get roomBytes(): number {
        return rooms.get(node) ?? 0;
      },
      took: (bytes: number): void => void rooms.set(node, room.roomBytes - bytes),
    };
    const made = new LogReceiver({ dataDirectory: this.directory(node), clusterId: CLUSTER_ID, room });
    this.receivers.set(node, made);
    return made;
  }

  /** Two files, written last so many seconds after 2026 began. */
  keep(node: string, task: string, seconds: number, bytes = 1000): void {
    const directory = path.join(this.directory(node), 'tasks', task, '1');
    mkdirSync(directory, { recursive: true });
    for (const sequence of [9, 10]) {
      const file = path.join(directory, `log.${String(sequence).padStart(6, '0')}`);
      const data = Buffer.alloc(bytes / 2, `${task}/${sequence} `);
      writeFileSync(file, encodeLogFrame('stdout', sequence, data.subarray(0, 60_000)));
      writeFileSync(file, data, { flag: 'a' });
      const at = new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
      utimesSync(file, at, at);
    }
  }

  record(node: string, task: string): void {
    const directory = path.join(this.directory(node), 'watchdog', 'attempts');
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, `${task}.1.json`), '{}');
  }

  unrecord(node: string, task: string): void {
    rmSync(path.join(this.directory(node), 'watchdog', 'attempts', `${task}.1.json`));
  }

  /** Both files; null where they are not there. */
  content(node: string, task: string): Buffer | null {
    const directory = path.join(this.directory(node), 'tasks', task, '1');
    try {
      return Buffer.concat(
        [9, 10].map((n) => readFileSync(path.join(directory, `log.${String(n).padStart(6, '0')}`))),
      );
    } catch {
      return null;
    }
  }

  get peers(): HandOverPeers {
    return {
      candidates: () => [...this.receivers.keys()].map((name): Candidate => ({ name, address: name })),
      room: async ({ name }) => this.#receiver(name).roomBytes(CLUSTER_ID),
      send: async ({ name }, pieces) => {
        await this.#receiver(name).take(this.onSend(name, this.#noted(name, pieces)));
      },
      record: async (holder) => {
        this.onRecord();
        this.recorded.push(holder);
      },
    };
  }

  handOver(node: string, peers = this.peers): LogHandOver {
    return new LogHandOver({
      dataDirectory: this.directory(node),
      clusterId: CLUSTER_ID,
      peers,
      clock: systemClock,
      random: () => 0,
      log: silent,
    });
  }

  #receiver(name: string): LogReceiver {
    const receiver = this.receivers.get(name);
    if (receiver === undefined) throw new JarvisError('unavailable', `${name} is down`);
    return receiver;
  }

  async *#noted(to: string, pieces: AsyncIterable<LogPiece>): AsyncGenerator<LogPiece> {
    for await (const piece of pieces) {
      if (piece.kind?.$case === 'header') this.sent.push(`${piece.kind.value.task_id}>${to}`);
      yield piece;
    }
  }
}

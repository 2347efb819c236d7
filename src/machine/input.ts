// What is typed at the serial port, or at the virtio console. The one thing a run depends on beside its configuration: so
// each byte is logged with the guest time it arrived at, and the same configuration with that log as its input is the
// same run again.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';

/** Where one can type: the serial port, the virtio console. */
export type InputPort = 'com1' | 'hvc0';

/** A port's end of the line. */
export type Receiver = {
  /** Bytes that it would take now. */
  receiveRoom(): number;
  receive(byte: number): unknown;
};

/** A byte that arrived. */
export type InputByte = {
  /** Guest time in ns. */
  readonly at: bigint;
  readonly byte: number;
  /** The serial port where not given. */
  readonly port?: InputPort;
};

/** Bytes that a snapshot's lists may hold. */
const MOST_INPUT = 1_000_000;
const PORTS: readonly InputPort[] = ['com1', 'hvc0'];

const saveInput = (bytes: readonly InputByte[]): Plain => bytes.map((each) => ({ ...each }));

/** Throws InputError. */
export const readInputBytes = (saved: Fields, name: string): InputByte[] =>
  saved.objects(name, MOST_INPUT).map((each) => ({
    at: each.bigint('at', 0n, 1n << 63n),
    byte: each.number('byte', 0, 255),
    ...(each.has('port') ? { port: each.choice('port', PORTS) } : {}),
  }));

export class SerialInput {
  readonly #receivers: ReadonlyMap<InputPort, Receiver>;
  /** To be replayed, in the order of time. */
  readonly #recorded: readonly InputByte[];
  #replayed = 0;
  /** Typed, not yet taken by the port. */
  readonly #waiting: { readonly port: InputPort; readonly bytes: number[] }[];
  readonly #log: InputByte[] = [];

  /** @param receivers the ports there are; what comes for others is lost */
  constructor(receivers: ReadonlyMap<InputPort, Receiver>, recorded: readonly InputByte[]) {
    this.#receivers = receivers;
    this.#recorded = recorded;
    this.#waiting = [...receivers.keys()].map((port) => ({ port, bytes: [] }));
  }

  /** What arrived so far. */
  get log(): readonly InputByte[] {
    return this.#log;
  }

  /** Bytes that still wait for room in the port. */
  get waiting(): number {
    return this.#waiting.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  type(typed: Uint8Array, port: InputPort): void {
    const line = this.#waiting.find((waiting) => waiting.port === port);
    for (const byte of typed) line?.bytes.push(byte);
  }

  save(): Plain {
    const waiting = this.#waiting.map(({ port, bytes }) => ({ port, bytes: Uint8Array.from(bytes) }));
    return { replayed: this.#replayed, waiting, log: saveInput(this.#log) };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    this.#replayed = saved.number('replayed', 0, this.#recorded.length);
    this.#log.length = 0;
    for (const byte of readInputBytes(saved, 'log')) this.#log.push(byte);
    for (const { bytes } of this.#waiting) bytes.length = 0;
    for (const line of saved.objects('waiting', PORTS.length)) {
      this.type(line.bytes('bytes', MOST_INPUT), line.choice('port', PORTS));
    }
  }

  /** Guest time of the next byte to be replayed. */
  next(): bigint | undefined {
    return this.#recorded[this.#replayed]?.at;
  }

  /** Lets arrive what is due; only between two instructions. @returns did anything? */
  deliver(now: bigint): boolean {
    const before = this.#log.length;
    for (let due = this.#recorded[this.#replayed]; due && due.at <= now; due = this.#recorded[this.#replayed]) {
      this.#replayed++;
      this.#arrive(due.port ?? 'com1', due.byte, now);
    }
    for (const { port, bytes } of this.#waiting) {
      const fits = bytes.length === 0 ? 0 : (this.#receivers.get(port)?.receiveRoom() ?? 0);
      for (const byte of bytes.splice(0, fits)) this.#arrive(port, byte, now);
    }
    return this.#log.length > before;
  }

  #arrive(port: InputPort, byte: number, at: bigint): void {
    this.#log.push(port === 'com1' ? { at, byte } : { at, byte, port });
    this.#receivers.get(port)?.receive(byte);
  }
}

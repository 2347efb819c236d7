// What is typed at the serial port. The one thing a run depends on beside its configuration: so each byte is logged with
// the guest time it arrived at, and the same configuration with that log as its input is the same run again.

import type { Uart16550 } from '../devices/uart16550.ts';

/** A byte that arrived on the serial line. */
export type InputByte = {
  /** Guest time in ns. */
  readonly at: bigint;
  readonly byte: number;
};

export class SerialInput {
  readonly #uart: Uart16550;
  /** To be replayed, in the order of time. */
  readonly #recorded: readonly InputByte[];
  #replayed = 0;
  /** Typed, not yet taken by the port. */
  #waiting: number[] = [];
  readonly #log: InputByte[] = [];

  constructor(uart: Uart16550, recorded: readonly InputByte[]) {
    this.#uart = uart;
    this.#recorded = recorded;
  }

  /** What arrived so far. */
  get log(): readonly InputByte[] {
    return this.#log;
  }

  /** Bytes that still wait for room in the port. */
  get waiting(): number {
    return this.#waiting.length;
  }

  type(bytes: Uint8Array): void {
    for (const byte of bytes) this.#waiting.push(byte);
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
      this.#arrive(due.byte, now);
    }
    const fits = Math.min(this.#uart.receiveRoom(), this.#waiting.length);
    for (const byte of this.#waiting.splice(0, fits)) this.#arrive(byte, now);
    return this.#log.length > before;
  }

  #arrive(byte: number, at: bigint): void {
    this.#log.push({ at, byte });
    this.#uart.receive(byte);
  }
}

// Port space: which chip answers which port. A port nobody claims reads as all ones and swallows writes, as an ISA bus
// does, and is named once.

import type { PortIo } from '../cpu/state/cpu.ts';
import type { Device } from '../devices/device.ts';
import type { ChipPorts } from '../devices/ports.ts';
import type { DeviceWindow } from './memoryBus.ts';

/** An access to an 8-bit ISA port: six clocks of 8.33 MHz with the recovery between two; over LPC it takes about as long. */
const PORT_ACCESS_NS = 1000n;

/** An access to a port, by the guest. */
export type PortAccess = {
  readonly port: number;
  readonly size: 1 | 2 | 4;
  /** Unsigned. */
  readonly value: number;
  readonly write: boolean;
};

/** Where the bus leads to beside its chips. */
export type PortWires = {
  /** Nothing answers there. */
  readonly unclaimed: (port: number, write: boolean) => void;
  /** Before every access of the guest: how long it takes, in ns. */
  readonly charge: (ns: bigint) => void;
  /** By name of the chip, '' where none answers. */
  readonly chip: (chip: string, write: boolean) => void;
  /** A read when its value is known, a write before the chip gets it. */
  readonly accessed: (access: PortAccess) => void;
  /** Is it a read that the engine would have answered by itself, if it did not have to be told of? Then no chip is named. */
  readonly isRepeated: (port: number) => boolean;
};

type Claim = { readonly device: Device; readonly base: number };
type Answer = { readonly device: DeviceWindow['device']; readonly base: number };

export class PortBus implements PortIo {
  readonly #claims = new Map<number, Claim>();
  readonly #windows: DeviceWindow[] = [];
  readonly #wires: PortWires;

  constructor(wires: PortWires) {
    this.#wires = wires;
  }

  steady(port: number): number | undefined {
    const claim = this.#claims.get(port);
    return claim?.device.steady?.(port - claim.base) ? Number(PORT_ACCESS_NS) : undefined;
  }

  /** Later claims win: a chip inside another's range is attached after it. */
  attach(device: Device, ports: ChipPorts): void {
    for (const range of ports.ranges) {
      for (let port = range.first; port < range.first + range.count; port++) {
        this.#claims.set(port, { device, base: ports.base });
      }
    }
  }

  /** Ports that the guest moves. Where others have theirs they do not answer. */
  attachWindow(window: DeviceWindow): void {
    this.#windows.push(window);
  }

  #answering(port: number): Answer | undefined {
    const claim = this.#claims.get(port);
    if (claim) return claim;
    for (const window of this.#windows) {
      const base = window.base();
      if (base !== undefined && port >= base && port < base + window.size) return { device: window.device, base };
    }
    return undefined;
  }

  /** A byte written before the guest's time begins: it costs none. A port nobody claims is our bug. */
  preset(port: number, value: number): void {
    const claim = this.#claims.get(port);
    if (!claim) throw new Error(`no chip at port ${port}`);
    claim.device.write(port - claim.base, 1, value);
  }

  in(port: number, size: 1 | 2 | 4): number {
    this.#wires.charge(PORT_ACCESS_NS);
    const claim = this.#answering(port);
    if (!this.#wires.isRepeated(port)) this.#wires.chip(claim?.device.name ?? '', false);
    const value = claim ? claim.device.read(port - claim.base, size) >>> 0 : this.#nothing(port, size);
    this.#wires.accessed({ port, size, value, write: false });
    return value;
  }

  #nothing(port: number, size: 1 | 2 | 4): number {
    this.#wires.unclaimed(port, false);
    return size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff;
  }

  out(port: number, size: 1 | 2 | 4, value: number): void {
    this.#wires.charge(PORT_ACCESS_NS);
    const claim = this.#answering(port);
    this.#wires.chip(claim?.device.name ?? '', true);
    this.#wires.accessed({ port, size, value: value >>> 0, write: true });
    if (claim) claim.device.write(port - claim.base, size, value >>> 0);
    else this.#wires.unclaimed(port, true);
  }
}

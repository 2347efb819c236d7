// Port space: which chip answers which port. A port nobody claims reads as all ones and swallows writes, as an ISA bus
// does, and is named once.

import type { PortIo } from '../cpu/cpu.ts';
import type { Device } from '../devices/device.ts';
import type { ChipPorts } from '../devices/ports.ts';

type Claim = { readonly device: Device; readonly base: number };

export class PortBus implements PortIo {
  readonly #claims = new Map<number, Claim>();
  readonly #unclaimed: (port: number, write: boolean) => void;
  /** Told before every access, so that timed chips can be brought up to date. */
  onAccess: ((port: number) => void) | undefined;

  /** @param unclaimed told of each access that no chip answers */
  constructor(unclaimed: (port: number, write: boolean) => void) {
    this.#unclaimed = unclaimed;
  }

  /** Later claims win: a chip inside another's range is attached after it. */
  attach(device: Device, ports: ChipPorts): void {
    for (const range of ports.ranges) {
      for (let port = range.first; port < range.first + range.count; port++) {
        this.#claims.set(port, { device, base: ports.base });
      }
    }
  }

  /** A byte written before the guest's time begins: it costs none. A port nobody claims is our bug. */
  preset(port: number, value: number): void {
    const claim = this.#claims.get(port);
    if (!claim) throw new Error(`no chip at port ${port}`);
    claim.device.write(port - claim.base, 1, value);
  }

  in(port: number, size: 1 | 2 | 4): number {
    this.onAccess?.(port);
    const claim = this.#claims.get(port);
    if (claim) return claim.device.read(port - claim.base, size) >>> 0;
    this.#unclaimed(port, false);
    return size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff;
  }

  out(port: number, size: 1 | 2 | 4, value: number): void {
    this.onAccess?.(port);
    const claim = this.#claims.get(port);
    if (claim) claim.device.write(port - claim.base, size, value >>> 0);
    else this.#unclaimed(port, true);
  }
}

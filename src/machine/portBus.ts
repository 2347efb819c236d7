// Port space: which chip answers which port. A port nobody claims reads as all ones and swallows writes, as an ISA bus
// does, and is named once.

import type { PortIo } from '../cpu/state/cpu.ts';
import type { Device } from '../devices/device.ts';
import type { ChipPorts } from '../devices/ports.ts';
import type { DeviceWindow } from './memoryBus.ts';

/** An access to an 8-bit ISA port: six clocks of 8.33 MHz with the recovery between two; over LPC it takes about as long. */
const PORT_ACCESS_NS = 1000n;

type Claim = { readonly device: Device; readonly base: number };
type Answer = { readonly device: DeviceWindow['device']; readonly base: number };

export class PortBus implements PortIo {
  readonly #claims = new Map<number, Claim>();
  readonly #windows: DeviceWindow[] = [];
  readonly #unclaimed: (port: number, write: boolean) => void;
  /** Told before every access of the guest how long it takes, in ns. */
  onAccess: ((ns: bigint) => void) | undefined;
  /** Told of each access by name of the chip, '' where none answers. */
  onChip: ((chip: string, write: boolean) => void) | undefined;

  /** @param unclaimed told of each access that no chip answers */
  constructor(unclaimed: (port: number, write: boolean) => void) {
    this.#unclaimed = unclaimed;
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
    this.onAccess?.(PORT_ACCESS_NS);
    const claim = this.#answering(port);
    this.onChip?.(claim?.device.name ?? '', false);
    if (claim) return claim.device.read(port - claim.base, size) >>> 0;
    this.#unclaimed(port, false);
    return size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff;
  }

  out(port: number, size: 1 | 2 | 4, value: number): void {
    this.onAccess?.(PORT_ACCESS_NS);
    const claim = this.#answering(port);
    this.onChip?.(claim?.device.name ?? '', true);
    if (claim) claim.device.write(port - claim.base, size, value >>> 0);
    else this.#unclaimed(port, true);
  }
}

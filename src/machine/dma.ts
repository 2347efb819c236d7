// Guest memory as chips reach it themselves, between two instructions. What they write may be code; whoever keeps an eye
// on which pages change sees it as he sees stores.

import type { PhysAddr } from '../bits/address.ts';
import * as at from '../cpu/state/layout.ts';
import type { GuestMemory } from '../cpu/state/memory.ts';
import type { Dma } from '../devices/dma.ts';

/**
 * @param forgetCode drops what is decoded of a host page
 * @param moved told of bytes that are read or written
 */
export function guestDma(
  memory: GuestMemory,
  forgetCode: (hostPage: number) => void,
  moved: (bytes: number) => void,
): Dma {
  const writePage = (address: number, bytes: Uint8Array): boolean => {
    const host = memory.hostOf(address);
    if (host === undefined) return false;
    const flags = at.PAGE_FLAGS + (host >>> 12);
    const old = memory.bytes[flags] ?? 0;
    if (old & at.PAGE_ROM) return true;
    memory.bytes.set(bytes, host);
    memory.bytes[flags] = old | at.PAGE_STORED;
    forgetCode(host >>> 12);
    memory.stored(address, bytes.length);
    return true;
  };
  return {
    read: (address, length) => {
      if (!memory.isRam(address, length)) return undefined;
      moved(length);
      return memory.read(address as PhysAddr, length);
    },
    write: (address, bytes) => {
      if (!memory.isRam(address, bytes.length)) return false;
      moved(bytes.length);
      for (let done = 0; done < bytes.length; ) {
        const part = Math.min(bytes.length - done, 4096 - ((address + done) % 4096));
        // No room on the host: the machine stops for that, whatever the chip makes of it.
        if (!writePage(address + done, bytes.subarray(done, done + part))) return false;
        done += part;
      }
      return true;
    },
  };
}

// Which byte of the image a running instruction is: by the stub's known copies, else by looking its bytes up in the stub
// (small pieces of it, such as the trampoline, are copied elsewhere by themselves).

import { type PhysAddr, physAddr } from '../bits/address.ts';
import type { BootRun } from '../run/run.ts';
import { endOf } from '../boot/layout.ts';
import type { PlacedName } from '../boot/protocol.ts';
import { locateInStub } from '../run/stubCopies.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { BzImage } from '../image/bzimage.ts';

export type Place = { readonly link: bigint; readonly fileOffset: number };

const SHORT = 12;
const LONG = 32;

/** Place in the image of the code at a linear address, or undefined where it is none of the stub's. */
export function locateInMemory(run: BootRun, image: BzImage, linear: bigint): Place | undefined {
  const { engine, memory } = run.machine;
  const physical = engine.translate(linear, { fetch: true, implicit: true, peek: true });
  if (isFault(physical)) return undefined;
  // What the loader left there may hold bytes that the stub holds too: its GDT, for one.
  if (ownerOf(run, physical) !== undefined) return undefined;
  const { fileOffset: start, size } = image.protectedMode;
  const there = memory.read(physAddr(physical), LONG);
  for (const copy of [...run.stages.copies].reverse()) {
    const offset = physical - copy;
    if (offset < 0 || offset + SHORT > size) continue;
    const file = image.bytes.subarray(start + offset, start + offset + SHORT);
    const { relocatedBytes } = run.stages;
    if (file.every((byte, i) => byte === there[i] || relocatedBytes.has(offset + i)))
      return { link: BigInt(offset), fileOffset: start + offset };
  }
  const found = locateInStub(image, there);
  return found === undefined ? undefined : { link: BigInt(found - start), fileOffset: found };
}

/** Place in an ELF image of what lies at a physical address: the link address that its segment gives it. */
export function locateInSegments(run: BootRun, physical: PhysAddr): Place | undefined {
  const { image } = run;
  if (image.kind !== 'elf' && image.kind !== 'elf32') return undefined;
  const placed = run.boot.placement.find(({ name }) => name === 'image');
  const moved = (placed?.start ?? 0) - Math.min(...image.segments.map(({ physAddr: start }) => start));
  const at = physical - moved;
  const segment = image.segments.find((one) => at >= one.physAddr && at < one.physAddr + one.fileSize);
  if (segment === undefined) return undefined;
  const offset = at - segment.physAddr;
  return { link: segment.virtAddr + BigInt(offset), fileOffset: segment.fileOffset + offset };
}

/** What lies at a place that is none of the image's, where it is known: of the loader, of the firmware, or by the PC's map. */
export type Owner = Exclude<PlacedName, 'image'> | 'interrupt_vectors' | 'rom' | 'nothing';

const REAL_MODE_VECTORS = 0x400;

/** Undefined where RAM is nobody's, or the image's. Only what was put there is known, not whether the guest has written since. */
export function ownerOf(run: BootRun, physical: PhysAddr): Owner | undefined {
  const placed = run.boot.placement.find((range) => physical >= range.start && physical < endOf(range));
  if (placed !== undefined) return placed.name === 'image' ? undefined : placed.name;
  const { config, memory } = run.machine;
  if (config.rom && physical >= config.rom.start && physical < config.rom.end) return 'rom';
  if (!memory.isRam(physical, 1)) return 'nothing';
  return physical < REAL_MODE_VECTORS && config.rom ? 'interrupt_vectors' : undefined;
}

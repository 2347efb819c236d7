// Which byte of the image a running instruction is: by the stub's known copies, else by looking its bytes up in the stub
// (small pieces of it, such as the trampoline, are copied elsewhere by themselves).

import { physAddr } from '../bits/address.ts';
import type { BootRun } from '../boot/run.ts';
import { locateInStub } from '../boot/stubCopies.ts';
import { isFault } from '../cpu/cpu.ts';
import type { BzImage } from '../image/bzimage.ts';

export type Place = { readonly link: bigint; readonly fileOffset: number };

const SHORT = 12;
const LONG = 32;

/** Place in the image of the code at a linear address, or undefined where it is none of the stub's. */
export function locateInMemory(run: BootRun, image: BzImage, linear: bigint): Place | undefined {
  const { engine, memory } = run.machine;
  const physical = engine.translate(linear, { fetch: true, implicit: true });
  if (isFault(physical)) return undefined;
  const { fileOffset: start, size } = image.protectedMode;
  const there = memory.read(physAddr(physical), LONG);
  for (const copy of [...run.stages.copies].reverse()) {
    const offset = physical - copy;
    if (offset < 0 || offset + SHORT > size) continue;
    const file = image.bytes.subarray(start + offset, start + offset + SHORT);
    if (file.every((byte, i) => byte === there[i])) return { link: BigInt(offset), fileOffset: start + offset };
  }
  const found = locateInStub(image, there);
  return found === undefined ? undefined : { link: BigInt(found - start), fileOffset: found };
}

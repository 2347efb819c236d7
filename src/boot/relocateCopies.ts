// What a proof does where no position-independent instruction has the length of a sick one: in each copy that the stub
// makes of itself the fields that hold addresses are made right for that copy, just before its code runs.

import { physAddr } from '../bits/address.ts';
import { putU32, putU64, viewOf } from '../bits/cursor.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { BootRun } from './run.ts';
import type { RelocatedField } from './runConfig.ts';

type Run = Pick<BootRun, 'machine' | 'image' | 'boot' | 'stages'>;

/** To be called before the run starts. */
export function relocateCopies({ machine, image, boot, stages }: Run, fields: readonly RelocatedField[]): void {
  if (image.kind !== 'bzImage') return;
  for (const field of fields) {
    for (let i = 0; i < field.bytes; i++) stages.relocatedBytes.add(field.at + i);
  }
  stages.onCopy = (copy) => {
    for (const field of fields) relocate(machine.memory, image, field, { copy, distance: copy - boot.loadAddress });
  };
}

function relocate(
  memory: BootRun['machine']['memory'],
  image: BzImage,
  { at, bytes }: RelocatedField,
  { copy, distance }: { readonly copy: number; readonly distance: number },
): void {
  const start = image.protectedMode.fileOffset + at;
  const value = new Uint8Array(image.bytes.subarray(start, start + bytes));
  const there = memory.isRam(copy + at, bytes) ? memory.read(physAddr(copy + at), bytes) : undefined;
  // What the stub has made of its copy since is its own.
  if (there === undefined || there.some((byte, i) => byte !== value[i])) return;
  if (bytes === 4) putU32(value, 0, (viewOf(value).getUint32(0, true) + distance) >>> 0);
  else putU64(value, 0, BigInt.asUintN(64, viewOf(value).getBigUint64(0, true) + BigInt(distance)));
  memory.write(physAddr(copy + at), value);
}

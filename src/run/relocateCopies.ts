// What a proof does where no position-independent instruction has the length of a sick one: the fields that hold addresses
// are made right where the stub is loaded, and in each copy that it makes of itself, just before the copy's code runs.

import { physAddr } from '../bits/address.ts';
import { putU32, putU64, viewOf } from '../bits/cursor.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { Machine } from '../machine/machine.ts';
import type { RelocatedField } from './interventions/relocate.ts';
import type { StageTracker } from './stages.ts';

type Loaded = { readonly machine: Machine; readonly image: BzImage; readonly loadAddress: number };

/**
 * The image as it stands in memory, its fields made right there; memory is changed likewise.
 * @param load false: it is, or will be, already
 */
export function relocateLoaded(
  { machine, image, loadAddress }: Loaded,
  fields: readonly RelocatedField[],
  load: boolean,
): BzImage {
  const bytes = new Uint8Array(image.bytes);
  for (const field of fields) {
    const value = valueIn(image, field, loadAddress);
    bytes.set(value, image.protectedMode.fileOffset + field.at);
    if (load && machine.memory.isRam(loadAddress + field.at, field.bytes)) {
      machine.memory.write(physAddr(loadAddress + field.at), value);
    }
  }
  return { ...image, bytes };
}

/** To be called before the run starts. @param image as `relocateLoaded` gave it */
export function relocateCopies(
  { machine, image, loadAddress }: Loaded,
  stages: StageTracker,
  fields: readonly RelocatedField[],
): void {
  for (const field of fields) {
    for (let i = 0; i < field.bytes; i++) stages.relocatedBytes.add(field.at + i);
  }
  stages.observe({
    copy: (copy) => {
      for (const field of fields) relocate(machine, image, field, { copy, distance: copy - loadAddress });
    },
  });
}

function relocate(
  { memory }: Machine,
  image: BzImage,
  field: RelocatedField,
  { copy, distance }: { readonly copy: number; readonly distance: number },
): void {
  const { at, bytes } = field;
  const before = valueIn(image, field, 0);
  const there = memory.isRam(copy + at, bytes) ? memory.read(physAddr(copy + at), bytes) : undefined;
  // What the stub has made of its copy since is its own.
  if (there === undefined || there.some((byte, i) => byte !== before[i])) return;
  memory.write(physAddr(copy + at), valueIn(image, field, distance));
}

/** A field's bytes with a distance added, modulo their size. */
function valueIn(image: BzImage, { at, bytes }: RelocatedField, distance: number): Uint8Array {
  const start = image.protectedMode.fileOffset + at;
  const value = image.bytes.slice(start, start + bytes);
  if (bytes === 4) putU32(value, 0, (viewOf(value).getUint32(0, true) + distance) >>> 0);
  else putU64(value, 0, BigInt.asUintN(64, viewOf(value).getBigUint64(0, true) + BigInt(distance)));
  return value;
}

// Interventions on instructions of an image: the position-independent form where there is one of the same length, else
// the immediate with the load bias added, which is right at one load address only.

import type { BzImage } from '../image/bzimage.ts';
import { attText, decodeOne } from '../code/disassembly.ts';
import { positionIndependentForm } from '../code/repair.ts';
import type { ExecutedReference } from '../record/references.ts';

export type Repair = { readonly bytes: Uint8Array; readonly text: string; readonly everywhere: boolean };

/** @param bias run-time address less link address of the code that runs @returns undefined where nothing fits */
export function repairOf(executed: ExecutedReference, bias: bigint): Repair | undefined {
  const { reference, bytes, link } = executed;
  const everywhere = positionIndependentForm(reference, bytes, Number(link));
  const repaired = everywhere ?? biased(executed, bias);
  if (!repaired) return undefined;
  const insn = decodeOne(repaired, link, 64);
  const text = attText(insn);
  insn.free();
  return { bytes: repaired, text, everywhere: everywhere !== undefined };
}

function biased({ reference, bytes }: ExecutedReference, bias: bigint): Uint8Array | undefined {
  const value = reference.constant + bias;
  // A 32-bit immediate is sign-extended or zero-extended; below 2 GiB both mean the same.
  if (reference.bytes === 4 && (value < 0n || value >= 1n << 31n)) return undefined;
  const out = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  if (reference.bytes === 4) view.setUint32(reference.offset, Number(value), true);
  else view.setBigUint64(reference.offset, BigInt.asUintN(64, value), true);
  return out;
}

/** An instruction and what is put in its place. */
export type Change = { readonly executed: ExecutedReference; readonly repair: Repair };

/** A copy of the image with instructions replaced. */
export function patched(image: BzImage, changes: readonly Change[]): Uint8Array {
  const out = new Uint8Array(image.bytes);
  for (const { executed, repair } of changes) out.set(repair.bytes, executed.fileOffset);
  return out;
}

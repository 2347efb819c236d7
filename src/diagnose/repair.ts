// Interventions on instructions of an image: the position-independent form where there is one of the same length, else
// the immediate with the load bias added, which is right at one load address only.

import type { RunConfig } from '../run/run.ts';
import type { ImageBytes } from '../run/interventions/image.ts';
import { entryOf, type What } from '../run/interventions/table.ts';
import { attText, decodeOne } from '../code/disassembly.ts';
import { positionIndependentForm } from '../code/repair.ts';
import type { ExecutedReference } from '../record/references.ts';

export type Repair = { readonly bytes: Uint8Array; readonly text: string; readonly everywhere: boolean };

/** @param bias run-time address less link address of the code that runs @returns undefined where nothing fits */
function repairOf(executed: ExecutedReference, bias: bigint): Repair | undefined {
  const { reference, bytes, link, runtime, bits } = executed;
  // RIP-relative operands exist in 64-bit code only, and mean what is right where the instruction itself runs.
  const own = bits === 64 && bias === runtime - link;
  const everywhere = own ? positionIndependentForm(reference, bytes, Number(link)) : undefined;
  const repaired = everywhere ?? withConstant(executed, reference.constant + bias);
  return repaired && { ...repairWith(executed, repaired), everywhere: everywhere !== undefined };
}

/** The instruction with another constant in place of its own; undefined where that does not fit. */
export function otherConstant(executed: ExecutedReference, constant: bigint): Repair | undefined {
  const bytes = withConstant(executed, constant);
  return bytes && { ...repairWith(executed, bytes), everywhere: false };
}

function repairWith({ link, bits }: ExecutedReference, bytes: Uint8Array): Omit<Repair, 'everywhere'> {
  const insn = decodeOne(bytes, link, bits);
  const text = attText(insn);
  insn.free();
  return { bytes, text };
}

function withConstant({ reference, bytes, bits }: ExecutedReference, value: bigint): Uint8Array | undefined {
  // In 64-bit code 32 bits are sign-extended or zero-extended; below 2 GiB both mean the same.
  const limit = bits === 64 ? 1n << 31n : 1n << 32n;
  if (reference.bytes === 4 && (value < 0n || value >= limit)) return undefined;
  const out = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  if (reference.bytes === 4) view.setUint32(reference.offset, Number(value), true);
  else view.setBigUint64(reference.offset, BigInt.asUintN(64, value), true);
  return out;
}

/** An instruction and what is put in its place. @property bias run-time less link address of what it means */
export type Change = { readonly executed: ExecutedReference; readonly repair: Repair; readonly bias: bigint };

/** Undefined where nothing fits. */
export function changeOf(executed: ExecutedReference, bias: bigint): Change | undefined {
  const repair = repairOf(executed, bias);
  return repair && { executed, repair, bias };
}

/** The configuration with more changed in it before the first instruction. */
export const changed = (config: RunConfig, ...what: readonly What[]): RunConfig =>
  what.length === 0 ? config : { ...config, interventions: [...(config.interventions ?? []), ...what.map(entryOf)] };

/** The configuration with instructions of the image replaced. */
export const patched = (config: RunConfig, changes: readonly Change[]): RunConfig =>
  changed(config, ...changes.flatMap(patchesOf));

/** Only the bytes that differ: an instruction may hold two addresses, each a change of its own. */
function patchesOf({ executed, repair }: Change): ImageBytes[] {
  const patches: ImageBytes[] = [];
  const differs = (i: number): boolean => repair.bytes[i] !== executed.bytes[i];
  for (let i = 0; i < repair.bytes.length; i++) {
    if (!differs(i)) continue;
    const start = i;
    while (i + 1 < repair.bytes.length && differs(i + 1)) i++;
    const bytes = repair.bytes.slice(start, i + 1);
    patches.push({ kind: 'image', fileOffset: executed.fileOffset + start, bytes });
  }
  return patches;
}

/** Of the copy of the stub that it runs in. */
export const meansItsOwnCopy = ({ executed, bias }: Change): boolean => bias === executed.runtime - executed.link;

/**
 * The configuration with the changes made. A position-independent instruction is right everywhere; of the others an
 * address in the copy that runs is made right in each copy of the stub, one in another copy stands for this boot only.
 */
export function repaired(config: RunConfig, changes: readonly Change[]): RunConfig {
  const fixed = changes.filter((change) => change.repair.everywhere || !meansItsOwnCopy(change));
  const fields = changes.filter((change) => !fixed.includes(change)).map(fieldOf);
  return changed(patched(config, fixed), ...fields);
}

const fieldOf = ({ executed: { link, reference } }: Change): What => ({
  kind: 'relocate',
  at: Number(link) + reference.offset,
  bytes: reference.bytes,
});

/** Offsets of the fields that are made right in each copy of the stub. */
export const relocatedIn = ({ interventions = [] }: RunConfig): number[] =>
  interventions.flatMap(({ what }) => (what.kind === 'relocate' ? [what.at] : []));

// Every instruction of a stub that the audit takes for one that holds an address fixed at link time, executed or not: for
// where no single one is to blame.

import { auditStub } from '../audit/stub/audit.ts';
import type { Finding } from '../audit/types.ts';
import { decodeOne, attText } from '../code/disassembly.ts';
import { programOfBzImage } from '../code/program.ts';
import { absoluteReferences, type Reference } from '../code/references.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { ExecutedReference } from '../record/references.ts';

/** An image that is linked wrong throughout has some hundreds. */
const MOST = 2000;

/** As references that were never executed; where they run is not known. In the audit's order. */
export function fixedAtLink(image: BzImage): ExecutedReference[] {
  const { findings } = auditStub(programOfBzImage(image), image.header.pref_address);
  return findings
    .filter(({ rule }) => rule === 'position-dependent-reference')
    .slice(0, MOST)
    .flatMap(asReferences);
}

function asReferences({ bytes, linkAddress, fileOffset, text, target }: Finding): ExecutedReference[] {
  if (bytes === undefined || linkAddress === undefined || fileOffset === undefined) return [];
  const known = { runtime: linkAddress, link: linkAddress, fileOffset, bytes, first: 0n, last: 0n, times: 0 };
  for (const bits of [64, 32] as const) {
    const found = referencesOf(bytes, linkAddress, bits, text);
    const meant = found.filter(({ constant }) => constant === target?.linkAddress);
    if (meant.length > 0) return meant.map((reference) => ({ ...known, reference, bits }));
  }
  return [];
}

/** None where the text is not what the bytes mean in that mode. */
function referencesOf(bytes: Uint8Array, at: bigint, bits: 32 | 64, text: string | undefined): Reference[] {
  const insn = decodeOne(bytes, at, bits);
  const found = attText(insn) === text ? absoluteReferences(insn) : [];
  insn.free();
  return found;
}

// The EFI program around the kernel of a unified kernel image: the rules of the PE header that hold for any EFI program.
import { readerOf } from '../bits/cursor.ts';
import type { OpenedFile } from '../image/open.ts';
import { parsePe } from '../image/pe.ts';
import { auditPeImage } from './header/peRules.ts';
import type { Finding } from './types.ts';

/**
 * Findings of the outermost layer, where that is a unified kernel image; none otherwise. Of what firmware puts up with
 * nothing is said: the stubs in use are so.
 */
export function auditUki({ given, layers }: OpenedFile): Finding[] {
  if (layers[0]?.kind !== 'uki') return [];
  const pe = parsePe(given);
  if (pe === undefined) return [];
  const found = auditPeImage(pe, { bytes: given, file: readerOf(given, 'the PE image') });
  return found
    .filter(({ severity }) => severity === 'error')
    .map((finding) => ({ ...finding, place: 'PE header of the unified kernel image' }));
}

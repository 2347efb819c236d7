// A field of the stub that holds a link address is made right where the stub is loaded, and in each copy that the stub
// makes of itself, as no stub does (../relocateCopies.ts).

import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import type { Kind } from './kind.ts';
import { smallNumberOf, split } from './text.ts';

/** Little-endian bytes at an offset in the protected-mode part. */
export type RelocatedField = { readonly at: number; readonly bytes: 4 | 8 };
export type Relocated = { readonly kind: 'relocate' } & RelocatedField;

const LARGEST = 2 ** 31;

export const relocate: Kind<Relocated> = {
  form: 'OFFSET:4 or OFFSET:8',
  help: 'adds the load bias to the 4 or 8 bytes at an offset of the stub, in each of its copies',
  parse(text) {
    const [offset, bytes] = split(text, ':', this.form);
    if (bytes !== '4' && bytes !== '8') throw new InputError('a field of the stub has 4 or 8 bytes');
    return { kind: 'relocate', at: smallNumberOf(offset, LARGEST), bytes: bytes === '4' ? 4 : 8 };
  },
  text: ({ at, bytes }) => `${hex(at)}:${bytes}`,
  before({ at, bytes }, to) {
    to.relocated.push({ at, bytes });
  },
};

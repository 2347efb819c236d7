// RAM that is seen at a second address too, which no PC has.

import { hex } from '../../bits/hex.ts';
import * as at from '../../cpu/state/layout.ts';
import type { Kind } from './kind.ts';
import { smallNumberOf, split } from './text.ts';

/** The RAM at [from, from + size) is that at [to, to + size); all are multiples of 64 KiB. */
export type Alias = { readonly from: number; readonly to: number; readonly size: number };
export type AliasedRam = { readonly kind: 'alias' } & Alias;

export const alias: Kind<AliasedRam> = {
  form: 'FROM+SIZE=TO',
  help: 'the RAM at FROM is that at TO, too; whole pieces of 64 KiB',
  parse(text) {
    const [range, to] = split(text, '=', this.form);
    const [from, size] = split(range, '+', this.form);
    const [start, length, other] = [from, size, to].map((number) => smallNumberOf(number, at.PHYS_LIMIT));
    return { kind: 'alias', from: start as number, to: other as number, size: length as number };
  },
  text: ({ from, to, size }) => `${hex(from)}+${hex(size)}=${hex(to)}`,
  before({ from, to, size }, before) {
    before.aliases.push({ from, to, size });
  },
};

// What the guest asked for in vain: part of every outcome, because it may be the reason for it.

import type { Unimplemented } from '../machine/machine.ts';
import { countText } from './numbers.ts';

/** Lines shown before the rest is only counted. */
const MOST = 10;

/** A heading and a line for each thing, in the order in which the guest first asked; nothing where there is nothing. */
export function unimplementedLines(all: readonly Unimplemented[]): string[] {
  if (all.length === 0) return [];
  const shown = all
    .slice(0, MOST)
    .map(({ what, count }) => `  ${what}${count > 1 ? ` (${countText(count)} times)` : ''}`);
  const rest = all.length > MOST ? [`  and ${countText(all.length - MOST)} more`] : [];
  return ['the guest asked for what this machine does not have:', ...shown, ...rest];
}

// What the guest asked for in vain: part of every outcome, because it may be the reason for it.

import type { Unimplemented } from '../machine/unimplemented.ts';
import { countText } from './numbers.ts';

/** Lines shown before the rest is only counted. */
const MOST = 10;

/** A heading and a line for each thing, in the order in which the guest first asked; nothing where there is nothing. */
export function unimplementedLines(all: readonly Unimplemented[]): string[] {
  if (all.length === 0) return [];
  const shown = all
    .slice(0, MOST)
    .map(({ what, device, count }) => `  ${what}${nameText(device)}${count > 1 ? ` (${countText(count)} times)` : ''}`);
  const rest = all.length > MOST ? [`  and ${countText(all.length - MOST)} more`] : [];
  return ['the guest asked for what this machine does not have:', ...shown, ...rest];
}

const nameText = (device: string | undefined): string => (device === undefined ? '' : ` (${device})`);

/** Without what software looks for because a PC may have it: after a good end that it is not there is no news. */
export const unexpectedOnes = (all: readonly Unimplemented[]): Unimplemented[] =>
  all.filter(({ device }) => device === undefined);

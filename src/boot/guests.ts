// Who understands which words on its command line: those that make it say what it does where somebody listens, the first
// serial port. A guest without such words is not dead, only mute.

import type { KernelImage } from '../image/image.ts';
import { searchFor } from '../image/search.ts';

export type Word = {
  readonly text: string;
  /** Names of words that settle the same thing: where the given line has one of them, this is left out. */
  readonly settledBy: readonly string[];
  /** Several of its name count side by side, as Linux's consoles do; of others one does. */
  readonly addsUp?: boolean;
};

export type Guest = {
  /** As people call it. */
  readonly name: string;
  readonly words: readonly Word[];
};

export const nameOf = (text: string): string => text.split('=')[0] as string;
const word = (text: string, ...others: readonly string[]): Word => ({ text, settledBy: [nameOf(text), ...others] });

/** Documentation/admin-guide/kernel-parameters.txt; the boot stub prints by the same words. */
export const LINUX: Guest = {
  name: 'Linux',
  words: [word('earlyprintk=serial,ttyS0,115200', 'earlycon'), { ...word('console=ttyS0'), addsUp: true }],
};
/** docs/misc/xen-command-line: without them Xen speaks on the VGA only, which is what `console` is by default. */
export const XEN: Guest = { name: 'Xen', words: [word('com1=115200,8n1'), word('console=com1,vga')] };
/** The first domain of Xen has its console there. */
export const XEN_DOM0: Guest = {
  name: 'Linux',
  words: [word('earlyprintk=xen', 'earlycon'), { ...word('console=hvc0'), addsUp: true }],
};
/** comcninit() takes the unit's number behind the name. */
const MACH: Guest = { name: 'GNU Mach', words: [word('console=com0')] };
/** Version 6 has a serial console; its screen stays. */
const MEMTEST: Guest = { name: 'Memtest86+', words: [word('console=ttyS0,115200')] };

const searcher = (text: string): ((bytes: Uint8Array) => boolean) => {
  const search = searchFor(new TextEncoder().encode(text));
  return (bytes) => search(bytes) >= 0;
};
/** Guests are known by what they say of themselves, and understand a word where it is in them. */
const PROGRAMS: readonly { readonly guest: Guest; readonly says: readonly ((bytes: Uint8Array) => boolean)[] }[] = [
  { guest: XEN, says: [searcher('Xen version %d.%d'), searcher('com1')] },
  { guest: MACH, says: [searcher('GNU Mach '), searcher('console=com')] },
  { guest: MEMTEST, says: [searcher('Memtest86+ v'), searcher('ttyS')] },
];

/** Undefined for one that says of itself none of these names. */
export const programOf = ({ bytes }: KernelImage): Guest | undefined =>
  PROGRAMS.find(({ says }) => says.every((is) => is(bytes)))?.guest;

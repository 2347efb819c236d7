// MSI-X (PCI 3.0, 6.8.2): a table of messages in the function's memory, a pending bit for each, and masks for one and for
// all. A message is a write of 4 bytes to an address that the guest chose.

import { zeros } from '../device.ts';
import { CAP_ID_MSIX } from './space.ts';

/** Bytes of a table entry: address, upper address, data, vector control. */
const ENTRY_WORDS = 4;
const MASKED = 1;
const CONTROL_ENABLE = 0x8000;
const CONTROL_MASK_ALL = 0x4000;
/** Of the capability's message control, high byte. */
export const MSIX_CONTROL_WRITABLE = 0xc0;

export type MsixState = {
  /** Four words an entry. */
  table: number[];
  /** A bit an entry. */
  pending: number;
};

/** Where the parts are: offsets in a BAR. */
export type MsixPlace = { readonly bar: number; readonly table: number; readonly pba: number };

/** The capability without its pointer to the next one, which is its second byte. */
export const msixCapability = (next: number, vectors: number, { bar, table, pba }: MsixPlace): number[] => [
  CAP_ID_MSIX,
  next,
  ...[vectors - 1, 0],
  ...[0, 8, 16, 24].map((shift) => ((table | bar) >>> shift) & 0xff),
  ...[0, 8, 16, 24].map((shift) => ((pba | bar) >>> shift) & 0xff),
];

/** @param vectors 32 at most */
export const powerOnMsix = (vectors: number): MsixState => ({
  table: zeros(ENTRY_WORDS * vectors).map((_, i) => (i % ENTRY_WORDS === 3 ? MASKED : 0)),
  pending: 0,
});

export type SendMessage = (address: number, data: number) => void;

const entryMasked = (s: MsixState, vector: number, control: number): boolean =>
  (control & CONTROL_MASK_ALL) !== 0 || ((s.table[ENTRY_WORDS * vector + 3] ?? MASKED) & MASKED) !== 0;

const sendEntry = (s: MsixState, vector: number, send: SendMessage): void => {
  const word = (i: number): number => s.table[ENTRY_WORDS * vector + i] ?? 0;
  send(word(1) * 2 ** 32 + word(0), word(2));
};

export const msixEnabled = (control: number): boolean => (control & CONTROL_ENABLE) !== 0;
const msixVectors = (s: MsixState): number => s.table.length / ENTRY_WORDS;

/** Sends a vector's message, or remembers it where it is masked. @param control message control of the capability */
export const raiseMsix = (s: MsixState, control: number, vector: number, send: SendMessage): void => {
  if (vector >= msixVectors(s)) return;
  if (entryMasked(s, vector, control)) s.pending |= 1 << vector;
  else sendEntry(s, vector, send);
};

/** To be called when a mask may have gone: what is pending and no longer masked is sent. */
export const flushMsix = (s: MsixState, control: number, send: SendMessage): void => {
  if (!msixEnabled(control)) return;
  for (let vector = 0; vector < msixVectors(s); vector++) {
    if (((s.pending >>> vector) & 1) === 0 || entryMasked(s, vector, control)) continue;
    s.pending &= ~(1 << vector);
    sendEntry(s, vector, send);
  }
};

/** Of an aligned doubleword of the table. @param offset from the table's start */
export const readTable = (s: MsixState, offset: number): number => s.table[offset >> 2] ?? 0;

/** The low two address bits read as zero; of vector control there is the mask. Accesses are of 4 or 8 bytes. */
export const writeTable = (s: MsixState, offset: number, value: number): void => {
  const index = offset >> 2;
  if (index >= s.table.length) return;
  const writable = [0xffff_fffc, 0xffff_ffff, 0xffff_ffff, MASKED][index % ENTRY_WORDS] ?? 0;
  s.table[index] = (value & writable) >>> 0;
};

export const readPending = (s: MsixState, offset: number): number => (offset === 0 ? s.pending >>> 0 : 0);

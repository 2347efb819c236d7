// The x87 register stack in the state block: FXSAVE's image (SDM 1 10.5.1), where ST(0) always comes first.
// TOP therefore moves the registers, and only the abridged tags (a bit for each physical register, 1: in use) stay put.

import * as at from '../../state/layout.ts';
import type { CpuState } from '../../state/state.ts';

const FCW = at.FXSTATE;
const FTW = at.FXSTATE + 4;
const FOP = at.FXSTATE + 6;
const FIP = at.FXSTATE + 8;
const FDP = at.FXSTATE + 16;
const ST0 = at.FXSTATE + 32;
const STRIDE = 16;

/** Bits of the status word (SDM 1 figure 8-4). */
export const FSW = {
  IE: 0x01,
  DE: 0x02,
  ZE: 0x04,
  OE: 0x08,
  UE: 0x10,
  PE: 0x20,
  SF: 0x40,
  ES: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  C3: 0x4000,
  B: 0x8000,
} as const;
const EXCEPTIONS = 0x3f;
const TOP_SHIFT = 11;
const TOP_MASK = 7 << TOP_SHIFT;

/** Control word bits that can be set, and the one that is always set. */
const FCW_WRITABLE = 0x1f3f;
const FCW_FIXED = 0x40;
export const FCW_DEFAULT = 0x37f;

const low16 = (state: CpuState, address: number): number => state.u32(address) & 0xffff;
const setLow16 = (state: CpuState, address: number, value: number): void =>
  state.setU32(address, ((state.u32(address) & 0xffff_0000) | (value & 0xffff)) >>> 0);

export const controlWord = (state: CpuState): number => low16(state, FCW);
export const statusWord = (state: CpuState): number => state.u32(FCW) >>> 16;

/** Both words; the summary bits ES and B follow from flags and masks, whatever is written there. */
const setWords = (state: CpuState, control: number, status: number): void => {
  const pending = status & ~control & EXCEPTIONS;
  const summarised = pending ? status | FSW.ES | FSW.B : status & ~(FSW.ES | FSW.B);
  state.setU32(FCW, (((summarised & 0xffff) << 16) | control) >>> 0);
};

export const setControlWord = (state: CpuState, value: number): void =>
  setWords(state, (value & FCW_WRITABLE) | FCW_FIXED, statusWord(state));
/** Writes the status word as it stands; the registers do not move. */
export const setStatusWord = (state: CpuState, value: number): void => setWords(state, controlWord(state), value);

/** Bits of the control word that mask exceptions; the order is the status word's. */
export const masks = (state: CpuState): number => controlWord(state) & EXCEPTIONS;

export const top = (state: CpuState): number => (statusWord(state) >> TOP_SHIFT) & 7;
const physical = (state: CpuState, n: number): number => (top(state) + n) & 7;

/** Abridged tags: bit n is 1 where physical register n is in use. */
export const tags = (state: CpuState): number => state.u32(FTW) & 0xff;
export const setTags = (state: CpuState, value: number): void => setLow16(state, FTW, value & 0xff);

export const isEmpty = (state: CpuState, n: number): boolean => ((tags(state) >> physical(state, n)) & 1) === 0;
export const free = (state: CpuState, n: number): void => setTags(state, tags(state) & ~(1 << physical(state, n)));

/** ST(n), 80 bits. */
export const st = (state: CpuState, n: number): bigint => {
  const address = ST0 + STRIDE * n;
  return (BigInt(low16(state, address + 8)) << 64n) | state.u64(address);
};
/** Writes ST(n) and leaves its tag. The six bytes above a register read as zeros. */
export const setStored = (state: CpuState, n: number, value: bigint): void => {
  const address = ST0 + STRIDE * n;
  state.setU64(address, value);
  state.setU64(address + 8, value >> 64n);
};
/** Writes ST(n) and marks it used. */
export const setSt = (state: CpuState, n: number, value: bigint): void => {
  setStored(state, n, value);
  setTags(state, tags(state) | (1 << physical(state, n)));
};

/** TOP += by: what was ST(by) is ST(0). No tag changes. */
export const rotate = (state: CpuState, by: number): void => {
  if ((by & 7) === 0) return;
  const held = Array.from({ length: 8 }, (_, n) => st(state, n));
  const status = statusWord(state);
  const moved = (top(state) + by) & 7;
  setStatusWord(state, (status & ~TOP_MASK) | (moved << TOP_SHIFT));
  for (const [n, value] of held.entries()) setStored(state, (n - by) & 7, value);
};
export const push = (state: CpuState, value: bigint): void => {
  rotate(state, -1);
  setSt(state, 0, value);
};
export const pop = (state: CpuState): void => {
  free(state, 0);
  rotate(state, 1);
};

const INTEGER_BIT = 1n << 63n;

/** What FSTENV says of a register in use: 0 valid, 1 zero, 2 special (SDM 1 8.1.7). */
const tagOf = (value: bigint): number => {
  const exponent = (value >> 64n) & 0x7fffn;
  if (exponent === 0n) return value & (INTEGER_BIT | (INTEGER_BIT - 1n)) ? 2 : 1;
  return exponent === 0x7fffn || !(value & INTEGER_BIT) ? 2 : 0;
};

/** The tag word of FSTENV: two bits for each physical register, 3 where it is empty. */
export const fullTags = (state: CpuState): number => {
  let word = 0;
  for (let n = 0; n < 8; n++) word |= (isEmpty(state, n) ? 3 : tagOf(st(state, n))) << (2 * physical(state, n));
  return word;
};
/** Only "empty" is taken from a tag word; the rest follows from the values. */
export const abridge = (word: number): number => {
  let used = 0;
  for (let n = 0; n < 8; n++) if (((word >> (2 * n)) & 3) !== 3) used |= 1 << n;
  return used;
};

/** Where the last x87 instruction that is not a control instruction was, and its memory operand (offsets). */
export const instructionPointer = (state: CpuState): bigint => state.u64(FIP);
export const setInstructionPointer = (state: CpuState, value: bigint): void => state.setU64(FIP, value);
export const dataPointer = (state: CpuState): bigint => state.u64(FDP);
export const setDataPointer = (state: CpuState, value: bigint): void => state.setU64(FDP, value);
/** Its opcode: low three bits of the first byte, and the second (11 bits). */
export const lastOpcode = (state: CpuState): number => low16(state, FOP) & 0x7ff;
export const setLastOpcode = (state: CpuState, value: number): void =>
  state.setU32(FTW, ((state.u32(FTW) & 0xffff) | ((value & 0x7ff) << 16)) >>> 0);

/** x87 state as FNINIT leaves it; the registers keep what they hold (SDM 2A FINIT). */
export const initialise = (state: CpuState): void => {
  rotate(state, -top(state));
  state.setU32(FCW, FCW_DEFAULT);
  state.setU32(FTW, 0);
  setInstructionPointer(state, 0n);
  setDataPointer(state, 0n);
};

/** What every MMX instruction but EMMS does first (SDM 1 9.5.1): TOP is 0 and all registers are in use. */
export const enterMmx = (state: CpuState): void => {
  rotate(state, -top(state));
  setTags(state, 0xff);
};
/** MMn; TOP has to be 0. */
export const mmx = (state: CpuState, n: number): bigint => state.u64(ST0 + STRIDE * n);
/** Writes MMn; sign and exponent of the register become ones. */
export const setMmx = (state: CpuState, n: number, value: bigint): void =>
  setStored(state, n, (0xffffn << 64n) | BigInt.asUintN(64, value));

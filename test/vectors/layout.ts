// The world in which every vector was recorded, and in which it must be replayed: where code, data and stack lie, what
// the registers and memory hold that a vector does not mention, and the selectors. test/vectors/README.md tells the rest.

/** 64-bit mode, 32-bit compatibility mode, or 16-bit code of compatibility mode (CS.D = 0, flat 32-bit stack). */
export type VectorMode = 64 | 32 | 16;

/** General registers in encoding order; the first eight under their 64-bit names in every mode. */
export const REGISTER_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
export const RSP = 4;

/** One letter a region: Data, Stack, Low (below 64 KiB, for 16-bit addresses), High (above 4 GiB). */
export type RegionName = 'D' | 'S' | 'L' | 'H';

export const BLOCK_BYTES = 256;
export const PAGE_BYTES = 4096n;

/**
 * Each region is one writable page at `page`, with nothing mapped right before or behind it. All of a page is zero but
 * the 256-byte block at its end, which ends where the page ends.
 */
export const REGIONS: Record<RegionName, { page: bigint; block: bigint }> = {
  D: { page: 0x10000000n, block: 0x10000f00n },
  S: { page: 0x10010000n, block: 0x10010f00n },
  L: { page: 0x2000n, block: 0x2f00n },
  H: { page: 0x1234_1000_0000n, block: 0x1234_1000_0f00n },
};
export const REGION_NAMES: readonly RegionName[] = ['D', 'S', 'L', 'H'];

/** Executable memory, all INT3 but the instruction itself; targets of branches lie in it. */
export const CODE_REGIONS = [
  { address: 0x11000000n, length: 0x10000n },
  { address: 0x4000n, length: 0xc000n },
];

/** Where the instruction stands. */
export const codeAddress = (mode: VectorMode): bigint => (mode === 16 ? 0x8000n : 0x11008000n);

/** Base of GS in 64-bit mode (the selectors FS and GS are null). In the other modes GS and FS can't be used for memory. */
export const GS_BASE = 0x10000f20n;

/** Linux's flat selectors, all with RPL 3: a vector runs at CPL 3 with IOPL 0. 0x07 is an LDT entry, 16-bit, base 0. */
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
export type SegmentName = (typeof SEGMENT_NAMES)[number];
export type Segments = Readonly<Record<SegmentName, number>>;
const CODE_SELECTORS: Record<VectorMode, number> = { 64: 0x33, 32: 0x23, 16: 0x07 };
export const initialSegments = (mode: VectorMode): Segments => ({
  es: 0x2b,
  cs: CODE_SELECTORS[mode],
  ss: 0x2b,
  ds: 0x2b,
  fs: 0,
  gs: 0,
});

/** What a register holds that a vector does not mention: every byte differs, and tells whose it is. */
export function backgroundRegister(mode: VectorMode, index: number): bigint {
  if (index === RSP) return REGIONS.S.block + 0x80n;
  if (mode !== 64 && index >= 8) return 0n;
  let value = 0n;
  for (let byte = 7; byte >= 0; byte--) value = (value << 8n) | BigInt((index << 4) | byte);
  return mode === 64 ? value : value & 0xffffffffn;
}

/** What a block holds that a vector does not mention. */
export function backgroundBlock(): Uint8Array {
  return Uint8Array.from({ length: BLOCK_BYTES }, (_, index) => (index * 29 + 0x35) & 0xff);
}

/** RFLAGS bits by the manual's names (Intel SDM vol. 1, 3.4.3). */
export const RFLAGS_BITS = {
  CF: 0x1,
  PF: 0x4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x10000,
  VM: 0x20000,
  AC: 0x40000,
  VIF: 0x80000,
  VIP: 0x100000,
  ID: 0x200000,
} as const;

const { CF, PF, AF, ZF, SF, IF, DF, OF } = RFLAGS_BITS;
export const ARITHMETIC_FLAGS = CF | PF | AF | ZF | SF | OF;
/** What is compared unless a vector says otherwise. */
export const DEFAULT_FLAGS_MASK = ARITHMETIC_FLAGS | DF;
/** Flags that a vector does not mention: the always-one bit 1, and IF, which no program at CPL 3 and IOPL 0 can change. */
export const BACKGROUND_RFLAGS = 0x2 | IF;

/** Vector and x87 state, in the families that show it. */
export interface FpuState {
  /** XMM0 to XMM15, 128 bits each; outside 64-bit mode an instruction can't name those from XMM8 on. */
  xmm: bigint[];
  /** Upper halves of YMM0 to YMM15, in the families that show them. */
  upper?: bigint[];
  mxcsr: number;
  /** x87 registers by their physical number, 80 bits each: ST(i) is number (TOP + i) mod 8. MMi is the low part of number i. */
  physical: bigint[];
  /** Control word, status word, and abridged tag word (bit n: register n is not empty). */
  fcw: number;
  fsw: number;
  ftw: number;
}

/** TOP of a status word. */
export const topOf = (fsw: number): number => (fsw >> 11) & 7;

/** What an XMM register holds that a vector does not mention: every byte differs. */
function backgroundXmm(index: number): bigint {
  let value = 0n;
  for (let byte = 15; byte >= 0; byte--) value = (value << 8n) | BigInt((index << 4) | byte);
  return value;
}

// 1.11, 2.22... as far as hexadecimal goes: normal numbers, each told by its digits.
const backgroundX87 = (index: number): bigint =>
  (BigInt(0x3fff + index) << 64n) | 0x8000_0000_0000_0000n | (0x0111_1111_1111_1111n * BigInt(index + 1));

/** All registers in use, TOP = 0, everything masked, no flag set. */
export const backgroundFpu = (): FpuState => ({
  xmm: Array.from({ length: 16 }, (_, index) => backgroundXmm(index)),
  mxcsr: 0x1f80,
  physical: Array.from({ length: 8 }, (_, index) => backgroundX87(index)),
  fcw: 0x37f,
  fsw: 0,
  ftw: 0xff,
});

/** The same with upper halves of YMM registers, in which every byte differs too. */
export const backgroundAvx = (): FpuState => ({
  ...backgroundFpu(),
  upper: Array.from({ length: 16 }, (_, index) => BigInt.asUintN(128, ~backgroundXmm(index))),
});

/** Bytes of an FXSAVE image that hold state (Intel SDM vol. 1, table 10-2). */
export const FX_IMAGE_BYTES = 416;
const FX_MXCSR = 24;
const FX_ST = 32;
const FX_XMM = 160;

const putWide = (view: DataView, at: number, value: bigint): void => {
  view.setBigUint64(at, BigInt.asUintN(64, value), true);
  view.setBigUint64(at + 8, value >> 64n, true);
};
const getWide = (view: DataView, at: number, highMask: bigint): bigint =>
  view.getBigUint64(at, true) | ((view.getBigUint64(at + 8, true) & highMask) << 64n);

/** The state as FXSAVE writes it in 64-bit mode: x87 registers in stack order, instruction and data pointers 0. */
export function fxImage(state: FpuState): Uint8Array {
  const bytes = new Uint8Array(FX_IMAGE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, state.fcw, true);
  view.setUint16(2, state.fsw, true);
  view.setUint8(4, state.ftw);
  view.setUint32(FX_MXCSR, state.mxcsr, true);
  const top = topOf(state.fsw);
  for (let st = 0; st < 8; st++) putWide(view, FX_ST + 16 * st, state.physical[(top + st) & 7] ?? 0n);
  state.xmm.forEach((value, index) => {
    putWide(view, FX_XMM + 16 * index, value);
  });
  return bytes;
}

/** The inverse of `fxImage`. */
export function fpuOfImage(bytes: Uint8Array): FpuState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fsw = view.getUint16(2, true);
  const top = topOf(fsw);
  return {
    fcw: view.getUint16(0, true),
    fsw,
    ftw: view.getUint8(4),
    mxcsr: view.getUint32(FX_MXCSR, true),
    physical: Array.from({ length: 8 }, (_, index) => getWide(view, FX_ST + 16 * ((index - top) & 7), 0xffffn)),
    xmm: Array.from({ length: 16 }, (_, index) => getWide(view, FX_XMM + 16 * index, 0xffff_ffff_ffff_ffffn)),
  };
}

/** The upper halves as XSAVE writes them, and the inverse. */
export function upperImage(upper: readonly bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 * upper.length));
  upper.forEach((value, index) => {
    putWide(view, 16 * index, value);
  });
  return new Uint8Array(view.buffer);
}
export function uppersOfImage(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 16 }, (_, index) => getWide(view, 16 * index, 0xffff_ffff_ffff_ffffn));
}

// The processor at the kernel's first instruction, as the two protocols demand it ("32-bit Boot Protocol", "64-bit Boot
// Protocol"): flat segments by the selectors __BOOT_CS and __BOOT_DS, interrupts off, boot_params in (R|E)SI.
import { putU64 } from '../bits/cursor.ts';
import { CR0_ET, CR0_PE, CR0_PG, CR4_LA57, CR4_PAE, EFER_LMA, EFER_LME } from '../x86/control.ts';
import {
  ATTR_ACCESSED,
  ATTR_CODE,
  ATTR_DB,
  ATTR_G,
  ATTR_L,
  ATTR_P,
  ATTR_RW,
  ATTR_S,
  encodeDescriptor,
} from '../x86/descriptors.ts';

const BOOT_CS = 0x10;
const BOOT_DS = 0x18;

const FLAT_LIMIT = 0xffff_ffff;
/** Marked accessed already: loading them writes nothing. */
const FLAT_DATA = ATTR_G | ATTR_DB | ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED;
const FLAT_CODE_32 = FLAT_DATA | ATTR_CODE;
const FLAT_CODE_64 = (FLAT_CODE_32 & ~ATTR_DB) | ATTR_L;

/** Bit 1 always reads 1; IF is clear. */
const RFLAGS_FIXED = 1n << 1n;

export type SegmentName = 'cs' | 'ds' | 'es' | 'ss' | 'fs' | 'gs';
export type RegisterName =
  | 'rax'
  | 'rcx'
  | 'rdx'
  | 'rbx'
  | 'rsp'
  | 'rbp'
  | 'rsi'
  | 'rdi'
  | 'r8'
  | 'r9'
  | 'r10'
  | 'r11'
  | 'r12'
  | 'r13'
  | 'r14'
  | 'r15';

export interface SegmentState {
  readonly selector: number;
  readonly base: bigint;
  /** In bytes, inclusive. */
  readonly limit: number;
  /** ATTR_ values: descriptor bits 40..55 without the limit's. */
  readonly attributes: number;
}

export interface EntryState {
  readonly mode: 'protected32' | 'long64';
  readonly rip: bigint;
  /** Those not named are 0. */
  readonly registers: Readonly<Partial<Record<RegisterName, bigint>>>;
  readonly rflags: bigint;
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
  readonly gdtBase: bigint;
  readonly gdtLimit: number;
  readonly idtBase: bigint;
  readonly idtLimit: number;
  readonly segments: Readonly<Record<SegmentName, SegmentState>>;
  /** The task register, where the protocol speaks of it. */
  readonly tr?: SegmentState;
}

export interface EntryInput {
  readonly entry: 32 | 64;
  readonly rip: number;
  readonly bootParams: number;
  readonly stackTop: number;
  readonly gdt: number;
  readonly cr3: number;
  readonly levels: 4 | 5;
}

const GDT_ENTRIES = 4;

/** Two unused descriptors, then the flat code and data ones. */
export function gdtBytes(entry: 32 | 64): Uint8Array {
  const bytes = new Uint8Array(GDT_ENTRIES * 8);
  putU64(bytes, BOOT_CS, encodeDescriptor(0, FLAT_LIMIT, entry === 64 ? FLAT_CODE_64 : FLAT_CODE_32));
  putU64(bytes, BOOT_DS, encodeDescriptor(0, FLAT_LIMIT, FLAT_DATA));
  return bytes;
}

export function entryState(input: EntryInput): EntryState {
  const { entry } = input;
  const data = segment(BOOT_DS, FLAT_DATA);
  return {
    mode: entry === 64 ? 'long64' : 'protected32',
    rip: BigInt(input.rip),
    registers: { rsi: BigInt(input.bootParams), rsp: BigInt(input.stackTop), rbp: 0n, rdi: 0n, rbx: 0n },
    rflags: RFLAGS_FIXED,
    ...controlRegisters(input),
    gdtBase: BigInt(input.gdt),
    gdtLimit: GDT_ENTRIES * 8 - 1,
    idtBase: 0n,
    idtLimit: 0,
    segments: {
      cs: segment(BOOT_CS, entry === 64 ? FLAT_CODE_64 : FLAT_CODE_32),
      ds: data,
      es: data,
      ss: data,
      fs: data,
      gs: data,
    },
  };
}

function controlRegisters(input: EntryInput): Pick<EntryState, 'cr0' | 'cr3' | 'cr4' | 'efer'> {
  if (input.entry === 32) return { cr0: CR0_PE | CR0_ET, cr3: 0n, cr4: 0n, efer: 0n };
  return {
    cr0: CR0_PE | CR0_ET | CR0_PG,
    cr3: BigInt(input.cr3),
    cr4: CR4_PAE | (input.levels === 5 ? CR4_LA57 : 0n),
    efer: EFER_LME | EFER_LMA,
  };
}

const segment = (selector: number, attributes: number): SegmentState => ({
  selector,
  base: 0n,
  limit: FLAT_LIMIT,
  attributes,
});

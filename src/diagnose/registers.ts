// The processor's registers at one moment, hidden parts and all, as plain data.

import * as at from '../cpu/state/layout.ts';
import { type CpuState, SEG } from '../cpu/state/state.ts';
import { type BitField, bitNames } from '../x86/bitNames.ts';

export type SegmentState = {
  readonly name: string;
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  /** Bits 40 to 55 of the descriptor, without those of the limit. */
  readonly attributes: number;
};

export type TableState = { readonly name: 'GDTR' | 'IDTR'; readonly base: bigint; readonly limit: number };

/** A register whose bits have names. */
export type NamedBits = { readonly name: string; readonly value: bigint; readonly bits: readonly string[] };

export type Registers = {
  readonly mode: '64-bit' | 'compatibility' | 'protected' | 'virtual-8086' | 'real';
  readonly cpl: number;
  /** 0 where paging is off. */
  readonly pagingLevels: number;
  readonly rip: bigint;
  /** RAX, RCX, ... R15, in the order of their numbers. */
  readonly general: readonly { readonly name: string; readonly value: bigint }[];
  readonly flags: NamedBits;
  readonly segments: readonly SegmentState[];
  readonly tables: readonly TableState[];
  readonly control: readonly NamedBits[];
  readonly cr2: bigint;
  readonly cr3: bigint;
};

const GENERAL = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI'] as const;
const nameOf = (index: number): string => GENERAL[index] ?? `R${index}`;

const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;

const VM = 1 << 17;

export function registersOf(state: CpuState): Registers {
  const named = (name: BitField, value: bigint): NamedBits => ({ name, value, bits: bitNames(name, value) });
  return {
    mode: modeOf(state),
    cpl: state.cpl,
    pagingLevels: state.u32(at.PAGING_LEVELS),
    rip: state.rip,
    general: Array.from({ length: 16 }, (_, index) => ({ name: nameOf(index), value: state.reg(index) })),
    // Bit 1 is always set and means nothing.
    flags: { name: 'RFLAGS', value: BigInt(state.rflags), bits: bitNames('RFLAGS', BigInt(state.rflags), ~2n) },
    segments: SEGMENTS.map((name) => ({ name, ...state.segment(SEG[name]) })),
    tables: [
      { name: 'GDTR', ...state.table(at.GDTR) },
      { name: 'IDTR', ...state.table(at.IDTR) },
    ],
    control: [
      named('CR0', state.u64(at.CR0)),
      named('CR4', state.u64(at.CR4)),
      named('EFER', state.u64(at.EFER)),
      named('XCR0', state.u64(at.XCR0)),
    ],
    cr2: state.u64(at.CR2),
    cr3: state.u64(at.CR3),
  };
}

function modeOf(state: CpuState): Registers['mode'] {
  if ((state.u64(at.CR0) & 1n) === 0n) return 'real';
  if (state.mode64) return '64-bit';
  if ((state.u64(at.EFER) & (1n << 10n)) !== 0n) return 'compatibility';
  return (state.u32(at.FLAGS_REST) & VM) !== 0 ? 'virtual-8086' : 'protected';
}

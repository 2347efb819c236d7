// What firmware has done to the processor before it hands over, and no boot protocol mentions: kernels find the memory
// types set (SDM 3A 12.11, "Memory Type Range Registers").
import * as at from '../cpu/layout.ts';
import type { CpuState } from '../cpu/state.ts';
import { MSR_IA32_MTRR_DEF_TYPE, msrByName, msrSlot } from '../x86/msr.ts';
import { HIGH_RAM_START, MMIO_HOLE_START } from './layout.ts';

const UNCACHEABLE = 0n;
const WRITE_PROTECTED = 5n;
const WRITE_BACK = 6n;
const MTRR_ENABLE = 1n << 11n;
const FIXED_ENABLE = 1n << 10n;
const VALID = 1n << 11n;
/** Address bits of a mask: MAXPHYADDR is 40 (x86/models.ts). */
const ADDRESS_BITS = (1n << 40n) - 1n;

/** A fixed-range register holds eight types, one in each byte. */
const eight = (type: bigint): bigint => type * 0x0101_0101_0101_0101n;

/** The 32-bit hole, a power of two in size and aligned to it, as one variable range. */
const HOLE_MASK = ADDRESS_BITS & ~BigInt(HIGH_RAM_START - MMIO_HOLE_START - 1);

const FIXED: readonly (readonly [name: string, type: bigint])[] = [
  ['64K_00000', WRITE_BACK],
  ['16K_80000', WRITE_BACK],
  // Video memory.
  ['16K_A0000', UNCACHEABLE],
  ...Array.from({ length: 8 }, (_, n): [string, bigint] => [
    `4K_${(0xc0000 + n * 0x8000).toString(16).toUpperCase()}`,
    WRITE_PROTECTED,
  ]),
];

/** RAM write-back, the device hole and video memory uncacheable, ROM write-protected. */
export function setMemoryTypes(state: CpuState): void {
  const set = (number: number, value: bigint): void => state.setU64(at.msrAddress(msrSlot(number)), value);
  for (const [name, type] of FIXED) {
    const msr = msrByName(`IA32_MTRR_FIX${name}`);
    if (msr) set(msr.number, eight(type));
  }
  set(0x200, BigInt(MMIO_HOLE_START) | UNCACHEABLE);
  set(0x201, HOLE_MASK | VALID);
  set(MSR_IA32_MTRR_DEF_TYPE, MTRR_ENABLE | FIXED_ENABLE | WRITE_BACK);
}

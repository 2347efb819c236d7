// What DR0 to DR3 wait for (SDM 3B 18.2.4, 18.2.5): an instruction about to run, a byte accessed, a port. The accesses of
// an instruction are worked out from its operands before it runs, which is slow and only done while a guest asks for it.

import {
  Code,
  type Instruction,
  InstructionInfoFactory,
  MemorySize,
  MemorySizeExt,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
} from 'iced-x86';
import { isOnlyRead } from '../../code/facts.ts';
import { CR4_DE, DR7_ENABLES } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import { xsaveBytes } from '../../x86/xstate.ts';
import type { Cpu } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { gatheredBy } from './avx/masked.ts';
import { linearMask, MASK16 } from './modes.ts';
import { readRegister, registerBytes, segmentBaseOf } from './operands.ts';

const DR7 = at.DR0 + 8 * 7;
const ENABLES = Number(DR7_ENABLES);

/** Is any of the four enabled, locally or globally? */
export const breakpointsEnabled = (state: CpuState): boolean => (state.u32(DR7) & ENABLES) !== 0;

/** R/W field of a breakpoint in DR7. */
const KIND = { EXECUTE: 0, WRITE: 1, PORT: 2, ACCESS: 3 } as const;
/** Bytes by the LEN field. */
const LENGTHS = [1, 2, 8, 4] as const;

type Breakpoint = { readonly bit: bigint; readonly kind: number; readonly first: bigint; readonly bytes: number };

/** The breakpoints enabled, their addresses aligned to their length. */
const enabled = (cpu: Cpu): Breakpoint[] => {
  const dr7 = cpu.state.u32(DR7);
  const found: Breakpoint[] = [];
  for (let n = 0; n < 4; n++) {
    if (((dr7 >>> (2 * n)) & 3) === 0) continue;
    const field = (dr7 >>> (16 + 4 * n)) & 15;
    const bytes = LENGTHS[field >> 2] as number;
    const address = cpu.state.u64(at.DR0 + 8 * n) & linearMask(cpu.state);
    found.push({ bit: 1n << BigInt(n), kind: field & 3, first: address & ~BigInt(bytes - 1), bytes });
  }
  return found;
};

const bitsOf = (points: readonly Breakpoint[]): bigint => points.reduce((bits, { bit }) => bits | bit, 0n);

/** DR6 bits of the breakpoints on the instruction at RIP; their length has to be one byte. */
export const instructionHits = (cpu: Cpu): bigint => {
  const { state } = cpu;
  const linear = (state.rip + state.u64(at.CODE_BASE)) & linearMask(state);
  return bitsOf(
    enabled(cpu).filter(({ kind, first, bytes }) => kind === KIND.EXECUTE && bytes === 1 && first === linear),
  );
};

type Touched = { readonly first: bigint; readonly bytes: number; readonly write: boolean };

const factory = new InstructionInfoFactory();
const NO_ACCESS: ReadonlySet<number> = new Set([OpAccess.None, OpAccess.NoMemAccess]);

/** Areas that are as large as XCR0 makes them. */
const XSTATE_SIZES: ReadonlySet<MemorySize> = new Set([MemorySize.Xsave, MemorySize.Xsave64]);

const isInstructionPointer = (register: Register): boolean => register === Register.RIP || register === Register.EIP;
const valueOf = (cpu: Cpu, register: Register): bigint =>
  register === Register.None || isInstructionPointer(register) ? 0n : readRegister(cpu.state, register);
const maskOf = (register: Register): bigint =>
  register === Register.None || isInstructionPointer(register) ? ~0n : (1n << BigInt(8 * registerBytes(register))) - 1n;

/** Memory that the instruction will access, stack included: linear addresses. Of a repeated string instruction, one element. */
const touchedBy = (cpu: Cpu, insn: Instruction): Touched[] => {
  if (insn.isVsib) return gatheredBy(cpu, insn).map((place) => ({ ...place, write: false }));
  const info = factory.info(insn);
  const touched: Touched[] = [];
  for (const used of info.usedMemory()) {
    const { access, base, index } = used;
    if (!NO_ACCESS.has(access)) {
      const sum = used.displacement + valueOf(cpu, base) + valueOf(cpu, index) * BigInt(used.scale);
      const offset = sum & maskOf(base === Register.None ? index : base);
      const first = (offset + segmentBaseOf(cpu.state, used.segment)) & linearMask(cpu.state);
      const size = XSTATE_SIZES.has(used.memorySize) ? xsaveBytes(cpu.state.u64(at.XCR0)) : 0;
      const bytes = size || MemorySizeExt.size(used.memorySize) || MemorySizeExt.size(insn.memorySize) || 1;
      touched.push({ first, bytes, write: !isOnlyRead(access) });
    }
    used.free();
  }
  info.free();
  return touched;
};

const PORT_BYTES = new Map<Code, number>([
  [Code.In_AL_imm8, 1],
  [Code.In_AL_DX, 1],
  [Code.Out_imm8_AL, 1],
  [Code.Out_DX_AL, 1],
  [Code.Insb_m8_DX, 1],
  [Code.Outsb_DX_m8, 1],
  [Code.In_AX_imm8, 2],
  [Code.In_AX_DX, 2],
  [Code.Out_imm8_AX, 2],
  [Code.Out_DX_AX, 2],
  [Code.Insw_m16_DX, 2],
  [Code.Outsw_DX_m16, 2],
]);
const PORT_MNEMONICS: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.In, Mnemonic.Out, Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd],
  ...[Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd],
]);

const portTouched = (cpu: Cpu, insn: Instruction): Touched[] => {
  if (!PORT_MNEMONICS.has(insn.mnemonic)) return [];
  const place = insn.op0Kind === OpKind.Immediate8 ? 0 : insn.opKind(1) === OpKind.Immediate8 ? 1 : -1;
  const port = place < 0 ? cpu.state.reg(GPR.RDX) & MASK16 : insn.immediate(place);
  return [{ first: port, bytes: PORT_BYTES.get(insn.code) ?? 4, write: true }];
};

const overlaps = (point: Breakpoint, { first, bytes }: Touched): boolean =>
  first < point.first + BigInt(point.bytes) && point.first < first + BigInt(bytes);

/** DR6 bits of the breakpoints on data or ports that the instruction will touch if it completes. */
export const dataHits = (cpu: Cpu, insn: Instruction): bigint => {
  const points = enabled(cpu).filter(({ kind }) => kind !== KIND.EXECUTE);
  if (points.length === 0) return 0n;
  const memory = touchedBy(cpu, insn);
  // Without CR4.DE the port kind is undefined: it waits for nothing.
  const ports = cpu.state.u64(at.CR4) & CR4_DE ? portTouched(cpu, insn) : [];
  const hit = (point: Breakpoint): boolean =>
    point.kind === KIND.PORT
      ? ports.some((one) => overlaps(point, one))
      : memory.some((one) => (one.write || point.kind === KIND.ACCESS) && overlaps(point, one));
  return bitsOf(points.filter(hit));
};

// Port input and output: IN, OUT and the string forms (SDM 2A IN, INS; 1 19.5).

import { Code, type Instruction, OpKind, Register } from 'iced-x86';
import { ATTR_P, TSS_IO_MAP_BASE, TYPE } from '../../x86/descriptors.ts';
import { FLAGS } from '../../x86/flags.ts';
import { GPR } from '../../x86/registers.ts';
import { type Cpu, type Fault, isFault } from '../state/cpu.ts';
import { SEG, type SegmentIndex } from '../state/state.ts';
import { iopl, isProtected, isVm86, linearMask, MASK16, MASK32, MASK64 } from './modes.ts';
import { gp0, linearAddress, next, probeLinear, readRegister, segmentOf, writeRegister } from './operands.ts';
import type { Handler, Microresult } from './result.ts';
import { IMPLICIT } from './selectors.ts';

type PortBytes = 1 | 2 | 4;

/** Two bytes of the TSS from an offset, as the processor reads the permission map: always a pair. */
const tssPair = (cpu: Cpu, offset: number): number | Fault => {
  const tr = cpu.state.segment(SEG.TR);
  if (offset + 1 > tr.limit) return gp0('io-map-beyond-tss');
  const value = cpu.readLinear((tr.base + BigInt(offset)) & linearMask(cpu.state), 2, IMPLICIT);
  return isFault(value) ? value : Number(value);
};

/** The I/O permission bitmap of the TSS; every bit of the access has to be 0 (SDM 1 19.5.2). */
const bitmapDenies = (cpu: Cpu, port: number, bytes: PortBytes): Fault | undefined => {
  const { attributes } = cpu.state.segment(SEG.TR);
  const type = attributes & 15;
  if (!(attributes & ATTR_P) || (type !== TYPE.TSS32_AVAILABLE && type !== TYPE.TSS32_BUSY)) return gp0('io-no-tss');
  const map = tssPair(cpu, TSS_IO_MAP_BASE);
  if (isFault(map)) return map;
  const bits = tssPair(cpu, map + (port >> 3));
  if (isFault(bits)) return bits;
  return (bits >> (port & 7)) & ((1 << bytes) - 1) ? gp0('io-not-permitted') : undefined;
};

/** May this program use the port? By IOPL, else by the bitmap. */
const portDenied = (cpu: Cpu, port: number, bytes: PortBytes): Fault | undefined => {
  const { state } = cpu;
  const restricted = isProtected(state) && (state.cpl > iopl(state) || isVm86(state));
  return restricted ? bitmapDenies(cpu, port, bytes) : undefined;
};

const portOf = (cpu: Cpu, insn: Instruction, operand: 0 | 1): number =>
  insn.opKind(operand) === OpKind.Register ? Number(cpu.state.reg(GPR.RDX) & MASK16) : insn.immediate8;

const accumulatorBytes = (register: Register): PortBytes =>
  register === Register.AL ? 1 : register === Register.AX ? 2 : 4;

export const input: Handler = (cpu, insn) => {
  const bytes = accumulatorBytes(insn.op0Register);
  const port = portOf(cpu, insn, 1);
  const denied = portDenied(cpu, port, bytes);
  if (denied) return denied;
  // What the read changes shows in the next one: whether there is anything to change is asked before.
  const steady = bytes === 1 ? cpu.ports.steady?.(port) : undefined;
  if (steady === undefined) cpu.portsChange();
  const value = cpu.ports.in(port, bytes) >>> 0;
  if (steady !== undefined) cpu.portKnown(port, value, steady);
  writeRegister(cpu.state, insn.op0Register, BigInt(value));
  return next(cpu, insn);
};

export const output: Handler = (cpu, insn) => {
  const bytes = accumulatorBytes(insn.op1Register);
  const port = portOf(cpu, insn, 0);
  const denied = portDenied(cpu, port, bytes);
  if (denied) return denied;
  cpu.portsChange();
  cpu.ports.out(port, bytes, Number(readRegister(cpu.state, insn.op1Register)));
  return next(cpu, insn);
};

/**
 * Iterations of a repeated string instruction done in one call, which counts as an instruction: interrupts are looked at in
 * between, and what the host does for each count stays small.
 */
export const MAX_ITERATIONS = 64;

const ADDRESS_MASKS = new Map<OpKind, bigint>([
  [OpKind.MemoryESDI, MASK16],
  [OpKind.MemoryESEDI, MASK32],
  [OpKind.MemoryESRDI, MASK64],
  [OpKind.MemorySegSI, MASK16],
  [OpKind.MemorySegESI, MASK32],
  [OpKind.MemorySegRSI, MASK64],
]);

/** Mask of a string instruction's address size, which is also its count's; undefined for other instructions. */
export const stringAddressMask = (insn: Instruction): bigint | undefined => {
  if (!insn.isStringInstruction) return undefined;
  return ADDRESS_MASKS.get(insn.opKind(0)) ?? ADDRESS_MASKS.get(insn.opKind(1));
};

/** What an iteration works on. */
type StringOp = {
  readonly port: number;
  readonly bytes: PortBytes;
  readonly mask: bigint;
  readonly segment: SegmentIndex;
  readonly pointer: typeof GPR.RSI | typeof GPR.RDI;
  readonly write: boolean;
};

/** A register by address size: 16-bit forms leave the rest, 32-bit ones clear it. */
export const setMasked = (cpu: Cpu, index: number, value: bigint, mask: bigint): void => {
  const kept = mask === MASK16 ? cpu.state.reg(index) & ~MASK16 : 0n;
  cpu.state.setReg(index, kept | (value & mask));
};

const iterate = (cpu: Cpu, op: StringOp): Fault | undefined => {
  const { state } = cpu;
  cpu.portsChange();
  const offset = state.reg(op.pointer) & op.mask;
  const linear = linearAddress(cpu, op.segment, offset, op.bytes, op.write);
  if (isFault(linear)) return linear;
  if (op.write) {
    // The port is read only once the store is known to succeed.
    const unwritable = probeLinear(cpu, linear, op.bytes);
    if (unwritable) return unwritable;
    const failed = cpu.writeLinear(linear, op.bytes, BigInt(cpu.ports.in(op.port, op.bytes) >>> 0));
    if (failed) return failed;
  } else {
    const value = cpu.readLinear(linear, op.bytes);
    if (isFault(value)) return value;
    cpu.ports.out(op.port, op.bytes, Number(value));
  }
  const step = BigInt(state.rflags & FLAGS.DF ? -op.bytes : op.bytes);
  setMasked(cpu, op.pointer, offset + step, op.mask);
  return undefined;
};

const repeat = (cpu: Cpu, insn: Instruction, op: StringOp): Fault | Microresult => {
  const { state } = cpu;
  let count = state.reg(GPR.RCX) & op.mask;
  for (let done = 0; count !== 0n; done++) {
    if (done === MAX_ITERATIONS) return 'again';
    const failed = iterate(cpu, op);
    // What is done stays done; the next call meets the fault again with nothing to undo.
    if (failed) return done === 0 ? failed : 'again';
    count--;
    setMasked(cpu, GPR.RCX, count, op.mask);
  }
  return next(cpu, insn);
};

const STRING_BYTES = new Map<Code, PortBytes>([
  [Code.Insb_m8_DX, 1],
  [Code.Insw_m16_DX, 2],
  [Code.Insd_m32_DX, 4],
  [Code.Outsb_DX_m8, 1],
  [Code.Outsw_DX_m16, 2],
  [Code.Outsd_DX_m32, 4],
]);

const stringIo =
  (write: boolean): Handler =>
  (cpu, insn) => {
    const op: StringOp = {
      port: Number(cpu.state.reg(GPR.RDX) & MASK16),
      bytes: STRING_BYTES.get(insn.code) ?? 4,
      mask: ADDRESS_MASKS.get(insn.opKind(write ? 0 : 1)) ?? MASK64,
      segment: write ? SEG.ES : segmentOf(insn.memorySegment),
      pointer: write ? GPR.RDI : GPR.RSI,
      write,
    };
    const denied = portDenied(cpu, op.port, op.bytes);
    if (denied) return denied;
    if (insn.hasRepPrefix || insn.hasRepnePrefix) return repeat(cpu, insn, op);
    return iterate(cpu, op) ?? next(cpu, insn);
  };

/** INSB, INSW, INSD: port to ES:rDI, which no prefix overrides. */
export const inputString = stringIo(true);
/** OUTSB, OUTSW, OUTSD. */
export const outputString = stringIo(false);

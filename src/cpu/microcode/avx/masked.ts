// Moves of the elements that a mask's sign bits select: VMASKMOVPx, VPMASKMOVx, and gathers (SDM 2C). Memory is touched
// only for selected elements.

import { type Instruction, type Mnemonic, Mnemonic as M, OpKind, Register } from 'iced-x86';
import { type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { linearAddress, memoryPlace, next, probeLinear, readRegister, segmentOf } from '../operands.ts';
import { MASK16, MASK32, MASK64 } from '../modes.ts';
import type { Handler } from '../result.ts';
import { element, withElements } from '../sse/vector.ts';
import type { Row } from './arithmetic.ts';
import { isVex, readVector, registerBits, vex, writePart, writeVector } from './vector.ts';

type Bytes = 4 | 8;

const selected = (mask: bigint, n: number, bits: number): boolean => element(mask, n, bits) >> BigInt(bits - 1) === 1n;

// Masked moves ----------------------------------------------------------------------------------------------------------

/** Linear address of element n of the memory operand. */
const elementAddress = (cpu: Cpu, insn: Instruction, n: number, bytes: Bytes, write: boolean): bigint | Fault => {
  const { segment, offset, mask } = memoryPlace(cpu, insn);
  return linearAddress(cpu, segment, (offset + BigInt(n * bytes)) & mask, bytes, write);
};

const load = (cpu: Cpu, insn: Instruction, bytes: Bytes): ReturnType<Handler> => {
  const bits = 8 * bytes;
  const destination = insn.opRegister(0);
  const mask = readVector(cpu.state, insn.opRegister(1));
  const results: bigint[] = [];
  for (let n = 0; n < registerBits(destination) / bits; n++) {
    if (!selected(mask, n, bits)) results.push(0n);
    else {
      const linear = elementAddress(cpu, insn, n, bytes, false);
      const value = isFault(linear) ? linear : cpu.readLinear(linear, bytes);
      if (isFault(value)) return value;
      results.push(value);
    }
  }
  writeVector(cpu.state, destination, withElements(0n, results, bits));
  return next(cpu, insn);
};

/** Nothing is written unless all that is selected can be. */
const store = (cpu: Cpu, insn: Instruction, bytes: Bytes): ReturnType<Handler> => {
  const bits = 8 * bytes;
  const mask = readVector(cpu.state, insn.opRegister(1));
  const source = readVector(cpu.state, insn.opRegister(2));
  const places: (readonly [linear: bigint, value: bigint])[] = [];
  for (let n = 0; n < registerBits(insn.opRegister(2)) / bits; n++) {
    if (!selected(mask, n, bits)) continue;
    const linear = elementAddress(cpu, insn, n, bytes, true);
    if (isFault(linear)) return linear;
    const failed = probeLinear(cpu, linear, bytes);
    if (failed) return failed;
    places.push([linear, element(source, n, bits)]);
  }
  for (const [linear, value] of places) {
    const failed = cpu.writeLinear(linear, bytes, value);
    if (failed) return failed;
  }
  return next(cpu, insn);
};

const maskedMove = (bytes: Bytes): Handler =>
  vex((cpu, insn) => (insn.opKind(0) === OpKind.Memory ? store : load)(cpu, insn, bytes));

// Gathers ---------------------------------------------------------------------------------------------------------------

const addressMask = (insn: Instruction): bigint => {
  const base = insn.memoryBase;
  const wide = base === Register.None ? insn.memoryDisplSize === 8 : base >= Register.RAX && base <= Register.R15;
  if (wide) return MASK64;
  const narrow = base === Register.None ? insn.memoryDisplSize === 2 : false;
  return narrow ? MASK16 : MASK32;
};

/** Linear address for an index: base + index * scale + displacement, the index being signed. */
const gatherAddress = (cpu: Cpu, insn: Instruction, index: bigint, bytes: Bytes): bigint | Fault => {
  const base = insn.memoryBase === Register.None ? 0n : readRegister(cpu.state, insn.memoryBase);
  const offset = base + index * BigInt(insn.memoryIndexScale) + insn.memoryDisplacement;
  return linearAddress(cpu, segmentOf(insn.memorySegment), offset & addressMask(insn), bytes, false);
};

/** Bytes of an index and of an element, by mnemonic. */
const GATHERS = new Map<Mnemonic, readonly [index: Bytes, element: Bytes]>([
  [M.Vpgatherdd, [4, 4]],
  [M.Vgatherdps, [4, 4]],
  [M.Vpgatherdq, [4, 8]],
  [M.Vgatherdpd, [4, 8]],
  [M.Vpgatherqd, [8, 4]],
  [M.Vgatherqps, [8, 4]],
  [M.Vpgatherqq, [8, 8]],
  [M.Vgatherqpd, [8, 8]],
]);

/** Elements of a gather, and the widest of index and element, which says how many there are. */
const countOf = (insn: Instruction, indexBytes: Bytes, bytes: Bytes): number => {
  const index = indexBytes >= bytes ? registerBits(insn.memoryIndex) : 0;
  return Math.max(registerBits(insn.opRegister(0)), index) / (8 * Math.max(indexBytes, bytes));
};

const indexAt = (indices: bigint, n: number, bytes: Bytes): bigint =>
  BigInt.asIntN(8 * bytes, element(indices, n, 8 * bytes));

/** Linear addresses that a gather is going to read; none of an instruction that is no gather of AVX2. */
export const gatheredBy = (cpu: Cpu, insn: Instruction): { readonly first: bigint; readonly bytes: number }[] => {
  const sizes = isVex(insn) ? GATHERS.get(insn.mnemonic) : undefined;
  if (!sizes) return [];
  const [indexBytes, bytes] = sizes;
  const indices = readVector(cpu.state, insn.memoryIndex);
  const mask = readVector(cpu.state, insn.opRegister(2));
  const places: { first: bigint; bytes: number }[] = [];
  for (let n = 0; n < countOf(insn, indexBytes, bytes); n++) {
    if (!selected(mask, n, 8 * bytes)) continue;
    const linear = gatherAddress(cpu, insn, indexAt(indices, n, indexBytes), bytes);
    if (!isFault(linear)) places.push({ first: linear, bytes });
  }
  return places;
};

/**
 * An element that is there is written and its mask cleared, one after the other from the lowest, so that a fault leaves the
 * rest to be done when the instruction is run again.
 */
const gather = (indexBytes: Bytes, bytes: Bytes): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const [destination, maskRegister] = [insn.opRegister(0), insn.opRegister(2)];
    const indices = readVector(state, insn.memoryIndex);
    const mask = readVector(state, maskRegister);
    const old = readVector(state, destination);
    const bits = 8 * bytes;
    const count = countOf(insn, indexBytes, bytes);
    const elements = Array.from({ length: count }, (_, n) => element(old, n, bits));
    const leave = (done: number, result: Fault): Fault => {
      const kept = Array.from({ length: count }, (_, n) => (n < done ? 0n : element(mask, n, bits)));
      writePart(state, destination, withElements(old, elements, bits));
      writePart(state, maskRegister, withElements(mask, kept, bits));
      return result;
    };
    for (let n = 0; n < count; n++) {
      if (!selected(mask, n, bits)) continue;
      const linear = gatherAddress(cpu, insn, indexAt(indices, n, indexBytes), bytes);
      const value = isFault(linear) ? linear : cpu.readLinear(linear, bytes);
      if (isFault(value)) return leave(n, value);
      elements[n] = value;
    }
    writeVector(state, destination, withElements(0n, elements, bits));
    writeVector(state, maskRegister, 0n);
    return next(cpu, insn);
  });

/** Masked moves and gathers, and their handlers. */
export const MASKED: readonly Row[] = [
  ...[M.Vmaskmovps, M.Vpmaskmovd].map((name): Row => [name, maskedMove(4)]),
  ...[M.Vmaskmovpd, M.Vpmaskmovq].map((name): Row => [name, maskedMove(8)]),
  ...[...GATHERS].map(([name, [index, bytes]]): Row => [name, gather(index, bytes)]),
];

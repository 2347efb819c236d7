// The code of one side as columns of numbers: where each instruction stands, a token that is the same for instructions
// that differ in addresses only, and apart from it what each refers to. Padding is left out, so that nothing moves by it.
import { Code, Decoder, DecoderOptions, Instruction, Register } from 'iced-x86';
import { viewOf } from '../../bits/cursor.ts';
import type { CodeInstruction } from '../../code/codeMap.ts';
import type { Bits } from '../../code/disassembly.ts';
import type { Program, Stretch } from '../../code/program.ts';
import { CALL, ENDS, factsOf, FILLER, immediateBytes, JUMP, mnemonicOf, NOP } from './codeFacts.ts';
import { type Column, float64Column, int32Column, lowerBound, uint32Column, uint8Column } from './columns.ts';

/** What a reference is. Values are link addresses as offsets from the program's base; of an immediate too. */
export const REF_JUMP = 1;
export const REF_CALL = 2;
/** Memory or address relative to RIP. */
export const REF_RIP = 3;
/** A 32-bit displacement that may be an address: without a register, or with one. */
const REF_DISPLACEMENT = 4;
const REF_IMMEDIATE = 5;

/** Which numbers in instructions may be addresses. */
export type AddressRange = {
  /** Link address of offset 0, as a signed number. */
  readonly base: number;
  /** Offsets below it are taken for plain numbers. */
  readonly from: number;
  readonly to: number;
  /** A number in the range is an address for certain: a kernel's are none that code computes with otherwise. */
  readonly certain: boolean;
};

export interface Listing {
  readonly count: number;
  /** Offset from the program's base, rising. */
  readonly at: Int32Array;
  readonly length: Uint8Array;
  readonly bits: Uint8Array;
  /** Hash of the instruction without its addresses. */
  readonly token: Uint32Array;
  /** Where functions may start by their looks: aligned, and nothing falls through to there. */
  readonly padded: Int32Array;
  /** By instruction; the two below go with it. */
  readonly refInstruction: Int32Array;
  readonly refValue: Float64Array;
  readonly refKind: Uint8Array;
}

type Writer = {
  readonly program: Program;
  readonly range: AddressRange;
  readonly view: DataView;
  readonly insn: Instruction;
  readonly at: Column<Int32Array>;
  readonly length: Column<Uint8Array>;
  readonly bits: Column<Uint8Array>;
  readonly token: Column<Uint32Array>;
  readonly padded: Column<Int32Array>;
  readonly refInstruction: Column<Int32Array>;
  readonly refValue: Column<Float64Array>;
  readonly refKind: Column<Uint8Array>;
  count: number;
  /** Nothing falls through to what comes next. */
  afterEnd: boolean;
};

/** The instructions that following the code has proven. */
export function listingOfCode(
  program: Program,
  instructions: readonly CodeInstruction[],
  range: AddressRange,
): Listing {
  const writer = newWriter(program, range);
  let index = 0;
  for (const stretch of program.stretches) {
    const from = index;
    while (index < instructions.length && (instructions[index] as CodeInstruction).at < stretch.at + stretch.size)
      index++;
    writeProven(writer, stretch, instructions.slice(from, index));
  }
  return finished(writer);
}

function writeProven(writer: Writer, stretch: Stretch, instructions: readonly CodeInstruction[]): void {
  const bytes = bytesOf(writer.program, stretch);
  const decoders = new Map<Bits, Decoder>();
  for (const { at, bits } of instructions) {
    const decoder = decoders.get(bits) ?? new Decoder(bits, bytes, DecoderOptions.None);
    decoders.set(bits, decoder);
    decoder.position = at - stretch.at;
    decoder.ip = BigInt(at);
    decoder.decodeOut(writer.insn);
    write(writer, at, bits, stretch);
  }
  for (const decoder of decoders.values()) decoder.free();
}

const bytesOf = ({ bytes }: Program, { fileOffset, size }: Stretch): Uint8Array =>
  bytes.subarray(fileOffset, fileOffset + size);

/**
 * Every instruction of the sections that say they are code, one after the other, as 64-bit code.
 * @param starts offsets, rising, where instructions start for certain: symbols
 */
export function listingOfSections(program: Program, starts: Int32Array, range: AddressRange): Listing {
  const writer = newWriter(program, range);
  for (const stretch of program.stretches) if (stretch.holds === 'code') sweep(writer, stretch, starts);
  return finished(writer);
}

function sweep(writer: Writer, stretch: Stretch, starts: Int32Array): void {
  const { insn } = writer;
  const decoder = new Decoder(64, bytesOf(writer.program, stretch), DecoderOptions.None);
  decoder.ip = BigInt(stretch.at);
  let next = lowerBound(starts, stretch.at);
  for (let at = stretch.at; at < stretch.at + stretch.size; ) {
    decoder.decodeOut(insn);
    const end = insn.code === Code.INVALID ? at + 1 : at + insn.length;
    while ((starts[next] ?? end) <= at) next++;
    // A symbol within an instruction: what was decoded is none.
    const restart = Math.min(end, starts[next] ?? end);
    if (restart === end && insn.code !== Code.INVALID) write(writer, at, 64, stretch);
    else writer.afterEnd = false;
    at = restart;
    if (decoder.position !== at - stretch.at) {
      decoder.position = Math.min(at - stretch.at, stretch.size);
      decoder.ip = BigInt(at);
    }
  }
  decoder.free();
}

function newWriter(program: Program, range: AddressRange): Writer {
  return {
    ...{ program, range, view: viewOf(program.bytes), insn: new Instruction() },
    ...{ at: int32Column(), length: uint8Column(), bits: uint8Column(), token: uint32Column(), padded: int32Column() },
    ...{ refInstruction: int32Column(), refValue: float64Column(), refKind: uint8Column() },
    ...{ count: 0, afterEnd: false },
  };
}

function finished(writer: Writer): Listing {
  writer.insn.free();
  const { count, at, length, bits, token, padded, refInstruction, refValue, refKind } = writer;
  return {
    count,
    ...{ at: at.values(), length: length.values(), bits: bits.values(), token: token.values() },
    ...{ padded: padded.values(), refInstruction: refInstruction.values() },
    ...{ refValue: refValue.values(), refKind: refKind.values() },
  };
}

const ALIGNED = 15;

/** Takes down the instruction just decoded, unless it is padding. */
function write(writer: Writer, at: number, bits: Bits, stretch: Stretch): void {
  const { insn, count } = writer;
  const code = insn.code;
  const facts = factsOf(insn, code);
  const fileAt = stretch.fileOffset + at - stretch.at;
  if (isPadding(writer, facts, fileAt)) return;
  if (writer.afterEnd && (at & ALIGNED) === 0) writer.padded.push(at);
  writer.afterEnd = (facts & ENDS) !== 0;
  writer.at.push(at);
  writer.length.push(insn.length);
  writer.bits.push(bits);
  writer.token.push(
    (facts & (JUMP | CALL)) !== 0 ? branchToken(writer, code, facts) : plainToken(writer, at, facts, fileAt),
  );
  writer.count = count + 1;
}

function isPadding({ afterEnd, view }: Writer, facts: number, fileAt: number): boolean {
  if ((facts & NOP) !== 0) return true;
  if ((facts & FILLER) === 0 || !afterEnd) return false;
  return view.getUint8(fileAt) === 0xcc || view.getUint16(fileAt, true) === 0;
}

/** Short and near forms are the same; where it leads is a reference. */
function branchToken(writer: Writer, code: Code, facts: number): number {
  const target = Number(BigInt.asIntN(64, writer.insn.nearBranchTarget));
  writeReference(writer, (facts & CALL) !== 0 ? REF_CALL : REF_JUMP, target);
  return mixed(mnemonicOf(code), 0x6a75_6d70);
}

/** Its bytes, but for the four that may be an address, once or twice. */
function plainToken(writer: Writer, at: number, facts: number, fileAt: number): number {
  const { insn, view } = writer;
  const { length } = insn;
  const immediate = immediateBytes(facts);
  const displacement = insn.memoryDisplSize >= 4 ? displacementAt(writer, at, length - immediate - 4, fileAt) : length;
  const constant =
    immediate === 4 || immediate === 8 ? immediateAt(writer, length - immediate, immediate, fileAt) : length;
  let token = length;
  for (let i = 0; i < length; i++) {
    const hidden = (i >= displacement && i < displacement + 4) || i >= constant;
    token = mixed(token, hidden ? 0x100 : view.getUint8(fileAt + i));
  }
  return token >>> 0;
}

/** Takes down a reference; where the four bytes are none, its place is `length`, behind the instruction. */
function displacementAt(writer: Writer, at: number, offset: number, fileAt: number): number {
  const { insn, view, range } = writer;
  const { length } = insn;
  if (offset < 0) return length;
  const value = view.getInt32(fileAt + offset, true);
  if (insn.isIpRelMemoryOperand) {
    writeReference(writer, REF_RIP, at + length + value);
    return offset;
  }
  // Per-CPU variables of a kernel: a segment of their own, linked at 0.
  const perCpu = range.certain && insn.memoryBase === Register.None && insn.memorySegment === Register.GS;
  if (!perCpu && !isAddress(range, value)) return length;
  writeReference(writer, REF_DISPLACEMENT, value - range.base);
  return offset;
}

function immediateAt(writer: Writer, offset: number, bytes: number, fileAt: number): number {
  const { insn, view, range } = writer;
  const low = view.getInt32(fileAt + offset, true);
  const high = bytes === 8 ? view.getInt32(fileAt + offset + 4, true) : low >> 31;
  if (high !== low >> 31 || !isAddress(range, low)) return insn.length;
  writeReference(writer, REF_IMMEDIATE, low - range.base);
  return offset;
}

/** @param value as it stands in the instruction, sign-extended */
const isAddress = ({ base, from, to }: AddressRange, value: number): boolean =>
  value - base >= from && value - base <= to;

function writeReference(writer: Writer, kind: number, value: number): void {
  writer.refInstruction.push(writer.count);
  writer.refValue.push(value);
  writer.refKind.push(kind);
}

/** A step of a hash (multiply and rotate, as in MurmurHash3). */
export function mixed(hash: number, value: number): number {
  const scrambled = Math.imul(value ^ 0x9e37_79b9, 0xcc9e_2d51);
  const turned = hash ^ ((scrambled << 15) | (scrambled >>> 17));
  return (Math.imul((turned << 13) | (turned >>> 19), 5) + 0xe654_6b64) >>> 0;
}

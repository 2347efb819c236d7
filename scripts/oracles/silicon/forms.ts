// From an iced Code to encoded instructions: every operand kind gets registers, an address or an immediate, and iced's
// encoder makes the bytes. Decoding them again must give the same Code, or the form is dropped.
import {
  Code,
  Decoder,
  Encoder,
  Formatter,
  FormatterSyntax,
  Instruction,
  OpCodeOperandKind as Kind,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import { mnemonicOf, operandKinds } from '../../../test/vectors/codes.ts';
import { codeAddress, type VectorMode } from '../../../test/vectors/layout.ts';
import { type AddressPlan, type AddressShape, planAddress, planVectorIndex } from './addressing.ts';
import type { Random } from './random.ts';
import { edgeValue, SHIFT_COUNTS } from './values.ts';

export interface Form {
  mode: VectorMode;
  code: Code;
  name: string;
  mnemonic: string;
  /** As decoded from `bytes`. */
  instruction: Instruction;
  bytes: Uint8Array;
  text: string;
  address: AddressPlan | undefined;
}

/** What a form should look like; the rest is drawn. */
export interface Wish {
  /** The register-or-memory operand is memory, addressed so. */
  shape?: AddressShape;
  lock?: boolean;
  /** 'rep' stands for REP and REPE. */
  repeat?: 'rep' | 'repne';
  /** String instructions: address size, if not the mode's own. */
  addressBits?: 16 | 32 | 64;
  /** Shift counts and bit offsets are drawn by the caller. */
  immediate?: bigint;
  /** Alignment of an address that stands in the instruction. */
  align?: bigint;
  /** Two register operands are the same register. */
  sameRegister?: boolean;
  /** Draw the registers of 8-bit operands from AH to BH. */
  highByte?: boolean;
}

const SHIFTS = /^(Rol|Ror|Rcl|Rcr|Shl|Shr|Sal|Sar|Shld|Shrd|Rorx)$/;

const formatter = new Formatter(FormatterSyntax.Gas);

/** AT&T text as objdump's, near enough for a reader. */
export function disassemble(bytes: Uint8Array, mode: VectorMode): { instruction: Instruction; text: string } {
  const decoder = new Decoder(mode, bytes, 0);
  decoder.ip = codeAddress(mode);
  const instruction = decoder.decode();
  decoder.free();
  return { instruction, text: formatter.format(instruction) };
}

const REGISTER_OR_MEMORY = new Map<Kind, number>([
  [Kind.r8_or_mem, 8],
  [Kind.r16_or_mem, 16],
  [Kind.r32_or_mem, 32],
  [Kind.r64_or_mem, 64],
]);
const REGISTER_ONLY = new Map<Kind, number>([
  [Kind.r8_reg, 8],
  [Kind.r8_opcode, 8],
  [Kind.r16_reg, 16],
  [Kind.r16_rm, 16],
  [Kind.r16_opcode, 16],
  [Kind.r32_reg, 32],
  [Kind.r32_rm, 32],
  [Kind.r32_opcode, 32],
  [Kind.r32_vvvv, 32],
  [Kind.r64_reg, 64],
  [Kind.r64_rm, 64],
  [Kind.r64_opcode, 64],
  [Kind.r64_vvvv, 64],
]);
/** XMM, MMX and x87 registers: the first of the class, and whether memory may stand there instead. */
const VECTOR_REGISTERS = new Map<Kind, { first: Register; orMemory: boolean }>([
  [Kind.xmm_reg, { first: Register.XMM0, orMemory: false }],
  [Kind.xmm_rm, { first: Register.XMM0, orMemory: false }],
  [Kind.xmm_or_mem, { first: Register.XMM0, orMemory: true }],
  [Kind.xmm_vvvv, { first: Register.XMM0, orMemory: false }],
  [Kind.xmm_is4, { first: Register.XMM0, orMemory: false }],
  [Kind.ymm_reg, { first: Register.YMM0, orMemory: false }],
  [Kind.ymm_rm, { first: Register.YMM0, orMemory: false }],
  [Kind.ymm_vvvv, { first: Register.YMM0, orMemory: false }],
  [Kind.ymm_is4, { first: Register.YMM0, orMemory: false }],
  [Kind.ymm_or_mem, { first: Register.YMM0, orMemory: true }],
  [Kind.mm_reg, { first: Register.MM0, orMemory: false }],
  [Kind.mm_rm, { first: Register.MM0, orMemory: false }],
  [Kind.mm_or_mem, { first: Register.MM0, orMemory: true }],
  [Kind.sti_opcode, { first: Register.ST0, orMemory: false }],
]);
/** The index of a gather. */
const VECTOR_INDEX = new Map<Kind, Register>([
  [Kind.mem_vsib32x, Register.XMM0],
  [Kind.mem_vsib64x, Register.XMM0],
  [Kind.mem_vsib32y, Register.YMM0],
  [Kind.mem_vsib64y, Register.YMM0],
]);
const FIXED_REGISTERS = new Map<Kind, Register>([
  [Kind.st0, Register.ST0],
  [Kind.es, Register.ES],
  [Kind.cs, Register.CS],
  [Kind.ss, Register.SS],
  [Kind.ds, Register.DS],
  [Kind.fs, Register.FS],
  [Kind.gs, Register.GS],
  [Kind.al, Register.AL],
  [Kind.cl, Register.CL],
  [Kind.ax, Register.AX],
  [Kind.dx, Register.DX],
  [Kind.eax, Register.EAX],
  [Kind.rax, Register.RAX],
]);
const IMMEDIATES = new Map<Kind, { opKind: OpKind; bits: number }>([
  [Kind.imm8, { opKind: OpKind.Immediate8, bits: 8 }],
  [Kind.imm8_const_1, { opKind: OpKind.Immediate8, bits: 8 }],
  [Kind.imm8sex16, { opKind: OpKind.Immediate8to16, bits: 8 }],
  [Kind.imm8sex32, { opKind: OpKind.Immediate8to32, bits: 8 }],
  [Kind.imm8sex64, { opKind: OpKind.Immediate8to64, bits: 8 }],
  [Kind.imm16, { opKind: OpKind.Immediate16, bits: 16 }],
  [Kind.imm32, { opKind: OpKind.Immediate32, bits: 32 }],
  [Kind.imm32sex64, { opKind: OpKind.Immediate32to64, bits: 32 }],
  [Kind.imm64, { opKind: OpKind.Immediate64, bits: 64 }],
]);
const BRANCHES = new Map<Kind, OpKind>([
  [Kind.br16_1, OpKind.NearBranch16],
  [Kind.br16_2, OpKind.NearBranch16],
  [Kind.br32_1, OpKind.NearBranch32],
  [Kind.br32_4, OpKind.NearBranch32],
  [Kind.br64_1, OpKind.NearBranch64],
  [Kind.br64_4, OpKind.NearBranch64],
]);

export const hasImmediate = (code: Code): boolean =>
  operandKinds(code).some((kind) => IMMEDIATES.has(kind) && kind !== Kind.imm8_const_1);
export const canBeMemory = (code: Code): boolean =>
  operandKinds(code).some(
    (kind) => REGISTER_OR_MEMORY.has(kind) || kind === Kind.mem || VECTOR_REGISTERS.get(kind)?.orMemory === true,
  );
export const mustBeMemory = (code: Code): boolean =>
  operandKinds(code).some((kind) => kind === Kind.mem || VECTOR_INDEX.has(kind));

const LOW_BYTES = [Register.AL, Register.CL, Register.DL, Register.BL];
const HIGH_BYTES = [Register.AH, Register.CH, Register.DH, Register.BH];
const REX_BYTES = Array.from({ length: 12 }, (_, index) => Register.SPL + index);

function drawRegister(bits: number, mode: VectorMode, wish: Wish, random: Random): Register {
  if (bits === 8) {
    if (wish.highByte) return random.pick(HIGH_BYTES);
    return random.pick(
      mode === 64 ? [...LOW_BYTES, ...LOW_BYTES, ...HIGH_BYTES, ...REX_BYTES] : [...LOW_BYTES, ...HIGH_BYTES],
    );
  }
  const first = bits === 64 ? Register.RAX : bits === 32 ? Register.EAX : Register.AX;
  const index = random.below(mode === 64 ? 16 : 8);
  // The stack pointer as a plain operand is rare, but must work.
  return index === 4 && random.chance(70) ? first : first + index;
}

function setImmediate(instruction: Instruction, operand: number, kind: Kind, wish: Wish, random: Random): void {
  const immediate = IMMEDIATES.get(kind);
  if (!immediate) return;
  // ENTER's second immediate has an operand kind of its own.
  const second = operand === 1 && instruction.op0Kind === OpKind.Immediate16;
  instruction.setOpKind(operand, second ? OpKind.Immediate8_2nd : immediate.opKind);
  let value = wish.immediate ?? edgeValue(immediate.bits, random);
  if (kind === Kind.imm8_const_1) value = 1n;
  else if (wish.immediate === undefined && SHIFTS.test(mnemonicOf(instruction.code))) {
    value = BigInt(random.pick(SHIFT_COUNTS));
  }
  if (second) value = BigInt(random.pick([0, 1, 2, 3, 1, 2, 3, 33]));
  if (immediate.bits === 64) instruction.setImmediateU64(operand, BigInt.asUintN(64, value));
  else if (immediate.opKind === OpKind.Immediate8to64 || immediate.opKind === OpKind.Immediate32to64) {
    instruction.setImmediateI64(operand, BigInt.asIntN(immediate.bits, value));
  } else if (immediate.opKind === OpKind.Immediate8to16 || immediate.opKind === OpKind.Immediate8to32) {
    instruction.setImmediateI32(operand, Number(BigInt.asIntN(8, value)));
  } else instruction.setImmediateU32(operand, Number(BigInt.asUintN(immediate.bits, value)));
}

function branchTarget(kind: Kind, mode: VectorMode, random: Random): bigint {
  const from = codeAddress(mode);
  const short = kind === Kind.br16_1 || kind === Kind.br32_1 || kind === Kind.br64_1;
  // Out of the way of the instruction's own bytes, both ways.
  const distance = short ? 16 + random.below(100) : 16 + random.below(0x3f00);
  const target = from + BigInt(random.chance(50) ? distance : -distance);
  const opKind = BRANCHES.get(kind);
  if (opKind !== OpKind.NearBranch16 || mode === 16) return target;
  // IP is cut to 16 bits: for a far one any low address does, for a short one the low half of the address.
  return short ? target & 0xffffn : 0x4000n + BigInt(random.below(0xbf00));
}

function setBranch(instruction: Instruction, operand: number, kind: Kind, mode: VectorMode, random: Random): void {
  const opKind = BRANCHES.get(kind) ?? OpKind.NearBranch64;
  instruction.setOpKind(operand, opKind);
  instruction.nearBranch64 = branchTarget(kind, mode, random);
}

const STRING_KINDS: Record<'source' | 'destination', Record<number, OpKind>> = {
  source: { 16: OpKind.MemorySegSI, 32: OpKind.MemorySegESI, 64: OpKind.MemorySegRSI },
  destination: { 16: OpKind.MemoryESDI, 32: OpKind.MemoryESEDI, 64: OpKind.MemoryESRDI },
};
const MASKED_STORE_KINDS: Record<number, OpKind> = {
  16: OpKind.MemorySegDI,
  32: OpKind.MemorySegEDI,
  64: OpKind.MemorySegRDI,
};
const TABLE_REGISTERS: Record<number, Register> = { 16: Register.BX, 32: Register.EBX, 64: Register.RBX };

function setSpecialMemory(
  instruction: Instruction,
  operand: number,
  kind: Kind,
  mode: VectorMode,
  wish: Wish,
): boolean {
  const bits = wish.addressBits ?? mode;
  if (kind === Kind.seg_rSI) instruction.setOpKind(operand, STRING_KINDS.source[bits] ?? 0);
  else if (kind === Kind.seg_rDI) instruction.setOpKind(operand, MASKED_STORE_KINDS[bits] ?? 0);
  else if (kind === Kind.es_rDI) instruction.setOpKind(operand, STRING_KINDS.destination[bits] ?? 0);
  else if (kind === Kind.seg_rBX_al) {
    instruction.setOpKind(operand, OpKind.Memory);
    instruction.memoryBase = TABLE_REGISTERS[bits] ?? 0;
    instruction.memoryIndex = Register.AL;
  } else if (kind === Kind.mem_offs) {
    instruction.setOpKind(operand, OpKind.Memory);
    instruction.memoryDisplacement = wish.immediate ?? 0n;
    instruction.memoryDisplSize = bits / 8;
  } else return false;
  return true;
}

const CONTROL_REGISTERS = [Register.CR0, Register.CR2, Register.CR3, Register.CR4];
const DEBUG_REGISTERS = [Register.DR0, Register.DR1, Register.DR2, Register.DR3, Register.DR6, Register.DR7];

interface Draft {
  instruction: Instruction;
  mode: VectorMode;
  wish: Wish;
  random: Random;
  /** Register that the form's first register operand got. */
  first: Register;
}

function setRegister(draft: Draft, operand: number, bits: number): void {
  const drawn = drawRegister(bits, draft.mode, draft.wish, draft.random);
  const register = draft.wish.sameRegister && draft.first !== Register.None ? draft.first : drawn;
  draft.first = register;
  draft.instruction.setOpKind(operand, OpKind.Register);
  draft.instruction.setOpRegister(operand, register);
}

function setVectorRegister(draft: Draft, operand: number, first: Register): void {
  const { mode, wish, random } = draft;
  const drawn = first + random.below(first !== Register.MM0 && first !== Register.ST0 && mode === 64 ? 16 : 8);
  const alike = wish.sameRegister && RegisterExt.base(draft.first) === first;
  draft.first = alike ? draft.first : drawn;
  draft.instruction.setOpKind(operand, OpKind.Register);
  draft.instruction.setOpRegister(operand, draft.first);
}

function setOperand(draft: Draft, operand: number, kind: Kind, avoid: readonly number[]): AddressPlan | undefined {
  const { instruction, mode, wish, random } = draft;
  const eitherBits = REGISTER_OR_MEMORY.get(kind);
  const registerBits = REGISTER_ONLY.get(kind) ?? (wish.shape === undefined ? eitherBits : undefined);
  const vector = VECTOR_REGISTERS.get(kind);
  if (registerBits !== undefined) setRegister(draft, operand, registerBits);
  else if (vector && (wish.shape === undefined || !vector.orMemory)) setVectorRegister(draft, operand, vector.first);
  else if (VECTOR_INDEX.has(kind)) {
    const index = (VECTOR_INDEX.get(kind) ?? 0) + random.below(mode === 64 ? 16 : 8);
    return planVectorIndex(instruction, operand, index, mode, random);
  } else if (kind === Kind.mem || eitherBits !== undefined || vector) {
    return planAddress(instruction, operand, wish.shape ?? 'base', mode, avoid, random, wish.align);
  } else if (FIXED_REGISTERS.has(kind)) {
    instruction.setOpKind(operand, OpKind.Register);
    instruction.setOpRegister(operand, FIXED_REGISTERS.get(kind) ?? Register.None);
  } else if (IMMEDIATES.has(kind)) setImmediate(instruction, operand, kind, wish, random);
  else if (BRANCHES.has(kind)) setBranch(instruction, operand, kind, mode, random);
  else if (kind === Kind.seg_reg) {
    instruction.setOpKind(operand, OpKind.Register);
    instruction.setOpRegister(
      operand,
      Register.ES + (wish.immediate === undefined ? random.below(6) : Number(wish.immediate)),
    );
  } else if (kind === Kind.farbr2_2 || kind === Kind.farbr4_2) {
    const narrow = kind === Kind.farbr2_2;
    instruction.setOpKind(operand, narrow ? OpKind.FarBranch16 : OpKind.FarBranch32);
    instruction.farBranchSelector = Number(wish.immediate ?? 0x23n);
    if (narrow) instruction.farBranch16 = 0x4000 + random.below(0x3f00);
    else instruction.farBranch32 = 0x11000000 + random.below(0x7f00);
  } else if (kind === Kind.cr_reg || kind === Kind.dr_reg) {
    instruction.setOpKind(operand, OpKind.Register);
    instruction.setOpRegister(operand, random.pick(kind === Kind.cr_reg ? CONTROL_REGISTERS : DEBUG_REGISTERS));
  } else if (!setSpecialMemory(instruction, operand, kind, mode, wish)) {
    throw new Error(`no way to make an operand of kind ${Kind[kind]} for ${Code[instruction.code]}`);
  }
  return undefined;
}

function encode(instruction: Instruction, mode: VectorMode): Uint8Array | undefined {
  const encoder = new Encoder(mode);
  try {
    encoder.encode(instruction, codeAddress(mode));
    return encoder.takeBuffer();
  } catch {
    // AH with a REX prefix and the like: the caller draws again.
    return undefined;
  } finally {
    encoder.free();
  }
}

/** Builds one encoding of `code` as wished; undefined when the wish can't be met by this Code. `avoid` are register indexes not to address with. */
export function makeForm(
  code: Code,
  mode: VectorMode,
  wish: Wish,
  random: Random,
  avoid: readonly number[] = [],
): Form | undefined {
  for (let attempt = 0; attempt < 40; attempt++) {
    const instruction = new Instruction();
    instruction.code = code;
    const draft: Draft = { instruction, mode, wish, random, first: Register.None };
    let address: AddressPlan | undefined;
    operandKinds(code).forEach((kind, operand) => {
      address = setOperand(draft, operand, kind, avoid) ?? address;
    });
    if (wish.lock) instruction.hasLockPrefix = true;
    if (wish.repeat === 'rep') instruction.hasRepPrefix = true;
    if (wish.repeat === 'repne') instruction.hasRepnePrefix = true;
    const bytes = encode(instruction, mode);
    instruction.free();
    if (!bytes) continue;
    const decoded = disassemble(bytes, mode);
    if (decoded.instruction.code !== code) continue;
    return { mode, code, name: Code[code] ?? '?', mnemonic: mnemonicOf(code), ...decoded, bytes, address };
  }
  return undefined;
}

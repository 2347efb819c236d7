// Reads every proven instruction of a program once, and keeps what the audit asks for: absolute references by their form,
// the addresses that code computes rightly, and the tables that the stub relocates by itself.

import { Code, type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import type { CodeInstruction, CodeMap } from '../../code/codeMap.ts';
import { eachInstruction } from '../../code/eachInstruction.ts';
import type { Program } from '../../code/program.ts';
import { absoluteReferences, type Reference } from '../../code/references.ts';

/** An absolute reference by its form; whether it is one by its value is for others to say. */
export type Candidate = CodeInstruction & {
  readonly reference: Reference;
  /** Encoded longer than anybody but a linker would: the constant was put in place of something else. */
  readonly linkerMade: boolean;
  /** Works on 64 bits, as an address has in 64-bit code. */
  readonly addressSized: boolean;
  readonly compares: boolean;
};

export type Scan = {
  readonly candidates: readonly Candidate[];
  /** Displacements on a register, as hand-written code addresses by: `rva(x)(%rbx)`. */
  readonly displacements: ReadonlySet<number>;
  /** Immediate operands, and absolute addresses of memory operands. */
  readonly constants: number;
  /** Tables of addresses to whose entries the code adds something, from the first to behind the last byte. */
  readonly adjusted: readonly { readonly from: number; readonly to: number }[];
};

type Loose = {
  candidates: Candidate[];
  displacements: Set<number>;
  constants: number;
  adjusted: { from: number; to: number }[];
  /** Latest addresses computed relative to RIP, newest last. */
  leas: { register: Register; address: number }[];
  adjusts: Register | undefined;
};

export function scan(program: Program, map: CodeMap): Scan {
  const loose: Loose = {
    ...{ candidates: [], displacements: new Set(), constants: 0, adjusted: [], leas: [], adjusts: undefined },
  };
  eachInstruction(program, map.instructions, (instruction, place) => look(loose, instruction, place));
  return loose;
}

// Reading a property costs about as much as decoding, so what an instruction's code settles is asked once a code.
function look(loose: Loose, instruction: Instruction, place: CodeInstruction): void {
  const { code } = instruction;
  const displaced = instruction.memoryDisplSize >= 4;
  if (displaced) noteDisplacement(loose, instruction);
  if (ADJUSTING.has(code)) noteAdjusting(loose, instruction);
  if (!displaced && !hasImmediate(instruction, code)) return;
  if (hasConstant(instruction)) loose.constants++;
  loose.candidates.push(...candidatesOf(instruction, place));
}

/** By code, as far as they were met: whether an operand is an immediate. */
const immediateCodes = new Map<Code, boolean>();

function hasImmediate(instruction: Instruction, code: Code): boolean {
  let known = immediateCodes.get(code);
  if (known === undefined) {
    known = false;
    for (let i = 0; i < instruction.opCount; i++) known ||= IMMEDIATES.has(instruction.opKind(i));
    immediateCodes.set(code, known);
  }
  return known;
}

/** The references an instruction may be, where its form alone allows it. */
export function candidatesOf(instruction: Instruction, place: CodeInstruction): Candidate[] {
  if (place.bits === 16) return [];
  return absoluteReferences(instruction).map((reference) => ({
    ...place,
    reference,
    linkerMade: isLinkerMade(instruction, reference),
    addressSized: place.bits === 32 || isAddressSized(instruction, reference),
    compares: instruction.mnemonic === Mnemonic.Cmp || instruction.mnemonic === Mnemonic.Test,
  }));
}

const IMMEDIATES: ReadonlySet<OpKind> = new Set([
  ...[OpKind.Immediate8, OpKind.Immediate8to16, OpKind.Immediate8to32, OpKind.Immediate8to64, OpKind.Immediate16],
  ...[OpKind.Immediate32, OpKind.Immediate32to64, OpKind.Immediate64],
]);

function hasConstant(instruction: Instruction): boolean {
  for (let i = 0; i < instruction.opCount; i++) {
    const kind = instruction.opKind(i);
    if (IMMEDIATES.has(kind)) return true;
    if (kind === OpKind.Memory && instruction.memoryBase === Register.None) return true;
  }
  return false;
}

/**
 * Compilers and assemblers write a number in the shortest way. A linker that puts one in place of something longer
 * cannot: a mov of 7 bytes for what 5 would do, movabs for a small number, the general form where %rax has a short one.
 */
function isLinkerMade(instruction: Instruction, { form, constant }: Reference): boolean {
  if (constant < 0n) return false;
  if (form === 'mov-imm32-rex') return true;
  if (form === 'mov-imm32') return instruction.code === Code.Mov_rm32_imm32;
  if (form === 'movabs') return constant < 1n << 31n;
  if (form !== 'alu-imm32' || !LONG_FORMS.has(instruction.code)) return false;
  return instruction.op0Register === Register.RAX || constant < 0x80n;
}

/** 81 /n and F7 /0 with 64-bit operands. */
const LONG_FORMS: ReadonlySet<Code> = new Set([
  ...[Code.Add_rm64_imm32, Code.Or_rm64_imm32, Code.Adc_rm64_imm32, Code.Sbb_rm64_imm32, Code.And_rm64_imm32],
  ...[Code.Sub_rm64_imm32, Code.Xor_rm64_imm32, Code.Cmp_rm64_imm32, Code.Test_rm64_imm32],
]);

function isAddressSized(instruction: Instruction, { form }: Reference): boolean {
  if (form === 'store-imm32') return instruction.code === Code.Mov_rm64_imm32;
  if (form === 'alu-imm32-mem') return LONG_FORMS.has(instruction.code);
  // mov $x,%r32 clears the upper half, so it makes an address below 4 GiB; push extends its operand.
  if (form !== 'alu-imm32') return true;
  return LONG_FORMS.has(instruction.code) || instruction.op0Register === Register.RAX;
}

/** Hand-written code keeps the load address in a register and adds link addresses to it. */
function noteDisplacement(loose: Loose, instruction: Instruction): void {
  if (instruction.isIpRelMemoryOperand) return;
  if (instruction.memoryBase !== Register.None) loose.displacements.add(Number(instruction.memoryDisplacement));
}

const ADJUSTING: ReadonlySet<Code> = new Set([Code.Lea_r64_m, Code.Add_rm64_r64, Code.Add_rm64_imm8]);

/** How many lea back the ends of a table are looked for. */
const REMEMBERED_LEAS = 6;

/**
 * The loop that relocates a table: `add %rax,(%rdx)`, `add $8,%rdx`, between two addresses computed before. Old stubs
 * treat their GOT so; what stands in it is right then.
 */
function noteAdjusting(loose: Loose, instruction: Instruction): void {
  if (instruction.mnemonic === Mnemonic.Lea && instruction.isIpRelMemoryOperand) {
    loose.leas.push({ register: instruction.op0Register, address: Number(instruction.ipRelMemoryAddress) });
    if (loose.leas.length > REMEMBERED_LEAS) loose.leas.shift();
  } else if (instruction.code === Code.Add_rm64_r64 && instruction.op0Kind === OpKind.Memory) {
    loose.adjusts = instruction.memoryDisplacement === 0n ? instruction.memoryBase : undefined;
  } else if (loose.adjusts !== undefined && stepsOver(instruction, loose.adjusts)) {
    noteTable(loose, loose.adjusts);
    loose.adjusts = undefined;
  }
}

const stepsOver = (instruction: Instruction, register: Register): boolean =>
  instruction.code === Code.Add_rm64_imm8 && instruction.op0Register === register && instruction.immediate8to64 === 8n;

function noteTable(loose: Loose, register: Register): void {
  const start = [...loose.leas].reverse().find((lea) => lea.register === register);
  const ends = loose.leas.filter((lea) => start !== undefined && lea.address > start.address);
  if (start === undefined || ends.length === 0) return;
  const to = Math.min(...ends.map((lea) => lea.address));
  loose.adjusted.push({ from: start.address, to });
}

// Instructions of startup code as plain data: operands, memory accessed, where control goes. Decoded once each.
import {
  Decoder,
  DecoderOptions,
  FlowControl,
  Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
  RegisterExt,
  type UsedMemory,
  type UsedRegister,
} from 'iced-x86';
import { isWritten } from '../../code/facts.ts';
import { type KernelFile, type KernelSegment, inLinkRange, segmentAt, signed } from './layout.ts';
import { type Constant, isMapStart } from './values.ts';

/** A general register as ModRM and REX number it: rax 0, rsp 4, r15 15. */
export type RegisterNumber = number;

export const RAX = 0;
export const RSP = 4;

export interface MemoryOperand {
  readonly base: RegisterNumber | undefined;
  readonly index: RegisterNumber | undefined;
  readonly scale: number;
  /** The address for an operand relative to RIP; otherwise sign-extended. */
  readonly displacement: number;
  /** The displacement, where it is a kernel address by its value. */
  readonly constant: Constant | undefined;
  readonly ripRelative: boolean;
  /** Relative to FS or GS, whose bases are not known here. */
  readonly segmented: boolean;
  readonly written: boolean;
}

export type Operand =
  | { readonly kind: 'register'; readonly register: RegisterNumber; readonly bits: number }
  | { readonly kind: 'constant'; readonly constant: Constant }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'memory'; readonly memory: MemoryOperand }
  | { readonly kind: 'other' };

export interface Operation {
  readonly at: number;
  readonly next: number;
  readonly mnemonic: Mnemonic;
  readonly flow: FlowControl;
  /** Target of a direct jump or call. */
  readonly target: number | undefined;
  readonly operands: readonly Operand[];
  /** Memory that is read or written, except the stack by push, pop, call and return. */
  readonly accesses: readonly MemoryOperand[];
  /** General registers written to. */
  readonly writes: readonly RegisterNumber[];
  /** A mov to CR3, which switches to other page tables. */
  readonly setsCr3: boolean;
}

export interface Operations {
  /** The instruction at an address; undefined where the file has no bytes or they are none. */
  at(address: number): Operation | undefined;
  free(): void;
}

/** Decodes instructions of a kernel as they are asked for. */
export function operationsOf(kernel: KernelFile): Operations {
  const known = new Map<number, Operation | undefined>();
  const decoders = new Map<KernelSegment, Decoder>();
  const factory = new InstructionInfoFactory();
  const scratch = new Instruction();
  const decoderOf = (segment: KernelSegment): Decoder => {
    const size = segment.fileEnd - segment.start;
    const bytes = kernel.bytes.subarray(segment.fileOffset, segment.fileOffset + size);
    return new Decoder(64, bytes, DecoderOptions.None);
  };
  const decode = (address: number): Operation | undefined => {
    const segment = segmentAt(kernel, address);
    if (segment === undefined) return undefined;
    let decoder = decoders.get(segment);
    if (decoder === undefined) decoders.set(segment, (decoder = decoderOf(segment)));
    decoder.position = address - segment.start;
    decoder.ip = BigInt.asUintN(64, BigInt(address));
    decoder.decodeOut(scratch);
    return scratch.isInvalid ? undefined : operationOf(kernel, scratch, decoder, factory);
  };
  return {
    at: (address) => {
      if (!known.has(address)) known.set(address, decode(address));
      return known.get(address);
    },
    free: () => {
      for (const decoder of decoders.values()) decoder.free();
      factory.free();
      scratch.free();
    },
  };
}

function operationOf(
  kernel: KernelFile,
  insn: Instruction,
  decoder: Decoder,
  factory: InstructionInfoFactory,
): Operation {
  const at = signed(insn.ip);
  const offsets = decoder.getConstantOffsets(insn);
  const field = (offset: number, size: number, value: number, kind: Constant['kind']): Constant | undefined =>
    (size === 4 || size === 8) && isKernelAddress(kernel, value)
      ? { instruction: at, address: at + offset, bytes: size, value, kind }
      : undefined;
  const displacement = field(
    offsets.displacementOffset,
    offsets.displacementSize,
    signed(insn.memoryDisplacement),
    'displacement',
  );
  const { immediateOffset, immediateSize } = offsets;
  const immediate = (value: number): Constant | undefined => field(immediateOffset, immediateSize, value, 'immediate');
  offsets.free();
  const info = factory.info(insn);
  const memory = memoryOperand(insn, displacement, isWritten(info.op0Access));
  const used: readonly UsedMemory[] = info.usedMemory();
  const accesses = memory === undefined ? implicitAccesses(insn, used) : touches(used) ? [memory] : [];
  const operation: Operation = {
    ...{ at, next: at + insn.length, mnemonic: insn.mnemonic, flow: insn.flowControl },
    target: branchTarget(insn),
    operands: Array.from({ length: insn.opCount }, (_, i) => operandOf(insn, i, memory, immediate)),
    accesses,
    writes: writtenRegisters(info.usedRegisters()),
    setsCr3: insn.mnemonic === Mnemonic.Mov && insn.op0Kind === OpKind.Register && insn.op0Register === Register.CR3,
  };
  for (const access of used) access.free();
  info.free();
  return operation;
}

/** By its value: in the link range, or the start of the mapping, which __pa subtracts. */
const isKernelAddress = (kernel: KernelFile, value: number): boolean => inLinkRange(kernel, value) || isMapStart(value);

/** lea and nop name memory without touching it. */
const touches = (used: readonly UsedMemory[]): boolean => used.some((m) => m.access !== OpAccess.NoMemAccess);

/** What string instructions access; the stack of push and call is left out. */
function implicitAccesses(insn: Instruction, used: readonly UsedMemory[]): MemoryOperand[] {
  if (!insn.isStringInstruction) return [];
  return used.map((m) => ({
    ...{ base: generalRegister(m.base), index: undefined, scale: 1, displacement: 0, constant: undefined },
    ...{ ripRelative: false, segmented: false, written: isWritten(m.access) },
  }));
}

function memoryOperand(insn: Instruction, constant: Constant | undefined, written: boolean): MemoryOperand | undefined {
  if (!hasMemory(insn)) return undefined;
  const ripRelative = insn.isIpRelMemoryOperand;
  const segment = insn.memorySegment;
  return {
    base: ripRelative ? undefined : generalRegister(insn.memoryBase),
    index: generalRegister(insn.memoryIndex),
    scale: insn.memoryIndexScale,
    displacement: signed(ripRelative ? insn.ipRelMemoryAddress : insn.memoryDisplacement),
    constant: ripRelative ? undefined : constant,
    ripRelative,
    segmented: segment === Register.FS || segment === Register.GS,
    written,
  };
}

function hasMemory(insn: Instruction): boolean {
  for (let i = 0; i < insn.opCount; i++) if (insn.opKind(i) === OpKind.Memory) return true;
  return false;
}

function generalRegister(register: Register): RegisterNumber | undefined {
  if (register === Register.None || !RegisterExt.isGPR(register)) return undefined;
  return RegisterExt.number(RegisterExt.fullRegister(register));
}

function writtenRegisters(used: readonly UsedRegister[]): RegisterNumber[] {
  const written = new Set<RegisterNumber>();
  for (const { register, access } of used) {
    const number = isWritten(access) ? generalRegister(register) : undefined;
    if (number !== undefined) written.add(number);
  }
  for (const one of used) one.free();
  return [...written];
}

const NEAR: ReadonlySet<OpKind> = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

const branchTarget = (insn: Instruction): number | undefined =>
  insn.opCount > 0 && NEAR.has(insn.op0Kind) ? signed(insn.nearBranchTarget) : undefined;

function operandOf(
  insn: Instruction,
  index: number,
  memory: MemoryOperand | undefined,
  immediateField: (value: number) => Constant | undefined,
): Operand {
  const kind = insn.opKind(index);
  if (kind === OpKind.Memory && memory !== undefined) return { kind: 'memory', memory };
  if (kind === OpKind.Register) {
    const register = insn.opRegister(index);
    const number = generalRegister(register);
    return number === undefined
      ? { kind: 'other' }
      : { kind: 'register', register: number, bits: 8 * RegisterExt.size(register) };
  }
  if (!IMMEDIATES.has(kind)) return { kind: 'other' };
  const value = signed(insn.immediate(index));
  const wide = kind === OpKind.Immediate32to64 || kind === OpKind.Immediate64;
  const constant = wide ? immediateField(value) : undefined;
  return constant === undefined ? { kind: 'number', value } : { kind: 'constant', constant };
}

const IMMEDIATES: ReadonlySet<OpKind> = new Set([
  ...[OpKind.Immediate8, OpKind.Immediate16, OpKind.Immediate32, OpKind.Immediate64],
  ...[OpKind.Immediate8to16, OpKind.Immediate8to32, OpKind.Immediate8to64, OpKind.Immediate32to64],
]);

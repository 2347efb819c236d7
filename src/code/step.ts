// What one instruction leads to, as far as finding code needs to know. Reading a property of an iced instruction costs
// about as much as decoding it, so what most instructions do not have is not asked of them: by mnemonic first.
import { Code, FlowControl, type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import { ENTRY_64_OFFSET } from '../image/setup-header.ts';
import type { Bits } from './disassembly.ts';
import type { Start } from './program.ts';
import { absoluteReference } from './references.ts';

export interface Step {
  /** Offset from the program's base. */
  readonly at: number;
  readonly length: number;
  readonly bits: Bits;
  /** Whether the next instruction follows. */
  readonly next: boolean;
  readonly call: boolean;
  readonly branch: Start | undefined;
  /** A jump to an address in a register. */
  readonly switches: boolean;
  /** What it reads or computes relative to RIP. */
  readonly ripTarget: number | undefined;
  /** Nothing a compiled or hand-written stub would hold. */
  readonly odd: boolean;
  readonly clues: Clues;
}

/** What only a few kinds of instruction say. */
export interface Clues {
  /** The number a push of real-mode code puts on the stack: `push $1f; lretw` normalises CS. */
  readonly pushed?: number;
  readonly farReturn?: boolean;
  /** What a lea computes relative to RIP, and into which register: perhaps a jump table. */
  readonly table?: { readonly base: Register; readonly address: number };
  /** The register that a movslq takes a word of a table by. */
  readonly base?: Register;
  /** What a register is compared with: perhaps the table's last index. */
  readonly last?: number;
  /** Offsets that it computes. */
  readonly constant?: number;
}

const NO_CLUES: Clues = {};

/** @param at its offset from the program's base; undefined where the bytes are no instruction */
export function stepOf(instruction: Instruction, at: number, bits: Bits): Step | undefined {
  const { mnemonic } = instruction;
  if (mnemonic === Mnemonic.INVALID) return undefined;
  const flow = instruction.flowControl;
  const plain = flow === FlowControl.Next;
  const call = flow === FlowControl.Call || flow === FlowControl.IndirectCall;
  const interrupt = flow === FlowControl.Interrupt && mnemonic !== Mnemonic.Int3;
  return {
    at,
    length: instruction.length,
    bits,
    next: plain || call || interrupt || flow === FlowControl.ConditionalBranch,
    call,
    branch: plain ? undefined : branchTarget(instruction, bits),
    switches: flow === FlowControl.IndirectBranch && bits === 64 && instruction.op0Kind === OpKind.Register,
    ripTarget: bits === 64 && instruction.isIpRelMemoryOperand ? Number(instruction.ipRelMemoryAddress) : undefined,
    odd: isOdd(instruction, mnemonic, bits),
    clues: bits === 16 ? realModeClues(instruction, mnemonic) : cluesOf(instruction, mnemonic),
  };
}

const NEAR_BRANCHES: ReadonlySet<OpKind> = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

/** Where a jump or call goes; a far jump of real-mode code with a 32-bit offset enters protected mode. */
function branchTarget(instruction: Instruction, bits: Bits): Start | undefined {
  const kind = instruction.op0Kind;
  if (bits === 16 && kind === OpKind.FarBranch32) return { at: instruction.farBranch32, bits: 32 };
  return NEAR_BRANCHES.has(kind) ? { at: Number(instruction.nearBranchTarget), bits } : undefined;
}

function realModeClues(instruction: Instruction, mnemonic: Mnemonic): Clues {
  if (mnemonic === Mnemonic.Retf) return { farReturn: true };
  if (mnemonic !== Mnemonic.Push) return NO_CLUES;
  if (instruction.op0Kind === OpKind.Immediate16) return { pushed: instruction.immediate16 };
  return instruction.op0Kind === OpKind.Immediate8to16 ? { pushed: instruction.immediate8to16 } : NO_CLUES;
}

function cluesOf(instruction: Instruction, mnemonic: Mnemonic): Clues {
  switch (mnemonic) {
    case Mnemonic.Lea:
      return leaClues(instruction);
    case Mnemonic.Mov:
      return movClues(instruction);
    case Mnemonic.Cmp:
      return cmpClues(instruction);
    case Mnemonic.Movsxd:
      return instruction.memoryIndexScale === 4 ? { base: instruction.memoryBase } : NO_CLUES;
    default:
      return NO_CLUES;
  }
}

/**
 * The offset a lea may compute: RIP-relative, or a displacement on a register that holds the load address.
 * Below the 64-bit entry lies 32-bit code only, and displacements that small are fields of structures.
 */
function leaClues(instruction: Instruction): Clues {
  if (instruction.isIpRelMemoryOperand) {
    const address = Number(instruction.ipRelMemoryAddress);
    return { constant: address, table: { base: instruction.op0Register, address } };
  }
  if (instruction.memoryDisplSize < 4 || instruction.memoryBase === Register.None) return NO_CLUES;
  const constant = Number(BigInt.asIntN(64, instruction.memoryDisplacement));
  return constant > ENTRY_64_OFFSET ? { constant } : NO_CLUES;
}

/** From here on few numbers lie within the code of a stub by chance. */
const LARGE = 0x100000n;

/**
 * What a linker makes of such a lea: the same address as an immediate. What a compiler writes without -fPIE is as short as
 * a number, and counts where it is large.
 */
function movClues(instruction: Instruction): Clues {
  const reference = absoluteReference(instruction);
  if (reference === undefined || reference.form.endsWith('disp32')) return NO_CLUES;
  const least = reference.form === 'mov-imm32-rex' ? BigInt(ENTRY_64_OFFSET) : LARGE;
  return reference.constant > least && reference.constant < MOST ? { constant: Number(reference.constant) } : NO_CLUES;
}

/** Beyond what a stub is linked to. */
const MOST = 1n << 31n;

/** More cases than a switch of a stub has. */
const LARGEST_INDEX = 1023;

function cmpClues(instruction: Instruction): Clues {
  const kind = instruction.op1Kind;
  if (kind === OpKind.Register || kind === OpKind.Memory) return NO_CLUES;
  const last = Number(instruction.immediate(1));
  return last >= 0 && last <= LARGEST_INDEX ? { last } : NO_CLUES;
}

const ODD_MNEMONICS: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Insb,
  Mnemonic.Insd,
  Mnemonic.Outsb,
  Mnemonic.Outsd,
  Mnemonic.Xlatb,
  Mnemonic.Enter,
  Mnemonic.Loop,
  Mnemonic.Loope,
  Mnemonic.Loopne,
  Mnemonic.Jrcxz,
]);

/** Text and tables decode too, but into instructions like these: string I/O, x87, `add %al,(%rax)` (two zero bytes). */
function isOdd(instruction: Instruction, mnemonic: Mnemonic, bits: Bits): boolean {
  if (mnemonic === Mnemonic.Add) return isZeros(instruction);
  // Hand-written real-mode code loops and moves strings to ports.
  return bits !== 16 && (ODD_MNEMONICS.has(mnemonic) || isX87Arithmetic(instruction, mnemonic));
}

/** Bases that ModRM 00 means, in the three modes. */
const ZERO_BASES: ReadonlySet<Register> = new Set([Register.RAX, Register.EAX, Register.BX]);

const isZeros = (instruction: Instruction): boolean =>
  instruction.code === Code.Add_rm8_r8 &&
  instruction.length === 2 &&
  instruction.op1Register === Register.AL &&
  ZERO_BASES.has(instruction.memoryBase);

/** By mnemonic, as far as they were met. */
const x87 = new Map<Mnemonic, boolean>();

/** A stub asks whether there is an x87 unit, with fninit, and computes nothing with it. */
function isX87Arithmetic(instruction: Instruction, mnemonic: Mnemonic): boolean {
  let known = x87.get(mnemonic);
  if (known === undefined) {
    known = instruction.fpuWritesTop && mnemonic !== Mnemonic.Fninit;
    x87.set(mnemonic, known);
  }
  return known;
}

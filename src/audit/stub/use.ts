// What the code after a reference does with the value it loaded: uses it as an address, or counts and shifts with it.
// Follows registers over straight code only, up to the next jump: enough to tell a size from a pointer.

import { FlowControl, type Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register } from 'iced-x86';
import type { CodeInstruction } from '../../code/codeMap.ts';
import type { Program } from '../../code/program.ts';
import { eachInstruction } from '../../code/eachInstruction.ts';

export type Use =
  /** Memory was read or written there, or control went there. */
  | 'address'
  /** Handed to a function in a register that carries arguments. */
  | 'argument'
  /** Kept in memory. */
  | 'stored'
  /** Counted, shifted or multiplied with. */
  | 'number'
  | 'unknown';

const REACH = 24;

/** @param following the instructions after it, in order */
export function useOf(program: Program, register: Register, following: readonly CodeInstruction[]): Use {
  const held = new Set([full(register)]);
  let use: Use | undefined;
  const factory = new InstructionInfoFactory();
  const straight = straightOnly(following.slice(0, REACH));
  eachInstruction(program, straight, (instruction) => {
    if (use === undefined && held.size > 0) use = step(instruction, held, factory);
  });
  factory.free();
  return use ?? 'unknown';
}

/** Up to the first one that does not follow its predecessor directly. */
function straightOnly(following: readonly CodeInstruction[]): CodeInstruction[] {
  const end = following.findIndex((place, i) => {
    const before = following[i - 1];
    return before !== undefined && before.at + before.length !== place.at;
  });
  return following.slice(0, end < 0 ? undefined : end);
}

/** REGISTER_INFO: the 64-bit register that a part belongs to. */
function full(register: Register): Register {
  return FULL.get(register) ?? register;
}

const FULL = new Map<Register, Register>();
for (let i = 0; i < 16; i++) {
  FULL.set(Register.EAX + i, Register.RAX + i);
  FULL.set(Register.AX + i, Register.RAX + i);
}

const ARGUMENTS: ReadonlySet<Register> = new Set([
  ...[Register.RDI, Register.RSI, Register.RDX, Register.RCX, Register.R8, Register.R9],
]);

const COUNTING: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Shl, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Imul, Mnemonic.Mul, Mnemonic.Div, Mnemonic.Idiv],
  ...[Mnemonic.Dec, Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Bt, Mnemonic.Wrmsr, Mnemonic.Out],
]);

const STRINGS: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq, Mnemonic.Stosb, Mnemonic.Stosw],
  ...[Mnemonic.Stosd, Mnemonic.Stosq, Mnemonic.Lodsb, Mnemonic.Cmpsb, Mnemonic.Scasb],
]);

function step(instruction: Instruction, held: Set<Register>, factory: InstructionInfoFactory): Use | undefined {
  const { mnemonic, flowControl } = instruction;
  if (STRINGS.has(mnemonic)) return stringUse(instruction, held);
  if (flowControl === FlowControl.Call) return anyOf(held, ARGUMENTS) ? 'argument' : 'unknown';
  const reads = (index: number): boolean =>
    instruction.opKind(index) === OpKind.Register && held.has(full(instruction.opRegister(index)));
  if (flowControl === FlowControl.IndirectCall || flowControl === FlowControl.IndirectBranch) {
    return reads(0) || addresses(instruction, held) ? 'address' : 'unknown';
  }
  if (flowControl !== FlowControl.Next) return flowControl === FlowControl.ConditionalBranch ? undefined : 'unknown';
  if (mnemonic !== Mnemonic.Lea && mnemonic !== Mnemonic.Nop && addresses(instruction, held)) return 'address';
  if (COUNTING.has(mnemonic) && reads(0)) return 'number';
  return moved(instruction, held, reads, factory);
}

const anyOf = (held: ReadonlySet<Register>, wanted: ReadonlySet<Register>): boolean =>
  [...held].some((register) => wanted.has(register));

function stringUse(instruction: Instruction, held: ReadonlySet<Register>): Use | undefined {
  if (held.has(Register.RSI) || held.has(Register.RDI)) return 'address';
  const counted = instruction.hasRepPrefix || instruction.hasRepnePrefix;
  return counted && held.has(Register.RCX) ? 'number' : undefined;
}

const addresses = (instruction: Instruction, held: ReadonlySet<Register>): boolean =>
  held.has(full(instruction.memoryBase)) || held.has(full(instruction.memoryIndex));

/** Copies are held as well; a register that gets another value is not held any more. */
function moved(
  instruction: Instruction,
  held: Set<Register>,
  reads: (index: number) => boolean,
  factory: InstructionInfoFactory,
): Use | undefined {
  const { mnemonic } = instruction;
  const copies = mnemonic === Mnemonic.Mov && instruction.opCount === 2 && reads(1);
  if (copies && instruction.op0Kind === OpKind.Memory) return 'stored';
  if (mnemonic === Mnemonic.Push && reads(0)) return 'stored';
  // An address with an offset is an address; what other arithmetic makes of it is not told.
  const derived = mnemonic === Mnemonic.Lea && addresses(instruction, held);
  const keeps = mnemonic === Mnemonic.Add || mnemonic === Mnemonic.Sub || mnemonic === Mnemonic.Cmp;
  for (const register of writtenBy(instruction, factory)) if (!keeps) held.delete(register);
  if (copies || derived) held.add(full(instruction.op0Register));
  return undefined;
}

const WRITES: ReadonlySet<OpAccess> = new Set([
  ...[OpAccess.Write, OpAccess.CondWrite, OpAccess.ReadWrite, OpAccess.ReadCondWrite],
]);

function writtenBy(instruction: Instruction, factory: InstructionInfoFactory): Register[] {
  const info = factory.info(instruction);
  const used = info.usedRegisters();
  const written = used.filter((u) => WRITES.has(u.access)).map((u) => full(u.register));
  for (const u of used) u.free();
  info.free();
  return written;
}

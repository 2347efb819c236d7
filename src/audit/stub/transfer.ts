// What one instruction of stub code does to the values that are followed, and what becomes of constants by it.

import {
  FlowControl,
  type Instruction,
  type InstructionInfoFactory,
  Mnemonic,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import { isWritten } from '../../code/facts.ts';
import { absoluteReferences } from '../../code/references.ts';
import { GPR } from '../../x86/registers.ts';
import {
  addValue,
  type ConstantKey,
  combine,
  constantValues,
  INHERITED,
  joinValues,
  keyOf,
  NUMBER,
  negated,
  RUNTIME,
  sameValues,
  subtractValue,
  UNKNOWN,
  type Value,
  type Values,
} from './values.ts';

export type Use =
  /** Memory was read or written there, or control went there, and no load address had been added. */
  | 'address'
  /** The load address was added to it. */
  | 'corrected'
  /** It was taken off an address where the code runs, which leaves the load address, or a distance that is wrong. */
  | 'subtracted'
  /** An address where the code runs was taken off it, so it is meant as one. */
  | 'measured'
  /** Handed to a function in a register that carries arguments. */
  | 'argument'
  /** Kept in memory. */
  | 'stored'
  /** Compared with another constant of the code, or subtracted from one: what both are fixed by does not matter. */
  | 'paired'
  /** Compared with something else. */
  | 'compared'
  /** Shifted, but how that is used was not seen. */
  | 'scaled'
  /** Counted, shifted into a count, multiplied with. */
  | 'number';

export type Report = (key: ConstantKey, use: Use) => void;

/** Registers by their number in ModRM and REX, and what a pop would give. */
export type State = { readonly registers: Values[]; top: Values | undefined };

const { RCX, RSP } = GPR;
const REGISTERS = 16;
/** rdi, rsi, rdx, rcx, r8, r9 (psABI, "Parameter Passing"). */
const ARGUMENTS = [7, 6, 2, 1, 8, 9];
/** rbx, rbp, r12 to r15. */
const PRESERVED: ReadonlySet<number> = new Set([3, 5, 12, 13, 14, 15]);

/**
 * At the first instruction of a function, where a pop gives an address of the caller.
 * @param byHand in hand-written code any register may hold what another piece of it has left there
 */
export const entryState = (byHand: boolean): State => ({
  registers: Array.from({ length: REGISTERS }, (_, i) =>
    i !== RSP && (byHand || PRESERVED.has(i)) ? INHERITED : UNKNOWN,
  ),
  top: RUNTIME,
});

export const copyState = ({ registers, top }: State): State => ({ registers: [...registers], top });

/** What holds on both ways; `a` itself where `b` adds nothing. */
export function joinStates(a: State, b: State): State {
  const registers = a.registers.map((values, i) => joined(values, b.registers[i] ?? UNKNOWN));
  const top = a.top === undefined || b.top === undefined ? undefined : joined(a.top, b.top);
  return top === a.top && registers.every((values, i) => values === a.registers[i]) ? a : { registers, top };
}

function joined(a: Values, b: Values): Values {
  const both = joinValues(a, b);
  return sameValues(both, a) ? a : both;
}

type Context = {
  readonly state: State;
  readonly insn: Instruction;
  readonly report: Report;
  /** Whether a constant may be an address by its value. */
  readonly mayBe: (constant: bigint) => boolean;
  readonly factory: InstructionInfoFactory;
};

/** Applies an instruction. Where control goes is the caller's to know, and what a call leaves. */
export function transfer(context: Context): void {
  const { insn, state } = context;
  if (insn.isStringInstruction) stringUse(context);
  else if (accesses(insn)) accessed(context, addressOf(context));
  const rule = RULES.get(insn.mnemonic);
  if (rule?.(context) === true) return;
  if (insn.flowControl === FlowControl.Next) clobber(context);
  if (insn.isStackInstruction) state.top = undefined;
}

const accesses = (insn: Instruction): boolean =>
  insn.mnemonic !== Mnemonic.Lea && insn.mnemonic !== Mnemonic.Nop && memoryOperand(insn) >= 0;

function memoryOperand(insn: Instruction): number {
  for (let i = 0; i < insn.opCount; i++) if (insn.opKind(i) === OpKind.Memory) return i;
  return -1;
}

function numberOf(register: Register): number {
  return register !== Register.None && RegisterExt.isGPR(register)
    ? RegisterExt.number(RegisterExt.fullRegister(register))
    : -1;
}

const registerValues = ({ registers }: State, register: Register): Values => registers[numberOf(register)] ?? UNKNOWN;

/** The constant of an instruction in its immediate or in its displacement, where it may be an address. */
function constantOf({ insn, mayBe }: Context, displacement: boolean): Values {
  const found = absoluteReferences(insn).find(({ form }) => form.endsWith('disp32') === displacement);
  return found !== undefined && mayBe(found.constant) ? constantValues(keyOf(Number(insn.ip), found.offset)) : NUMBER;
}

/** Sum of base, index and displacement. */
function addressOf(context: Context): Values {
  const { insn, state } = context;
  if (insn.isIpRelMemoryOperand) return RUNTIME;
  const { memoryBase, memoryIndex, memoryIndexScale } = insn;
  let registers = NUMBER;
  if (memoryBase !== Register.None) registers = registerValues(state, memoryBase);
  if (memoryIndex !== Register.None)
    registers = combine(memoryIndexScale === 1 ? registerValues(state, memoryIndex) : UNKNOWN, registers, addValue);
  const displacement = constantOf(context, true);
  // Two addresses are never added: where a register holds one, right or wrong, the displacement is a distance.
  if (registers.some((value) => value.constants.length > 0 || isLessAddress(value)))
    for (const { constants } of displacement) for (const key of constants) context.report(key, 'corrected');
  return combine(registers, displacement, addValue);
}

function valuesOf(context: Context, operand: number): Values {
  const { insn, state } = context;
  const kind = insn.opKind(operand);
  if (kind === OpKind.Memory) return UNKNOWN;
  if (kind !== OpKind.Register) return constantOf(context, false);
  const register = insn.opRegister(operand);
  return RegisterExt.size(register) < 4 ? UNKNOWN : registerValues(state, register);
}

/**
 * A register that is less an address of the stub, and not known else: a displacement on it moves it by the distance to
 * another, which is right wherever the stub runs. So one without a load address finds its places in the copy that it makes.
 */
const isLessAddress = ({ constants, taken, unknown }: Value): boolean =>
  unknown && constants.length === 0 && taken.length === 1;

/** What meets a load address is corrected by it: told of every constant in it. */
function told(context: Context, values: Values): Values {
  const { report } = context;
  for (const { constants, taken, bias, inherited } of values) {
    if (bias > 0 || inherited) {
      for (const key of constants) report(key, 'corrected');
      for (const key of taken) report(key, 'subtracted');
    } else if (bias < 0) for (const key of constants) report(key, 'measured');
    else if (constants.length > 0 && taken.length > 0)
      for (const key of [...constants, ...taken]) report(key, 'paired');
  }
  return values;
}

function reportAll({ report }: Context, values: Values, use: Use): void {
  for (const { constants, taken, scaled, bias, inherited } of values) {
    const corrected = bias > 0 || inherited;
    for (const key of constants) report(key, scaled && use !== 'number' ? 'scaled' : corrected ? 'corrected' : use);
    if (corrected) for (const key of taken) report(key, 'subtracted');
  }
}

const accessed = (context: Context, values: Values): void => reportAll(context, values, 'address');

/** True where it did everything; otherwise what the instruction writes becomes unknown. */
type Rule = (context: Context) => boolean;

const RULES: ReadonlyMap<Mnemonic, Rule> = new Map<Mnemonic, Rule>([
  [Mnemonic.Mov, move],
  [Mnemonic.Movsxd, move],
  [Mnemonic.Lea, (c) => set(c, told(c, addressOf(c)))],
  [Mnemonic.Add, (c) => arithmetic(c, addValue)],
  [Mnemonic.Or, (c) => arithmetic(c, addValue)],
  [Mnemonic.Sub, subtract],
  [Mnemonic.Xor, clear],
  [Mnemonic.Neg, (c) => set(c, valuesOf(c, 0).map(negated))],
  [Mnemonic.Not, (c) => set(c, valuesOf(c, 0).map(negated))],
  [Mnemonic.And, mask],
  [Mnemonic.Inc, keep],
  [Mnemonic.Dec, keep],
  [Mnemonic.Cmp, compare],
  [Mnemonic.Test, (c) => (reportAll(c, valuesOf(c, 1), 'compared'), true)],
  [Mnemonic.Shr, shift],
  [Mnemonic.Sar, shift],
  [Mnemonic.Push, push],
  [Mnemonic.Pop, pop],
  ...[Mnemonic.Shl, Mnemonic.Imul, Mnemonic.Mul, Mnemonic.Div, Mnemonic.Idiv, Mnemonic.Rol, Mnemonic.Ror].map(
    (mnemonic) => [mnemonic, counted] as const,
  ),
  ...[Mnemonic.Bt, Mnemonic.Out].map((mnemonic) => [mnemonic, counted] as const),
  ...[Mnemonic.Cmova, Mnemonic.Cmovae, Mnemonic.Cmovb, Mnemonic.Cmovbe, Mnemonic.Cmove, Mnemonic.Cmovne].map(
    (mnemonic) => [mnemonic, either] as const,
  ),
  ...[Mnemonic.Cmovg, Mnemonic.Cmovge, Mnemonic.Cmovl, Mnemonic.Cmovle, Mnemonic.Cmovs, Mnemonic.Cmovns].map(
    (mnemonic) => [mnemonic, either] as const,
  ),
]);

/** Into the first operand where that is a whole register. A 32-bit register takes an address below 4 GiB. */
function set(context: Context, values: Values): boolean {
  const { insn, state } = context;
  if (insn.op0Kind !== OpKind.Register || RegisterExt.size(insn.op0Register) < 4) return false;
  const number = numberOf(insn.op0Register);
  if (number < 0) return false;
  if (number === RSP) {
    state.top = undefined;
    accessed(context, values);
  }
  state.registers[number] = values;
  return true;
}

function move(context: Context): boolean {
  const { insn } = context;
  const values = valuesOf(context, 1);
  if (insn.op0Kind === OpKind.Memory) {
    reportAll(context, values, 'stored');
    return true;
  }
  if (numberOf(insn.op0Register) >= 0) return set(context, values);
  if (RegisterExt.isCR(insn.op0Register)) accessed(context, values);
  return true;
}

function arithmetic(context: Context, operation: (a: Value, b: Value) => Value): boolean {
  const result = told(context, combine(valuesOf(context, 0), valuesOf(context, 1), operation));
  if (set(context, result)) return true;
  reportAll(context, valuesOf(context, 1), 'stored');
  return true;
}

function subtract(context: Context): boolean {
  const { insn, report } = context;
  if (sameRegister(insn)) return set(context, NUMBER);
  // Taken off something that is not known, it may be the start of what that points into.
  const unknown = valuesOf(context, 0).some(({ unknown: u, bias }) => u && bias === 0);
  if (unknown) for (const { constants } of valuesOf(context, 1)) for (const key of constants) report(key, 'compared');
  return arithmetic(context, subtractValue);
}

const sameRegister = (insn: Instruction): boolean =>
  insn.op0Kind === OpKind.Register && insn.op1Kind === OpKind.Register && insn.op0Register === insn.op1Register;

function clear(context: Context): boolean {
  return sameRegister(context.insn) && set(context, NUMBER);
}

function keep({ insn }: Context): boolean {
  return insn.op0Kind === OpKind.Register;
}

/** Masks that keep the upper bits align an address; others leave a number. A mask in a register is mostly one of those. */
const SMALLEST_ALIGNMENT = -16n;

function mask({ insn }: Context): boolean {
  if (insn.op0Kind !== OpKind.Register || insn.op1Kind === OpKind.Memory) return false;
  return insn.op1Kind === OpKind.Register || BigInt.asIntN(64, insn.immediate(1)) <= SMALLEST_ALIGNMENT;
}

function shift(context: Context): boolean {
  const values = valuesOf(context, 0);
  return set(
    context,
    values.map((value) => (value.constants.length > 0 ? { ...value, scaled: true } : value)),
  );
}

function counted(context: Context): boolean {
  for (let i = 0; i < context.insn.opCount; i++) reportAll(context, valuesOf(context, i), 'number');
  return false;
}

function either(context: Context): boolean {
  return set(context, joinValues(valuesOf(context, 0), valuesOf(context, 1)));
}

function compare(context: Context): boolean {
  const [a, b] = [valuesOf(context, 0), valuesOf(context, 1)];
  const fixed = (values: Values): boolean => values.some(({ constants, bias }) => constants.length > 0 && bias === 0);
  // A way along a table starts and ends by the same constant.
  const keys = new Set([...a, ...b].flatMap(({ constants }) => constants));
  const use: Use = keys.size > 1 && fixed(a) && fixed(b) ? 'paired' : 'compared';
  reportAll(context, a, use);
  reportAll(context, b, use);
  return true;
}

function push(context: Context): boolean {
  const values = valuesOf(context, 0);
  reportAll(context, values, 'stored');
  context.state.top = values;
  return true;
}

function pop(context: Context): boolean {
  const values = context.state.top ?? UNKNOWN;
  context.state.top = undefined;
  if (context.insn.op0Kind === OpKind.Memory) return true;
  return set(context, values);
}

const STRING_POINTERS = [6, 7];

function stringUse(context: Context): void {
  const { insn, state } = context;
  for (const register of STRING_POINTERS) accessed(context, state.registers[register] ?? UNKNOWN);
  if (insn.hasRepPrefix || insn.hasRepnePrefix) reportAll(context, state.registers[RCX] ?? UNKNOWN, 'number');
}

function clobber({ insn, state, factory }: Context): void {
  const info = factory.info(insn);
  const used = info.usedRegisters();
  for (const { register, access } of used) {
    const number = isWritten(access) ? numberOf(register) : -1;
    if (number >= 0 && number !== RSP) state.registers[number] = UNKNOWN;
  }
  for (const one of used) one.free();
  info.free();
}

/** What a jump or call does to a value that it takes its target from; a return takes what was pushed. */
export function goesThere(context: Context): void {
  const { insn, state } = context;
  const { flowControl } = insn;
  if (flowControl === FlowControl.Return) accessed(context, state.top ?? UNKNOWN);
  else if (insn.op0Kind === OpKind.Register) accessed(context, registerValues(state, insn.op0Register));
}

export function handOver(context: Context): void {
  for (const register of ARGUMENTS) reportAll(context, context.state.registers[register] ?? UNKNOWN, 'argument');
}

/** What a call leaves: calls preserve some registers, and the result is not known. */
export function afterCall({ registers }: State): void {
  for (let i = 0; i < REGISTERS; i++) if (!PRESERVED.has(i) && i !== RSP) registers[i] = UNKNOWN;
}

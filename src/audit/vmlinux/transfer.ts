// What one instruction does to the values that are followed, and what it uses kernel addresses for.
import { FlowControl, Mnemonic } from 'iced-x86';
import { readerOf } from '../../bits/cursor.ts';
import { listed } from '../../image/kernelRelocs.ts';
import { inLinkRange, type KernelFile, kernelFileOffset, signed } from './layout.ts';
import { type MemoryOperand, type Operand, type Operation, RAX, RSP } from './operation.ts';
import { popValues, pushValues, registerValues, type State, setStackPointer, slotOf } from './state.ts';
import {
  ANY,
  addValues,
  type Constant,
  combine,
  constantValue,
  isMapStart,
  joinValues,
  loadedValue,
  negateValue,
  numberValue,
  subtractValues,
  type Value,
  type Values,
  withLowBits,
} from './values.ts';

export type UseKind =
  /** As the address of a memory access. */
  | 'accessed'
  /** As the target of an indirect jump, call or return. */
  | 'jumped-to'
  | 'stack-pointer'
  /** As the base of the GDT or IDT. */
  | 'descriptor-table'
  /** As the physical address of the page tables. */
  | 'page-tables'
  /** Kept in memory. */
  | 'stored'
  /** As the end of a distance whose start is an address in the 1:1 map. */
  | 'measured'
  /** With an address in the 1:1 map, or with something unknown. */
  | 'compared';

export interface Use {
  readonly constant: Constant;
  readonly kind: UseKind;
  /** The instruction that uses it. */
  readonly at: number;
  /** Whether nothing unknown was added to it. */
  readonly exact: boolean;
  /** Whether the value is this address and plain numbers only, so that the right address in its place would be right. */
  readonly alone: boolean;
}

export type Report = (use: Use) => void;

/** Applies `operation` to `state`. Control flow is the caller's: it pops returns and follows calls. */
export function transfer(kernel: KernelFile, state: State, operation: Operation, report: Report): void {
  for (const memory of operation.accesses) {
    if (!memory.segmented) reportAll(addressOf(state, memory), 'accessed', operation, report);
  }
  const rule = RULES.get(operation.mnemonic);
  if (rule !== undefined && rule({ kernel, state, operation, report })) return;
  if (CONDITIONAL_MOVES.has(operation.mnemonic) && conditionalMove({ kernel, state, operation, report })) return;
  clobber(state, operation);
}

interface Context {
  readonly kernel: KernelFile;
  readonly state: State;
  readonly operation: Operation;
  readonly report: Report;
}

/** True where it did everything; otherwise what the instruction writes becomes unknown. */
type Rule = (context: Context) => boolean;

const RULES: ReadonlyMap<Mnemonic, Rule> = new Map<Mnemonic, Rule>([
  [Mnemonic.Mov, move],
  [Mnemonic.Lea, loadAddress],
  [Mnemonic.Add, (c) => arithmetic(c, addValues)],
  [Mnemonic.Sub, subtract],
  [Mnemonic.Rmpadjust, raxAccess],
  [Mnemonic.Pvalidate, raxAccess],
  [Mnemonic.Or, (c) => arithmetic(c, (a, b) => withLowBits(addValues(a, b)))],
  [Mnemonic.And, mask],
  [Mnemonic.Neg, (c) => negate(c)],
  [Mnemonic.Not, (c) => negate(c, -1)],
  [Mnemonic.Xor, clear],
  [Mnemonic.Inc, (c) => changeLow(c)],
  [Mnemonic.Dec, (c) => changeLow(c)],
  [Mnemonic.Cmp, compare],
  [Mnemonic.Xchg, exchange],
  [Mnemonic.Push, push],
  [Mnemonic.Pushfq, push],
  [Mnemonic.Pop, pop],
  [Mnemonic.Popfq, pop],
  [Mnemonic.Leave, leave],
  [Mnemonic.Lgdt, descriptorTable],
  [Mnemonic.Lidt, descriptorTable],
]);

const CONDITIONAL_MOVES: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Cmova, Mnemonic.Cmovae, Mnemonic.Cmovb, Mnemonic.Cmovbe, Mnemonic.Cmove, Mnemonic.Cmovne],
  ...[Mnemonic.Cmovg, Mnemonic.Cmovge, Mnemonic.Cmovl, Mnemonic.Cmovle, Mnemonic.Cmovs, Mnemonic.Cmovns],
  ...[Mnemonic.Cmovo, Mnemonic.Cmovno, Mnemonic.Cmovp, Mnemonic.Cmovnp],
]);

/** Calls and returns move the stack pointer and put it back; walk.ts sees to those. */
function clobber(state: State, { flow, writes }: Operation): void {
  if (flow !== FlowControl.Next) return;
  for (const register of writes) {
    if (register === RSP) setStackPointer(state, ANY);
    else state.registers[register] = ANY;
  }
}

/** Sum of base, index and displacement. */
function addressOf(state: State, memory: MemoryOperand): Values {
  if (memory.ripRelative) return [loadedValue(memory.displacement)];
  const { base, index, constant } = memory;
  let address: Values = [constant === undefined ? numberValue(memory.displacement) : constantValue(constant)];
  if (index !== undefined) {
    address = combine(memory.scale === 1 ? registerValues(state, index) : ANY, address, addValues);
  }
  return base === undefined ? address : combine(registerValues(state, base), address, addValues);
}

/** The start of the mapping on its own is half of a conversion between kinds of addresses, and no address of anything. */
export function reportAll(values: Values, kind: UseKind, { at }: Operation, report: Report): void {
  for (const { plus, minus, loaded, unknown } of values) {
    const alone = !unknown && minus === 0 && loaded === 0 && plus.length === 1;
    for (const constant of plus) {
      if (!isMapStart(constant.value)) report({ constant, kind, at, exact: !unknown, alone });
    }
  }
}

/** What an operand of 64 bits holds; anything else is unknown. */
function valuesOf({ kernel, state, operation }: Context, operand: Operand | undefined): Values {
  if (operand?.kind === 'number') return [numberValue(operand.value)];
  if (operand?.kind === 'constant') return [constantValue(operand.constant)];
  if (operand?.kind === 'memory') return loadedFrom(kernel, state, operand.memory, operation);
  if (operand?.kind === 'register' && operand.bits === 64) return registerValues(state, operand.register);
  return ANY;
}

/** What a load of 8 bytes gives: a stack slot, or a word of the file that the relocation table says holds an address. */
export function loadedFrom(kernel: KernelFile, state: State, memory: MemoryOperand, { at }: Operation): Values {
  if (memory.segmented) return ANY;
  const found = addressOf(state, memory).map((address): Values => {
    const slot = slotOf(address);
    if (slot !== undefined) return state.slots.get(slot) ?? ANY;
    const place = fixedPlace(address);
    const constant = place === undefined ? undefined : pointerAt(kernel, place, at);
    return constant === undefined ? ANY : [constantValue(constant)];
  });
  return found.reduce((a, b) => joinValues(a, b), []);
}

/** The link address that a value means, whichever mapping it goes by. */
function fixedPlace({ plus, minus, loaded, stack, unknown, sum }: Value): number | undefined {
  return plus.length + loaded === 1 && minus === 0 && !stack && !unknown ? sum : undefined;
}

function pointerAt(kernel: KernelFile, address: number, instruction: number): Constant | undefined {
  if (kernel.relocs === undefined || !listed(kernel.relocs.abs64, address)) return undefined;
  const fileOffset = kernelFileOffset(kernel, address);
  if (fileOffset === undefined || fileOffset + 8 > kernel.bytes.length) return undefined;
  const value = signed(readerOf(kernel.bytes, 'the kernel').u64(fileOffset));
  if (!inLinkRange(kernel, value)) return undefined;
  return { instruction, address, bytes: 8, value, kind: 'data' };
}

function setRegister(context: Context, register: number, values: Values): void {
  if (register !== RSP) {
    context.state.registers[register] = values;
    return;
  }
  reportAll(values, 'stack-pointer', context.operation, context.report);
  setStackPointer(context.state, values);
}

function store({ state, operation, report }: Context, memory: MemoryOperand, values: Values): void {
  for (const address of addressOf(state, memory)) {
    const slot = memory.segmented ? undefined : slotOf(address);
    if (slot !== undefined) state.slots.set(slot, values);
    else reportAll(values, 'stored', operation, report);
  }
}

function move(context: Context): boolean {
  const [to, from] = context.operation.operands;
  if (context.operation.setsCr3) {
    reportAll(valuesOf(context, from), 'page-tables', context.operation, context.report);
    return true;
  }
  if (to?.kind === 'memory') {
    store(context, to.memory, from?.kind === 'number' ? ANY : valuesOf(context, from));
    return true;
  }
  if (to?.kind !== 'register' || to.bits < 32) return false;
  // A 32-bit move clears the upper half: what is left is a number.
  const values = to.bits === 64 || from?.kind === 'number' ? valuesOf(context, from) : ANY;
  setRegister(context, to.register, values);
  return true;
}

function loadAddress(context: Context): boolean {
  const [to, from] = context.operation.operands;
  if (to?.kind !== 'register' || to.bits !== 64 || from?.kind !== 'memory') return false;
  setRegister(context, to.register, addressOf(context.state, from.memory));
  return true;
}

function arithmetic(context: Context, operation: (a: Value, b: Value) => Value): boolean {
  const [to, from] = context.operation.operands;
  if (to?.kind === 'memory') {
    store(context, to.memory, combine(valuesOf(context, to), valuesOf(context, from), operation));
    return true;
  }
  if (to?.kind !== 'register' || to.bits !== 64) return false;
  setRegister(context, to.register, combine(valuesOf(context, to), valuesOf(context, from), operation));
  return true;
}

/** A kernel address less one in the 1:1 map is no distance between two things. */
function subtract(context: Context): boolean {
  const [to, from] = context.operation.operands;
  const minuend = valuesOf(context, to).filter((v) => v.plus.length > 0 && v.loaded === 0);
  if (valuesOf(context, from).every((v) => v.loaded === 1 && v.plus.length === 0 && v.minus === 0 && !v.unknown))
    reportAll(minuend, 'measured', context.operation, context.report);
  return arithmetic(context, subtractValues);
}

/** Their address is in RAX (APM volume 3, "PVALIDATE", "RMPADJUST"). */
function raxAccess({ state, operation, report }: Context): boolean {
  reportAll(registerValues(state, RAX), 'accessed', operation, report);
  return false;
}

/** Masks that keep the upper bits align an address; others leave a number. */
const SMALLEST_ALIGNMENT = -16;

function mask(context: Context): boolean {
  const [to, from] = context.operation.operands;
  if (to?.kind !== 'register' || to.bits !== 64 || from?.kind !== 'number') return false;
  if (from.value > SMALLEST_ALIGNMENT || from.value < -0x40000000) return false;
  const values = registerValues(context.state, to.register);
  setRegister(context, to.register, to.register === RSP ? values : values.map(withLowBits));
  return true;
}

/** @param more what the operation adds to the negative: not is -x - 1 */
function negate(context: Context, more = 0): boolean {
  const [to] = context.operation.operands;
  if (to?.kind !== 'register' || to.bits !== 64) return false;
  const negative = registerValues(context.state, to.register).map((v) => addValues(negateValue(v), numberValue(more)));
  setRegister(context, to.register, negative);
  return true;
}

/** xor of a register with itself. */
function clear(context: Context): boolean {
  const [to, from] = context.operation.operands;
  if (to?.kind !== 'register' || from?.kind !== 'register' || to.register !== from.register) return false;
  if (to.bits < 32) return false;
  setRegister(context, to.register, [numberValue(0)]);
  return true;
}

function changeLow(context: Context): boolean {
  const [to] = context.operation.operands;
  if (to?.kind !== 'register' || to.bits !== 64) return false;
  setRegister(context, to.register, registerValues(context.state, to.register).map(withLowBits));
  return true;
}

/** Both must be addresses of one kind; a kernel address against another kernel address is a fair comparison. */
function compare(context: Context): boolean {
  const [left, right] = context.operation.operands;
  const a = valuesOf(context, left);
  const b = valuesOf(context, right);
  reportAll(oddOnes(a, b), 'compared', context.operation, context.report);
  reportAll(oddOnes(b, a), 'compared', context.operation, context.report);
  return true;
}

const oddOnes = (values: Values, others: Values): Values =>
  others.some((o) => o.loaded > 0 && o.plus.length === 0)
    ? values.filter((v) => v.plus.length > 0)
    : others.some((o) => o.unknown && o.plus.length === 0)
      ? values.filter((v) => v.plus.length > 0).map((v) => ({ ...v, unknown: true }))
      : [];

function exchange(context: Context): boolean {
  const [a, b] = context.operation.operands;
  if (a?.kind !== 'register' || b?.kind !== 'register' || a.bits !== 64) return false;
  const before = registerValues(context.state, a.register);
  setRegister(context, a.register, registerValues(context.state, b.register));
  setRegister(context, b.register, before);
  return true;
}

function push(context: Context): boolean {
  const [from] = context.operation.operands;
  pushValues(context.state, valuesOf(context, from));
  return true;
}

function pop(context: Context): boolean {
  const [to] = context.operation.operands;
  const values = popValues(context.state);
  if (to?.kind === 'register' && to.bits === 64) setRegister(context, to.register, values);
  if (to?.kind === 'memory') store(context, to.memory, values);
  return true;
}

function leave(context: Context): boolean {
  setRegister(context, RSP, registerValues(context.state, 5));
  context.state.registers[5] = popValues(context.state);
  return true;
}

function conditionalMove(context: Context): boolean {
  const [to, from] = context.operation.operands;
  if (to?.kind !== 'register' || to.bits !== 64) return false;
  setRegister(context, to.register, joinValues(registerValues(context.state, to.register), valuesOf(context, from)));
  return true;
}

/** The operand of lgdt and lidt is a 16-bit limit and the base behind it (SDM volume 2, "LGDT/LIDT"). */
function descriptorTable({ kernel, state, operation, report }: Context): boolean {
  const [from] = operation.operands;
  if (from?.kind !== 'memory') return true;
  const base = { ...from.memory, displacement: from.memory.displacement + 2 };
  reportAll(loadedFrom(kernel, state, base, operation), 'descriptor-table', operation, report);
  return true;
}

/** What a call leaves of the caller's registers: the callee's result in RAX, and what the ABI has it keep. */
export function afterCall(state: State, result: Values): void {
  state.registers[RAX] = result;
  for (const register of CALLER_SAVED) state.registers[register] = ANY;
}

/** rcx, rdx, rsi, rdi, r8 to r11 (psABI, "Registers and the Stack Frame"). */
const CALLER_SAVED = [1, 2, 6, 7, 8, 9, 10, 11];

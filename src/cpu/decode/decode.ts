// From iced-x86's decoded instruction to a plan: which handler runs it and what goes into its record's fields. Knows
// nothing of pages or caches. An instruction without a handler gets `micro`: microcode (or #UD) does it.

import { Code, EncodingKind, FlowControl, type Instruction, MemorySizeExt, OpKind, Register } from 'iced-x86';
import type { Feature } from '../../x86/features.ts';
import { GPR as NUMBER } from '../../x86/registers.ts';
import { FRAME_BITS, MASKED_STORES, NOTHING, nameOf, SHIFTS, STRING_NAMES, WAITING } from './names.ts';
import {
  addressSize,
  GPR,
  IMMEDIATE_BITS,
  type MemoryFields,
  memoryFields,
  operandsOf,
  SEGMENT_INDEX,
  stringAddressBits,
  VECTOR_REGISTERS,
} from './operands.ts';
import { BRANCH_KINDS, countRegister, ENDS, FAR_CODES, RETURN_BITS } from './transfers.ts';
import type { Bitness } from '../state/codeContext.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';
import { isOffered, OLDER_MEANING } from './offered.ts';
import { SSE_DENIED } from '../semantics/sseMove.ts';
import { AVX_DENIED } from '../semantics/ymm.ts';

export type Plan = {
  handler: number;
  addressing: number;
  reg1: number;
  reg2: number;
  base: number;
  index: number;
  disp: bigint;
  imm: bigint;
  /** Control goes elsewhere for sure: nothing after it belongs to the same run. */
  ends: boolean;
  /** Direct branch target (instruction pointer), where the cache decides between its near and its out handler. */
  branch?: { near: number | undefined; out: number; target: bigint; returnTo: bigint | undefined };
};

export type HandlerNumbers = ReadonlyMap<string, number>;

const { RDI } = NUMBER;

export class Planner {
  readonly #numbers: HandlerNumbers;
  readonly #micro: number;
  readonly #denied: number;
  readonly #avxDenied: number;
  /** Handlers of instructions that need a VEX prefix and vector registers: their names begin with V, and no others. */
  readonly #avx: ReadonlySet<number>;
  readonly #features: ReadonlySet<Feature> | undefined;

  /** @param features of the processor; where they are not said, it has every instruction */
  constructor(numbers: HandlerNumbers, features?: ReadonlySet<Feature>) {
    this.#numbers = numbers;
    this.#features = features;
    this.#micro = this.number('micro');
    this.#denied = this.number(SSE_DENIED);
    this.#avxDenied = this.number(AVX_DENIED);
    this.#avx = new Set([...numbers].flatMap(([key, number]) => (key.startsWith('v') ? [number] : [])));
  }

  /** Number of a handler that exists (our bug otherwise). */
  number(key: string): number {
    const found = this.#numbers.get(key);
    if (found === undefined) throw new Error(`no handler '${key}'`);
    return found;
  }

  /** The plan of an instruction that microcode looks at: a fault, whatever it would do. */
  microcoded(): Plan {
    return { ...this.#empty(), ends: true };
  }

  #empty(): Plan {
    const { ZERO } = at;
    return {
      handler: this.#micro,
      addressing: 0,
      reg1: ZERO,
      reg2: ZERO,
      base: ZERO,
      index: ZERO,
      disp: 0n,
      imm: 0n,
      ends: false,
    };
  }

  /**
   * @param insn decoded at its instruction-pointer value, in code of that bitness
   * @param sse may XMM registers be used, as CR0 and CR4 have it?
   * @param vex may there be VEX prefixes (not in real mode)?
   * @param avx may vector registers be used behind them, as CR0, CR4 and XCR0 have it?
   */
  plan(insn: Instruction, bitness: Bitness, sse = true, vex = true, avx = true): Plan {
    const plan = this.#planned(insn, bitness);
    // Where microcode does the instruction, it looks for itself.
    if (plan.handler !== this.#micro) plan.handler = this.#allowed(plan, insn, sse, vex, avx);
    // What microcode does may go anywhere; code behind it is often data.
    if (plan.handler === this.#micro && ENDS.has(insn.flowControl)) plan.ends = true;
    return plan;
  }

  #allowed(plan: Plan, insn: Instruction, sse: boolean, vex: boolean, avx: boolean): number {
    if (this.#avx.has(plan.handler)) return vex && avx ? plan.handler : this.#avxDenied;
    if (!sse && hasXmm(plan)) return this.#denied;
    return !vex && insn.encoding === EncodingKind.VEX ? this.#avxDenied : plan.handler;
  }

  #planned(insn: Instruction, bitness: Bitness): Plan {
    const name = this.#nameOf(insn);
    const plan = this.#empty();
    // Microcode knows what else is #UD.
    if (insn.code === Code.INVALID || name === undefined) return plan;
    if (NOTHING.has(name)) return this.#setHandler(plan, 'nop');
    if (WAITING.has(name)) return this.#setHandler({ ...plan, disp: insn.nextIP }, name);
    if (name === 'in' && insn.op0Register === Register.AL) return this.#input(plan, insn);
    if (insn.opCount > 0 && BRANCH_KINDS.has(insn.opKind(0))) return this.#branch(plan, insn, name, bitness);
    // MOVSD is also a move of SSE2.
    if (STRING_NAMES.has(name) && insn.isStringInstruction && insn.opCount > 0)
      return this.#string(plan, insn, name, bitness);
    // Handlers know the encodings with VEX; EVEX has the same names.
    if (name.startsWith('v') && insn.encoding !== EncodingKind.VEX) return plan;
    if (MASKED_STORES.has(name)) return this.#maskedStore(plan, insn, name);
    if (name === 'jmp' || name === 'call') return this.#indirect(plan, insn, name, bitness);
    if (name === 'ret') return this.#return(plan, insn);
    if (name === 'push' || name === 'pop') return this.#stack(plan, insn, name, bitness);
    if (name === 'lea') return this.#lea(plan, insn, bitness);
    return this.#general(plan, insn, name, bitness);
  }

  /** The instruction's name in keys; undefined where the processor does not have it. */
  #nameOf(insn: Instruction): string | undefined {
    if (this.#features && !isOffered(insn, this.#features)) return OLDER_MEANING.get(insn.mnemonic);
    return nameOf(insn.mnemonic) + (FRAME_BITS.get(insn.code) ?? '');
  }

  #setHandler(plan: Plan, key: string): Plan {
    plan.handler = this.#numbers.get(key) ?? this.#micro;
    return plan;
  }

  #setMemory(plan: Plan, fields: MemoryFields): void {
    plan.addressing = fields.addressing;
    plan.base = fields.base;
    plan.index = fields.index;
    plan.disp = fields.disp;
  }

  /** Operands in order to the record's fields, and their letters to the key. */
  #general(plan: Plan, insn: Instruction, name: string, bitness: Bitness): Plan {
    const last = insn.opCount - 1;
    const byCl = SHIFTS.has(name) && insn.opKind(last) === OpKind.Register;
    const operands = operandsOf(insn, byCl ? last : last + 1, bitness);
    if (!operands) return plan;
    const { registers, memory, immediates } = operands;
    plan.imm = immediates[0] ?? 0n;
    plan.disp = immediates[1] ?? 0n;
    plan.reg1 = registers[0] ?? at.ZERO;
    plan.reg2 = registers[1] ?? at.ZERO;
    if (registers.length > 2) plan.base = registers[2] as number;
    // The third register beside memory, or the fourth, has the immediate's place (VEX only).
    const over = registers[memory ? 2 : 3];
    if (over !== undefined) plan.imm = BigInt(over);
    if (memory) this.#setMemory(plan, memory);
    plan.handler = this.#find(byCl ? `${name}.cl` : name, operands.letters, operands.place, memory);
    return plan;
  }

  /** The flat form where there is one and the operand is flat, else the general form (whose record is filled otherwise). */
  #find(key: string, parts: readonly string[], place: number, memory: MemoryFields | undefined): number {
    const text = (letter: string): string => {
      const shown = parts.map((part, i) => (i === place ? letter + part : part));
      return shown.length ? `${key} ${shown.join()}` : key;
    };
    if (!memory) return this.#numbers.get(text('')) ?? this.#micro;
    const flat = memory.flat ? this.#numbers.get(text('m')) : undefined;
    if (flat !== undefined) return flat;
    return this.#numbers.get(text('g')) ?? this.#micro;
  }

  /** It goes on as by a jump, because it takes its time. */
  #input(plan: Plan, insn: Instruction): Plan {
    const immediate = insn.opKind(1) !== OpKind.Register;
    if (immediate) plan.imm = BigInt(insn.immediate8);
    plan.disp = insn.nextIP;
    return this.#setHandler(plan, immediate ? 'in.i8' : 'in.dx');
  }

  #lea(plan: Plan, insn: Instruction, bitness: Bitness): Plan {
    const register = GPR.get(insn.opRegister(0));
    if (!register || insn.opKind(1) !== OpKind.Memory) return plan;
    const memory = memoryFields(insn, bitness);
    this.#setMemory(plan, memory);
    plan.reg1 = register.address;
    return this.#setHandler(plan, `lea r${register.bytes * 8},${memory.flat ? 'm' : 'g'}`);
  }

  #branch(plan: Plan, insn: Instruction, name: string, bitness: Bitness): Plan {
    const next = insn.nextIP;
    // A 16-bit operand size cuts the target; in 64-bit mode that form exists on AMD only and is left to microcode.
    if (bitness === 64 && insn.opKind(0) !== OpKind.NearBranch64) return plan;
    const target = insn.nearBranchTarget;
    if (name === 'call') return this.#call(plan, insn, bitness, target, next);
    // XBEGIN names a target too.
    if (insn.flowControl === FlowControl.XbeginXabortXend) return plan;
    const count = countRegister(insn.code);
    const stem = count ? `${name.startsWith('j') ? 'jcxz' : name}.${count}` : name;
    plan.ends = name === 'jmp';
    if (count) {
      plan.disp = target;
      return this.#setHandler(plan, stem);
    }
    plan.branch = { near: this.number(`${stem}.near`), out: this.number(`${stem}.out`), target, returnTo: undefined };
    plan.handler = plan.branch.out;
    return plan;
  }

  #call(plan: Plan, insn: Instruction, bitness: Bitness, target: bigint, returnTo: bigint): Plan {
    plan.ends = true;
    const bits = insn.opKind(0) === OpKind.NearBranch16 ? 16 : insn.opKind(0) === OpKind.NearBranch32 ? 32 : 64;
    if (bitness === 64) {
      const near = this.number('call64.near');
      plan.branch = { near, out: this.number('call64.out'), target, returnTo };
    } else plan.branch = { near: undefined, out: this.number(`callg${bits}.out`), target, returnTo };
    plan.handler = plan.branch.out;
    return plan;
  }

  #indirect(plan: Plan, insn: Instruction, name: string, bitness: Bitness): Plan {
    plan.ends = true;
    const kind = insn.opKind(0);
    const isMemory = kind === OpKind.Memory;
    const register = isMemory ? undefined : GPR.get(insn.opRegister(0));
    if (!isMemory && !register) return plan;
    const far = FAR_CODES.has(insn.code);
    if (far) return plan;
    const bytes = register?.bytes ?? MemorySizeExt.size(insn.memorySize);
    const memory = isMemory ? memoryFields(insn, bitness) : undefined;
    if (memory) this.#setMemory(plan, memory);
    if (register) plan.reg1 = register.address;
    plan.imm = insn.nextIP;
    const wide = name === 'call' && bitness === 64 && bytes === 8;
    const stem = name === 'jmp' ? 'jmp' : wide ? 'call64' : 'callg';
    plan.handler = this.#find(stem, [register ? `r${bytes * 8}` : `${bytes * 8}`], memory ? 0 : -1, memory);
    return plan;
  }

  #return(plan: Plan, insn: Instruction): Plan {
    plan.ends = true;
    const bits = RETURN_BITS.get(insn.code);
    if (bits === undefined) return plan;
    const released = insn.opCount === 1;
    if (released) plan.imm = BigInt(insn.immediate16);
    return this.#setHandler(plan, `${bits === 64 ? 'ret64' : `retg${bits}`}${released ? ' i16' : ''}`);
  }

  #stack(plan: Plan, insn: Instruction, name: string, bitness: Bitness): Plan {
    const kind = insn.opKind(0);
    const bytes = Math.abs(insn.stackPointerIncrement);
    const wide = bitness === 64 && bytes === 8;
    const stem = `${name}${wide && !(name === 'pop' && kind === OpKind.Memory) ? '64' : 'g'}`;
    if (kind === OpKind.Register) {
      const register = GPR.get(insn.opRegister(0));
      if (!register) return plan;
      plan.reg1 = register.address;
      return this.#setHandler(plan, `${stem} r${bytes * 8}`);
    }
    if (kind === OpKind.Memory) {
      const memory = memoryFields(insn, bitness);
      this.#setMemory(plan, memory);
      plan.handler = this.#find(stem, [`${bytes * 8}`], 0, memory);
      return plan;
    }
    plan.imm = BigInt.asIntN(IMMEDIATE_BITS.get(kind) ?? 64, insn.immediate(0));
    return this.#setHandler(plan, `${stem} i${bytes * 8}`);
  }

  /** Two vector registers, and memory at (R/E)DI that no ModRM byte names. */
  #maskedStore(plan: Plan, insn: Instruction, name: string): Plan {
    const [value, mask] = [insn.opRegister(1), insn.opRegister(2)].map((register) => VECTOR_REGISTERS.get(register));
    const bits = stringAddressBits(insn);
    if (!value || !mask || bits === undefined) return plan;
    const segment = SEGMENT_INDEX.get(insn.memorySegment) ?? 3;
    plan.addressing = (segment << rec.ADDRESSING_SEGMENT_SHIFT) | addressSize(bits);
    plan.reg1 = value.address;
    plan.reg2 = mask.address;
    plan.base = at.regAddress(RDI);
    return this.#setHandler(plan, `${name} ${value.text},${mask.text}`);
  }

  #string(plan: Plan, insn: Instruction, name: string, bitness: Bitness): Plan {
    const bits = stringAddressBits(insn);
    if (bits === undefined) return plan;
    const segment = SEGMENT_INDEX.get(insn.memorySegment) ?? 3;
    const flat = bitness === 64 && bits === 64 && segment < 4;
    plan.addressing = (segment << rec.ADDRESSING_SEGMENT_SHIFT) | addressSize(bits);
    const compares = name.startsWith('scas') || name.startsWith('cmps');
    const prefix = insn.hasRepnePrefix
      ? compares
        ? 'repne.'
        : 'rep.'
      : insn.hasRepPrefix
        ? compares
          ? 'repe.'
          : 'rep.'
        : '';
    return this.#setHandler(plan, `${prefix}${name} ${flat ? 'm' : 'g'}`);
  }
}

const isXmm = (address: number): boolean => address >= at.XMM && address < at.XMM_END;
const hasXmm = (plan: Plan): boolean => isXmm(plan.reg1) || isXmm(plan.reg2);

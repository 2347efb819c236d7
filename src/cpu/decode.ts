// From iced-x86's decoded instruction to a plan: which handler runs it and what goes into its record's fields. Knows
// nothing of pages or caches. An instruction without a handler gets `micro`: microcode (or #UD) does it.

import { Code, EncodingKind, FlowControl, type Instruction, MemorySizeExt, Mnemonic, OpKind, Register } from 'iced-x86';
import type { Feature } from '../x86/features.ts';
import * as at from './layout.ts';
import { isOffered, OLDER_MEANING } from './offered.ts';
import { SSE_DENIED } from './semantics/sseMove.ts';
import { AVX_DENIED } from './semantics/ymm.ts';

/** How code is to be decoded: 64-bit mode, or a code segment of 16 or 32 bits. */
export type Bitness = 16 | 32 | 64;

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

const GPR = new Map<number, { index: number; address: number; bytes: 1 | 2 | 4 | 8 }>();
const LOW_BYTES = [
  Register.AL,
  Register.CL,
  Register.DL,
  Register.BL,
  Register.SPL,
  Register.BPL,
  Register.SIL,
  Register.DIL,
];
for (let index = 0; index < 16; index++) {
  const address = at.regAddress(index);
  const low = LOW_BYTES[index] ?? Register.R8L + (index - 8);
  GPR.set(low, { index, address, bytes: 1 });
  GPR.set(Register.AX + index, { index, address, bytes: 2 });
  GPR.set(Register.EAX + index, { index, address, bytes: 4 });
  GPR.set(Register.RAX + index, { index, address, bytes: 8 });
  if (index < 4) GPR.set(Register.AH + index, { index, address: address + 1, bytes: 1 });
}

/** XMM and MMX registers, as the FXSAVE image in the state block has them (with TOP 0), and their letters in keys. */
const VECTOR_REGISTERS = new Map<number, { address: number; text: string }>();
for (let index = 0; index < 16; index++) {
  VECTOR_REGISTERS.set(Register.XMM0 + index, { address: at.xmmAddress(index), text: 'x128' });
  VECTOR_REGISTERS.set(Register.YMM0 + index, { address: at.xmmAddress(index), text: 'y256' });
  if (index < 8) VECTOR_REGISTERS.set(Register.MM0 + index, { address: at.ST0 + 16 * index, text: 'y64' });
}

const SEGMENT_INDEX = new Map<number, number>([
  [Register.ES, 0],
  [Register.CS, 1],
  [Register.SS, 2],
  [Register.DS, 3],
  [Register.FS, 4],
  [Register.GS, 5],
]);

/** Mnemonics that do the same: their difference is a hint about the kind of number in a register. */
const SAME_AS: Readonly<Record<string, string>> = {
  sal: 'shl',
  ...{ movapd: 'movaps', movdqa: 'movaps', movupd: 'movups', movdqu: 'movups' },
  ...{ lddqu: 'movups', movntdqa: 'movaps' },
  ...{ movntpd: 'movntps', movntdq: 'movntps', movlpd: 'movlps', movhpd: 'movhps' },
  ...{ xorps: 'pxor', xorpd: 'pxor', orps: 'por', orpd: 'por' },
  ...{ andps: 'pand', andpd: 'pand', andnps: 'pandn', andnpd: 'pandn' },
  ...{ unpcklps: 'punpckldq', unpckhps: 'punpckhdq', unpcklpd: 'punpcklqdq', unpckhpd: 'punpckhqdq' },
  ...{ vmovapd: 'vmovaps', vmovdqa: 'vmovaps', vmovupd: 'vmovups', vmovdqu: 'vmovups', vlddqu: 'vmovups' },
  ...{ vmovntpd: 'vmovntps', vmovntdq: 'vmovntps', vmovlpd: 'vmovlps', vmovhpd: 'vmovhps' },
  ...{ vxorps: 'vpxor', vxorpd: 'vpxor', vorps: 'vpor', vorpd: 'vpor' },
  ...{ vandps: 'vpand', vandpd: 'vpand', vandnps: 'vpandn', vandnpd: 'vpandn' },
  ...{ vunpcklps: 'vpunpckldq', vunpckhps: 'vpunpckhdq', vunpcklpd: 'vpunpcklqdq', vunpckhpd: 'vpunpckhqdq' },
  ...{ vbroadcastss: 'vpbroadcastd', vbroadcastsd: 'vpbroadcastq', vbroadcasti128: 'vbroadcastf128' },
  ...{ vinserti128: 'vinsertf128', vextracti128: 'vextractf128', vperm2i128: 'vperm2f128' },
  ...{ vpermpd: 'vpermq', vpermps: 'vpermd', vpblendd: 'vblendps' },
};

const NAMES = new Map<number, string>();
const nameOf = (mnemonic: Mnemonic): string => {
  let name = NAMES.get(mnemonic);
  if (name === undefined) {
    const text = Mnemonic[mnemonic].toLowerCase();
    name = SAME_AS[text] ?? text;
    NAMES.set(mnemonic, name);
  }
  return name;
};

const RDI = 7;

const MASKED_STORES = new Set(['maskmovdqu', 'maskmovq', 'vmaskmovdqu']);

const LOG2 = [0, 0, 1, 0, 2, 0, 0, 0, 3] as const;

type MemoryFields = { flat: boolean; addressing: number; base: number; index: number; disp: bigint };

function memoryFields(insn: Instruction, bitness: Bitness): MemoryFields {
  const base = insn.memoryBase;
  const index = insn.memoryIndex;
  const bits = addressBits(insn, base, index);
  const segment = SEGMENT_INDEX.get(insn.memorySegment) ?? 3;
  const scale = LOG2[insn.memoryIndexScale] ?? 0;
  const flat = bitness === 64 && bits === 64 && segment < 4;
  const size = bits === 64 ? 0 : bits === 32 ? at.ADDRESSING_32 : at.ADDRESSING_16;
  return {
    flat,
    addressing: flat ? scale : scale | (segment << at.ADDRESSING_SEGMENT_SHIFT) | size,
    base: GPR.get(base)?.address ?? at.ZERO,
    index: GPR.get(index)?.address ?? at.ZERO,
    disp: displacement(insn),
  };
}

function addressBits(insn: Instruction, base: Register, index: Register): number {
  if (base === Register.RIP) return 64;
  if (base === Register.EIP) return 32;
  const named = GPR.get(base) ?? GPR.get(index);
  if (named) return named.bytes * 8;
  return insn.memoryDisplSize * 8;
}

function displacement(insn: Instruction): bigint {
  const value = insn.memoryDisplacement;
  return insn.memoryDisplSize === 4 && insn.memoryBase !== Register.RIP && insn.memoryBase !== Register.EIP
    ? BigInt.asIntN(32, value)
    : BigInt.asIntN(64, value);
}

const IMMEDIATE_BITS = new Map<number, number>([
  [OpKind.Immediate8, 8],
  [OpKind.Immediate8_2nd, 8],
  [OpKind.Immediate16, 16],
  [OpKind.Immediate32, 32],
  [OpKind.Immediate64, 64],
  [OpKind.Immediate8to16, 16],
  [OpKind.Immediate8to32, 32],
  [OpKind.Immediate8to64, 64],
  [OpKind.Immediate32to64, 64],
]);

const BRANCH_KINDS = new Set<number>([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

/** Mnemonics whose last register operand CL is the count, and not part of the key. */
const SHIFTS = new Set(['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr', 'shld', 'shrd']);

/** Hints and fences: nothing to do in a machine without caches or speculation, and no access even with a memory operand. */
const NOTHING = new Set(
  'nop reservednop endbr32 endbr64 lfence mfence sfence prefetch prefetchw prefetchwt1 prefetchnta prefetcht0 prefetcht1 prefetcht2 cldemote'.split(
    ' ',
  ),
);

/** What loops wait with: it takes its time, and goes on as by a jump. */
const WAITING = new Set(['pause', 'rdtsc', 'rdtscp']);

const NO_REGISTER_FORM = new Set<number>([
  Code.Reservednop_rm16_r16_0F0D,
  Code.Reservednop_rm32_r32_0F0D,
  Code.Reservednop_rm64_r64_0F0D,
]);

const STRING_NAMES = new Set(
  ['movs', 'stos', 'lods', 'scas', 'cmps'].flatMap((n) => [`${n}b`, `${n}w`, `${n}d`, `${n}q`]),
);
const STRING_ADDRESS = new Map<number, number>([
  [OpKind.MemorySegSI, 16],
  [OpKind.MemorySegDI, 16],
  [OpKind.MemoryESDI, 16],
  [OpKind.MemorySegESI, 32],
  [OpKind.MemorySegEDI, 32],
  [OpKind.MemoryESEDI, 32],
  [OpKind.MemorySegRSI, 64],
  [OpKind.MemorySegRDI, 64],
  [OpKind.MemoryESRDI, 64],
]);

const COUNT_REGISTER = new Map<number, string>([
  [Code.Jcxz_rel8_16, 'cx'],
  [Code.Jcxz_rel8_32, 'cx'],
  [Code.Jecxz_rel8_16, 'ecx'],
  [Code.Jecxz_rel8_32, 'ecx'],
  [Code.Jecxz_rel8_64, 'ecx'],
  [Code.Jrcxz_rel8_16, 'rcx'],
  [Code.Jrcxz_rel8_64, 'rcx'],
]);

const ENDS = new Set<number>([
  FlowControl.UnconditionalBranch,
  FlowControl.IndirectBranch,
  FlowControl.Return,
  FlowControl.Call,
  FlowControl.IndirectCall,
  FlowControl.Interrupt,
  FlowControl.Exception,
]);

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
    // 0F 0D is PREFETCH: it has no register form (recorded: #UD), unlike the other reserved NOPs.
    if (name === 'reservednop' && NO_REGISTER_FORM.has(insn.code) && insn.opKind(0) === OpKind.Register) return plan;
    if (NOTHING.has(name)) return this.#setHandler(plan, 'nop');
    if (WAITING.has(name)) return this.#setHandler({ ...plan, disp: insn.nextIP }, name);
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
    let operands = insn.opCount;
    let key = name;
    if (SHIFTS.has(name) && insn.opKind(operands - 1) === OpKind.Register) {
      operands--;
      key = `${name}.cl`;
    }
    const parts: string[] = [];
    let memory: MemoryFields | undefined;
    let place = -1;
    const registers: number[] = [];
    for (let i = 0; i < operands; i++) {
      const kind = insn.opKind(i);
      if (kind === OpKind.Register) {
        const register = GPR.get(insn.opRegister(i));
        const vector = register ? undefined : VECTOR_REGISTERS.get(insn.opRegister(i));
        if (register) parts.push(`r${register.bytes * 8}`);
        else if (vector) parts.push(vector.text);
        else return plan;
        registers.push((register ?? vector)?.address ?? at.ZERO);
      } else if (kind === OpKind.Memory) {
        memory = memoryFields(insn, bitness);
        place = i;
        parts.push(`${MemorySizeExt.size(insn.memorySize) * 8}`);
      } else {
        const bits = IMMEDIATE_BITS.get(kind);
        if (bits === undefined) return plan;
        const value = BigInt.asIntN(bits, insn.immediate(i));
        if (kind === OpKind.Immediate8_2nd) plan.disp = value;
        else plan.imm = value;
        parts.push(`i${bits}`);
      }
    }
    plan.reg1 = registers[0] ?? at.ZERO;
    plan.reg2 = registers[1] ?? at.ZERO;
    if (registers.length > 2) plan.base = registers[2] as number;
    // The third register beside memory, or the fourth, has the immediate's place (VEX only).
    const last = registers[memory ? 2 : 3];
    if (last !== undefined) plan.imm = BigInt(last);
    if (memory) this.#setMemory(plan, memory);
    plan.handler = this.#find(key, parts, place, memory);
    return plan;
  }

  /** The flat form where there is one and the operand is flat, else the general form (whose record is filled otherwise). */
  #find(key: string, parts: string[], place: number, memory: MemoryFields | undefined): number {
    const text = (letter: string): string => {
      const shown = parts.map((part, i) => (i === place ? letter + part : part));
      return shown.length ? `${key} ${shown.join()}` : key;
    };
    if (!memory) return this.#numbers.get(text('')) ?? this.#micro;
    const flat = memory.flat ? this.#numbers.get(text('m')) : undefined;
    if (flat !== undefined) return flat;
    return this.#numbers.get(text('g')) ?? this.#micro;
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
    const count = COUNT_REGISTER.get(insn.code) ?? loopCounter(insn.code);
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
    plan.addressing = (segment << at.ADDRESSING_SEGMENT_SHIFT) | addressSize(bits);
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
    plan.addressing = (segment << at.ADDRESSING_SEGMENT_SHIFT) | addressSize(bits);
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

const addressSize = (bits: number): number => (bits === 64 ? 0 : bits === 32 ? at.ADDRESSING_32 : at.ADDRESSING_16);

function stringAddressBits(insn: Instruction): number | undefined {
  for (let i = 0; i < insn.opCount; i++) {
    const bits = STRING_ADDRESS.get(insn.opKind(i));
    if (bits !== undefined) return bits;
  }
  return undefined;
}

const loopCounter = (code: Code): string | undefined => {
  const text = Code[code];
  if (!text.startsWith('Loop')) return undefined;
  if (text.endsWith('_RCX')) return 'rcx';
  return text.endsWith('_ECX') ? 'ecx' : 'cx';
};

const FAR_CODES = new Set<number>([
  Code.Jmp_m1616,
  Code.Jmp_m1632,
  Code.Jmp_m1664,
  Code.Call_m1616,
  Code.Call_m1632,
  Code.Call_m1664,
  Code.Jmp_ptr1616,
  Code.Jmp_ptr1632,
  Code.Call_ptr1616,
  Code.Call_ptr1632,
]);

/** ENTER and LEAVE carry their operand size in their name: no operand tells it. */
const FRAME_BITS = new Map<number, number>([
  [Code.Enterw_imm16_imm8, 16],
  [Code.Enterd_imm16_imm8, 32],
  [Code.Enterq_imm16_imm8, 64],
  [Code.Leavew, 16],
  [Code.Leaved, 32],
  [Code.Leaveq, 64],
]);

const RETURN_BITS = new Map<number, number>([
  [Code.Retnw, 16],
  [Code.Retnw_imm16, 16],
  [Code.Retnd, 32],
  [Code.Retnd_imm16, 32],
  [Code.Retnq, 64],
  [Code.Retnq_imm16, 64],
]);

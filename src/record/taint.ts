// Follows one value through a stepped run: from the instruction that makes it to what is done with it. A value is marked
// `pointer` where it is the followed constant or is computed from it, `fetched` where it was read through such a
// pointer. Marks live on whole registers and on bytes of memory by linear address. Data flow only: what a branch decides
// is not followed, the use that decides it is recorded.

import {
  FlowControl,
  InstructionInfoFactory,
  type Instruction,
  MemorySizeExt,
  Mnemonic,
  type Register,
  RegisterExt,
} from 'iced-x86';
import { STRING_MOVES, isRead, isWritten } from '../code/facts.ts';
import type { CpuState } from '../cpu/state/state.ts';
import { FLAGS } from '../x86/flags.ts';
import { GPR } from '../x86/registers.ts';

export type Mark = 'pointer' | 'fetched';

export type Use =
  /** Data was read at an address made from the constant. */
  | { readonly kind: 'load'; readonly address: bigint; readonly bytes: number }
  | { readonly kind: 'store'; readonly address: bigint; readonly bytes: number }
  /** A string move read a block there and wrote it elsewhere. */
  | { readonly kind: 'copy'; readonly from: bigint; readonly to: bigint; readonly bytes: bigint }
  /** The constant itself was compared with something. */
  | { readonly kind: 'compare' }
  /** Control went to an address that is the constant, or was read through it. */
  | { readonly kind: 'jump'; readonly target: bigint; readonly mark: Mark }
  /** A control or descriptor-table register was loaded with it, or from there. */
  | { readonly kind: 'system'; readonly what: string; readonly mark: Mark }
  /** Bytes that were copied through the pointer are being executed. */
  | { readonly kind: 'execute'; readonly address: bigint };

type Range = { from: bigint; to: bigint; mark: Mark };

const GPR_COUNT = 16;
const { RSI, RDI, RCX } = GPR;
const COMPARES = new Set([Mnemonic.Cmp, Mnemonic.Test, Mnemonic.Sub]);
const SYSTEM = new Set([Mnemonic.Lgdt, Mnemonic.Lidt, Mnemonic.Lldt, Mnemonic.Ltr]);
const INDIRECT = new Set<number>([FlowControl.IndirectBranch, FlowControl.IndirectCall, FlowControl.Return]);

const gprIndex = (register: Register): number => {
  if (!RegisterExt.isGPR(register)) return -1;
  return RegisterExt.number(RegisterExt.fullRegister(register));
};

type MemoryUse = { address: bigint; bytes: number; reads: boolean; writes: boolean; through: Mark | undefined };

const MAX_MARKED_BYTES = 1 << 16;

export class Taint {
  readonly #registers: (Mark | undefined)[] = Array.from({ length: GPR_COUNT });
  readonly #bytes = new Map<bigint, Mark>();
  readonly #ranges: Range[] = [];
  readonly #factory = new InstructionInfoFactory();
  readonly #state: CpuState;

  constructor(state: CpuState) {
    this.#state = state;
  }

  free(): void {
    this.#factory.free();
  }

  /** Marks what the followed instruction writes. To be called just before it runs. */
  begin(insn: Instruction): Use[] {
    return this.#step(insn, 'pointer');
  }

  /** Takes one instruction that is about to run into account. */
  step(insn: Instruction): Use[] {
    const executed = this.#markAt(insn.ip, insn.length);
    if (executed === 'fetched') return [{ kind: 'execute', address: insn.ip }];
    return this.#step(insn, undefined);
  }

  #step(insn: Instruction, made: Mark | undefined): Use[] {
    const block = STRING_MOVES.get(insn.mnemonic);
    if (block !== undefined) return this.#move(insn, BigInt(block));
    const info = this.#factory.info(insn);
    const uses: Use[] = [];
    const memory = this.#memoryUses(insn, info);
    const addressing = new Set(insn.mnemonic === Mnemonic.Lea ? [] : this.#addressing(info));
    const written: number[] = [];
    let value: Mark | undefined = made;
    // XOR and SUB of a register with itself make a zero, whatever it held: as iced tells it, they do not read it.
    for (const used of info.usedRegisters()) {
      const index = gprIndex(used.register);
      if (index < 0) continue;
      if (isRead(used.access) && !addressing.has(index)) value = stronger(value, this.#registers[index]);
      if (isWritten(used.access)) written.push(index);
    }
    for (const use of memory) {
      if (use.through === 'pointer') {
        if (use.reads) uses.push({ kind: 'load', address: use.address, bytes: use.bytes });
        if (use.writes) uses.push({ kind: 'store', address: use.address, bytes: use.bytes });
      }
      if (use.reads) value = stronger(value, use.through ? 'fetched' : this.#markAt(use.address, use.bytes));
    }
    if (value) uses.push(...this.#special(insn, value));
    if (!INDIRECT.has(insn.flowControl)) this.#write(insn, written, memory, value);
    info.free();
    return uses;
  }

  #write(insn: Instruction, written: readonly number[], memory: readonly MemoryUse[], value: Mark | undefined): void {
    for (const index of written) {
      const stackOnly = index === 4 && insn.isStackInstruction;
      if (!stackOnly) this.#registers[index] = value;
    }
    for (const use of memory) if (use.writes) this.#mark(use.address, use.bytes, value);
  }

  #special(insn: Instruction, value: Mark): Use[] {
    if (INDIRECT.has(insn.flowControl)) return [{ kind: 'jump', target: this.#target(insn), mark: value }];
    if (value === 'pointer' && COMPARES.has(insn.mnemonic)) return [{ kind: 'compare' }];
    if (SYSTEM.has(insn.mnemonic)) return [{ kind: 'system', what: insn.toString(), mark: value }];
    if (insn.mnemonic === Mnemonic.Mov && insn.opCount === 2 && RegisterExt.isCR(insn.op0Register)) {
      return [{ kind: 'system', what: insn.toString(), mark: value }];
    }
    return [];
  }

  #target(insn: Instruction): bigint {
    const index = insn.opCount ? gprIndex(insn.op0Register) : -1;
    return index >= 0 ? this.#state.reg(index) : 0n;
  }

  /** A string move: source and destination are blocks, known from the registers. */
  #move(insn: Instruction, element: bigint): Use[] {
    const repeated = insn.hasRepPrefix || insn.hasRepnePrefix;
    const count = repeated ? this.#state.reg(RCX) : 1n;
    const bytes = BigInt.asUintN(40, count * element);
    const backwards = (this.#state.rflags & FLAGS.DF) !== 0;
    const begin = (pointer: bigint): bigint => (backwards ? pointer + element - bytes : pointer);
    const from = begin(this.#state.reg(RSI));
    const to = begin(this.#state.reg(RDI));
    if (bytes === 0n) return [];
    const pointed = this.#registers[RSI] === 'pointer';
    const mark =
      pointed || this.#registers[RSI] === 'fetched' ? 'fetched' : this.#markAt(from, Number(bytes < 64n ? bytes : 64n));
    if (mark) this.#ranges.push({ from: to, to: to + bytes, mark });
    const uses: Use[] = pointed ? [{ kind: 'copy', from, to, bytes }] : [];
    if (this.#registers[RDI] === 'pointer') uses.push({ kind: 'store', address: to, bytes: Number(bytes) });
    return uses;
  }

  #memoryUses(insn: Instruction, info: ReturnType<InstructionInfoFactory['info']>): MemoryUse[] {
    if (insn.mnemonic === Mnemonic.Lea) return [];
    return info.usedMemory().map((used) => {
      const base = gprIndex(used.base);
      const index = gprIndex(used.index);
      const part = (register: number): bigint => (register < 0 ? 0n : this.#state.reg(register));
      const address = BigInt.asUintN(64, part(base) + part(index) * BigInt(used.scale) + used.displacement);
      const through = stronger(mark(this.#registers, base), mark(this.#registers, index));
      return {
        address,
        bytes: Math.min(64, Math.max(1, sizeOf(insn))),
        reads: isRead(used.access),
        writes: isWritten(used.access),
        through,
      };
    });
  }

  /** Registers that only form addresses. */
  #addressing(info: ReturnType<InstructionInfoFactory['info']>): number[] {
    return info.usedMemory().flatMap((used) => [gprIndex(used.base), gprIndex(used.index)]);
  }

  #markAt(address: bigint, bytes: number): Mark | undefined {
    let found: Mark | undefined;
    for (let i = 0; i < bytes; i++) found = stronger(found, this.#bytes.get(address + BigInt(i)));
    if (found) return found;
    return this.#ranges.find((range) => address >= range.from && address < range.to)?.mark;
  }

  #mark(address: bigint, bytes: number, value: Mark | undefined): void {
    for (let i = 0; i < bytes; i++) {
      const at = address + BigInt(i);
      if (value && this.#bytes.size < MAX_MARKED_BYTES) this.#bytes.set(at, value);
      else this.#bytes.delete(at);
    }
  }
}

const mark = (registers: readonly (Mark | undefined)[], index: number): Mark | undefined =>
  index < 0 ? undefined : registers[index];

const stronger = (a: Mark | undefined, b: Mark | undefined): Mark | undefined =>
  a === 'pointer' || b === 'pointer' ? 'pointer' : (a ?? b);

/** Bytes of the memory operand. */
function sizeOf(insn: Instruction): number {
  if (insn.isStackInstruction) return Math.abs(insn.stackPointerIncrement) || 8;
  return MemorySizeExt.size(insn.memorySize) || 8;
}

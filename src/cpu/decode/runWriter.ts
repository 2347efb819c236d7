// One run of straight code on its way into the code cache: the instructions as they are decoded one behind the other, and
// their records.

import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { PAGE_SIZE } from '../../bits/address.ts';
import type { Context } from '../state/codeContext.ts';
import type { Plan } from './decode.ts';
import { MAX_INSTRUCTION } from './instructionLength.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';
import type { GuestMemory } from '../state/memory.ts';

/** Where a context says which record the instruction at an offset of its page has. */
export const slotAddress = (context: Context, offset: number): number => context.address + at.CTX_SLOTS + 4 * offset;

/** Decodes straight on through a page with one decoder and one instruction object; an instruction that may need more bytes than the page has is left to others. */
export class InstructionStream {
  readonly #decoder: Decoder;
  readonly #insn = new Instruction();
  #offset: number;

  constructor(memory: GuestMemory, context: Context, start: number) {
    const host = context.hostPage * PAGE_SIZE;
    const bytes = memory.bytes.slice(host + start, host + PAGE_SIZE);
    this.#decoder = new Decoder(context.mode.bitness, bytes, DecoderOptions.None);
    this.#decoder.ip = BigInt.asUintN(64, context.ip + BigInt(start));
    this.#offset = start;
  }

  at(offset: number): Instruction | undefined {
    if (offset !== this.#offset || offset + MAX_INSTRUCTION > PAGE_SIZE) return undefined;
    this.#decoder.decodeOut(this.#insn);
    this.#offset += this.#insn.length;
    return this.#insn;
  }

  /** To be called with every instruction used, this stream's or not. */
  done(insn: Instruction): void {
    if (insn !== this.#insn) insn.free();
  }

  free(): void {
    this.#decoder.free();
    this.#insn.free();
  }
}

/** Writes the records of one run, one after the other. */
export class RunWriter {
  readonly #memory: GuestMemory;
  readonly #context: Context;
  next: number;

  constructor(memory: GuestMemory, context: Context, at: number) {
    this.#memory = memory;
    this.#context = context;
    this.next = at;
  }

  #start(handler: number, offset: number): { view: DataView; record: number } {
    const { view } = this.#memory;
    const record = this.next;
    this.next += rec.RECORD_BYTES;
    view.setUint16(record + rec.REC_HANDLER, handler, true);
    const where = ((this.#context.address >>> 8) << 12) | (offset & 0xfff);
    view.setUint32(record + rec.REC_WHERE, where >>> 0, true);
    return { view, record };
  }

  write(plan: Plan, offset: number, length: number): void {
    const { branch } = plan;
    const near = branch?.near !== undefined ? this.#nearSlot(branch.target) : undefined;
    const handler = near !== undefined && branch?.near !== undefined ? branch.near : plan.handler;
    const { view, record } = this.#start(handler, offset);
    view.setUint8(record + rec.REC_ADDRESSING, plan.addressing);
    view.setUint8(record + rec.REC_LENGTH, length);
    view.setUint16(record + rec.REC_REG1, plan.reg1, true);
    view.setUint16(record + rec.REC_REG2, plan.reg2, true);
    view.setUint16(record + rec.REC_BASE, plan.base, true);
    view.setUint16(record + rec.REC_INDEX, plan.index, true);
    if (!branch) this.#operands(record, plan.disp, plan.imm);
    else if (near === undefined) this.#operands(record, branch.target, branch.returnTo ?? 0n);
    else this.#operands(record, branch.returnTo ?? 0n, BigInt(near));
  }

  #operands(record: number, disp: bigint, imm: bigint): void {
    this.#memory.view.setBigInt64(record + rec.REC_DISP, BigInt.asIntN(64, disp), true);
    this.#memory.view.setBigInt64(record + rec.REC_IMM, BigInt.asIntN(64, imm), true);
  }

  /** Slot of a target in this same page, else undefined. */
  #nearSlot(target: bigint): number | undefined {
    const offset = target - this.#context.ip;
    return offset >= 0n && offset < BigInt(PAGE_SIZE) ? slotAddress(this.#context, Number(offset)) : undefined;
  }

  link(handler: number, target: bigint): void {
    const { record } = this.#start(handler, 0);
    this.#operands(record, target, 0n);
  }

  linkNear(handler: number, offset: number): void {
    const { record } = this.#start(handler, 0);
    this.#operands(record, 0n, BigInt(slotAddress(this.#context, offset)));
  }

  probe(handler: number, offset: number): void {
    this.#start(handler, offset);
  }

  cross(handler: number, offset: number, nextIp: bigint, following: number): void {
    const { view, record } = this.#start(handler, offset);
    view.setBigInt64(record + rec.REC_DISP, BigInt.asIntN(64, nextIp), true);
    view.setUint32(record + rec.REC_IMM, following, true);
    view.setUint32(record + rec.REC_IMM + 4, view.getUint32(following + at.CTX_GENERATION, true), true);
  }
}

// Decoded code. A context holds what is decoded of one page of code: one physical page seen at one linear address in one
// decoding mode. Its slots say, byte by byte, which record an instruction that starts there has. Records lie in runs:
// straight code side by side, so that "the next instruction" is the next record.
// A store to decoded bytes drops every context of that physical page; its generation tells records in the page before,
// whose last instruction ran over the edge.

import { Code, Decoder, DecoderError, DecoderOptions, Instruction } from 'iced-x86';
import { PAGE_SIZE } from '../bits/address.ts';
import { decodeOne } from '../code/disassembly.ts';
import { type Bitness, Planner, type Plan } from './decode.ts';
import { Fuser } from './fuse.ts';
import * as at from './layout.ts';
import type { GuestMemory } from './memory.ts';

/** How code is decoded and addressed; contexts of different modes never mix. */
export type CodeMode = {
  readonly bitness: Bitness;
  /** What is added to the instruction pointer: CS base, 0 in 64-bit mode. */
  readonly base: bigint;
  /** Highest instruction pointer value allowed (CS limit); all ones in 64-bit mode. */
  readonly limit: bigint;
  /** XMM registers may be used. */
  readonly sse: boolean;
};

export type Context = {
  readonly address: number;
  /** Host page it decodes, and its physical address. */
  readonly hostPage: number;
  readonly physicalPage: number;
  /** Instruction pointer of the page's first byte. */
  readonly ip: bigint;
  readonly mode: CodeMode;
  readonly key: string;
};

/** Where a page of code is: what a fetch translation gives. */
export type CodePage = { readonly hostPage: number; readonly physicalPage: number };

/** Result of decoding: a record to run, or why there is none. */
export type FetchedPage = (ip: bigint) => CodePage | undefined;

const MAX_INSTRUCTION = 15;
/** Instructions in a run; bounds how far a run may overshoot a budget, with a page of one-byte instructions. */
const MAX_RUN = 512;
const RUN_ROOM = (2 * MAX_RUN + 4) * at.RECORD_BYTES;

export class CodeCache {
  readonly planner: Planner;
  readonly #fuser: Fuser;
  readonly #memory: GuestMemory;
  readonly #contexts = new Map<string, Context>();
  readonly #byHostPage = new Map<number, Context[]>();
  readonly #crossingFrom = new Map<number, Context[]>();
  readonly #link: { near: number; out: number; cross: number; probe: number };
  #arena = at.ARENA;
  #generation = 1;
  /** Instructions decoded so far. */
  decoded = 0;
  /** Told of each new context: a page of code is about to be run for the first time as it now is. */
  onContext: ((context: Context) => void) | undefined;
  /** Shall the engine stop before this instruction each time it comes to it? Asked once, when it is decoded. */
  probe: ((insn: Instruction, context: Context) => boolean) | undefined;
  /** Called when every context is dropped, so that cached fetch translations go too. */
  onFlush: (() => void) | undefined;
  /** A host page has begun to hold code: write translations to it must go. */
  onCodePage: ((hostPage: number) => void) | undefined;

  constructor(memory: GuestMemory, numbers: ReadonlyMap<string, number>) {
    this.#memory = memory;
    this.planner = new Planner(numbers);
    this.#fuser = new Fuser(numbers);
    const number = (key: string): number => this.planner.number(key);
    this.#link = {
      near: number('link.near'),
      out: number('link.out'),
      cross: number('link.cross'),
      probe: number('link.probe'),
    };
  }

  /** The context for code at an instruction pointer, made if need be. */
  context(ip: bigint, mode: CodeMode, page: CodePage): Context {
    const pageIp = ip - ((ip + mode.base) & 0xfffn);
    const key = `${page.hostPage}:${pageIp}:${mode.bitness}:${mode.base}:${mode.limit}:${mode.sse}`;
    const known = this.#contexts.get(key);
    if (known) return known;
    if (this.#arena + at.CTX_BYTES + RUN_ROOM > at.ARENA_END) this.flush();
    const address = this.#allocate(at.CTX_BYTES, 256);
    const context: Context = {
      address,
      hostPage: page.hostPage,
      physicalPage: page.physicalPage,
      ip: pageIp,
      mode,
      key,
    };
    const { view, bytes } = this.#memory;
    bytes.fill(0, address, address + at.CTX_BYTES);
    view.setBigUint64(address + at.CTX_IP, BigInt.asUintN(64, pageIp), true);
    view.setUint32(address + at.CTX_GENERATION, this.#generation++, true);
    this.#contexts.set(key, context);
    const siblings = this.#byHostPage.get(page.hostPage);
    if (siblings) siblings.push(context);
    else this.#byHostPage.set(page.hostPage, [context]);
    this.onContext?.(context);
    return context;
  }

  #allocate(size: number, alignment: number): number {
    const start = Math.ceil(this.#arena / alignment) * alignment;
    this.#arena = start + size;
    return start;
  }

  /** Record of the instruction at `ip`, decoded now if it is not yet. `next` finds the following page when needed. */
  record(context: Context, ip: bigint, next: FetchedPage): number {
    const offset = Number(ip - context.ip);
    const known = this.#memory.view.getUint32(slotAddress(context, offset), true);
    return known || this.#decodeRun(context, offset, next);
  }

  #decodeRun(context: Context, start: number, next: FetchedPage): number {
    if (this.#arena + RUN_ROOM + at.RECORD_BYTES > at.ARENA_END) {
      // Nothing is lost but time: the caller looks its context up again.
      this.flush();
      return 0;
    }
    const begin = this.#allocate(RUN_ROOM, at.RECORD_BYTES);
    const run = new RunWriter(this.#memory, context, begin);
    const stream = new InstructionStream(this.#memory, context, start);
    const first = this.#fillRun(run, context, start, next, stream);
    stream.free();
    this.#fuser.run(this.#memory.view, begin, run.next);
    // A context may have been made behind the run (an instruction ran over the page); else give the rest back.
    if (this.#arena === begin + RUN_ROOM) this.#arena = run.next;
    return this.#contexts.get(context.key) === context ? first : 0;
  }

  #fillRun(run: RunWriter, context: Context, start: number, next: FetchedPage, stream: InstructionStream): number {
    let offset = start;
    let first = 0;
    for (let count = 0; count < MAX_RUN; count++) {
      const slot = slotAddress(context, offset);
      if (count > 0 && this.#memory.view.getUint32(slot, true)) break;
      const insn = stream.at(offset) ?? this.#decode(context, offset, next);
      if (!insn) break;
      const end = offset + insn.length;
      const entry = run.next;
      if (end > PAGE_SIZE) this.#writeCrossing(run, context, offset, next);
      if (this.probe?.(insn, context)) run.probe(this.#link.probe, offset);
      this.#memory.view.setUint32(slot, entry, true);
      first ||= entry;
      const plan = this.planner.plan(insn, context.mode.bitness, context.mode.sse);
      run.write(plan, offset, insn.length);
      this.#mark(context.hostPage, offset, Math.min(end, PAGE_SIZE));
      this.decoded++;
      stream.done(insn);
      offset = end;
      if (plan.ends || offset >= PAGE_SIZE) {
        if (!plan.ends) run.link(this.#link.out, context.ip + BigInt(offset));
        return first;
      }
    }
    if (first) run.linkNear(this.#link.near, offset);
    return first;
  }

  /** An instruction that ends in the next page is run only while that page's decoded code is still what it was. */
  #writeCrossing(run: RunWriter, context: Context, offset: number, next: FetchedPage): void {
    const nextIp = context.ip + BigInt(PAGE_SIZE);
    const page = next(nextIp);
    if (!page) throw new Error('the next page was there a moment ago');
    const following = this.context(nextIp, context.mode, page);
    this.#mark(page.hostPage, 0, MAX_INSTRUCTION);
    const list = this.#crossingFrom.get(page.hostPage);
    if (list) list.push(context);
    else this.#crossingFrom.set(page.hostPage, [context]);
    run.cross(this.#link.cross, offset, nextIp, following.address);
  }

  /** Decodes the instruction at an offset; bytes of the next page are taken only when they are needed. */
  #decode(context: Context, offset: number, next: FetchedPage): Instruction | undefined {
    const ip = context.ip + BigInt(offset);
    const host = context.hostPage * PAGE_SIZE + offset;
    const here = Math.min(MAX_INSTRUCTION, PAGE_SIZE - offset);
    const bytes = this.#memory.bytes.slice(host, host + here);
    const insn = decodeOne(bytes, ip, context.mode.bitness);
    if (insn.length <= here && (insn.code !== Code.INVALID || here === MAX_INSTRUCTION)) return insn;
    insn.free();
    const page = next(context.ip + BigInt(PAGE_SIZE));
    if (!page) return undefined;
    const more = page.hostPage * PAGE_SIZE;
    const joined = new Uint8Array(MAX_INSTRUCTION);
    joined.set(bytes);
    joined.set(this.#memory.bytes.subarray(more, more + MAX_INSTRUCTION - here), here);
    return decodeOne(joined, ip, context.mode.bitness);
  }

  #mark(hostPage: number, from: number, to: number): void {
    const { view, bytes } = this.#memory;
    const flagsAt = at.PAGE_FLAGS + hostPage;
    if (!((bytes[flagsAt] as number) & at.PAGE_CODE)) {
      bytes[flagsAt] = (bytes[flagsAt] as number) | at.PAGE_CODE;
      this.onCodePage?.(hostPage);
    }
    const mapAt = at.CODE_GRANULES + 8 * hostPage;
    for (let granule = from >> 6; granule <= (to - 1) >> 6; granule++) {
      const byte = mapAt + (granule >> 3);
      view.setUint8(byte, view.getUint8(byte) | (1 << (granule & 7)));
    }
  }

  /** Drops everything decoded from a host page, and in the pages before it what ran over into it. */
  invalidate(hostPage: number): void {
    const { view, bytes } = this.#memory;
    const flagsAt = at.PAGE_FLAGS + hostPage;
    if (!((bytes[flagsAt] as number) & at.PAGE_CODE)) return;
    bytes[flagsAt] = (bytes[flagsAt] as number) & ~at.PAGE_CODE;
    bytes.fill(0, at.CODE_GRANULES + 8 * hostPage, at.CODE_GRANULES + 8 * hostPage + 8);
    for (const context of this.#byHostPage.get(hostPage) ?? []) this.#forget(context, view);
    for (const context of this.#crossingFrom.get(hostPage) ?? []) this.#clearSlots(context);
    this.#crossingFrom.delete(hostPage);
    this.#byHostPage.delete(hostPage);
  }

  /** Its slots are emptied and it is never found again; fetch translations that still name it find no record. */
  #forget(context: Context, view: DataView): void {
    this.#clearSlots(context);
    view.setUint32(context.address + at.CTX_GENERATION, this.#generation++, true);
    if (this.#contexts.get(context.key) === context) this.#contexts.delete(context.key);
  }

  #clearSlots(context: Context): void {
    this.#memory.bytes.fill(0, context.address + at.CTX_SLOTS, context.address + at.CTX_BYTES);
  }

  /** Drops everything. */
  flush(): void {
    const { bytes } = this.#memory;
    for (const hostPage of new Set([...this.#byHostPage.keys(), ...this.#crossingFrom.keys()])) {
      bytes[at.PAGE_FLAGS + hostPage] = (bytes[at.PAGE_FLAGS + hostPage] as number) & ~at.PAGE_CODE;
      bytes.fill(0, at.CODE_GRANULES + 8 * hostPage, at.CODE_GRANULES + 8 * hostPage + 8);
    }
    this.#contexts.clear();
    this.#byHostPage.clear();
    this.#crossingFrom.clear();
    this.#arena = at.ARENA;
    this.onFlush?.();
  }
}

const slotAddress = (context: Context, offset: number): number => context.address + at.CTX_SLOTS + 4 * offset;

/** Operand size, address size, LOCK, REPNE, REP. */
const OTHER_PREFIXES = new Set([0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const SEGMENT_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);

/** Index of a prefix without which the instruction decodes to the same length, or -1. */
function idlePrefix(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (SEGMENT_PREFIXES.has(byte)) return i;
    if (!OTHER_PREFIXES.has(byte)) return -1;
    if (bytes.indexOf(byte) < i) return i;
  }
  return -1;
}

/**
 * Do the 15 bytes an instruction may have not suffice (SDM 3A 6.15: #GP, where other bad code is #UD)?
 * iced calls a 16th byte invalid like any bad opcode; so one prefix that changes nothing is left out, and where decoding
 * then runs out of bytes it would have needed more than 15. No instruction gets that long without such a prefix.
 */
export function isTooLong(bytes: Uint8Array, bitness: Bitness): boolean {
  if (bytes.length < MAX_INSTRUCTION) return false;
  const idle = idlePrefix(bytes.subarray(0, MAX_INSTRUCTION));
  if (idle < 0) return false;
  const shorter = bytes.slice(0, MAX_INSTRUCTION);
  shorter.copyWithin(idle, idle + 1);
  const decoder = new Decoder(bitness, shorter.subarray(0, MAX_INSTRUCTION - 1), DecoderOptions.None);
  decoder.decode().free();
  const error = decoder.lastError;
  decoder.free();
  return error === DecoderError.NoMoreBytes;
}

/** Decodes straight on through a page with one decoder and one instruction object; an instruction that may need more bytes than the page has is left to others. */
class InstructionStream {
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
class RunWriter {
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
    this.next += at.RECORD_BYTES;
    view.setUint16(record + at.REC_HANDLER, handler, true);
    const where = ((this.#context.address >>> 8) << 12) | (offset & 0xfff);
    view.setUint32(record + at.REC_WHERE, where >>> 0, true);
    return { view, record };
  }

  write(plan: Plan, offset: number, length: number): void {
    const { branch } = plan;
    const near = branch?.near !== undefined ? this.#nearSlot(branch.target) : undefined;
    const handler = near !== undefined && branch?.near !== undefined ? branch.near : plan.handler;
    const { view, record } = this.#start(handler, offset);
    view.setUint8(record + at.REC_ADDRESSING, plan.addressing);
    view.setUint8(record + at.REC_LENGTH, length);
    view.setUint16(record + at.REC_REG1, plan.reg1, true);
    view.setUint16(record + at.REC_REG2, plan.reg2, true);
    view.setUint16(record + at.REC_BASE, plan.base, true);
    view.setUint16(record + at.REC_INDEX, plan.index, true);
    if (!branch) this.#operands(record, plan.disp, plan.imm);
    else if (near === undefined) this.#operands(record, branch.target, branch.returnTo ?? 0n);
    else this.#operands(record, branch.returnTo ?? 0n, BigInt(near));
  }

  #operands(record: number, disp: bigint, imm: bigint): void {
    this.#memory.view.setBigInt64(record + at.REC_DISP, BigInt.asIntN(64, disp), true);
    this.#memory.view.setBigInt64(record + at.REC_IMM, BigInt.asIntN(64, imm), true);
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
    view.setBigInt64(record + at.REC_DISP, BigInt.asIntN(64, nextIp), true);
    view.setUint32(record + at.REC_IMM, following, true);
    view.setUint32(record + at.REC_IMM + 4, view.getUint32(following + at.CTX_GENERATION, true), true);
  }
}

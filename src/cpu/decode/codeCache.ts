// Decoded code. A context holds what is decoded of one page of code: one physical page seen at one linear address in one
// decoding mode. Its slots say, byte by byte, which record an instruction that starts there has. Records lie in runs:
// straight code side by side, so that "the next instruction" is the next record.
// A store to decoded bytes drops every context of that physical page; its generation tells records in the page before,
// whose last instruction ran over the edge.

import { Code, type Instruction } from 'iced-x86';
import { PAGE_SIZE } from '../../bits/address.ts';
import { InputError } from '../../bits/errors.ts';
import type { Feature } from '../../x86/features.ts';
import { decodeOne } from '../../code/disassembly.ts';
import type { CodeMode, CodePage, Context, SavedCode, SavedContext } from '../state/codeContext.ts';
import { Planner } from './decode.ts';
import { Fuser } from '../binding/fuse.ts';
import { MAX_INSTRUCTION } from './instructionLength.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';
import type { GuestMemory } from '../state/memory.ts';
import { InstructionStream, RunWriter, slotAddress } from './runWriter.ts';

/** Result of decoding: a record to run, or why there is none. */
export type FetchedPage = (ip: bigint, offset: number) => CodePage | undefined;

/** Instructions in a run; bounds how far a run may overshoot a budget, with a page of one-byte instructions. */
const MAX_RUN = 512;
const RUN_ROOM = (2 * MAX_RUN + 4) * rec.RECORD_BYTES;

export class CodeCache {
  readonly planner: Planner;
  readonly #fuser: Fuser;
  readonly #memory: GuestMemory;
  readonly #contexts = new Map<string, Context>();
  readonly #byAddress = new Map<number, Context>();
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

  constructor(memory: GuestMemory, numbers: ReadonlyMap<string, number>, features: ReadonlySet<Feature>) {
    this.#memory = memory;
    this.planner = new Planner(numbers, features);
    this.#fuser = new Fuser(numbers);
    const number = (key: string): number => this.planner.number(key);
    this.#link = {
      near: number('link.near'),
      out: number('link.out'),
      cross: number('link.cross'),
      probe: number('link.probe'),
    };
  }

  /** Is that the number of a record that stands for no instruction? */
  isLink(handler: number): boolean {
    return Object.values(this.#link).includes(handler);
  }

  /** The context for code at an instruction pointer, made if need be. */
  context(ip: bigint, mode: CodeMode, page: CodePage): Context {
    const pageIp = ip - ((ip + mode.base) & 0xfffn);
    const key = `${page.hostPage}:${pageIp}:${mode.bitness}:${mode.base}:${mode.limit}:${mode.sse}:${mode.vex}:${mode.avx}`;
    const known = this.#contexts.get(key);
    if (known) return known;
    if (this.#arena + at.CTX_BYTES + RUN_ROOM > at.ARENA_END) this.flush();
    const address = this.#allocate(at.CTX_BYTES, at.CTX_ALIGNMENT);
    const context: Context = {
      address,
      hostPage: page.hostPage,
      physicalPage: page.physicalPage,
      ip: pageIp,
      mode,
      key,
      crossings: new Map(),
    };
    const { view, bytes } = this.#memory;
    bytes.fill(0, address, address + at.CTX_BYTES);
    view.setBigUint64(address + at.CTX_IP, BigInt.asUintN(64, pageIp), true);
    view.setUint32(address + at.CTX_GENERATION, this.#generation++, true);
    this.#contexts.set(key, context);
    this.#byAddress.set(address, context);
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
    // Room for a second context too: an instruction that runs over the page makes one while the run is being written.
    if (this.#arena + rec.RECORD_BYTES + RUN_ROOM + at.CTX_ALIGNMENT + at.CTX_BYTES + RUN_ROOM > at.ARENA_END) {
      // Nothing is lost but time: the caller looks its context up again.
      this.flush();
      return 0;
    }
    const first = this.#writeRun(context, start, next);
    return this.#contexts.get(context.key) === context ? first : 0;
  }

  #writeRun(context: Context, start: number, next: FetchedPage, wanted?: (offset: number) => boolean): number {
    const begin = this.#allocate(RUN_ROOM, rec.RECORD_BYTES);
    const run = new RunWriter(this.#memory, context, begin);
    const stream = new InstructionStream(this.#memory, context, start);
    const first = this.#fillRun(run, context, start, next, stream, wanted);
    stream.free();
    this.#fuser.run(this.#memory.view, begin, run.next);
    // A context may have been made behind the run (an instruction ran over the page); else give the rest back.
    if (this.#arena === begin + RUN_ROOM) this.#arena = run.next;
    return first;
  }

  /** @param wanted where it stops: at the first instruction that is not wanted */
  #fillRun(
    run: RunWriter,
    context: Context,
    start: number,
    next: FetchedPage,
    stream: InstructionStream,
    wanted?: (offset: number) => boolean,
  ): number {
    let offset = start;
    let first = 0;
    const last = lastFetchable(context);
    for (let count = 0; count < MAX_RUN; count++) {
      const slot = slotAddress(context, offset);
      if (count > 0 && (this.#memory.view.getUint32(slot, true) || wanted?.(offset) === false)) break;
      if (offset > last) {
        run.link(this.#link.out, context.ip + BigInt(offset));
        return first;
      }
      const insn = stream.at(offset) ?? this.#decode(context, offset, next);
      if (!insn) break;
      const end = offset + insn.length;
      const entry = run.next;
      const whole = end - 1 <= last;
      if (end > PAGE_SIZE && last >= PAGE_SIZE) this.#writeCrossing(run, context, offset, next);
      if (this.probe?.(insn, context)) run.probe(this.#link.probe, offset);
      this.#memory.view.setUint32(slot, entry, true);
      first ||= entry;
      const { bitness, sse, vex, avx } = context.mode;
      const plan = whole ? this.planner.plan(insn, bitness, sse, vex, avx) : this.planner.microcoded();
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
    const page = next(nextIp, offset);
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
    // Behind the limit of the code segment nothing is fetched: microcode will say what that means.
    const most = Math.min(MAX_INSTRUCTION, lastFetchable(context) + 1 - offset);
    const bytes = this.#memory.bytes.slice(host, host + Math.min(here, most));
    const insn = decodeOne(bytes, ip, context.mode.bitness);
    if (insn.length <= here && (insn.code !== Code.INVALID || here >= most)) return insn;
    insn.free();
    const page = next(context.ip + BigInt(PAGE_SIZE), offset);
    if (!page) return undefined;
    context.crossings.set(offset, page);
    const more = page.hostPage * PAGE_SIZE;
    const joined = new Uint8Array(MAX_INSTRUCTION);
    joined.set(bytes);
    joined.set(this.#memory.bytes.subarray(more, more + MAX_INSTRUCTION - here), here);
    return decodeOne(joined.subarray(0, most), ip, context.mode.bitness);
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
    this.#byAddress.delete(context.address);
  }

  #clearSlots(context: Context): void {
    context.crossings.clear();
    this.#memory.bytes.fill(0, context.address + at.CTX_SLOTS, context.address + at.CTX_BYTES);
  }

  /**
   * The instruction that a record stands for, from the bytes it was decoded from; undefined where they are gone. Finding
   * it looks up no translation, so it changes nothing that the guest can see. The caller frees it.
   */
  instructionAt(record: number): Instruction | undefined {
    const where = this.#memory.view.getUint32(record + rec.REC_WHERE, true);
    const context = this.#byAddress.get((where >>> 12) << 8);
    const offset = where & 0xfff;
    return context && this.#decode(context, offset, () => context.crossings.get(offset));
  }

  /** The live contexts in the order of their addresses, as `save` counts them. */
  contexts(): Context[] {
    return [...this.#contexts.values()].sort((a, b) => a.address - b.address);
  }

  /** What is decoded now. */
  save(): SavedCode {
    const contexts = this.contexts();
    const indices = new Map(contexts.map((context, i) => [context, i]));
    return {
      contexts: contexts.map((context) => this.#saveContext(context)),
      crossingFrom: [...this.#crossingFrom].map(([hostPage, from]) => [
        hostPage,
        [...new Set(from)].flatMap((context) => indices.get(context) ?? []),
      ]),
      arena: this.#arena - at.ARENA,
      decoded: this.decoded,
    };
  }

  #saveContext(context: Context): SavedContext {
    const { hostPage, physicalPage, ip, mode } = context;
    const decoded = new Uint8Array(PAGE_SIZE / 8);
    const slots = new Uint32Array(this.#memory.bytes.buffer, slotAddress(context, 0), PAGE_SIZE);
    for (let offset = 0; offset < PAGE_SIZE; offset++) {
      if (slots[offset] === 0) continue;
      decoded[offset >> 3] = (decoded[offset >> 3] as number) | (1 << (offset & 7));
    }
    return { hostPage, physicalPage, ip, mode, decoded, crossings: [...context.crossings] };
  }

  /**
   * Decodes what another cache had decoded of the same memory, no more and no less: what is decoded later, and when the
   * arena is full, is then as it would have been there. Tells nobody of the contexts.
   * @returns the contexts, in the order of `saved`
   */
  rebuild(saved: SavedCode): Context[] {
    const { onContext, onFlush } = this;
    this.flush();
    this.onContext = undefined;
    this.onFlush = () => {
      throw new InputError('it holds more decoded code than there is room for');
    };
    const contexts = saved.contexts.map((context) => this.context(context.ip, context.mode, context));
    for (const [i, { decoded, crossings }] of saved.contexts.entries()) {
      this.#rebuildContext(contexts[i] as Context, decoded, new Map(crossings));
    }
    this.#crossingFrom.clear();
    for (const [hostPage, from] of saved.crossingFrom) {
      this.#crossingFrom.set(
        hostPage,
        from.map((index) => contexts[index] as Context),
      );
    }
    // Laid in the order of addresses, records never take more room than they had.
    this.#arena = Math.max(this.#arena, at.ARENA + saved.arena);
    this.decoded = saved.decoded;
    this.onContext = onContext;
    this.onFlush = onFlush;
    return contexts;
  }

  #rebuildContext(context: Context, decoded: Uint8Array, crossings: ReadonlyMap<number, CodePage>): void {
    const wanted = (offset: number): boolean => ((decoded[offset >> 3] as number) & (1 << (offset & 7))) !== 0;
    let instructions = decoded.reduce((sum, byte) => sum + popcount(byte), 0);
    for (let offset = 0; offset < PAGE_SIZE; offset++) {
      if (!wanted(offset) || this.#memory.view.getUint32(slotAddress(context, offset), true)) continue;
      const room = (Math.min(instructions, MAX_RUN) + 2) * rec.RECORD_BYTES;
      if (this.#arena + room > at.ARENA_END) return;
      const before = this.decoded;
      this.#writeRun(context, offset, (_ip, from) => crossings.get(from), wanted);
      instructions -= this.decoded - before;
    }
  }

  /** Drops everything. */
  flush(): void {
    const { bytes } = this.#memory;
    for (const hostPage of new Set([...this.#byHostPage.keys(), ...this.#crossingFrom.keys()])) {
      bytes[at.PAGE_FLAGS + hostPage] = (bytes[at.PAGE_FLAGS + hostPage] as number) & ~at.PAGE_CODE;
      bytes.fill(0, at.CODE_GRANULES + 8 * hostPage, at.CODE_GRANULES + 8 * hostPage + 8);
    }
    this.#contexts.clear();
    this.#byAddress.clear();
    this.#byHostPage.clear();
    this.#crossingFrom.clear();
    this.#arena = at.ARENA;
    this.onFlush?.();
  }
}

function popcount(byte: number): number {
  let count = 0;
  for (let rest = byte; rest; rest &= rest - 1) count++;
  return count;
}

/** Offset in the page of the last byte that the code segment's limit lets be fetched; past the page's end if that is further. */
const lastFetchable = ({ ip, mode }: Context): number => {
  const offset = mode.limit - ip;
  return offset < BigInt(2 * PAGE_SIZE) ? Number(offset) : 2 * PAGE_SIZE;
};

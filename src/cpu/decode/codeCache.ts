// Decoded code. A context holds what is decoded of one page of code: one physical page seen at one linear address in one
// decoding mode. Its slots say, byte by byte, which record an instruction that starts there has. Records lie in runs:
// straight code side by side, so that "the next instruction" is the next record.
// A store to decoded bytes drops every context of that physical page; its generation tells records in the page before,
// whose last instruction ran over the edge.
//
// What is decoded at a time shows nowhere, but the lines of code do: the 64-byte pieces of a page that were taken as code
// since it was last stored to there. A repeated string instruction goes one element at a time over a page with lines, and
// how many there were tells new code (run/progress.ts). So they are specified: an instruction that is run and has no
// record takes the lines from there to the end of the straight code it begins: an instruction after which control is
// elsewhere, the segment's limit, or the first instruction that runs over the page's end, which takes its own lines when it
// is run. Nothing else takes lines, and only a store to them, or any by microcode, a chip or the host to their page, drops
// them, with all others of the page. So they are the same in every engine, and in one that was restored and decodes anew.

import { Code, type Instruction } from 'iced-x86';
import { PAGE_SIZE } from '../../bits/address.ts';
import type { Feature } from '../../x86/features.ts';
import { decodeOne } from '../../code/disassembly.ts';
import type { CodeMode, CodePage, Context, SavedCode, Told } from '../state/codeContext.ts';
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
/** Pages of code, each as often as it is seen at other addresses and in other modes, that are remembered as told of. */
const MOST_TOLD = 2 ** 16;

const nobody = (): undefined => undefined;

/** What the engine around it has to hear of. */
export type CodeWires = {
  /** A new context: a page of code is about to be run for the first time as it now is. */
  readonly opened: (context: Context) => void;
  /** Shall the engine stop before this instruction each time it comes to it? Asked when it is decoded. */
  readonly isWanted: (insn: Instruction, context: Context, offset: number) => boolean;
  /** Every context was dropped: what is cached of fetches has to be looked at again. */
  readonly flushed: () => void;
  /** A host page has begun to hold code: what is cached of writes to it has to be looked at again. */
  readonly codePage: (hostPage: number) => void;
};

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
  /** By host page what was told of it since it was last stored to; how many these are. */
  readonly #told = new Map<number, Map<string, Told>>();
  #toldCount = 0;
  /** Instructions decoded so far: a measure of work, and none of the guest's. */
  decoded = 0;
  /** Lines of code taken so far. */
  lines = 0;
  readonly #wires: CodeWires;

  constructor(
    memory: GuestMemory,
    numbers: ReadonlyMap<string, number>,
    features: ReadonlySet<Feature>,
    wires: CodeWires,
  ) {
    this.#memory = memory;
    this.#wires = wires;
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
    const key = keyOf(page.hostPage, pageIp, mode);
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
      taken: new Set(),
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
    this.#tell(context);
    return context;
  }

  #tell(context: Context): void {
    if (this.#remember(context)) this.#wires.opened(context);
  }

  /** @returns false where it was told before */
  #remember({ hostPage, ip, mode }: Told): boolean {
    const key = keyOf(hostPage, ip, mode);
    let told = this.#told.get(hostPage);
    if (told?.has(key)) return false;
    if (this.#toldCount >= MOST_TOLD) {
      this.#told.clear();
      this.#toldCount = 0;
      told = undefined;
    }
    if (told === undefined) this.#told.set(hostPage, (told = new Map()));
    told.set(key, { hostPage, ip, mode });
    this.#toldCount++;
    return true;
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

  #writeRun(context: Context, start: number, next: FetchedPage): number {
    const begin = this.#allocate(RUN_ROOM, rec.RECORD_BYTES);
    const run = new RunWriter(this.#memory, context, begin);
    const stream = new InstructionStream(this.#memory, context, start);
    const first = this.#fillRun(run, context, start, next, stream);
    stream.free();
    this.#fuser.run(this.#memory.view, begin, run.next);
    // A context may have been made behind the run (an instruction ran over the page); else give the rest back.
    if (this.#arena === begin + RUN_ROOM) this.#arena = run.next;
    return first;
  }

  #fillRun(run: RunWriter, context: Context, start: number, next: FetchedPage, stream: InstructionStream): number {
    let offset = start;
    let first = 0;
    const last = lastFetchable(context);
    for (let count = 0; count < MAX_RUN; count++) {
      const slot = slotAddress(context, offset);
      if (count > 0 && this.#memory.view.getUint32(slot, true)) return this.#linkOn(run, offset, first);
      if (offset > last) {
        run.link(this.#link.out, context.ip + BigInt(offset));
        return first;
      }
      // Ahead of what is run nothing is fetched of another page: it would show in accessed bits.
      const insn = stream.at(offset) ?? this.#decode(context, offset, count > 0 ? nobody : next);
      if (!insn) return first && this.#linkOn(run, offset, first);
      const end = offset + insn.length;
      const entry = run.next;
      const whole = end - 1 <= last;
      if (end > PAGE_SIZE && last >= PAGE_SIZE) this.#writeCrossing(run, context, offset, next);
      if (this.#wires.isWanted(insn, context, offset)) run.probe(this.#link.probe, offset);
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
    this.#takeLines(context, offset, stream);
    return this.#linkOn(run, offset, first);
  }

  #linkOn(run: RunWriter, offset: number, first: number): number {
    run.linkNear(this.#link.near, offset);
    return first;
  }

  /** Of straight code that is longer than a run: which lines are taken may not hang on where runs begin. */
  #takeLines(context: Context, start: number, stream: InstructionStream): void {
    const last = lastFetchable(context);
    for (let offset = start; offset < PAGE_SIZE && offset <= last; ) {
      if (context.taken.has(offset) || this.#memory.view.getUint32(slotAddress(context, offset), true)) return;
      context.taken.add(offset);
      const insn = stream.at(offset) ?? this.#decode(context, offset, nobody);
      if (!insn) return;
      const end = offset + insn.length;
      this.#mark(context.hostPage, offset, Math.min(end, PAGE_SIZE));
      const { bitness, sse, vex, avx } = context.mode;
      const { ends } = end - 1 <= last ? this.planner.plan(insn, bitness, sse, vex, avx) : this.planner.microcoded();
      stream.done(insn);
      if (ends) return;
      offset = end;
    }
  }

  /** An instruction that ends in the next page is run only while that page's decoded code is still what it was. */
  #writeCrossing(run: RunWriter, context: Context, offset: number, next: FetchedPage): void {
    const nextIp = context.ip + BigInt(PAGE_SIZE);
    const page = next(nextIp, offset);
    if (!page) throw new Error('the next page was there a moment ago');
    const following = this.context(nextIp, context.mode, page);
    this.#mark(page.hostPage, 0, MAX_INSTRUCTION);
    const list = this.#crossingFrom.get(page.hostPage);
    if (list) {
      if (!list.includes(context)) list.push(context);
    } else this.#crossingFrom.set(page.hostPage, [context]);
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
      this.#wires.codePage(hostPage);
    }
    const mapAt = at.CODE_GRANULES + 8 * hostPage;
    for (let granule = from >> 6; granule <= (to - 1) >> 6; granule++) {
      const byte = mapAt + (granule >> 3);
      const [old, bit] = [view.getUint8(byte), 1 << (granule & 7)];
      if (old & bit) continue;
      view.setUint8(byte, old | bit);
      this.lines++;
    }
  }

  /** Drops everything decoded from a host page, and in the pages before it what ran over into it. */
  invalidate(hostPage: number): void {
    const { bytes } = this.#memory;
    const flagsAt = at.PAGE_FLAGS + hostPage;
    if (!((bytes[flagsAt] as number) & at.PAGE_CODE)) return;
    bytes[flagsAt] = (bytes[flagsAt] as number) & ~at.PAGE_CODE;
    bytes.fill(0, at.CODE_GRANULES + 8 * hostPage, at.CODE_GRANULES + 8 * hostPage + 8);
    this.#toldCount -= this.#told.get(hostPage)?.size ?? 0;
    this.#told.delete(hostPage);
    this.forget(hostPage);
  }

  /** As `invalidate`, but its lines stay: nothing was stored there, it is only to be decoded anew. */
  forget(hostPage: number): void {
    const { view } = this.#memory;
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

  /** The lines, and what was told of pages with code. */
  save(): SavedCode {
    const { view } = this.#memory;
    return {
      lines: this.lines,
      pages: this.#pagesWithLines().map((page) => [page, view.getBigUint64(at.CODE_GRANULES + 8 * page, true)]),
      told: [...this.#told.values()].flatMap((told) => [...told.values()]),
    };
  }

  /** Nothing is decoded; tells nobody. @param saved of the same memory */
  restore(saved: SavedCode): void {
    const { view, bytes } = this.#memory;
    this.flush();
    for (const page of this.#pagesWithLines()) {
      bytes[at.PAGE_FLAGS + page] = (bytes[at.PAGE_FLAGS + page] as number) & ~at.PAGE_CODE;
    }
    // Where the flag is gone already, the map may still be there.
    bytes.fill(0, at.CODE_GRANULES, at.CODE_GRANULES + 8 * (bytes.length >>> 12));
    this.#told.clear();
    this.#toldCount = 0;
    this.lines = saved.lines;
    for (const [page, lines] of saved.pages) {
      bytes[at.PAGE_FLAGS + page] = (bytes[at.PAGE_FLAGS + page] as number) | at.PAGE_CODE;
      view.setBigUint64(at.CODE_GRANULES + 8 * page, lines, true);
    }
    for (const told of saved.told) this.#remember(told);
  }

  #pagesWithLines(): number[] {
    const { bytes, touchedBytes } = this.#memory;
    const pages = [at.VOID_PAGE >>> 12];
    for (let page = at.RAM_BASE >>> 12; page < (at.RAM_BASE + touchedBytes) >>> 12; page++) pages.push(page);
    return pages.filter((page) => ((bytes[at.PAGE_FLAGS + page] as number) & at.PAGE_CODE) !== 0);
  }

  /** The live contexts. */
  contexts(): Iterable<Context> {
    return this.#contexts.values();
  }

  /** The live context at an address. */
  contextAt(address: number): Context | undefined {
    return this.#byAddress.get(address);
  }

  /** Drops everything that is decoded. It shows nowhere. */
  flush(): void {
    this.#contexts.clear();
    this.#byAddress.clear();
    this.#byHostPage.clear();
    this.#crossingFrom.clear();
    this.#arena = at.ARENA;
    this.#wires.flushed();
  }
}

const keyOf = (hostPage: number, ip: bigint, mode: CodeMode): string =>
  `${hostPage}:${ip}:${mode.bitness}:${mode.base}:${mode.limit}:${mode.sse}:${mode.vex}:${mode.avx}`;

/** Offset in the page of the last byte that the code segment's limit lets be fetched; past the page's end if that is further. */
const lastFetchable = ({ ip, mode }: Context): number => {
  const offset = mode.limit - ip;
  return offset < BigInt(2 * PAGE_SIZE) ? Number(offset) : 2 * PAGE_SIZE;
};

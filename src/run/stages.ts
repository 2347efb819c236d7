// How far a boot has come: entry, decompress, handoff, banner, init. Found by what the guest does, not by names:
// - decompress: the first read of the payload's first page that is not a copy (the stub first copies itself whole,
//   with string moves, and only then reads the payload to unpack it), by code that does not lie in the payload;
// - handoff: after that, the first code run above 1 MiB that is no code of the stub (wherever the stub has copied itself
//   to, and whatever its bytes have become since in the copy that runs) and lies in a page that was written since: what
//   was just unpacked;
// - banner: a line with the words "Linux version" on the console, to its end; or, of a kernel that says nothing there, in
//   the log that it keeps in memory (ownLog.ts);
// - init: after handoff, the first entry into user mode (CPL 3). That is process 1, unless the kernel runs a helper
//   program before it (modprobe, from an initrd that has it).

import { PAGE_SIZE, type PhysAddr, physAddr } from '../bits/address.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import { STRING_MOVES } from '../code/facts.ts';
import type { Context } from '../cpu/state/codeContext.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { Observation, Watched } from '../cpu/interpret/observing.ts';
import * as at from '../cpu/state/layout.ts';
import { Entry, Observers } from '../cpu/state/observers.ts';
import { FLAGS } from '../cpu/state/state.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { Machine } from '../machine/machine.ts';
import { HIGH_MEMORY_START } from '../boot/layout.ts';
import { findStubCopy } from './stubCopies.ts';

export const STAGES = ['entry', 'decompress', 'handoff', 'banner', 'init'] as const;
export type Stage = (typeof STAGES)[number];
export type StageReached = {
  readonly name: Stage;
  /** Instructions retired before the stage's first one. */
  readonly instructions: bigint;
  /** Guest time in ns. */
  readonly guestTime: bigint;
};

/** How a kernel's first line begins. */
export const BANNER = 'Linux version';
const NEWLINE = 10;
/** A line longer than this is taken as ended. */
const LONGEST_LINE = 1024;
/** A stub copies itself once or twice. */
const MOST_COPIES = 100_000;
const MOST_DESTINATIONS = 8;
/** What stands behind a stub's bytes of the file and is its own: data, stack, heap, page tables. At least so much is. */
const STUB_DATA = 2 ** 18;
/** Bytes compared to tell whether code at an address is the stub's. */
const PROBE = 32;

const readStage = (saved: Fields): StageReached => ({
  name: saved.choice('name', STAGES),
  instructions: saved.bigint('instructions', 0n, BigInt(Number.MAX_SAFE_INTEGER)),
  guestTime: saved.bigint('guestTime', 0n, 1n << 63n),
});

/** What can be observed of how far a boot comes. */
export type StageObserver = {
  /** A stage, as it is reached. */
  stage?(stage: StageReached): void;
  /** A line on the console, as it ends. */
  line?(line: string): void;
  /** A further copy of the stub: its code is about to run for the first time. @param copy physical address */
  copy?(copy: number): void;
};

export class StageTracker {
  readonly reached: StageReached[] = [];
  /** Physical addresses of the stub's copies, the loaded one first. */
  readonly copies: number[] = [];
  /** Physical addresses at which the stub puts, or has put, copies of itself, whether their code has run or not. */
  readonly destinations: number[] = [];
  readonly #machine: Machine;
  readonly #stub: BzImage | undefined;
  #line = '';
  readonly #observers = new Observers<StageObserver>();
  readonly #watching: Observation;
  /** While the first entry into user mode is waited for. */
  #awaitingUser: Observation | undefined;

  /** To be called for each page of code that is about to run for the first time as it now is. */
  codePage(context: Context): void {
    if (this.#stub) this.#codePage(context);
  }

  /** Offsets of bytes in the stub that may differ from one copy to the next. */
  readonly relocatedBytes = new Set<number>();

  /**
   * @param stub whose doings tell decompress and handoff; undefined where what is entered is the kernel itself
   * @param loadAddress where the image's first byte was put
   */
  constructor(machine: Machine, stub: BzImage | undefined, loadAddress: number) {
    this.#machine = machine;
    this.#stub = stub;
    this.copies.push(loadAddress);
    // Whoever hears of a line or of a stage has heard of the byte that ended it.
    this.#watching = machine.observe(
      {
        byte: (byte, from) => from === 'console' && this.#console(byte),
        access: (watched) => this.#payloadTouched(watched),
      },
      true,
    );
    this.#awaitUser();
  }

  /** As Machine.observe. @returns what ends it */
  observe(observer: StageObserver, last = false): () => void {
    const entry = this.#observers.add(new Entry(observer, last));
    return () => this.#observers.remove(entry);
  }

  /** Once is enough: from then on the engine has nobody to tell. */
  #awaitUser(): void {
    if (this.has('init')) {
      this.#awaitingUser?.dispose();
      this.#awaitingUser = undefined;
    } else this.#awaitingUser ??= this.#machine.observe({ userMode: () => this.#userMode() });
  }

  /** To be called once, when all is in place and nothing has run. */
  start(): void {
    this.#reach('entry');
    if (this.#stub === undefined) {
      this.#reach('handoff');
      return;
    }
    this.#watchPayload();
  }

  save(): Plain {
    return {
      reached: this.reached.map((each) => ({ ...each })),
      copies: [...this.copies],
      destinations: [...this.destinations],
      line: this.#line,
    };
  }

  /** To be called before the machine is restored: what is watched next follows from where it will be. */
  beginRestore(): void {
    this.#leavePayload();
  }

  /** In place of `start`, or later: to where another one was. Throws InputError. */
  restore(saved: Fields): void {
    const reached = saved.objects('reached', STAGES.length).map(readStage);
    const copies = saved.numbers('copies', MOST_COPIES, 0, at.PHYS_LIMIT);
    this.reached.splice(0, this.reached.length, ...reached);
    this.copies.splice(0, this.copies.length, ...copies);
    this.destinations.splice(
      0,
      MOST_DESTINATIONS,
      ...saved.numbers('destinations', MOST_DESTINATIONS, 0, at.PHYS_LIMIT),
    );
    this.#line = saved.text('line', LONGEST_LINE);
    if (this.#stub && !this.has('decompress')) this.#watchPayload();
    this.#awaitUser();
  }

  has(stage: Stage): boolean {
    return this.reached.some((reached) => reached.name === stage);
  }

  /** The last stage reached. */
  get current(): Stage {
    return this.reached.at(-1)?.name ?? 'entry';
  }

  #reach(name: Stage): void {
    if (this.has(name)) return;
    const stage = { name, instructions: this.#machine.engine.retired, guestTime: this.#machine.now };
    this.reached.push(stage);
    this.#observers.tell('stage', [stage]);
  }

  /** The kernel has said its first line, where it is not heard. */
  saidUnheard(): void {
    if (!this.has('handoff') || this.has('banner')) return;
    this.#reach('banner');
  }

  #userMode(): void {
    if (!this.has('handoff')) return;
    this.#reach('init');
    this.#awaitUser();
  }

  #console(byte: number): void {
    this.#line += String.fromCharCode(byte);
    if (byte !== NEWLINE && this.#line.length < LONGEST_LINE) return;
    const line = this.#line;
    this.#line = '';
    if (line.includes(BANNER)) this.#reach('banner');
    this.#observers.tell('line', [line.trimEnd()]);
  }

  /** Where the payload's first byte lies in a copy of the stub. */
  #payloadAt(copy: number): number | undefined {
    const image = this.#stub as BzImage;
    return image.payload && copy + image.payload.fileOffset - image.protectedMode.fileOffset;
  }

  /** In every copy. */
  #watchPayload(): void {
    for (const page of this.#payloads()) this.#watching.watch(page, 1, at.PAGE_WATCH_READ);
  }

  #leavePayload(): void {
    if (this.#stub) for (const page of this.#payloads()) this.#watching.unwatch(page, 1, at.PAGE_WATCH_READ);
  }

  #payloads(): PhysAddr[] {
    return this.copies.flatMap((copy) => {
      const address = this.#payloadAt(copy);
      return address === undefined ? [] : [physAddr(address)];
    });
  }

  /** The page that is watched may hold other things too: the stub's head often shares it. */
  #isPayload({ address, size }: Watched): boolean {
    return this.copies.some((copy) => {
      const start = this.#payloadAt(copy);
      return start !== undefined && address + Math.max(size, 1) > start && address < start + PAGE_SIZE;
    });
  }

  #payloadTouched(watched: Watched): void {
    if (watched.write || this.has('decompress') || !this.#isPayload(watched) || this.#runsPayload()) return;
    const insn = this.#machine.engine.currentInstruction();
    if (isFault(insn)) return;
    const copying = STRING_MOVES.has(insn.mnemonic) && !this.#movesPayloadOnly();
    insn.free();
    if (copying) return this.#copied(watched);
    this.#reach('decompress');
    this.#machine.engine.takePages(at.PAGE_FRESH);
    this.#leavePayload();
  }

  /** What runs in the packed kernel itself, as a wild jump does, reads it as it reads anything. */
  #runsPayload(): boolean {
    const { engine } = this.#machine;
    const rip = engine.translate(engine.state.rip + engine.mode.base, { fetch: true, implicit: true, peek: true });
    const { payload } = this.#stub as BzImage;
    if (isFault(rip) || payload === undefined) return false;
    return this.copies.some((copy) => {
      const start = this.#payloadAt(copy) as number;
      return rip >= start && rip < start + payload.length;
    });
  }

  /** Where the whole stub goes is told by what its payload is moved by. */
  #copied({ address }: Watched): void {
    const { state } = this.#machine.engine;
    const [RSI, RDI] = [6, 7];
    const moved = Number(BigInt.asIntN(64, state.reg(RDI) - state.reg(RSI)));
    const copy = this.copies.find((start) => {
      const payload = this.#payloadAt(start);
      return payload !== undefined && address >= payload - PAGE_SIZE && address < payload + PAGE_SIZE;
    });
    const to = copy === undefined ? -1 : copy + moved;
    if (
      to < 0 ||
      to >= at.PHYS_LIMIT ||
      this.destinations.includes(to) ||
      this.destinations.length >= MOST_DESTINATIONS
    )
      return;
    this.destinations.push(to);
  }

  /** A string move that starts at the payload's first byte stores it, as a stub with an unpacked payload does. */
  #movesPayloadOnly(): boolean {
    const { state } = this.#machine.engine;
    const RSI = 6;
    const starts = this.copies.map((copy) => this.#payloadAt(copy));
    return starts.includes(Number(state.reg(RSI))) && !(state.rflags & FLAGS.DF);
  }

  #codePage(context: Context): void {
    if (this.has('handoff')) return;
    const { engine } = this.#machine;
    const linear = engine.state.rip + engine.mode.base;
    const rip = context.physicalPage * 4096 + Number(linear & 0xfffn);
    if (rip < HIGH_MEMORY_START || this.#isStubCode(rip)) return;
    if (this.has('decompress')) {
      // What was written over the stub that runs, or is its own data, is no kernel: a kernel is unpacked beside it.
      if (this.#isRunningStub(rip)) return;
      if (!engine.pageHas(context.hostPage, at.PAGE_FRESH) || this.#isEmpty(rip)) return;
      this.#reach('handoff');
      return;
    }
    const copy = findStubCopy(this.#machine.memory, this.#stub as BzImage, rip);
    if (copy === undefined || this.copies.includes(copy)) return;
    this.copies.push(copy);
    this.#watchPayload();
    this.#observers.tell('copy', [copy]);
  }

  /** Does it lie in the copy of the stub that ran last, or in the data behind that? */
  #isRunningStub(rip: number): boolean {
    const start = this.copies.at(-1) as number;
    return rip >= start && rip < start + (this.#stub as BzImage).protectedMode.size + STUB_DATA;
  }

  #isEmpty(address: number): boolean {
    return this.#machine.memory.read(physAddr(address), PROBE).every((byte) => byte === 0);
  }

  /** Is what is about to run the stub's own code, in one of its copies? */
  #isStubCode(rip: number): boolean {
    const { bytes, protectedMode } = this.#stub as BzImage;
    const { fileOffset, size } = protectedMode;
    const now = this.#machine.memory.read(rip as PhysAddr, PROBE);
    return this.copies.some((copy) => {
      const offset = rip - copy;
      if (offset < 0 || offset >= size) return false;
      const file = bytes.subarray(fileOffset + offset, fileOffset + Math.min(offset + PROBE, size));
      return file.every((byte, i) => byte === now[i] || this.relocatedBytes.has(offset + i));
    });
  }
}

// The interpreter seen from outside: decodes when the generated engine meets code it does not know, runs microcode for
// what the engine leaves out, delivers exceptions, and counts. Guest time is the number of retired instructions, and what
// is charged for those that take longer.

import { Code, type Instruction, OpKind, Register } from 'iced-x86';
import type { PhysAddr } from '../bits/address.ts';
import { crc32 } from '../bits/crc32.ts';
import type { CpuModel } from '../x86/models.ts';
import { decodeOne } from '../code/disassembly.ts';
import { CodeCache, type CodeMode, type CodePage } from './codeCache.ts';
import {
  type Access,
  type AccessBytes,
  type ApicRegisters,
  type Cpu,
  type Fault,
  fault,
  isFault,
  type PortIo,
} from './cpu.ts';
import { type BuiltEngine, buildEngine } from './engine/module.ts';
import { allHandlers, hotKeys } from './handlers.ts';
import { isTooLong, MAX_INSTRUCTION, runsOut } from './instructionLength.ts';
import * as at from './layout.ts';
import { accessBits, type DeviceBus, LinearAccess } from './linearAccess.ts';
import type { GuestMemory } from './memory.ts';
import { raise, type FaultLink } from './microcode/delivery.ts';
import { execute } from './microcode/execute.ts';
import { beginStep, debugActive, endStep, trapsAtOnce } from './microcode/stepping.ts';
import { recomputeMode, sameMode } from './mode.ts';
import type { SavedEngine } from './savedEngine.ts';
import { CpuState } from './state.ts';
import { Translations } from './translations.ts';

/** An access to a watched page, before it happens. */
export type Watched = {
  readonly address: PhysAddr;
  /** Bytes; 0 for a string instruction's block. */
  readonly size: number;
  readonly write: boolean;
  /** Instructions retired before the one that makes the access. */
  readonly at: bigint;
};

export type EngineOptions = {
  readonly memory: GuestMemory;
  readonly model: CpuModel;
  readonly ports: PortIo;
  readonly apic?: ApicRegisters | undefined;
  readonly devices: DeviceBus;
  readonly random: () => bigint;
  /** Time stamp counter, less what the guest added to it, after so many ns of running. */
  readonly timestamp: (elapsed: bigint) => bigint;
  readonly unimplemented: (what: string) => void;
  /**
   * Is an interrupt waiting that is taken with RFLAGS.IF so? Asked after microcode that may have enabled interrupts or touched
   * a device.
   */
  readonly interruptRequested: (enabled: boolean) => boolean;
};

/** Why `run` came back. */
export type RunResult =
  | { readonly kind: 'budget' }
  | { readonly kind: 'halted' }
  | { readonly kind: 'stopped' }
  /** The guest touched more RAM than the host gives it. */
  | { readonly kind: 'memory-full' }
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] };

type Exports = {
  run(budget: number): void;
  step(budget: number): void;
  walk(linear: bigint, access: number): bigint;
  loadSlow(linear: bigint, size: number): bigint;
  storeSlow(linear: bigint, size: number, value: bigint): void;
};

let built: BuiltEngine | undefined;
let compiled: WebAssembly.Module | undefined;

/** The engine's module is the same for every machine of a process. */
function engineModule(): { built: BuiltEngine; module: WebAssembly.Module } {
  built ??= buildEngine(allHandlers(), hotKeys);
  compiled ??= new WebAssembly.Module(built.bytes);
  return { built, module: compiled };
}

/** Tells this engine from any other: what it generates says what the state block and its parts are. */
export const engineDigest = (): number => crc32(engineModule().built.bytes);

/** A run may go past its budget by less than this, so the last stretch is stepped. */
const OVERRUN = 1024;
/** V8 replaces a function's first, slow code only between calls; so the engine is left now and then. */
const SLICE = 1_000_000;

/** Later than any run ends. */
const FOREVER = 1n << 62n;

const PAGE_MASK = 0xfffn;
/** Accesses where nothing answers that a run may make. */
const MOST_EMPTY = 2_000_000;
/** Microcoded instructions kept decoded. */
const DECODED_MOST = 4096;

export class Engine implements Cpu {
  readonly state: CpuState;
  readonly memory: GuestMemory;
  readonly model: CpuModel;
  readonly ports: PortIo;
  readonly apic: ApicRegisters | undefined;
  readonly code: CodeCache;
  readonly #translations: Translations;
  readonly #linear: LinearAccess;
  readonly #exports: Exports;
  readonly #options: EngineOptions;
  #retired = 0n;
  #charged = 0n;
  /** What the run under way was asked for, and the count of retired instructions that both come to. */
  #until = 0n;
  #deadline = 0n;
  #limit = 0n;
  /** Guest ns since `run` was called. */
  #since = 0;
  #stop = false;
  /** Two exceptions came one upon the other, with no instruction retired in between. */
  #repeated = false;
  /** How code is decoded now. */
  #mode: CodeMode = { bitness: 16, base: 0n, limit: 0xffffn, sse: false, vex: false, avx: false };
  #pendingCode: number[] = [];
  readonly #decoded = new Map<number, Instruction>();
  /** RIP of the probe that was just told of, and the record behind it once it is met again; both hold for one slice. */
  #told: bigint | undefined;
  #resume = 0;
  /** Told of an access to a watched page just before the instruction that makes it is run. */
  onWatch: ((watched: Watched) => void) | undefined;
  /** Told of each exception before it is delivered. */
  onFault: ((fault: Fault) => void) | undefined;
  /** Told of each instruction that `code.probe` chose, before it runs; RIP points at it. */
  onProbe: (() => void) | undefined;
  /** Told when microcode (IRET, SYSRET, SYSEXIT, far transfers) ends at CPL 3, before the next instruction runs. */
  onUserMode: (() => void) | undefined;

  constructor(options: EngineOptions) {
    const engine = engineModule();
    this.#options = options;
    this.memory = options.memory;
    this.model = options.model;
    this.ports = options.ports;
    this.apic = options.apic;
    this.state = new CpuState(this.memory.wasm);
    this.code = new CodeCache(this.memory, engine.built.numbers, options.model.features);
    this.#translations = new Translations(this.memory, this.state);
    this.#linear = new LinearAccess(this.memory, this.code, options.devices, (linear, access) =>
      this.translate(linear, access),
    );
    this.#exports = new WebAssembly.Instance(engine.module, { host: this.#imports() }).exports as unknown as Exports;
    this.code.onFlush = () => {
      this.#translations.clear();
      // Records are laid anew from the start; the ones known by their address are gone.
      this.#forgetDecoded();
    };
    this.code.onCodePage = (hostPage) => this.#translations.dropWrites(hostPage);
    this.memory.onHostWrite = (host) => this.code.invalidate(host >>> 12);
    this.state.setU32(at.FAULT_VECTOR, at.FAULT_NONE >>> 0);
  }

  #imports(): Record<string, WebAssembly.ImportValue> {
    const { devices } = this.#options;
    const address = (): PhysAddr => Number(this.state.u64(at.SCRATCH)) as PhysAddr;
    return {
      memory: this.memory.wasm,
      touchChunk: (chunk: number) => this.memory.touchChunk(chunk),
      deviceRead: (size: number) => {
        if (this.#leavesForDevice(address())) return;
        this.state.setU64(at.SCRATCH, devices.read(address(), size as AccessBytes));
        this.#checkEmpty();
      },
      deviceWrite: (size: number) => {
        if (this.#leavesForDevice(address())) return;
        devices.write(address(), size as AccessBytes, this.state.u64(at.SCRATCH + 8));
        this.#checkEmpty();
      },
      codeStore: (host: number) => {
        this.#pendingCode.push(host >>> 12);
      },
    };
  }

  /** Within a stretch nobody knows the count: the instruction is left before it did anything, and stepped. */
  #leavesForDevice(address: PhysAddr): boolean {
    if (this.state.u32(at.WATCH_BYPASS) || !this.#options.devices.needsTime?.(address)) return false;
    this.state.setU32(at.FAULT_VECTOR, at.FAULT_DEVICE);
    return true;
  }

  /** A wild sweep through addresses where nothing answers is slow and leads nowhere: it ends as one through RAM does. */
  #checkEmpty(): void {
    if (this.#options.devices.emptyAccesses < MOST_EMPTY) return;
    this.memory.full = true;
    this.state.setU32(at.FAULT_VECTOR, at.FAULT_MEMORY_FULL);
  }

  /** Instructions retired since the machine started. Exact whenever microcode or a device runs. */
  get retired(): bigint {
    return this.#retired;
  }
  set retired(value: bigint) {
    this.#retired = value;
  }

  /** Guest time in ns that the instructions so far took; exact when `retired` is. */
  get elapsed(): bigint {
    return this.#retired + this.#charged;
  }

  /** The instruction under way takes so many ns more than the one that each takes. */
  charge(ns: bigint): void {
    this.#charged += ns;
    this.#since += Number(ns);
    this.#setLimit();
  }

  #setLimit(): void {
    const due = this.#deadline - this.#charged;
    this.#limit = due < this.#until ? due : this.#until;
  }

  // Snapshots ---------------------------------------------------------------------------------------------------------

  /** All that later instructions depend on beside memory; between two calls of `run`. Changes nothing. */
  save(): SavedEngine {
    const contexts = this.code.contexts();
    return {
      retired: this.#retired,
      charged: this.#charged,
      state: this.memory.bytes.slice(at.REGS, at.STATE_END),
      code: this.code.save(),
      translations: this.#translations.save(new Map(contexts.map(({ address }, i) => [address, i]))),
      granules: this.#codePages().map((page) => [page, this.state.u64(at.CODE_GRANULES + 8 * page)]),
    };
  }

  /** Host pages that are marked to hold code. */
  #codePages(): number[] {
    const pages = [at.VOID_PAGE >>> 12];
    const end = (at.RAM_BASE + this.memory.touchedBytes) >>> 12;
    for (let page = at.RAM_BASE >>> 12; page < end; page++) pages.push(page);
    return pages.filter((page) => this.pageHas(page, at.PAGE_CODE));
  }

  /** To where another engine of the same model was when it was saved; memory has its contents again. */
  restore(saved: SavedEngine): void {
    this.#retired = saved.retired;
    this.#charged = saved.charged;
    this.memory.bytes.set(saved.state, at.REGS);
    this.state.clearTransient();
    this.modeChanged();
    const contexts = this.code.rebuild(saved.code);
    for (const [page, map] of saved.granules) this.#markCode(page, map);
    this.#translations.restore(
      saved.translations,
      contexts.map(({ address }) => address),
    );
  }

  #markCode(page: number, map: bigint): void {
    const flags = at.PAGE_FLAGS + page;
    this.memory.bytes[flags] = (this.memory.bytes[flags] as number) | at.PAGE_CODE;
    this.state.setU64(at.CODE_GRANULES + 8 * page, map | this.state.u64(at.CODE_GRANULES + 8 * page));
  }

  /** Makes `run` come back before the next instruction. */
  stop(): void {
    this.#stop = true;
  }

  // Running -----------------------------------------------------------------------------------------------------------

  /**
   * Runs until `until` instructions are retired in all, or `deadline` ns have elapsed, or something ends it earlier.
   * Deterministic and exact: it comes back at the first instruction boundary at which that is so.
   */
  run(until: bigint, deadline = FOREVER): RunResult {
    this.#stop = false;
    this.#until = until;
    this.#deadline = deadline;
    this.#setLimit();
    this.#since = 0;
    this.state.setU64(at.TSC_START, this.timestamp());
    while (this.#retired < this.#limit) {
      if (this.#stop) return { kind: 'stopped' };
      if (this.state.u32(at.HALTED)) return { kind: 'halted' };
      const result = this.#slice(this.#limit - this.#retired);
      if (this.#repeated) this.#countRepeated();
      if (result) return result;
    }
    return this.state.u32(at.HALTED) ? { kind: 'halted' } : { kind: 'budget' };
  }

  #countRepeated(): void {
    this.#repeated = false;
    this.#retired++;
  }

  #slice(left: bigint): RunResult | undefined {
    if (debugActive(this.state)) return this.#debugged();
    return this.state.u32(at.INTERRUPT_SHADOW) ? this.#shadowed() : this.#stretch(left);
  }

  /** One instruction, with the debug exceptions that may come before and behind it. */
  #debugged(): RunResult | undefined {
    const step = beginStep(this, () => this.currentInstruction());
    if (isFault(step)) return this.#raise(step);
    const before = this.#retired;
    const result = this.state.u32(at.INTERRUPT_SHADOW) ? this.#shadowed() : this.#stretch(1n);
    const trap = endStep(this, step, this.#retired !== before);
    return (trap && this.#raise(trap)) ?? result;
  }

  /** The shadow of STI, MOV SS and POP SS ends with the instruction behind them, whatever that is (SDM 3A 6.8.3). */
  #shadowed(): RunResult | undefined {
    const before = this.#retired;
    const shadow = this.state.u32(at.INTERRUPT_SHADOW);
    const result = this.#stretch(1n);
    if (result || this.#retired === before) return result;
    // A load of SS behind STI casts a shadow of its own.
    if (this.state.u32(at.INTERRUPT_SHADOW) === shadow) this.state.setU32(at.INTERRUPT_SHADOW, 0);
    return this.#interrupted();
  }

  #interrupted(): RunResult | undefined {
    return this.#takesInterrupt() ? { kind: 'stopped' } : undefined;
  }

  #takesInterrupt(): boolean {
    if (this.state.u32(at.INTERRUPT_SHADOW)) return false;
    return this.#options.interruptRequested((this.state.u32(at.FLAGS_REST) & 0x200) !== 0);
  }

  #stretch(left: bigint): RunResult | undefined {
    const resume = this.#resume;
    this.#resume = 0;
    if (resume || this.#told !== this.state.rip) this.#told = undefined;
    const record = resume || this.#find();
    if (isFault(record)) return this.#raise(record);
    // Whoever was told of the code about to run may have asked to stop before it.
    if (this.#stop) return { kind: 'stopped' };
    this.state.setU32(at.PC, record);
    const exact = left <= BigInt(OVERRUN);
    const budget = exact ? Number(left) : Number(left < BigInt(SLICE) ? left : BigInt(SLICE)) - OVERRUN;
    if (exact || budget <= 0) this.#enterStep(exact ? budget : OVERRUN);
    else this.#enter(budget);
    return this.#handle();
  }

  #enter(budget: number): void {
    const end = this.#since + budget;
    this.state.setU32(at.TSC_SINCE, end >>> 0);
    this.state.setU32(at.TSC_SINCE + 4, Math.floor(end / 2 ** 32));
    this.#exports.run(budget);
    this.#count(budget - this.state.i32(at.COUNT));
  }

  #enterStep(budget: number): void {
    this.#exports.step(budget);
    this.#count(budget - this.state.i32(at.COUNT));
  }

  /** @param used instructions, and ns where one took more */
  #count(used: number): void {
    const delay = this.state.i32(at.DELAY);
    this.#retired += BigInt(used - delay);
    this.#since += used - delay;
    if (delay === 0) return;
    this.state.setU32(at.DELAY, 0);
    this.charge(BigInt(delay));
  }

  #handle(): RunResult | undefined {
    if (this.memory.full) {
      this.#takeFault();
      return { kind: 'memory-full' };
    }
    switch (this.state.u32(at.EXIT_REASON)) {
      case at.EXIT.FAULT:
        return this.#handleFault();
      case at.EXIT.MICRO:
        return this.#micro();
      case at.EXIT.STALE:
        this.forgetCode(this.state.rip);
        return undefined;
      case at.EXIT.PROBE:
        return this.#probed();
      case at.EXIT.MISS:
        return this.#missed();
      default:
        return undefined; // the budget: RIP says where to go on
    }
  }

  /**
   * RIP says where to go on. A direct jump beyond the code segment's limit is a fault of the jump (SDM 2A JMP); it has
   * changed nothing else. The other near branches look for themselves, and code that just runs on is found out by #find.
   */
  #missed(): RunResult | undefined {
    if (this.state.rip <= this.#mode.limit) return undefined;
    const { view } = this.memory;
    const record = this.state.u32(at.PC);
    if (this.code.isLink(view.getUint16(record + at.REC_HANDLER, true))) return undefined;
    const where = view.getUint32(record + at.REC_WHERE, true);
    this.state.rip = view.getBigUint64(((where >>> 12) << 8) + at.CTX_IP, true) + BigInt(where & 0xfff);
    this.#retired--;
    this.#since--;
    return this.#raise(fault(13, 0));
  }

  /**
   * Whoever is told of a probe may change anything: code, mappings, RIP. So the way to the instruction is looked up anew,
   * and only the probe met there again is stepped over.
   */
  #probed(): undefined {
    if (this.#told === this.state.rip) this.#resume = this.state.u32(at.PC) + at.RECORD_BYTES;
    else {
      this.#told = this.state.rip;
      this.onProbe?.();
    }
  }

  /** Record of the instruction at RIP. */
  #find(): number | Fault {
    const ip = this.state.rip;
    const { base, limit } = this.#mode;
    if (ip > limit) return fault(13, 0);
    const linear = BigInt.asUintN(64, ip + base);
    const known = this.#translations.record(linear);
    if (known) return known;
    for (;;) {
      const page = this.#codePage(linear);
      if (isFault(page)) return page;
      const context = this.code.context(ip, this.#mode, page);
      this.#translations.setFetch(linear, context.address);
      let missing: Fault | undefined;
      const record = this.code.record(context, ip, (nextIp) => {
        const next = this.#codePage(BigInt.asUintN(64, nextIp + base));
        if (!isFault(next)) {
          const following = this.code.context(nextIp, this.#mode, next);
          this.#translations.setFetch(BigInt.asUintN(64, nextIp + base), following.address);
          return next;
        }
        missing = next;
        return undefined;
      });
      if (record) return record;
      if (missing) return missing;
    }
  }

  #codePage(linear: bigint): CodePage | Fault {
    const physical = this.translate(linear, { fetch: true });
    if (isFault(physical)) return physical;
    const host = this.memory.hostOf(physical);
    // Code outside RAM: nothing answers there; all ones is what the bus gives.
    if (host === undefined) return this.#emptyPage(physical);
    return { hostPage: host >>> 12, physicalPage: Math.floor(physical / 4096) };
  }

  /** Fetching where nothing answers reads all ones: a page of 0xff in scratch, which decodes to #UD. */
  #emptyPage(physical: number): CodePage {
    this.memory.bytes.fill(0xff, at.VOID_PAGE, at.VOID_PAGE + 4096);
    return { hostPage: at.VOID_PAGE >>> 12, physicalPage: Math.floor(physical / 4096) };
  }

  // Exits -------------------------------------------------------------------------------------------------------------

  #takeFault(): { vector: number; error: number } {
    const vector = this.state.i32(at.FAULT_VECTOR);
    const error = this.state.i32(at.FAULT_ERROR);
    this.state.setU32(at.FAULT_VECTOR, at.FAULT_NONE >>> 0);
    this.state.setU32(at.FAULT_ERROR, 0xffffffff);
    return { vector, error };
  }

  #handleFault(): RunResult | undefined {
    const { vector, error } = this.#takeFault();
    if (vector === at.FAULT_WATCH) return this.#watched();
    if (vector === at.FAULT_CODE_STORE) return this.#codeStore();
    if (vector === at.FAULT_DEVICE) return this.#stepOver() ?? this.#interrupted();
    return this.#raise(this.#faultOf(vector, error));
  }

  /** The pending fault as data; a non-canonical address is #SS where the stack segment was used (SDM 3A 6.15). */
  #faultOf(vector: number, error: number): Fault {
    if (vector === at.FAULT_NONCANONICAL) {
      const insn = this.currentInstruction();
      if (isFault(insn)) return fault(13, 0);
      const stack = usesStackSegment(insn);
      insn.free();
      return fault(stack ? 12 : 13, 0);
    }
    if (vector === 14) return fault(14, error, BigInt.asUintN(64, this.state.u64(at.FAULT_ADDRESS)));
    return error < 0 ? fault(vector) : fault(vector, error);
  }

  #watched(): RunResult | undefined {
    this.onWatch?.({
      address: Number(this.state.u64(at.WATCH_ADDRESS)) as PhysAddr,
      size: this.state.u32(at.WATCH_SIZE),
      write: (this.state.u32(at.WATCH_KIND) & 1) === 1,
      at: this.#retired,
    });
    if (this.#stop) return { kind: 'stopped' };
    return this.#stepOver();
  }

  /** A store to decoded code: forget that code, then let the one instruction store. */
  #codeStore(): RunResult | undefined {
    const host = this.memory.hostOf(Number(this.state.u64(at.WATCH_ADDRESS)));
    if (host !== undefined) this.code.invalidate(host >>> 12);
    return this.#stepOver();
  }

  /** Runs one instruction that may touch watched pages and code freely. */
  #stepOver(): RunResult | undefined {
    const record = this.#find();
    if (isFault(record)) return this.#raise(record);
    this.state.setU32(at.PC, record);
    this.state.setU32(at.WATCH_BYPASS, 1);
    const before = this.#retired;
    this.#enterStep(1);
    if (this.state.u32(at.EXIT_REASON) === at.EXIT.PROBE && this.#retired === before) {
      // It was told of before; now it is run. (Else the probe is that of the instruction behind it.)
      this.state.setU32(at.PC, this.state.u32(at.PC) + at.RECORD_BYTES);
      this.#enterStep(1);
    }
    this.state.setU32(at.WATCH_BYPASS, 0);
    const touched = this.#pendingCode;
    this.#pendingCode = [];
    for (const hostPage of touched) this.code.invalidate(hostPage);
    return this.#handle();
  }

  /** The instruction of the record the engine left at, decoded once for each record. */
  #microcoded(): Instruction | Fault {
    const record = this.state.u32(at.PC);
    const known = this.#decoded.get(record);
    if (known) return known;
    // Without a page walk: whether it was decoded before must not show in accessed bits.
    const insn = this.code.instructionAt(record) ?? this.currentInstruction();
    if (isFault(insn)) return insn;
    if (this.#decoded.size >= DECODED_MOST) this.#forgetDecoded();
    this.#decoded.set(record, insn);
    return insn;
  }

  #forgetDecoded(): void {
    for (const insn of this.#decoded.values()) insn.free();
    this.#decoded.clear();
  }

  #micro(): RunResult | undefined {
    const insn = this.#microcoded();
    if (isFault(insn)) return this.#raise(insn);
    if (insn.code === Code.INVALID && this.#unfetchable()) return this.#raise(fault(13, 0));
    const before = this.state.u32(at.INTERRUPT_SHADOW);
    const result = execute(this, insn);
    if (isFault(result)) return this.#raise(result);
    if (before && this.state.u32(at.INTERRUPT_SHADOW) === before) this.state.setU32(at.INTERRUPT_SHADOW, 0);
    this.#retired++;
    this.#since++;
    if (this.onUserMode && this.state.cpl === 3) this.onUserMode();
    const trap = trapsAtOnce(this.state, insn);
    return (trap && this.#raise(trap)) ?? this.#interrupted();
  }

  /** Does the instruction need more than 15 bytes, or more than the code segment's limit leaves it? */
  #unfetchable(): boolean {
    const bytes = this.fetchBytes(this.state.rip);
    if (isFault(bytes)) return false;
    if (this.#fetchable(this.state.rip) < MAX_INSTRUCTION) return runsOut(bytes, this.#mode.bitness);
    return isTooLong(bytes, this.#mode.bitness);
  }

  /** Bytes of an instruction that the code segment's limit lets be fetched, at most 15. */
  #fetchable(ip: bigint): number {
    const behind = this.#mode.limit - ip;
    return behind < BigInt(MAX_INSTRUCTION) ? Math.max(0, Number(behind) + 1) : MAX_INSTRUCTION;
  }

  #raise(raised: Fault): RunResult | undefined {
    this.onFault?.(raised);
    const result = raise(this, raised);
    if (result.kind === 'triple-fault') return { kind: 'triple-fault', chain: result.chain };
    this.#delivered();
    return undefined;
  }

  /**
   * A handler whose first instruction faults, into itself perhaps, would go on for ever without retiring anything. So
   * that every run ends, and timers go on, an exception on the heels of another counts as an instruction.
   */
  #delivered(): void {
    const mark = this.#retired + 1n;
    if (this.state.u64(at.DELIVERED) === mark) this.#repeated = true;
    this.state.setU64(at.DELIVERED, mark);
  }

  /** The instruction at RIP, decoded afresh. The caller frees it. */
  currentInstruction(): Instruction | Fault {
    const bytes = this.fetchBytes(this.state.rip);
    if (isFault(bytes)) return bytes;
    return decodeOne(bytes, this.state.rip, this.#mode.bitness);
  }

  /** Up to 15 bytes of code at an instruction pointer; fewer where the next page cannot be fetched or CS ends. */
  fetchBytes(ip: bigint): Uint8Array | Fault {
    const linear = BigInt.asUintN(64, ip + this.#mode.base);
    const page = this.#codePage(linear);
    if (isFault(page)) return page;
    const offset = Number(linear & PAGE_MASK);
    const most = this.#fetchable(ip);
    const here = Math.min(most, 4096 - offset);
    const start = page.hostPage * 4096 + offset;
    const out = [...this.memory.bytes.slice(start, start + here)];
    if (here < most) {
      const next = this.#codePage(linear + BigInt(here));
      if (!isFault(next))
        out.push(...this.memory.bytes.slice(next.hostPage * 4096, next.hostPage * 4096 + most - here));
    }
    return Uint8Array.from(out);
  }

  // Cpu: what microcode asks for --------------------------------------------------------------------------------------

  translate(linear: bigint, access: Access): PhysAddr | Fault {
    const physical = this.#exports.walk(BigInt.asIntN(64, linear), accessBits(access, this.state.cpl));
    if (physical !== -1n) return Number(physical) as PhysAddr;
    const { vector, error } = this.#takeFault();
    if (vector === at.FAULT_NONCANONICAL) return fault(13, 0);
    return this.#faultOf(vector, error);
  }

  readLinear(linear: bigint, size: AccessBytes, access: Access = {}): bigint | Fault {
    return this.#misaligned(linear, size, access) ?? this.#linear.read(linear, size, access);
  }

  writeLinear(linear: bigint, size: AccessBytes, value: bigint, access: Access = {}): Fault | undefined {
    return this.#misaligned(linear, size, access) ?? this.#linear.write(linear, size, value, access);
  }

  #misaligned(linear: bigint, size: AccessBytes, access: Access): Fault | undefined {
    if (this.state.u32(at.MMU_CONTEXT) !== at.ALIGNED_CONTEXT) return undefined;
    if (access.implicit || access.unaligned || !(linear & BigInt(size - 1))) return undefined;
    return fault(17, 0);
  }

  readPhysical(address: PhysAddr, size: AccessBytes): bigint {
    return this.#linear.readPhysical(address, size);
  }

  flushTlb(_includeGlobal: boolean): void {
    this.#translations.clear();
  }

  flushPage(linear: bigint): void {
    this.#translations.dropPage(linear);
  }

  /** Watches or stops watching the pages of a physical range. @param flags PAGE_WATCH_READ, PAGE_WATCH_WRITE or both */
  watch(address: PhysAddr, length: number, flags: number, on: boolean): void {
    this.#translations.flagPages(address, length, flags, on);
  }

  /** Drops what is decoded of the page an address lies in: the records before an instruction lead to it without a look-up. */
  forgetCode(ip: bigint): void {
    const page = this.#codePage(BigInt.asUintN(64, ip + this.#mode.base));
    if (!isFault(page)) this.code.invalidate(page.hostPage);
  }

  /** Host pages with one of the flags PAGE_WRITTEN, PAGE_READ or PAGE_FRESH; clears it everywhere, so that accesses set it anew. */
  takePages(flag: number): number[] {
    return this.#translations.takePages(flag);
  }

  pageHas(hostPage: number, flag: number): boolean {
    return ((this.memory.bytes[at.PAGE_FLAGS + hostPage] as number) & flag) !== 0;
  }

  /** Recomputes what follows from CR0, CR4, EFER, CS, SS, CPL and RFLAGS.AC. */
  modeChanged(): void {
    const mode = recomputeMode(this.state, this.model);
    // What is cached of fetches names code that was decoded in the old mode.
    if (!sameMode(mode, this.#mode)) this.#translations.clear();
    this.#mode = mode;
  }

  /** How code is decoded now. */
  get mode(): CodeMode {
    return this.#mode;
  }

  timestamp(): bigint {
    return this.#options.timestamp(this.elapsed);
  }

  random(): bigint {
    return this.#options.random();
  }

  unimplemented(what: string): void {
    this.#options.unimplemented(what);
  }
}

/** Does a memory access of the instruction go through SS: an operand based on RSP or RBP, or the stack itself? */
function usesStackSegment(insn: Instruction): boolean {
  for (let i = 0; i < insn.opCount; i++) {
    if (insn.opKind(i) === OpKind.Memory) return insn.memorySegment === Register.SS;
  }
  return insn.isStackInstruction;
}

// The interpreter seen from outside: enters the generated engine, and does what that is left for: looks up code it does
// not know, runs microcode, delivers exceptions, steps; and counts.

import { Code, type Instruction, OpKind, Register } from 'iced-x86';
import { type PhysAddr, physAddr } from '../../bits/address.ts';
import { FLAGS } from '../../x86/flags.ts';
import type { CpuModel } from '../../x86/models.ts';
import { Budget } from './budget.ts';
import { CodeCache, type CodeWires } from '../decode/codeCache.ts';
import type { CodeMode } from '../state/codeContext.ts';
import {
  type Access,
  type AccessBytes,
  type ApicRegisters,
  type Cpu,
  type Fault,
  fault,
  isFault,
  type PortIo,
} from '../state/cpu.ts';
import { DecodedInstructions } from './decodedInstructions.ts';
import { builtEngine, type EngineExports, engineInstance } from '../binding/instance.ts';
import type { VariantName } from '../binding/variants.ts';
import { Fetch } from './fetch.ts';
import { hostCalls } from './hostCalls.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';
import { KnownPorts } from './knownPorts.ts';
import { accessBits, type DeviceBus, LinearAccess } from './linearAccess.ts';
import type { GuestMemory } from '../state/memory.ts';
import { raise, type FaultLink } from '../microcode/delivery.ts';
import { execute } from '../microcode/execute.ts';
import { beginStep, debugActive, endStep, trapsAtOnce } from '../microcode/stepping.ts';
import { recomputeMode } from './mode.ts';
import { withReasons } from './reason.ts';
import { type Observation, type Observer, Observing } from './observing.ts';
import type { SavedEngine } from './savedEngine.ts';
import { CpuState } from '../state/state.ts';
import { Translations } from '../mmu/translations.ts';

export type EngineOptions = {
  /** Which processor it is of, by number; 0 where not given. */
  readonly processor?: number | undefined;
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
  /** Which engine; what a guest does is the same in each. */
  readonly variant?: VariantName | undefined;
};

/** Why `run` came back. */
export type RunResult =
  | { readonly kind: 'budget' }
  | { readonly kind: 'halted' }
  | { readonly kind: 'stopped' }
  /** The guest touched more RAM than the host gives it. */
  | { readonly kind: 'memory-full' }
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] };

/** A run may go past its budget by less than this, so the last stretch is stepped. */
const OVERRUN = 1024;
/** V8 replaces a function's first, slow code only between calls; so the engine is left now and then. */
const SLICE = 1_000_000;

export class Engine implements Cpu {
  readonly state: CpuState;
  readonly memory: GuestMemory;
  readonly model: CpuModel;
  readonly ports: PortIo;
  readonly apic: ApicRegisters | undefined;
  readonly code: CodeCache;
  readonly #translations: Translations;
  readonly #linear: LinearAccess;
  readonly #fetch: Fetch;
  readonly #exports: EngineExports;
  readonly #options: EngineOptions;
  readonly #budget = new Budget();
  readonly #knownPorts: KnownPorts;
  #stop = false;
  #running = false;
  /** Two exceptions came one upon the other, with no instruction retired in between. */
  #repeated = false;
  #pendingCode: number[] = [];
  readonly #decoded: DecodedInstructions;
  readonly #observing: Observing;
  /** RIP of the probe that was just told of, and the record behind it once it is met again; both hold for one slice. */
  #told: bigint | undefined;
  #resume = 0;

  constructor(options: EngineOptions) {
    const { variant = 'plain' } = options;
    this.#options = options;
    this.memory = options.memory;
    this.model = options.model;
    this.ports = options.ports;
    this.apic = options.apic;
    this.state = new CpuState(this.memory.wasm, options.processor);
    this.#knownPorts = new KnownPorts(this.state, this.memory);
    this.#translations = new Translations(this.memory, this.state);
    this.#observing = new Observing(this.memory, this.#translations, () => this.code);
    this.code = new CodeCache(this.memory, builtEngine(variant).numbers, options.model.features, this.#codeWires());
    const translate = (linear: bigint, access: Access): PhysAddr | Fault => this.translate(linear, access);
    this.#linear = new LinearAccess(this.memory, this.code, options.devices, translate);
    this.#fetch = new Fetch(this.memory, this.code, this.#translations, translate);
    // Without a page walk: whether it was decoded before must not show in accessed bits.
    this.#decoded = new DecodedInstructions((record) => this.code.instructionAt(record) ?? this.currentInstruction());
    this.#exports = engineInstance(
      variant,
      hostCalls(this.state, this.memory, options.devices, (hostPage) => this.#pendingCode.push(hostPage)),
    );
    this.memory.connect({
      hostWrote: (hostPage) => this.code.invalidate(hostPage),
      touched: (chunk) => this.#observing.watches.touched(chunk),
      stored: (address, size) => this.#stored(address, size),
    });
    this.state.setU32(at.FAULT_VECTOR, at.FAULT_NONE >>> 0);
  }

  #codeWires(): CodeWires {
    const { probes } = this.#observing;
    return {
      opened: (context) => this.#observing.tell('code', [context]),
      isWanted: (insn, context, offset) => probes.choose(insn, context, offset),
      flushed: () => {
        this.#translations.lookAtAll();
        // Records are laid anew from the start; the ones known by their address are gone.
        this.#decoded.forget();
        this.#resume = 0;
        probes.forget();
      },
      codePage: (hostPage) => this.#translations.lookAtWrites(hostPage),
    };
  }

  /**
   * Has somebody told of what happens, until what is given back is disposed of. Any number may watch, in the order in which
   * they came, each told of what it asked for itself; whether anybody does shows neither in the guest nor in any count.
   * One that is added by a callback is told from the next event on, one that is disposed of by one of nothing more.
   * @param last it is told behind those that are not
   */
  observe(observer: Observer, last = false): Observation {
    return this.#observing.add(observer, last);
  }

  /** Instructions retired since the machine started. Exact whenever microcode or a device runs. */
  get retired(): bigint {
    return this.#budget.retired;
  }
  set retired(value: bigint) {
    this.#budget.retired = value;
  }

  /** Guest time in ns that the instructions so far took; exact when `retired` is. */
  get elapsed(): bigint {
    return this.#budget.elapsed;
  }

  /** The instruction under way takes so many ns more than the one that each takes. */
  charge(ns: bigint): void {
    this.#budget.charge(ns);
  }

  /** All that later instructions depend on beside memory; between two calls of `run`. Changes nothing. */
  save(): SavedEngine {
    const { retired, charged } = this.#budget;
    const state = this.state.save();
    return { retired, charged, state, code: this.code.save(), translations: this.#translations.save() };
  }

  /** To where another engine, of any variant and the same model, was when it was saved; memory has its contents again. */
  restore(saved: SavedEngine): void {
    this.#budget.retired = saved.retired;
    this.#budget.charged = saved.charged;
    this.#told = undefined;
    this.#resume = 0;
    this.#repeated = false;
    this.#pendingCode = [];
    this.memory.bytes.set(saved.state, at.REGS);
    this.state.clearTransient();
    this.modeChanged();
    this.code.restore(saved.code);
    const hostOf = (page: number): number => this.memory.touchedHostOf(4096 * page) ?? at.VOID_PAGE;
    this.#translations.restore(saved.translations, (page) => hostOf(page) >>> 12);
    this.#observing.watches.anew();
  }

  portKnown(port: number, value: number, ns: number): void {
    this.#knownPorts.set(port, value, ns);
  }

  portsChange(): void {
    this.#knownPorts.forget();
  }

  /** Is every read of a port to be made, so that it can be told of? Else those are not that would give the same again. */
  showPorts(shown: boolean): void {
    this.#knownPorts.show(shown);
  }

  /** Is a read of one byte about to be made that would not be made if ports were not shown? */
  portRepeats(port: number): boolean {
    return this.#knownPorts.repeats(port);
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
  run(until: bigint, deadline?: bigint): RunResult {
    this.#running = true;
    const result = this.#run(until, deadline);
    this.#running = false;
    return result;
  }

  #run(until: bigint, deadline?: bigint): RunResult {
    this.#stop = false;
    // Time may have come to chips, or bytes to them, since the last run.
    this.portsChange();
    this.#budget.begin(until, deadline);
    this.state.setU64(at.TSC_START, this.timestamp());
    for (let left = this.#budget.left; left > 0n; left = this.#budget.left) {
      if (this.#stop) return { kind: 'stopped' };
      if (this.state.u32(at.HALTED)) return { kind: 'halted' };
      if (this.#observing.steps) this.#observing.tell('step', []);
      if (this.#stop) return { kind: 'stopped' };
      const result = this.#slice(this.#observing.steps ? 1n : left);
      if (this.#repeated) this.#countRepeated();
      if (result) return result;
    }
    return this.state.u32(at.HALTED) ? { kind: 'halted' } : { kind: 'budget' };
  }

  #countRepeated(): void {
    this.#repeated = false;
    this.#budget.retired++;
  }

  #slice(left: bigint): RunResult | undefined {
    if (debugActive(this.state)) return this.#debugged();
    return this.state.u32(at.INTERRUPT_SHADOW) ? this.#shadowed() : this.#stretch(left);
  }

  /** One instruction, with the debug exceptions that may come before and behind it. */
  #debugged(): RunResult | undefined {
    const step = beginStep(this, () => this.currentInstruction());
    if (isFault(step)) return this.#raise(step);
    const before = this.#budget.retired;
    const result = this.state.u32(at.INTERRUPT_SHADOW) ? this.#shadowed() : this.#stretch(1n);
    const trap = endStep(this, step, this.#budget.retired !== before);
    return (trap && this.#raise(trap)) ?? result;
  }

  /** The shadow of STI, MOV SS and POP SS ends with the instruction behind them, whatever that is (SDM 3A 6.8.3). */
  #shadowed(): RunResult | undefined {
    const before = this.#budget.retired;
    const shadow = this.state.u32(at.INTERRUPT_SHADOW);
    const result = this.#stretch(1n);
    if (result || this.#budget.retired === before) return result;
    // A load of SS behind STI casts a shadow of its own.
    if (this.state.u32(at.INTERRUPT_SHADOW) === shadow) this.state.setU32(at.INTERRUPT_SHADOW, 0);
    return this.#interrupted();
  }

  #interrupted(): RunResult | undefined {
    return this.#takesInterrupt() ? { kind: 'stopped' } : undefined;
  }

  #takesInterrupt(): boolean {
    if (this.state.u32(at.INTERRUPT_SHADOW)) return false;
    return this.#options.interruptRequested((this.state.u32(at.FLAGS_REST) & FLAGS.IF) !== 0);
  }

  #stretch(left: bigint): RunResult | undefined {
    if (this.#observing.probes.due.size > 0) this.#decodeAgain();
    const resume = this.#resume;
    this.#resume = 0;
    if (resume || this.#told !== this.state.rip) this.#told = undefined;
    const record = resume || this.#fetch.record(this.state.rip);
    if (isFault(record)) return this.#raise(record);
    // Whoever was told of the code about to run may have asked to stop before it.
    if (this.#stop) return { kind: 'stopped' };
    this.state.setU32(at.PC, record);
    const exact = left <= BigInt(OVERRUN);
    const budget = exact ? Number(left) : Number(left < BigInt(SLICE) ? left : BigInt(SLICE)) - OVERRUN;
    if (exact || budget <= 0) this.#enterStep(exact ? budget : OVERRUN);
    else this.#enter(budget);
    if (this.state.u32(at.EXIT_REASON) !== at.EXIT.PROBE) this.#told = undefined;
    return this.#handle();
  }

  /** Other instructions are wanted by those who watch. The way to the next one is looked up anew. */
  #decodeAgain(): void {
    const { due } = this.#observing.probes;
    const contexts = [...due];
    due.clear();
    this.#resume = 0;
    for (const { hostPage } of contexts) this.code.forget(hostPage);
  }

  #enter(budget: number): void {
    const end = this.#budget.since + budget;
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
    if (delay !== 0) this.state.setU32(at.DELAY, 0);
    this.#budget.count(used - delay, delay);
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
   * changed nothing else. The other near branches look for themselves, and code that just runs on is found out where it is fetched.
   */
  #missed(): RunResult | undefined {
    if (this.state.rip <= this.#fetch.mode.limit) return undefined;
    const { view } = this.memory;
    const record = this.state.u32(at.PC);
    if (this.code.isLink(view.getUint16(record + rec.REC_HANDLER, true))) return undefined;
    const where = view.getUint32(record + rec.REC_WHERE, true);
    this.state.rip = view.getBigUint64(((where >>> 12) << 8) + at.CTX_IP, true) + BigInt(where & 0xfff);
    this.#budget.count(-1, 0);
    return this.#raise(fault('branch-target-beyond-limit', 13, 0));
  }

  /**
   * Whoever is told of a probe may change anything: code, mappings, RIP. So the way to the instruction is looked up anew,
   * and only the probe met there again is stepped over.
   */
  #probed(): undefined {
    if (this.#told === this.state.rip) this.#resume = this.state.u32(at.PC) + rec.RECORD_BYTES;
    else {
      this.#told = this.state.rip;
      this.#observing.tellInstruction(this.memory.view.getUint32(this.state.u32(at.PC) + rec.REC_WHERE, true), {
        linear: BigInt.asUintN(64, this.state.rip + this.mode.base),
        at: this.#budget.retired,
      });
    }
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
    if (vector === at.FAULT_DEVICE) return this.#stepOver(at.BYPASS.ALL) ?? this.#interrupted();
    return this.#raise(this.#faultOf(vector, error));
  }

  /** The pending fault as data; a non-canonical address is #SS where the stack segment was used (SDM 3A 6.15). */
  #faultOf(vector: number, error: number): Fault {
    if (vector === at.FAULT_NONCANONICAL) {
      const insn = this.currentInstruction();
      if (isFault(insn)) return fault('address-not-canonical', 13, 0);
      const stack = usesStackSegment(insn);
      insn.free();
      return fault('address-not-canonical', stack ? 12 : 13, 0);
    }
    if (vector === 14) return fault('by-instruction', 14, error, BigInt.asUintN(64, this.state.u64(at.FAULT_ADDRESS)));
    return fault('by-instruction', vector, error < 0 ? undefined : error);
  }

  /** What is stored between two runs (an interrupt's frame, a chip's data) comes behind the instruction before. */
  #stored(address: number, size: number): void {
    if (!this.#observing.storesSeen) return;
    const hostPage = (this.memory.hostOf(address) as number) >>> 12;
    const { retired } = this.#budget;
    const store = { address: address as PhysAddr, size, at: this.#running ? retired : retired - 1n };
    this.#observing.tellStore(store, hostPage);
  }

  /** Whoever watches the page is told; then the instruction runs, past this watch and up to the next that it meets. */
  #watched(): RunResult | undefined {
    const address = Number(this.state.u64(at.WATCH_ADDRESS)) as PhysAddr;
    const write = (this.state.u32(at.WATCH_KIND) & 1) === 1;
    const access = { address, size: this.state.u32(at.WATCH_SIZE), write, at: this.#budget.retired };
    const { watches } = this.#observing;
    const hostPage = (this.memory.hostOf(address) as number) >>> 12;
    const flag = write ? at.PAGE_WATCH_WRITE : at.PAGE_WATCH_READ;
    this.#observing.tellAccess(access, hostPage, flag);
    if (this.#stop) {
      watches.lower();
      return { kind: 'stopped' };
    }
    if (watches.atMostOne) return this.#stepOver(at.BYPASS.WATCHES);
    watches.lift(hostPage, flag);
    const result = this.#stepOver(at.BYPASS.NOTHING);
    watches.lower();
    return result;
  }

  /** A store to decoded code: forget that code, then let the one instruction store. */
  #codeStore(): RunResult | undefined {
    const host = this.memory.hostOf(Number(this.state.u64(at.WATCH_ADDRESS)));
    if (host !== undefined) this.code.invalidate(host >>> 12);
    return this.#stepOver(at.BYPASS.ALL) ?? this.#interrupted();
  }

  /**
   * Runs one instruction that may touch watched pages freely, or code and devices too. What it meets behind a watch goes as
   * it would without the watch: the count of a repeated instruction hangs on it.
   */
  #stepOver(bypass: at.Bypass): RunResult | undefined {
    if (this.#observing.probes.due.size > 0) this.#decodeAgain();
    const record = this.#fetch.record(this.state.rip);
    if (isFault(record)) return this.#raise(record);
    this.state.setU32(at.PC, record);
    this.state.setU32(at.WATCH_BYPASS, bypass);
    const before = this.#budget.retired;
    this.#enterStep(1);
    if (this.state.u32(at.EXIT_REASON) === at.EXIT.PROBE && this.#budget.retired === before) {
      // It was told of before; now it is run. (Else the probe is that of the instruction behind it.)
      this.state.setU32(at.PC, this.state.u32(at.PC) + rec.RECORD_BYTES);
      this.#enterStep(1);
    }
    this.state.setU32(at.WATCH_BYPASS, 0);
    const touched = this.#pendingCode;
    this.#pendingCode = [];
    for (const hostPage of touched) this.code.invalidate(hostPage);
    return this.#handle();
  }

  #micro(): RunResult | undefined {
    const insn = this.#decoded.of(this.state.u32(at.PC));
    if (isFault(insn)) return this.#raise(insn);
    const unfetchable = insn.code === Code.INVALID ? this.#fetch.unfetchable(this.state.rip) : undefined;
    if (unfetchable) return this.#raise(fault(unfetchable, 13, 0));
    const before = this.state.u32(at.INTERRUPT_SHADOW);
    const result = execute(this, insn);
    if (isFault(result)) return this.#raise(result);
    if (before && this.state.u32(at.INTERRUPT_SHADOW) === before) this.state.setU32(at.INTERRUPT_SHADOW, 0);
    this.#budget.retire();
    if (this.#observing.userModes && this.state.cpl === 3) this.#observing.tell('userMode', []);
    const trap = trapsAtOnce(this.state, insn);
    return (trap && this.#raise(trap)) ?? this.#interrupted();
  }

  #raise(raised: Fault): RunResult | undefined {
    this.#observing.tell('fault', [raised]);
    const result = raise(this, raised);
    if (result.kind === 'triple-fault') return { kind: 'triple-fault', chain: this.#explained(result.chain) };
    this.#delivered();
    // A task gate may have led to flags with IF.
    return this.#interrupted();
  }

  #explained(chain: readonly FaultLink[]): readonly FaultLink[] {
    const insn = this.currentInstruction();
    const explained = withReasons(this, chain, isFault(insn) ? undefined : insn, (address, bytes) =>
      this.memory.hostOf(Number(address)) === undefined
        ? undefined
        : this.readPhysical(physAddr(Number(address)), bytes),
    );
    if (!isFault(insn)) insn.free();
    return explained;
  }

  /**
   * A handler whose first instruction faults, into itself perhaps, would go on for ever without retiring anything. So
   * that every run ends, and timers go on, an exception on the heels of another counts as an instruction.
   */
  #delivered(): void {
    const mark = this.#budget.retired + 1n;
    if (this.state.u64(at.DELIVERED) === mark) this.#repeated = true;
    this.state.setU64(at.DELIVERED, mark);
  }

  /** The instruction at RIP, decoded afresh. The caller frees it. */
  currentInstruction(): Instruction | Fault {
    return this.#fetch.instruction(this.state.rip);
  }

  /** Up to 15 bytes of code at an instruction pointer; fewer where the next page cannot be fetched or CS ends. */
  fetchBytes(ip: bigint): Uint8Array | Fault {
    return this.#fetch.bytes(ip);
  }

  // Cpu: what microcode asks for --------------------------------------------------------------------------------------

  translate(linear: bigint, access: Access): PhysAddr | Fault {
    const physical = this.#exports.walk(BigInt.asIntN(64, linear), accessBits(access, this.state.cpl));
    if (physical !== -1n) return Number(physical) as PhysAddr;
    const { vector, error } = this.#takeFault();
    if (vector === at.FAULT_NONCANONICAL) {
      return fault(access.fetch ? 'fetch-not-canonical' : 'address-not-canonical', 13, 0);
    }
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
    return fault('alignment-check', 17, 0);
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

  /** Drops what is decoded of the page an address lies in: the records before an instruction lead to it without a look-up. */
  forgetCode(ip: bigint): void {
    this.#fetch.forget(ip);
  }

  /** Host pages with one of the flags PAGE_WRITTEN, PAGE_READ or PAGE_FRESH; clears it everywhere, so that accesses set it anew. */
  takePages(flag: number): number[] {
    return this.#translations.takePages(flag);
  }

  /** As `takePages`, and leaves the flag where it is. */
  pagesWith(flag: number): number[] {
    return this.#translations.pagesWith(flag);
  }

  /** Host pages whose bytes may differ from what they were when this was last asked; others do not. Has one reader. */
  takeChanged(): Set<number> {
    return this.#translations.takeChanged();
  }

  /** As `takeChanged`, and goes on counting from where it was. */
  changed(): Set<number> {
    return this.#translations.changed();
  }

  pageHas(hostPage: number, flag: number): boolean {
    return ((this.memory.bytes[at.PAGE_FLAGS + hostPage] as number) & flag) !== 0;
  }

  /** Recomputes what follows from CR0, CR4, EFER, CS, SS, CPL and RFLAGS.AC. */
  modeChanged(): void {
    this.#fetch.changeMode(recomputeMode(this.state, this.model));
  }

  /** How code is decoded now. */
  get mode(): CodeMode {
    return this.#fetch.mode;
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

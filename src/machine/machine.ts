// A whole PC that runs: memory, processor, and the board with its chips (pc.ts). Guest time is retired
// instructions, one nanosecond each, plus what PAUSE and accesses to chips take longer, plus what the processor slept in
// HLT; nothing else moves a clock.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { VariantName } from '../cpu/binding/variants.ts';
import { Engine } from '../cpu/interpret/engine.ts';
import * as at from '../cpu/state/layout.ts';
import { GuestMemory } from '../cpu/state/memory.ts';
import { type FaultLink, raise } from '../cpu/microcode/delivery.ts';
import { reset } from '../cpu/microcode/reset.ts';
import type { Observation, Observer } from '../cpu/interpret/observing.ts';
import { Entry, Observers } from '../cpu/state/observers.ts';
import { plainEngine, readEngine } from '../cpu/interpret/savedEngine.ts';
import type { Device, ResetSource, TimedDevice } from '../devices/device.ts';
import type { LocalApic } from '../devices/localApic.ts';
import type { PostCode } from '../devices/debugPorts.ts';
import type { Uart16550 } from '../devices/uart16550.ts';
import { FLAGS } from '../x86/flags.ts';
import { MSR_IA32_TSC_ADJUST, msrSlot } from '../x86/msr.ts';
import { VECTOR } from '../x86/vectors.ts';
import { type CommandPorts, restoreCommand, saveCommand } from './command.ts';
import type { Console } from './console.ts';
import { type Hashed, hashOf, partsOf, type StatePart } from './hash.ts';
import { type InputByte, type InputPort, SerialInput } from './input.ts';
import type { Interrupts, ProcessorInterrupts } from './interrupts.ts';
import type { MemoryBus } from './memoryBus.ts';
import { attachChips, type Board, type ByteSource, emptyBoard, type MachineConfig, makeRom, type Wires } from './pc.ts';
import type { PortAccess, PortBus } from './portBus.ts';
import { SplitMix64 } from './random.ts';
import { restoreChips, saveChips } from './savedChips.ts';
import type { TextScreen } from './textScreen.ts';
import { type Unimplemented, UnimplementedList } from './unimplemented.ts';

/** Why the machine stopped by itself. */
export type MachineStop =
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] }
  | { readonly kind: 'reset'; readonly source: ResetSource }
  | { readonly kind: 'halt' }
  | { readonly kind: 'powered-off' }
  /** The guest wrote this to the debug-exit port. */
  | { readonly kind: 'debug-exit'; readonly value: number }
  /** The guest touched more RAM than the host gives it. */
  | { readonly kind: 'memory-full' }
  /** Somebody called requestStop. */
  | { readonly kind: 'requested' };

const TSC_ADJUST = at.msrAddress(msrSlot(MSR_IA32_TSC_ADJUST));
/** Bytes that chips may move in memory before `run` comes back: a guest has them move gigabytes in few instructions. */
export const MOST_MOVED = 64 * 2 ** 20;
/** Timer events a halted processor sleeps through before it is said to sleep for ever. */
const MASKED_EVENTS = 1_000_000;

/** What can be observed of a whole machine. */
export type MachineObserver = Observer & {
  /** A byte that was printed. */
  byte?(byte: number, from: ByteSource): void;
  /** An access to a port: a read when its value is known, a write before the chip gets it. */
  port?(access: PortAccess): void;
  /**
   * An access to a chip, by its name ('' for a port that nobody answers), in port space or memory. Reads of a port that the
   * engine answers by itself, because they would give the same again, are none.
   */
  chip?(name: string, write: boolean): void;
  /** An interrupt that was taken: its handler is about to run. */
  interrupt?(vector: number): void;
};

export class Machine {
  readonly config: MachineConfig;
  readonly memory: GuestMemory;
  /** By number. */
  readonly processors: readonly Engine[];
  /** Processor 0, which firmware starts: the only one that runs. */
  readonly engine: Engine;
  readonly console: Console;
  readonly screen: TextScreen;
  readonly uart: Uart16550;
  readonly postCode: PostCode;
  readonly #ports: PortBus;
  /** Where the configuration asks for it. */
  readonly command: CommandPorts | undefined;
  readonly #devices: readonly Device[];
  readonly #timed: readonly TimedDevice[];
  readonly #unimplemented = new UnimplementedList();
  readonly #interrupts: Interrupts;
  /** The number of the processor that runs. */
  readonly #running = 0;
  readonly #input: SerialInput;
  readonly #bus: MemoryBus;
  #slept = 0n;
  #reset: ResetSource | undefined;
  #poweredOff = false;
  #moved = 0;
  #debugExit: number | undefined;
  #stopRequested = false;
  /** The last stretch was left for a requested stop, before the interrupt that may have been due behind it was taken. */
  #leftEarly = false;
  readonly #random: SplitMix64;
  readonly #observers = new Observers<MachineObserver>();

  /** @param variant which engine; nothing of a run hangs on it */
  constructor(config: MachineConfig, variant?: VariantName) {
    const { model, seed, input = [] } = config;
    this.config = config;
    this.#random = new SplitMix64(BigInt(seed));
    this.memory = new GuestMemory(config.rom ? [...config.ram, config.rom] : config.ram);
    const board = emptyBoard(config, this.#wires());
    this.#bus = board.bus;
    this.#ports = board.ports;
    this.#interrupts = board.interrupts;
    this.console = board.console;
    this.processors = board.interrupts.processors.map(({ localApic }, processor) =>
      this.#processor(processor, board, localApic, variant),
    );
    this.engine = this.processors[0] as Engine;
    const pc = attachChips(board);
    this.#devices = pc.devices;
    this.#timed = pc.timed;
    this.screen = pc.screen;
    this.uart = pc.uart;
    this.postCode = pc.postCode;
    this.command = pc.command;
    this.#input = new SerialInput(pc.receivers, input);
    if (config.rom) makeRom(this.memory, config.rom);
    reset(this.engine.state, model);
    this.engine.modeChanged();
  }

  #processor(processor: number, { ports, bus, config }: Board, apic?: LocalApic, variant?: VariantName): Engine {
    return new Engine({
      processor,
      memory: this.memory,
      model: config.model,
      ports,
      apic,
      devices: bus,
      random: () => this.#random.next(),
      timestamp: (elapsed) => elapsed + this.#slept + BigInt(config.seed),
      interruptRequested: (enabled) => this.#requested(processor, enabled),
      unimplemented: (what) => this.#unimplemented.note(what),
      variant,
    });
  }

  /** What the chips' lines lead to. */
  #wires(): Wires {
    const { seed } = this.config;
    return {
      memory: this.memory,
      clock: { now: () => this.now },
      running: () => this.#running,
      tscOffset: (processor) => {
        const { state } = this.processors[processor] as Engine;
        return BigInt(seed) + BigInt.asIntN(64, state.u64(TSC_ADJUST));
      },
      // Whoever moves the next event tells, so that no event comes later than it should.
      changed: () => this.engine?.stop(),
      charge: (ns) => this.engine.charge(ns),
      reset: (source) => {
        this.#reset ??= source;
        this.engine.stop();
      },
      powerOff: () => {
        this.#poweredOff = true;
        this.engine.stop();
      },
      debugExit: (value) => {
        this.#debugExit ??= value;
        this.engine.stop();
      },
      forgetCode: (hostPage) => this.engine.code.invalidate(hostPage),
      moved: (bytes) => {
        this.#moved += bytes;
      },
      byte: (byte, from) => this.#observers.tell('byte', [byte, from]),
      chip: (name, write) => this.#observers.tell('chip', [name, write]),
      port: {
        accessed: (access) => this.#observers.tell('port', [access]),
        isRepeated: (port) => this.engine.portRepeats(port),
      },
      note: (what, device) => this.#unimplemented.note(what, device),
      unimplemented: (what) => this.#unimplemented.noteOfChip(what),
    };
  }

  /** What the guest asked for that this machine does not have, in the order it was first asked for. */
  get unimplemented(): readonly Unimplemented[] {
    return this.#unimplemented.all;
  }

  /** Guest time in nanoseconds. */
  get now(): bigint {
    return this.engine.elapsed + this.#slept;
  }

  /** Bytes that chips have moved in memory. It is about the host's work only: no state of the guest. */
  get moved(): number {
    return this.#moved;
  }

  /** What arrived at the serial port so far: with it as `input`, the same configuration gives the same run. */
  get inputLog(): readonly InputByte[] {
    return this.#input.log;
  }

  /** Types at a port. Bytes arrive between two calls of `run` or events, when the port has room. */
  type(bytes: Uint8Array, port: InputPort = 'com1'): void {
    this.#input.type(bytes, port);
  }

  /** Typed bytes that have not arrived yet. */
  get inputWaiting(): number {
    return this.#input.waiting;
  }

  /** May anything be typed yet, as far as the machine knows? */
  get inputToCome(): boolean {
    return this.#input.next() !== undefined || this.#input.waiting > 0;
  }

  /** Guest time of what each chip that keeps time does next; undefined where nothing is coming from it. */
  get nextEvents(): readonly (bigint | undefined)[] {
    return this.#timed.map((chip) => chip.nextEvent());
  }

  /** May an NMI come with the processor doing nothing for it? */
  get nmiMayCome(): boolean {
    return this.#interrupts.processors.some(({ nmi }) => nmi.pending() || nmi.awaited());
  }

  /** Is an interrupt waiting that would be taken with RFLAGS.IF set? */
  get interruptWaits(): boolean {
    return this.#requested(this.#running, true);
  }

  /** As Engine.observe, of the board too. */
  observe(observer: MachineObserver, last = false): Observation {
    const entry = this.#observers.add(new Entry(observer, last));
    this.#showPorts();
    return this.engine.observe(observer, last).with(() => {
      this.#observers.remove(entry);
      this.#showPorts();
    });
  }

  /** Reads that the engine answers by itself are told of only if it does not. */
  #showPorts(): void {
    this.engine.showPorts(this.#observers.has('port'));
  }

  /** Makes `run` come back after the instruction under way. */
  requestStop(): void {
    this.#stopRequested = true;
    this.engine.stop();
  }

  /** Runs until so many instructions are retired in all, or until it stops by itself; less far where MOST_MOVED bytes moved. */
  run(until: bigint): MachineStop | undefined {
    const most = this.#moved + MOST_MOVED;
    while (this.engine.retired < until && this.#moved <= most) {
      const stop = this.#stretch(until);
      if (stop) return stop;
    }
    return undefined;
  }

  /** Up to the next timer event. */
  #stretch(until: bigint): MachineStop | undefined {
    const early = this.#input.deliver(this.now) || this.#leftEarly ? this.#interrupt(false) : undefined;
    this.#leftEarly = false;
    if (early) return early;
    if (this.#asked()) return { kind: 'requested' };
    const event = this.#nextEvent();
    // One more may wait already where the last went through a trap gate: it comes behind an instruction, so that all ends.
    const most = this.#due() ? this.engine.retired + 1n : until;
    const result = this.engine.run(most, event === undefined ? undefined : event - this.#slept);
    const ended = this.#ended();
    if (ended) return ended;
    if (result.kind === 'memory-full') return { kind: 'memory-full' };
    if (result.kind === 'triple-fault') return { kind: 'triple-fault', chain: result.chain };
    this.#advance();
    const stop = this.#interrupt(result.kind === 'halted');
    return stop ?? (this.#asked() ? { kind: 'requested' } : undefined);
  }

  /** Was a stop requested between two instructions? Then nothing is left behind. */
  #asked(): boolean {
    const asked = this.#stopRequested;
    this.#stopRequested = false;
    return asked;
  }

  /** What chips or whoever watches had the processor stop for. */
  #ended(): MachineStop | undefined {
    if (this.#debugExit !== undefined) return { kind: 'debug-exit', value: this.#debugExit };
    if (this.#poweredOff) return { kind: 'powered-off' };
    if (this.#reset) return { kind: 'reset', source: this.#reset };
    if (!this.#stopRequested) return undefined;
    this.#stopRequested = false;
    this.#leftEarly = true;
    return { kind: 'requested' };
  }

  /** @param asleep leave out what no interrupt can come of: the 8254 behind a mask ticks for ever */
  #nextEvent(asleep = false): bigint | undefined {
    let first = this.#input.next();
    for (const device of this.#timed) {
      if (asleep && device.irq !== undefined && !this.#interrupts.hears(device.irq)) continue;
      const event = device.nextEvent();
      if (event !== undefined && (first === undefined || event < first)) first = event;
    }
    return first;
  }

  #advance(): void {
    const { now } = this;
    for (const device of this.#timed) {
      const event = device.nextEvent();
      if (event !== undefined && event <= now) device.advance(now);
    }
  }

  #interruptsOf(processor: number): ProcessorInterrupts {
    return this.#interrupts.processors[processor] as ProcessorInterrupts;
  }

  /** Is there an interrupt that a processor takes at an instruction boundary, with RFLAGS.IF as told? */
  #requested(processor: number, enabled: boolean): boolean {
    return this.#nmiRequested(processor) || (enabled && this.#interruptsOf(processor).pending());
  }

  /** Is there one to take before the next instruction? */
  #due(): boolean {
    const { state } = this.engine;
    return (
      !state.u32(at.INTERRUPT_SHADOW) && this.#requested(this.#running, (state.u32(at.FLAGS_REST) & FLAGS.IF) !== 0)
    );
  }

  #nmiRequested(processor: number): boolean {
    const { state } = this.processors[processor] as Engine;
    return this.#interruptsOf(processor).nmi.pending() && !state.u32(at.NMI_BLOCKED);
  }

  /** Sleeps until an interrupt is requested. @returns false where none will be */
  #sleep(enabled: boolean): boolean {
    for (let events = 0; !this.#requested(this.#running, enabled); events++) {
      if (!enabled && !this.#interruptsOf(this.#running).nmi.awaited()) return false;
      const event = this.#nextEvent(true);
      // A timer that runs behind a mask goes on for ever; nobody is awake to take the mask away.
      if (event === undefined || events >= MASKED_EVENTS) return false;
      if (event > this.now) this.#slept += event - this.now;
      this.#input.deliver(this.now);
      this.#advance();
    }
    return true;
  }

  /** Takes an interrupt if one is due; a halted processor sleeps until the next one. */
  #interrupt(halted: boolean): MachineStop | undefined {
    const { state } = this.engine;
    const enabled = (state.u32(at.FLAGS_REST) & FLAGS.IF) !== 0;
    if (halted && !this.#sleep(enabled)) return { kind: 'halt' };
    if (!this.#due()) return undefined;
    state.setU32(at.HALTED, 0);
    const own = this.#interruptsOf(this.#running);
    const vector = this.#nmiRequested(this.#running) ? this.#takeNmi() : own.acknowledge();
    const raised = raise(this.engine, { vector, source: 'external', returnRip: state.rip });
    this.#observers.tell('interrupt', [vector]);
    return raised.kind === 'triple-fault' ? { kind: 'triple-fault', chain: raised.chain } : undefined;
  }

  /** Others wait until the IRET of its handler. */
  #takeNmi(): number {
    this.#interruptsOf(this.#running).nmi.acknowledge();
    this.engine.state.setU32(at.NMI_BLOCKED, 1);
    return VECTOR.NMI;
  }

  /** Programs chips as firmware did before the guest's time began. @param writes bytes to ports, in their order */
  presetPorts(writes: readonly (readonly [port: number, value: number])[]): void {
    for (const [port, value] of writes) this.#ports.preset(port, value);
  }

  /** The chips, each of which keeps its state itself. */
  get chips(): readonly Device[] {
    return this.#devices;
  }

  /** All that the run from here on depends on, but the contents of RAM and of the chips' memories; changes nothing. */
  save(): Plain {
    return {
      processors: this.processors.map((each) => plainEngine(each.save())),
      slept: this.#slept,
      random: this.#random.state,
      leftEarly: this.#leftEarly,
      unimplemented: this.#unimplemented.save(),
      console: this.console.save(),
      command: this.command && saveCommand(this.command),
      input: this.#input.save(),
      bus: this.#bus.save(),
      chips: saveChips(this.#devices),
    };
  }

  /**
   * To where a machine of the same configuration was when it was saved; RAM has its contents again already. Throws
   * InputError where `saved` cannot be of such a machine.
   */
  restore(saved: Fields): void {
    const processors = saved.objects('processors', at.PROCESSORS);
    if (processors.length !== this.processors.length) throw saved.wrong('processors');
    for (const [i, each] of this.processors.entries()) {
      each.restore(readEngine(processors[i] as Fields, this.memory, each.mode));
    }
    this.#reset = undefined;
    this.#poweredOff = false;
    this.#debugExit = undefined;
    this.#stopRequested = false;
    this.#slept = saved.bigint('slept', 0n, 1n << 62n);
    this.#random.state = saved.bigint('random', 0n, (1n << 64n) - 1n);
    this.#leftEarly = saved.flag('leftEarly');
    this.console.restore(saved.object('console'));
    if (this.command) restoreCommand(this.command, saved.object('command'));
    this.#input.restore(saved.object('input'));
    this.#bus.restore(saved.object('bus'));
    restoreChips(saved, this.#devices, this.#timed);
    this.#unimplemented.restore(saved, 'unimplemented');
  }

  /** Hash over processors, RAM, chips and time. */
  stateHash(): string {
    return hashOf(this.#hashed());
  }

  /** A hash of each of these by itself. */
  stateParts(): Readonly<Record<StatePart, string>> {
    return partsOf(this.#hashed());
  }

  #hashed(): Hashed {
    const { now, processors, memory } = this;
    return {
      now,
      retired: this.engine.retired,
      processors: processors.map(({ state }) => state),
      memory,
      vga: this.#bus.vga,
      random: this.#random.state,
      chips: this.#devices,
    };
  }
}

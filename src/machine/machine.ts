// A whole PC. `build` reads as the machine is assembled: memory, processor, chips, wires. Guest time is retired
// instructions, one nanosecond each, plus what the processor slept in HLT; nothing else moves a clock.

import type { PhysAddr } from '../bits/address.ts';
import { Engine } from '../cpu/engine.ts';
import * as at from '../cpu/layout.ts';
import { GuestMemory, type RamRange } from '../cpu/memory.ts';
import { type FaultLink, raise } from '../cpu/microcode/delivery.ts';
import { reset } from '../cpu/microcode/reset.ts';
import { createAcpiPm } from '../devices/acpiPm.ts';
import { createA20Gate } from '../devices/a20Gate.ts';
import { createCmos } from '../devices/cmos.ts';
import { createDebugConsole, createDebugExit, createPostCode, type PostCode } from '../devices/debugPorts.ts';
import type { Device, ResetSource, TimedDevice } from '../devices/device.ts';
import { createFwCfg } from '../devices/fwCfg.ts';
import { createI8042 } from '../devices/i8042.ts';
import { createPciConfig } from '../devices/pciConfig.ts';
import { createPit8254 } from '../devices/pit8254.ts';
import { IRQ, PORTS } from '../devices/ports.ts';
import { createResetControl } from '../devices/reset.ts';
import { createSystemControl } from '../devices/systemControl.ts';
import { createUart16550, type Uart16550 } from '../devices/uart16550.ts';
import { createVgaPorts } from '../devices/vgaPorts.ts';
import type { CpuModel } from '../x86/models.ts';
import { MSR_IA32_TSC_ADJUST, msrSlot } from '../x86/msr.ts';
import { Console } from './console.ts';
import { isZero, StateHash } from './hash.ts';
import { type InputByte, SerialInput } from './input.ts';
import { createInterrupts, type Interrupts } from './interrupts.ts';
import { MemoryBus } from './memoryBus.ts';
import { PortBus } from './portBus.ts';

export type MachineConfig = {
  readonly model: CpuModel;
  /** RAM, in bytes from start (inclusive) to end (exclusive). */
  readonly ram: readonly RamRange[];
  /** RAM that the guest cannot change, empty of content: where a PC has its option ROMs and BIOS. */
  readonly rom?: RamRange;
  readonly seed: number;
  /** What arrives at the serial port and when, in the order of time: the input log of an earlier run. */
  readonly input?: readonly InputByte[] | undefined;
};

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

export type Unimplemented = { readonly what: string; count: number };

const FLAG_IF = 0x200;
const TSC_ADJUST = at.msrAddress(msrSlot(MSR_IA32_TSC_ADJUST));
/** Timer events a halted processor sleeps through before it is said to sleep for ever. */
const MASKED_EVENTS = 1_000_000;

export class Machine {
  readonly config: MachineConfig;
  readonly memory: GuestMemory;
  readonly engine: Engine;
  readonly console: Console;
  readonly uart: Uart16550;
  readonly postCode: PostCode;
  readonly #unimplemented = new Map<string, Unimplemented>();
  readonly #devices: Device[] = [];
  readonly #timed: TimedDevice[] = [];
  readonly #interrupts: Interrupts;
  readonly #input: SerialInput;
  readonly #bus: MemoryBus;
  #slept = 0n;
  #reset: ResetSource | undefined;
  #poweredOff = false;
  #debugExit: number | undefined;
  #stopRequested = false;
  #random: bigint;

  constructor(config: MachineConfig) {
    const unimplemented = (what: string): void => this.#note(what);
    const clock = { now: () => this.now };
    const pullReset = (source: ResetSource): void => {
      this.#reset ??= source;
      this.engine.stop();
    };
    this.config = config;
    this.#random = BigInt.asUintN(64, BigInt(config.seed) * 0x9e3779b97f4a7c15n + 0x1234_5678_9abc_def1n);
    this.memory = new GuestMemory(config.rom ? [...config.ram, config.rom] : config.ram);
    this.#bus = new MemoryBus((address) =>
      unimplemented(`memory access at 0x${(address & ~0xffff).toString(16)}, where nothing answers`),
    );
    const ports = new PortBus((port, write) =>
      unimplemented(`port 0x${port.toString(16)}: ${write ? 'write' : 'read'}, no device there`),
    );
    // Whoever moves the next event tells, so that no event comes later than it should.
    const changed = (): void => this.engine?.stop();
    this.#interrupts = createInterrupts({
      model: config.model,
      clock,
      tscOffset: () => BigInt(config.seed) + BigInt.asIntN(64, this.engine.state.u64(TSC_ADJUST)),
      changed,
      unimplemented,
    });
    this.engine = new Engine({
      memory: this.memory,
      model: config.model,
      ports,
      apic: this.#interrupts.localApic,
      devices: this.#bus,
      random: () => this.#nextRandom(),
      timestamp: (retired) => retired + this.#slept + BigInt(config.seed),
      interruptRequested: () => this.#interrupts.pending(),
      unimplemented,
    });

    this.console = new Console();
    const a20 = createA20Gate((enabled) => {
      if (!enabled) unimplemented('A20 gate closed: the address line is not masked');
    });
    const line = (irq: number): ((level: boolean) => void) => this.#interrupts.line(irq);
    const pit = createPit8254({ clock, interrupt: line(IRQ.timer), unimplemented });
    const cmos = createCmos({ clock, interrupt: line(IRQ.rtc), unimplemented, memory: ramSizes(config.ram) });
    const acpiPm = createAcpiPm({
      clock,
      interrupt: line(IRQ.sci),
      powerOff: () => {
        this.#poweredOff = true;
        this.engine.stop();
      },
      unimplemented,
    });
    this.uart = createUart16550({
      interrupt: line(IRQ.com1),
      transmit: (byte) => this.console.write(byte),
      unimplemented,
    });
    const i8042 = createI8042({
      keyboardInterrupt: line(IRQ.keyboard),
      auxInterrupt: line(IRQ.mouse),
      a20,
      reset: pullReset,
      unimplemented,
    });
    this.postCode = createPostCode();
    const attach = (device: Device, where: (typeof PORTS)[keyof typeof PORTS]): void => {
      this.#devices.push(device);
      ports.attach('nextEvent' in device ? withNotice(device, changed) : device, where);
    };
    attach(this.#interrupts.pic, PORTS.pic8259);
    attach(pit, PORTS.pit8254);
    attach(cmos, PORTS.cmos);
    attach(i8042, PORTS.i8042);
    attach(createSystemControl({ a20, reset: pullReset, unimplemented }), PORTS.systemControl);
    attach(this.postCode, PORTS.postCode);
    attach(createDebugConsole({ output: (byte) => this.console.write(byte) }), PORTS.debugConsole);
    attach(createDebugExit({ exit: (value) => this.#exit(value) }), PORTS.debugExit);
    attach(createFwCfg({ ramBytes: ramBytes(config.ram) }), PORTS.fwCfg);
    attach(createVgaPorts({ unimplemented }), PORTS.vga);
    attach(createPciConfig({ unimplemented }), PORTS.pciConfig);
    attach(createResetControl({ reset: pullReset, unimplemented }), PORTS.resetControl);
    attach(this.uart, PORTS.com1);
    attach(acpiPm, PORTS.acpiPm);
    this.#timed.push(pit, cmos, acpiPm, ...this.#interrupts.timed);
    this.#devices.push(...this.#interrupts.devices);
    for (const window of this.#interrupts.windows) this.#bus.attach(window);
    this.#input = new SerialInput(this.uart, config.input ?? []);
    if (config.rom) this.#makeRom(config.rom);
    reset(this.engine.state, config.model);
    this.engine.modeChanged();
  }

  #exit(value: number): void {
    this.#debugExit ??= value;
    this.engine.stop();
  }

  /** Empty ROM sockets read as all ones. */
  #makeRom(rom: RamRange): void {
    const page = new Uint8Array(4096).fill(0xff);
    for (let address = rom.start; address < rom.end; address += 4096) {
      this.memory.write(address as PhysAddr, page);
      const host = this.memory.hostOf(address) as number;
      this.memory.bytes[at.PAGE_FLAGS + (host >>> 12)] = at.PAGE_ROM;
    }
  }

  #note(what: string): void {
    const known = this.#unimplemented.get(what);
    if (known) known.count++;
    else this.#unimplemented.set(what, { what, count: 1 });
  }

  /** What the guest asked for that this machine does not have, in the order it was first asked for. */
  get unimplemented(): readonly Unimplemented[] {
    return [...this.#unimplemented.values()];
  }

  /** SplitMix64 of the seed: what RDRAND and RDSEED give. */
  #nextRandom(): bigint {
    this.#random = BigInt.asUintN(64, this.#random + 0x9e3779b97f4a7c15n);
    let z = this.#random;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }

  /** Guest time in nanoseconds. */
  get now(): bigint {
    return this.engine.retired + this.#slept;
  }

  /** What arrived at the serial port so far: with it as `input`, the same configuration gives the same run. */
  get inputLog(): readonly InputByte[] {
    return this.#input.log;
  }

  /** Types at the serial port. Bytes arrive between two calls of `run` or events, when the port has room. */
  type(bytes: Uint8Array): void {
    this.#input.type(bytes);
  }

  /** Typed bytes that have not arrived yet. */
  get inputWaiting(): number {
    return this.#input.waiting;
  }

  /** Makes `run` come back after the instruction under way. */
  requestStop(): void {
    this.#stopRequested = true;
    this.engine.stop();
  }

  /** Runs until so many instructions are retired in all, or until it stops by itself. */
  run(until: bigint): MachineStop | undefined {
    while (this.engine.retired < until) {
      const stop = this.#stretch(until);
      if (stop) return stop;
    }
    return undefined;
  }

  /** Up to the next timer event. */
  #stretch(until: bigint): MachineStop | undefined {
    const early = this.#input.deliver(this.now) ? this.#interrupt(false) : undefined;
    if (early) return early;
    const event = this.#nextEvent();
    const due = event === undefined ? until : event - this.#slept;
    const result = this.engine.run(due < until ? due : until);
    if (this.#debugExit !== undefined) return { kind: 'debug-exit', value: this.#debugExit };
    if (this.#poweredOff) return { kind: 'powered-off' };
    if (this.#reset) return { kind: 'reset', source: this.#reset };
    if (this.#stopRequested) {
      this.#stopRequested = false;
      return { kind: 'requested' };
    }
    if (result.kind === 'memory-full') return { kind: 'memory-full' };
    if (result.kind === 'triple-fault') return { kind: 'triple-fault', chain: result.chain };
    this.#advance();
    return this.#interrupt(result.kind === 'halted');
  }

  #nextEvent(): bigint | undefined {
    let first = this.#input.next();
    for (const device of this.#timed) {
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

  /** Sleeps until an interrupt is requested. @returns false where none will be */
  #sleep(): boolean {
    for (let events = 0; !this.#interrupts.pending(); events++) {
      const event = this.#nextEvent();
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
    const enabled = (state.u32(at.FLAGS_REST) & FLAG_IF) !== 0;
    if (halted && !enabled) return { kind: 'halt' };
    if (halted && !this.#sleep()) return { kind: 'halt' };
    if (!enabled || !this.#interrupts.pending() || state.u32(at.INTERRUPT_SHADOW)) return undefined;
    state.setU32(at.HALTED, 0);
    const vector = this.#interrupts.acknowledge();
    const raised = raise(this.engine, { vector, source: 'external', returnRip: state.rip });
    return raised.kind === 'triple-fault' ? { kind: 'triple-fault', chain: raised.chain } : undefined;
  }

  /** Hash over processor, RAM, chips and time. */
  stateHash(): string {
    const hash = new StateHash();
    hash.text(this.now.toString());
    hash.text(this.engine.retired.toString());
    this.#hashProcessor(hash);
    for (const { address, bytes } of this.memory.touched()) {
      for (let page = 0; page < bytes.length; page += 4096) {
        const part = bytes.subarray(page, page + 4096);
        if (isZero(part)) continue;
        hash.text((address + page).toString());
        hash.words(part);
      }
    }
    hash.words(this.#bus.vga);
    hash.text(this.#random.toString());
    for (const device of this.#devices) hash.text(JSON.stringify(device.state()));
    return hash.digest();
  }

  /** Registers and hidden state; of the arithmetic flags their value, not how it is kept. */
  #hashProcessor(hash: StateHash): void {
    const { bytes } = this.memory;
    hash.words(bytes.subarray(at.REGS, at.FLAG_ZR));
    hash.word(this.engine.state.rflags);
    hash.words(bytes.subarray(at.SEGMENTS, at.MODE64));
    hash.words(bytes.subarray(at.INTERRUPT_SHADOW, at.RETIRED));
    hash.words(bytes.subarray(at.PDPTE0, at.RESERVED_PHYS_MASK));
    hash.words(bytes.subarray(at.MSRS, at.STATE_END));
  }
}

/** Writing to a chip that keeps time may change when its next event is. */
function withNotice(device: Device, changed: () => void): Device {
  return {
    ...device,
    write: (offset, size, value) => {
      device.write(offset, size, value);
      changed();
    },
  };
}

function ramSizes(ranges: readonly RamRange[]): { below4GiB: number; above4GiB: number } {
  const FOUR_GIB = 2 ** 32;
  const top = Math.max(0, ...ranges.filter((r) => r.end <= FOUR_GIB).map((r) => r.end));
  const high = ranges.filter((r) => r.start >= FOUR_GIB).map((r) => r.end - r.start);
  return { below4GiB: top, above4GiB: high.reduce((sum, size) => sum + size, 0) };
}

/** As QEMU counts it: with the hole below 1 MiB, which is RAM that devices hide. */
function ramBytes(ranges: readonly RamRange[]): number {
  const { below4GiB, above4GiB } = ramSizes(ranges);
  return below4GiB + above4GiB;
}

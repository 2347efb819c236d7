// A whole PC. `build` reads as the machine is assembled: memory, processor, chips, wires. Guest time is retired
// instructions, one nanosecond each, plus what the processor slept in HLT; nothing else moves a clock.

import type { PhysAddr } from '../bits/address.ts';
import { Engine } from '../cpu/engine.ts';
import * as at from '../cpu/layout.ts';
import { GuestMemory, type RamRange } from '../cpu/memory.ts';
import { type FaultLink, raise } from '../cpu/microcode/delivery.ts';
import { reset } from '../cpu/microcode/reset.ts';
import { createA20Gate } from '../devices/a20Gate.ts';
import { createCmos } from '../devices/cmos.ts';
import { createDebugConsole, createPostCode, type PostCode } from '../devices/debugPorts.ts';
import type { Device, ResetSource, TimedDevice } from '../devices/device.ts';
import { createI8042 } from '../devices/i8042.ts';
import { createPciConfig } from '../devices/pciConfig.ts';
import { createPic8259, type Pic8259 } from '../devices/pic8259.ts';
import { createPit8254 } from '../devices/pit8254.ts';
import { IRQ, PORTS } from '../devices/ports.ts';
import { createResetControl } from '../devices/reset.ts';
import { createSystemControl } from '../devices/systemControl.ts';
import { createUart16550, type Uart16550 } from '../devices/uart16550.ts';
import { createVgaPorts } from '../devices/vgaPorts.ts';
import type { CpuModel } from '../x86/models.ts';
import { Console } from './console.ts';
import { isZero, StateHash } from './hash.ts';
import { MemoryBus } from './memoryBus.ts';
import { PortBus } from './portBus.ts';

export type MachineConfig = {
  readonly model: CpuModel;
  /** RAM, in bytes from start (inclusive) to end (exclusive). */
  readonly ram: readonly RamRange[];
  /** RAM that the guest cannot change, empty of content: where a PC has its option ROMs and BIOS. */
  readonly rom?: RamRange;
  readonly seed: number;
};

/** Why the machine stopped by itself. */
export type MachineStop =
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] }
  | { readonly kind: 'reset'; readonly source: ResetSource }
  | { readonly kind: 'halt' }
  /** The guest touched more RAM than the host gives it. */
  | { readonly kind: 'memory-full' }
  /** Somebody called requestStop. */
  | { readonly kind: 'requested' };

export type Unimplemented = { readonly what: string; count: number };

const FLAG_IF = 0x200;
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
  readonly #pic: Pic8259;
  readonly #bus: MemoryBus;
  #slept = 0n;
  #reset: ResetSource | undefined;
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
    this.engine = new Engine({
      memory: this.memory,
      model: config.model,
      ports,
      devices: this.#bus,
      random: () => this.#nextRandom(),
      timestamp: (retired) => retired + this.#slept + BigInt(config.seed),
      interruptRequested: () => this.#pic.pending(),
      unimplemented,
    });

    this.console = new Console();
    const a20 = createA20Gate((enabled) => {
      if (!enabled) unimplemented('A20 gate closed: the address line is not masked');
    });
    this.#pic = createPic8259({ unimplemented });
    const line = (irq: number): ((level: boolean) => void) => this.#pic.line(irq);
    const pit = createPit8254({ clock, interrupt: line(IRQ.timer), unimplemented });
    const cmos = createCmos({ clock, interrupt: line(IRQ.rtc), unimplemented, memory: ramSizes(config.ram) });
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
      ports.attach(device, where);
    };
    attach(this.#pic, PORTS.pic8259);
    attach(pit, PORTS.pit8254);
    attach(cmos, PORTS.cmos);
    attach(i8042, PORTS.i8042);
    attach(createSystemControl({ a20, reset: pullReset, unimplemented }), PORTS.systemControl);
    attach(this.postCode, PORTS.postCode);
    attach(createDebugConsole({ output: (byte) => this.console.write(byte) }), PORTS.debugConsole);
    attach(createVgaPorts({ unimplemented }), PORTS.vga);
    attach(createPciConfig({ unimplemented }), PORTS.pciConfig);
    attach(createResetControl({ reset: pullReset, unimplemented }), PORTS.resetControl);
    attach(this.uart, PORTS.com1);
    this.#timed.push(pit, cmos);
    if (config.rom) this.#makeRom(config.rom);
    reset(this.engine.state, config.model);
    this.engine.modeChanged();
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
    const event = this.#nextEvent();
    const due = event === undefined ? until : event - this.#slept;
    const result = this.engine.run(due < until ? due : until);
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
    let first: bigint | undefined;
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
    for (let events = 0; !this.#pic.pending(); events++) {
      const event = this.#nextEvent();
      // A timer that runs behind a mask goes on for ever; nobody is awake to take the mask away.
      if (event === undefined || events >= MASKED_EVENTS) return false;
      if (event > this.now) this.#slept += event - this.now;
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
    if (!enabled || !this.#pic.pending() || state.u32(at.INTERRUPT_SHADOW)) return undefined;
    state.setU32(at.HALTED, 0);
    const vector = this.#pic.acknowledge();
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

function ramSizes(ranges: readonly RamRange[]): { below4GiB: number; above4GiB: number } {
  const FOUR_GIB = 2 ** 32;
  const top = Math.max(0, ...ranges.filter((r) => r.end <= FOUR_GIB).map((r) => r.end));
  const high = ranges.filter((r) => r.start >= FOUR_GIB).map((r) => r.end - r.start);
  return { below4GiB: top, above4GiB: high.reduce((sum, size) => sum + size, 0) };
}

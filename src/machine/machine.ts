// A whole PC. `build` reads as the machine is assembled: memory, processor, chips, wires. Guest time is retired
// instructions, one nanosecond each, plus what PAUSE and accesses to chips take longer, plus what the processor slept in
// HLT; nothing else moves a clock.

import type { PhysAddr } from '../bits/address.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import { Engine } from '../cpu/engine.ts';
import * as at from '../cpu/layout.ts';
import { GuestMemory, type RamRange } from '../cpu/memory.ts';
import { type FaultLink, raise } from '../cpu/microcode/delivery.ts';
import { reset } from '../cpu/microcode/reset.ts';
import { plainEngine, readEngine } from '../cpu/savedEngine.ts';
import { createAcpiPm } from '../devices/acpiPm.ts';
import { createA20Gate } from '../devices/a20Gate.ts';
import { createCmos } from '../devices/cmos.ts';
import { createDebugConsole, createDebugExit, createPostCode, type PostCode } from '../devices/debugPorts.ts';
import type { Device, InterruptLine, ResetSource, TimedDevice } from '../devices/device.ts';
import { createFwCfg } from '../devices/fwCfg.ts';
import { createHpet, HPET_BASE, HPET_SIZE } from '../devices/hpet.ts';
import { createI8042 } from '../devices/i8042.ts';
import { createPciConfig } from '../devices/pciConfig.ts';
import type { DiskImage } from '../devices/virtio/disk.ts';
import { createPit8254 } from '../devices/pit8254.ts';
import { ELCR2, IRQ, PORTS } from '../devices/ports.ts';
import { createResetControl } from '../devices/reset.ts';
import { createSystemControl } from '../devices/systemControl.ts';
import { createUart16550, type Uart16550 } from '../devices/uart16550.ts';
import { createTestDevice, createTestMemory, TEST_MEMORY_BASE, TEST_MEMORY_SIZE } from '../devices/testDevice.ts';
import { createVgaPorts } from '../devices/vgaPorts.ts';
import type { CpuModel } from '../x86/models.ts';
import { VECTOR } from '../x86/vectors.ts';
import { MSR_IA32_TSC_ADJUST, msrSlot } from '../x86/msr.ts';
import { Console } from './console.ts';
import { isZero, StateHash } from './hash.ts';
import { guestDma } from './dma.ts';
import { type InputByte, type InputPort, type Receiver, SerialInput } from './input.ts';
import { createInterrupts, type Interrupts } from './interrupts.ts';
import { MemoryBus } from './memoryBus.ts';
import { createPci, type ExtraDevice, type Pci, PCI_IRQS } from './pci.ts';
import { PortBus } from './portBus.ts';
import { restoreChips, saveChips } from './savedChips.ts';
import { TextScreen } from './textScreen.ts';

export type MachineConfig = {
  readonly model: CpuModel;
  /** RAM, in bytes from start (inclusive) to end (exclusive). */
  readonly ram: readonly RamRange[];
  /** RAM that the guest cannot change, empty of content: where a PC has its option ROMs and BIOS. */
  readonly rom?: RamRange;
  /** With QEMU's pc-testdev, which bare-metal test programs use. */
  readonly testDevice?: boolean | undefined;
  readonly seed: number;
  /** What arrives at the serial port and when, in the order of time: the input log of an earlier run. */
  readonly input?: readonly InputByte[] | undefined;
  /** Disks, MOST_DISKS at most. Guests write to memory above them. */
  readonly disks?: readonly DiskImage[] | undefined;
  readonly extras?: readonly ExtraDevice[] | undefined;
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
/** Different things a guest can ask for that are listed; what a broken one asks for beyond them is only counted. */
const MOST_UNIMPLEMENTED = 1000;
const UNLISTED = 'more that is not listed';
const TSC_ADJUST = at.msrAddress(msrSlot(MSR_IA32_TSC_ADJUST));
/** An access to an 8-bit ISA port: six clocks of 8.33 MHz with the recovery between two; over LPC it takes about as long. */
const PORT_ACCESS_NS = 1000n;
/** An access to the chipset's own registers in memory: about half a microsecond on PCs. */
const HPET_ACCESS_NS = 500n;
/** Bytes that chips may move in memory before `run` comes back: a guest has them move gigabytes in few instructions. */
export const MOST_MOVED = 64 * 2 ** 20;
/** Timer events a halted processor sleeps through before it is said to sleep for ever. */
const MASKED_EVENTS = 1_000_000;

export class Machine {
  readonly config: MachineConfig;
  readonly memory: GuestMemory;
  readonly engine: Engine;
  readonly console: Console;
  readonly screen: TextScreen;
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
  #moved = 0;
  #debugExit: number | undefined;
  #stopRequested = false;
  /** The last stretch was left for a requested stop, before the interrupt that may have been due behind it was taken. */
  #leftEarly = false;
  #random: bigint;
  /** What chips have said before the snapshot that this machine came from: each says it once. */
  readonly #saidBefore = new Set<string>();

  constructor(config: MachineConfig) {
    const note = (what: string): void => this.#note(what);
    const unimplemented = (what: string): void => {
      if (!this.#saidBefore.delete(what)) note(what);
    };
    const clock = { now: () => this.now };
    const pullReset = (source: ResetSource): void => {
      this.#reset ??= source;
      this.engine.stop();
    };
    this.config = config;
    this.#random = BigInt.asUintN(64, BigInt(config.seed) * 0x9e3779b97f4a7c15n + 0x1234_5678_9abc_def1n);
    this.memory = new GuestMemory(config.rom ? [...config.ram, config.rom] : config.ram);
    this.#bus = new MemoryBus((address) =>
      note(`memory access at 0x${(address - (address % 0x10000)).toString(16)}, where nothing answers`),
    );
    const ports = new PortBus((port, write) =>
      note(`port 0x${port.toString(16)}: ${write ? 'write' : 'read'}, no device there`),
    );
    // Whoever moves the next event tells, so that no event comes later than it should.
    const changed = (): void => this.engine?.stop();
    this.#interrupts = createInterrupts({
      model: config.model,
      clock,
      tscOffset: () => BigInt(config.seed) + BigInt.asIntN(64, this.engine.state.u64(TSC_ADJUST)),
      init: () => pullReset('init'),
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
      timestamp: (elapsed) => elapsed + this.#slept + BigInt(config.seed),
      interruptRequested: (enabled) => this.#requested(enabled),
      unimplemented: note,
    });

    ports.onAccess = () => this.engine.charge(PORT_ACCESS_NS);
    this.#bus.onDelay = (ns) => this.engine.charge(ns);
    this.console = new Console();
    const a20 = createA20Gate((enabled) => {
      if (!enabled) note('A20 gate closed: the address line is not masked');
    });
    const line = (irq: number): ((level: boolean) => void) => this.#interrupts.line(irq);
    const hpet = createHpet({
      clock,
      legacy: [line(IRQ.timer), line(IRQ.rtc)],
      ioApicLine: this.#interrupts.ioApicLine,
      changed,
      unimplemented,
    });
    const pit = createPit8254({ clock, interrupt: hpet.usual(0), unimplemented });
    const cmos = createCmos({ clock, interrupt: hpet.usual(1), unimplemented, memory: ramSizes(config.ram) });
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
    if (config.testDevice) {
      const memory = createTestMemory();
      const testLine = (n: number): InterruptLine => (n < 16 ? line(n) : this.#interrupts.pciLine({ gsi: n }));
      attach(createTestDevice(testLine), PORTS.testDevice);
      this.#devices.push(memory);
      this.#bus.attach({ base: () => TEST_MEMORY_BASE, size: TEST_MEMORY_SIZE, device: memory });
    }
    attach(createFwCfg({ ramBytes: ramBytes(config.ram) }), PORTS.fwCfg);
    const vga = createVgaPorts({ unimplemented });
    attach(vga, PORTS.vga);
    this.screen = new TextScreen(this.#bus, vga);
    const pci = this.#createPci(config, changed);
    // As firmware leaves them: what PCI lines come to is level-triggered.
    if (pci.functions.size > 0) this.#interrupts.pic.write(ELCR2 - PORTS.pic8259.base, 1, PCI_IRQS >> 8);
    attach(createPciConfig({ unimplemented, functions: pci.functions }), PORTS.pciConfig);
    attach(createResetControl({ reset: pullReset, unimplemented }), PORTS.resetControl);
    attach(this.uart, PORTS.com1);
    attach(acpiPm, PORTS.acpiPm);
    this.#timed.push(pit, cmos, acpiPm, hpet, ...this.#interrupts.timed);
    this.#devices.push(hpet, ...this.#interrupts.devices);
    this.#bus.attach({ base: () => HPET_BASE, size: HPET_SIZE, device: hpet, accessNs: HPET_ACCESS_NS });
    this.#timed.push(...pci.functions.values());
    this.#devices.push(...pci.functions.values());
    for (const window of [...this.#interrupts.windows, ...pci.windows]) this.#bus.attach(window);
    const lines = new Map<InputPort, Receiver>([['com1', this.uart]]);
    if (pci.hvc0) lines.set('hvc0', pci.hvc0);
    this.#input = new SerialInput(lines, config.input ?? []);
    if (config.rom) this.#makeRom(config.rom);
    reset(this.engine.state, config.model);
    this.engine.modeChanged();
  }

  #createPci({ disks = [], extras = [], seed }: MachineConfig, changed: () => void): Pci {
    return createPci({
      disks,
      extras,
      seed,
      dma: guestDma(
        this.memory,
        (hostPage) => this.engine.code.invalidate(hostPage),
        (bytes) => {
          this.#moved += bytes;
        },
      ),
      clock: { now: () => this.now },
      transmit: (byte) => this.console.write(byte),
      line: (input) => this.#interrupts.pciLine(input),
      message: (address, data) => this.#interrupts.message(address, data),
      changed,
    });
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
    else if (what !== UNLISTED && this.#unimplemented.size >= MOST_UNIMPLEMENTED) this.#note(UNLISTED);
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
    const event = this.#nextEvent();
    const result = this.engine.run(until, event === undefined ? undefined : event - this.#slept);
    if (this.#debugExit !== undefined) return { kind: 'debug-exit', value: this.#debugExit };
    if (this.#poweredOff) return { kind: 'powered-off' };
    if (this.#reset) return { kind: 'reset', source: this.#reset };
    if (this.#stopRequested) {
      this.#stopRequested = false;
      this.#leftEarly = true;
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

  /** Is there an interrupt to take at an instruction boundary, with RFLAGS.IF as told? */
  #requested(enabled: boolean): boolean {
    return this.#nmiRequested() || (enabled && this.#interrupts.pending());
  }

  #nmiRequested(): boolean {
    return this.#interrupts.nmi.pending() && !this.engine.state.u32(at.NMI_BLOCKED);
  }

  /** Sleeps until an interrupt is requested. @returns false where none will be */
  #sleep(enabled: boolean): boolean {
    for (let events = 0; !this.#requested(enabled); events++) {
      if (!enabled && !this.#interrupts.nmi.awaited()) return false;
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
    if (halted && !this.#sleep(enabled)) return { kind: 'halt' };
    if (state.u32(at.INTERRUPT_SHADOW) || !this.#requested(enabled)) return undefined;
    state.setU32(at.HALTED, 0);
    const vector = this.#nmiRequested() ? this.#takeNmi() : this.#interrupts.acknowledge();
    const raised = raise(this.engine, { vector, source: 'external', returnRip: state.rip });
    return raised.kind === 'triple-fault' ? { kind: 'triple-fault', chain: raised.chain } : undefined;
  }

  /** Others wait until the IRET of its handler. */
  #takeNmi(): number {
    this.#interrupts.nmi.acknowledge();
    this.engine.state.setU32(at.NMI_BLOCKED, 1);
    return VECTOR.NMI;
  }

  /** The chips, each of which keeps its state itself. */
  get chips(): readonly Device[] {
    return this.#devices;
  }

  /** All that the run from here on depends on, but the contents of RAM and of the chips' memories; changes nothing. */
  save(): Plain {
    return {
      engine: plainEngine(this.engine.save()),
      slept: this.#slept,
      random: this.#random,
      leftEarly: this.#leftEarly,
      unimplemented: this.unimplemented.map((each) => ({ ...each })),
      console: this.console.save(),
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
    this.engine.restore(readEngine(saved.object('engine'), this.memory, this.engine.mode));
    this.#slept = saved.bigint('slept', 0n, 1n << 62n);
    this.#random = saved.bigint('random', 0n, (1n << 64n) - 1n);
    this.#leftEarly = saved.flag('leftEarly');
    this.console.restore(saved.object('console'));
    this.#input.restore(saved.object('input'));
    this.#bus.restore(saved.object('bus'));
    restoreChips(saved, this.#devices, this.#timed);
    this.#unimplemented.clear();
    this.#saidBefore.clear();
    for (const each of saved.objects('unimplemented', MOST_UNIMPLEMENTED + 1)) {
      const what = each.text('what', 1000);
      this.#unimplemented.set(what, { what, count: each.number('count', 1, Number.MAX_SAFE_INTEGER) });
      this.#saidBefore.add(what);
    }
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
    for (const device of this.#devices) {
      hash.text(JSON.stringify(device.state()));
      for (const { at: place, bytes } of device.bulk?.pieces() ?? []) {
        hash.text(place.toString());
        hash.words(bytes);
      }
    }
    return hash.digest();
  }

  /** Registers and hidden state; of the arithmetic flags their value, not how it is kept. */
  #hashProcessor(hash: StateHash): void {
    const { bytes } = this.memory;
    hash.words(bytes.subarray(at.REGS, at.FLAG_ZR));
    hash.word(this.engine.state.rflags);
    hash.words(bytes.subarray(at.SEGMENTS, at.MODE64));
    hash.words(bytes.subarray(at.INTERRUPT_SHADOW, at.TSC_START));
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

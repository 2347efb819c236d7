// A PC as it is assembled: chips, where they answer, and what their lines lead to. The processor and the flow of time are
// the machine's; what chips want of them goes through `Wires`.

import type { PhysAddr } from '../bits/address.ts';
import * as at from '../cpu/state/layout.ts';
import type { GuestMemory, RamRange } from '../cpu/state/memory.ts';
import { absentDevice } from '../devices/absent.ts';
import { createA20Gate } from '../devices/a20Gate.ts';
import { createAcpiPm } from '../devices/acpiPm.ts';
import { createCmos } from '../devices/cmos.ts';
import { createDebugConsole, createDebugExit, createPostCode, type PostCode } from '../devices/debugPorts.ts';
import type { Device, GuestClock, InterruptLine, ResetRequest, TimedDevice } from '../devices/device.ts';
import { createFwCfg } from '../devices/fwCfg.ts';
import { createHpet, HPET_BASE, HPET_SIZE, type Hpet } from '../devices/hpet.ts';
import { createI8042 } from '../devices/i8042.ts';
import { createPciConfig } from '../devices/pci/mechanism.ts';
import { createPit8254 } from '../devices/pit8254.ts';
import { type ChipPorts, ELCR2, IRQ, PORTS } from '../devices/ports.ts';
import { createResetControl } from '../devices/reset.ts';
import { createSystemControl } from '../devices/systemControl.ts';
import { createTestDevice, createTestMemory, TEST_MEMORY_BASE, TEST_MEMORY_SIZE } from '../devices/testDevice.ts';
import { createUart16550, type Uart16550 } from '../devices/uart16550.ts';
import { createVgaPorts } from '../devices/vgaPorts.ts';
import type { DiskImage } from '../devices/disk.ts';
import type { CpuModel } from '../x86/models.ts';
import { type Channel, type CommandPorts, createCommandPorts, sharedLine } from './command.ts';
import { Console } from './console.ts';
import { guestDma } from './dma.ts';
import type { InputByte, InputPort, Receiver } from './input.ts';
import { createInterrupts, type Interrupts } from './interrupts.ts';
import { MemoryBus } from './memoryBus.ts';
import { createPci, type Pci, PCI_IRQS } from './pci.ts';
import type { ExtraDevice } from './pciFunctions.ts';
import { PortBus, type PortWires } from './portBus.ts';
import { TextScreen } from './textScreen.ts';

export type MachineConfig = {
  readonly model: CpuModel;
  /** RAM, in bytes from start (inclusive) to end (exclusive). */
  readonly ram: readonly RamRange[];
  /** RAM that the guest cannot change, empty of content: where a PC has its option ROMs and BIOS. */
  readonly rom?: RamRange;
  /** With QEMU's pc-testdev, which bare-metal test programs use. */
  readonly testDevice?: boolean | undefined;
  /** The first of the debug-exit ports; 0 for none, 0xf4 where it is not said. */
  readonly debugExit?: number | undefined;
  /** With what one command needs that is run in it (command.ts). */
  readonly command?: boolean | undefined;
  readonly seed: number;
  /** What arrives at the serial port and when, in the order of time: the input log of an earlier run. */
  readonly input?: readonly InputByte[] | undefined;
  /** Disks, `mostDisks()` at most. Guests write to memory above them. */
  readonly disks?: readonly DiskImage[] | undefined;
  readonly extras?: readonly ExtraDevice[] | undefined;
};

/** What prints: the kernel's console, or one of the channels of a command that is run. */
export type ByteSource = 'console' | Channel;

/** Where the chips' lines end that lead to processor, memory and power supply. */
export type Wires = {
  readonly memory: GuestMemory;
  readonly clock: GuestClock;
  /** The number of the processor whose instruction is under way. */
  readonly running: () => number;
  /** Time stamp counter of a processor less guest time. */
  readonly tscOffset: (processor: number) => bigint;
  /** The next event may come sooner than was thought. */
  readonly changed: () => void;
  /** The instruction under way takes so many ns more. */
  readonly charge: (ns: bigint) => void;
  readonly reset: ResetRequest;
  readonly powerOff: () => void;
  /** The guest wrote to the debug-exit port. */
  readonly debugExit: (value: number) => void;
  /** A chip wrote to a host page, which may hold code. */
  readonly forgetCode: (hostPage: number) => void;
  /** A chip moved so many bytes in memory. */
  readonly moved: (bytes: number) => void;
  /** Something printed a byte. */
  readonly byte: (byte: number, from: ByteSource) => void;
  /** The guest reached a chip, by its name; '' for a port that nobody answers. */
  readonly chip: (chip: string, write: boolean) => void;
  readonly port: Pick<PortWires, 'accessed' | 'isRepeated'>;
  /** Told each time of what the machine does not have. */
  /** @param device what a PC may have there, and this one has not on purpose */
  readonly note: (what: string, device?: string) => void;
  /** Told by chips, each of which says everything once. */
  readonly unimplemented: (what: string) => void;
};

/** What a board with its chips has. */
export type Pc = {
  readonly screen: TextScreen;
  readonly uart: Uart16550;
  readonly postCode: PostCode;
  readonly command: CommandPorts | undefined;
  /** Every chip; each has a name of its own. */
  readonly devices: readonly Device[];
  readonly timed: readonly TimedDevice[];
  /** What one can type at. */
  readonly receivers: ReadonlyMap<InputPort, Receiver>;
};

/** An access to the chipset's own registers in memory: about half a microsecond on PCs. */
const HPET_ACCESS_NS = 500n;

/** A PC that chips are put on, one after the other. */
export type Board = {
  readonly config: MachineConfig;
  readonly wires: Wires;
  readonly ports: PortBus;
  readonly bus: MemoryBus;
  readonly interrupts: Interrupts;
  readonly console: Console;
  readonly devices: Device[];
};

/** Buses and interrupt controllers: what the processor is connected to. */
export function emptyBoard(config: MachineConfig, wires: Wires): Board {
  const { note, charge, chip } = wires;
  const ports = new PortBus({
    ...{ charge, chip, ...wires.port },
    unclaimed: (port, write) =>
      note(`port 0x${port.toString(16)}: ${write ? 'write' : 'read'}, no device there`, absentDevice(port)),
  });
  const bus = new MemoryBus({
    ...{ charge, chip },
    empty: (address) =>
      note(`memory access at 0x${(address - (address % 0x10000)).toString(16)}, where nothing answers`),
  });
  const { clock, running, tscOffset, changed, unimplemented } = wires;
  // Whichever is sent one: it would start anew in firmware.
  const init = (): void => wires.reset('init');
  const { model } = config;
  const processors = at.PROCESSORS;
  const interrupts = createInterrupts({ model, processors, running, clock, tscOffset, init, changed, unimplemented });
  return {
    config,
    wires,
    ports,
    bus,
    interrupts,
    console: new Console((byte) => wires.byte(byte, 'console')),
    devices: [],
  };
}

/**
 * Puts the chips on; their clock goes already. Of two that claim the same port the later one has it.
 */
export function attachChips(board: Board): Pc {
  const { config, wires, console, bus, interrupts, devices } = board;
  const { unimplemented } = wires;
  const { pit, cmos, acpiPm, hpet } = createTimers(board);
  attach(board, interrupts.pic, PORTS.pic8259);
  attach(board, pit, PORTS.pit8254);
  attach(board, cmos, PORTS.cmos);
  attachKeyboard(board);
  const postCode = attachDebugPorts(board);
  if (config.testDevice) attachTestDevice(board);
  attach(board, createFwCfg({ ramBytes: ramBytes(config.ram) }), PORTS.fwCfg);
  const vga = createVgaPorts({ unimplemented });
  attach(board, vga, PORTS.vga);
  const pci = attachPci(board);
  attach(board, createResetControl({ reset: wires.reset, unimplemented }), PORTS.resetControl);
  const transmit = (byte: number): void => console.write(byte);
  const [com1Line, com3Line] = sharedLine(interrupts.line(IRQ.com1));
  const uart = createUart16550({ interrupt: com1Line, transmit, unimplemented });
  attach(board, uart, PORTS.com1);
  const command = config.command ? attachCommandPorts(board, com3Line) : undefined;
  attach(board, acpiPm, PORTS.acpiPm);
  attachWindows(board, hpet, pci);
  const screen = new TextScreen(bus, vga);
  const timed = [pit, cmos, acpiPm, hpet, ...interrupts.timed, ...pci.functions.values()];
  const receivers = new Map<InputPort, Receiver>([['com1', uart], ...pci.receivers]);
  return { screen, uart, postCode, command, devices, timed, receivers };
}

function attach({ wires, ports, devices }: Board, device: Device, where: ChipPorts): void {
  devices.push(device);
  ports.attach('nextEvent' in device ? withNotice(device, wires.changed) : device, where);
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

type Timers = { pit: TimedDevice; cmos: TimedDevice; acpiPm: TimedDevice; hpet: Hpet };

function createTimers({ config, wires, interrupts: { line, ioApicLine } }: Board): Timers {
  const { clock, changed, powerOff, unimplemented } = wires;
  const hpet = createHpet({ clock, legacy: [line(IRQ.timer), line(IRQ.rtc)], ioApicLine, changed, unimplemented });
  const memory = ramSizes(config.ram);
  return {
    hpet,
    pit: { ...createPit8254({ clock, interrupt: hpet.usual(0), unimplemented }), irq: IRQ.timer },
    cmos: createCmos({ clock, interrupt: hpet.usual(1), unimplemented, memory }),
    acpiPm: createAcpiPm({ clock, interrupt: line(IRQ.sci), powerOff, unimplemented }),
  };
}

/** The keyboard controller, and system control port A: either drives the A20 gate and the reset line. */
function attachKeyboard(board: Board): void {
  const { note, reset, unimplemented } = board.wires;
  const { line } = board.interrupts;
  const a20 = createA20Gate((enabled) => {
    if (!enabled) note('A20 gate closed: the address line is not masked');
  });
  const keyboardInterrupt = line(IRQ.keyboard);
  const auxInterrupt = line(IRQ.mouse);
  attach(board, createI8042({ keyboardInterrupt, auxInterrupt, a20, reset, unimplemented }), PORTS.i8042);
  attach(board, createSystemControl({ a20, reset, unimplemented }), PORTS.systemControl);
}

function attachDebugPorts(board: Board): PostCode {
  const postCode = createPostCode();
  attach(board, postCode, PORTS.postCode);
  attach(board, createDebugConsole({ output: (byte) => board.console.write(byte) }), PORTS.debugConsole);
  const { debugExit: base = PORTS.debugExit.base } = board.config;
  const where = { base, ranges: [{ first: base, count: 4 }] };
  if (base !== 0) attach(board, createDebugExit({ exit: board.wires.debugExit }), where);
  return postCode;
}

/** COM3 has the line of COM1, and COM4 that of COM2, as software expects them. */
function attachCommandPorts(board: Board, com3Line: InterruptLine): CommandPorts {
  const [com2Line, com4Line] = sharedLine(board.interrupts.line(IRQ.com2));
  const lines = { stdout: com2Line, stderr: com3Line, control: com4Line };
  const command = createCommandPorts(lines, board.wires.unimplemented, board.wires.byte);
  attach(board, command.uarts.stdout, PORTS.com2);
  attach(board, command.uarts.stderr, PORTS.com3);
  attach(board, command.uarts.control, PORTS.com4);
  return command;
}

function attachTestDevice(board: Board): void {
  const { interrupts, bus, devices } = board;
  const memory = createTestMemory();
  const line = (n: number): InterruptLine => (n < 16 ? interrupts.line(n) : interrupts.pciLine({ gsi: n }));
  attach(board, createTestDevice(line), PORTS.testDevice);
  devices.push(memory);
  bus.attach({ base: () => TEST_MEMORY_BASE, size: TEST_MEMORY_SIZE, device: memory });
}

function attachPci(board: Board): Pci {
  const { config, wires, interrupts } = board;
  const { disks = [], extras = [], seed } = config;
  const { clock, changed, unimplemented } = wires;
  const pci = createPci({
    disks,
    extras,
    seed,
    dma: guestDma(wires.memory, wires.forgetCode, wires.moved),
    clock,
    transmit: (byte) => board.console.write(byte),
    line: interrupts.pciLine,
    message: interrupts.message,
    changed,
  });
  // As firmware leaves them: what PCI lines come to is level-triggered.
  if (pci.functions.size > 0) interrupts.pic.write(ELCR2 - PORTS.pic8259.base, 1, PCI_IRQS >> 8);
  attach(board, createPciConfig({ unimplemented, functions: pci.functions }), PORTS.pciConfig);
  return pci;
}

/** The chips that are reached in memory, and those whose places in memory or port space the guest moves. */
function attachWindows({ bus, ports, devices, interrupts }: Board, hpet: Hpet, pci: Pci): void {
  devices.push(hpet, ...interrupts.devices, ...pci.functions.values());
  bus.attach({ base: () => HPET_BASE, size: HPET_SIZE, device: hpet, accessNs: HPET_ACCESS_NS });
  for (const window of [...interrupts.windows, ...pci.windows]) bus.attach(window);
  for (const window of pci.portWindows) ports.attachWindow(window);
}

/** Empty ROM sockets read as all ones. */
export function makeRom(memory: GuestMemory, rom: RamRange): void {
  const page = new Uint8Array(4096).fill(0xff);
  for (let address = rom.start; address < rom.end; address += 4096) {
    memory.write(address as PhysAddr, page);
    const host = memory.hostOf(address) as number;
    memory.bytes[at.PAGE_FLAGS + (host >>> 12)] = at.PAGE_ROM;
  }
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

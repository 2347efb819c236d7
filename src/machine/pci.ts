// PCI bus 0 as firmware leaves it: each function in a slot, its BARs in the hole below 4 GiB or in port space, its INTA
// routed. A line is asserted while any function on it asks. What there is on the bus is a table (pciFunctions.ts).

import type { GuestClock, InterruptLine } from '../devices/device.ts';
import { type Dma, writeU32s } from '../devices/dma.ts';
import { type Bar, createPciFunction, type PciFunction, type PciModel } from '../devices/pci/function.ts';
import { PCI_SLOTS } from '../devices/pci/mechanism.ts';
import type { SendMessage } from '../devices/pci/msix.ts';
import { pciRoute } from '../devices/pci/space.ts';
import type { InputPort, Receiver } from './input.ts';
import type { PciInput } from './interrupts.ts';
import type { DeviceWindow } from './memoryBus.ts';
import { type ExtraDevice, extraDevices, PCI_FUNCTIONS, type PciAsked } from './pciFunctions.ts';

/** Slots 1 to 31, less those of what is asked for by name. */
export const mostDisks = (): number => PCI_SLOTS - 1 - extraDevices().length;

/** BARs begin here, one behind the other; the I/O APIC is well above the last. */
const MEMORY_START = 0xfe00_0000;
const MEMORY_END = 0xfec0_0000;
/** No chip of a PC has ports there. */
const IO_START = 0xc000;
const IO_END = 0x1_0000;
/** Writes to here are interrupt messages; elsewhere they are what they look like. */
const MESSAGES = 0xfee0_0000;
const MESSAGES_END = 0xfef0_0000;

/** A bit for each input of the 8259A pair that PCI lines come to. */
export const PCI_IRQS = [0, 1, 2, 3].reduce((bits, slot) => bits | (1 << pciRoute(slot).irq), 0);

export type PciOptions = PciAsked & {
  readonly extras: readonly ExtraDevice[];
  readonly dma: Dma;
  readonly clock: GuestClock;
  readonly line: (input: PciInput) => InterruptLine;
  /** Takes an interrupt message. */
  readonly message: SendMessage;
  readonly changed: () => void;
};

export type Pci = {
  /** By slot. */
  readonly functions: ReadonlyMap<number, PciFunction>;
  /** Where BARs answer in memory, and in port space. Guests move them. */
  readonly windows: readonly DeviceWindow[];
  readonly portWindows: readonly DeviceWindow[];
  /** What on it can be typed at. */
  readonly receivers: readonly (readonly [InputPort, Receiver])[];
};

export function createPci(options: PciOptions): Pci {
  const { extras } = options;
  const rows = PCI_FUNCTIONS.filter(({ device }) => device === undefined || extras.includes(device));
  const functions = place(
    rows.flatMap((row) => row.functions(options)),
    options,
  );
  const all = [...functions.values()];
  const windowsOf = (wanted: (bar: Bar) => boolean): DeviceWindow[] => all.flatMap((each) => barWindows(each, wanted));
  return {
    functions,
    windows: windowsOf(({ kind }) => kind !== 'io'),
    portWindows: windowsOf(({ kind }) => kind === 'io'),
    receivers: all.flatMap(({ typedAt }) => (typedAt ? [[typedAt.port, typedAt] as const] : [])),
  };
}

function barWindows(device: PciFunction, wanted: (bar: Bar) => boolean): DeviceWindow[] {
  return device.bars.flatMap((bar, index) => {
    if (!wanted(bar)) return [];
    const read: DeviceWindow['device']['read'] = (offset, size) => device.readBar(index, offset, size);
    const write: DeviceWindow['device']['write'] = (offset, size, value) => device.writeBar(index, offset, size, value);
    return [{ base: () => device.barBase(index), size: bar.size, device: { name: device.name, read, write } }];
  });
}

/** Gives out addresses, each at a multiple of its size. What does not fit is left unplaced, as firmware does. */
function allocator(start: number, end: number): (size: number) => number {
  let next = start;
  return (size) => {
    const address = Math.ceil(next / size) * size;
    if (address + size > end) return 0;
    next = address + size;
    return address;
  };
}

/** Puts the functions into slots, from 1 on. */
function place(models: readonly PciModel[], options: PciOptions): Map<number, PciFunction> {
  if (models.length >= PCI_SLOTS) throw new Error(`${models.length} PCI functions have no slots`);
  const functions = new Map<number, PciFunction>();
  const asks = (wanted: 'gsi' | 'irq', input: number): boolean =>
    [...functions].some(([slot, device]) => pciRoute(slot)[wanted] === input && device.interruptLevel());
  const interruptOf = (slot: number): (() => void) => {
    const { gsi, irq } = pciRoute(slot);
    const [toIoApic, toPic] = [options.line({ gsi }), options.line({ irq })];
    return () => {
      toIoApic(asks('gsi', gsi));
      toPic(asks('irq', irq));
    };
  };
  const message: SendMessage = (address, data) => {
    if (address >= MESSAGES && address < MESSAGES_END) options.message(address, data);
    else writeU32s(options.dma, address, data);
  };
  const inMemory = allocator(MEMORY_START, MEMORY_END);
  const inPorts = allocator(IO_START, IO_END);
  const { dma, clock, changed } = options;
  models.forEach((model, index) => {
    const slot = index + 1;
    const placement = {
      name: `${model.name}${index}`,
      bars: model.bars.map(({ kind, size }) => (kind === 'io' ? inPorts(size) : inMemory(size))),
      irq: pciRoute(slot).irq,
      interrupt: interruptOf(slot),
    };
    functions.set(slot, createPciFunction(model, { ...placement, dma, clock, message, changed }));
  });
  return functions;
}

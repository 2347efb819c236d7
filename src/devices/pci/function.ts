// A PCI function: what it says of itself, and what is behind its configuration space. The space itself, base address
// registers that are sized and moved, INTA and the command register are the same for each and live here (PCI 3.0, 6).

import type { AccessSize, BulkMemory, DeviceState, GuestClock, TimedDevice } from '../device.ts';
import { adoptState } from '../device.ts';
import type { Dma } from '../dma.ts';
import type { SendMessage } from './msix.ts';
import {
  type ByteRow,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MASTER,
  COMMAND_MEMORY,
  PCI_BASE_ADDRESS_0,
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_LATENCY_TIMER,
  PCI_STATUS,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
  type PciFunction as InSlot,
  readSpace,
  spaceOf,
  STATUS_CAP_LIST,
  STATUS_INTERRUPT,
  u16,
  u32,
  writeSpace,
} from './space.ts';

/** What a base address register asks for. One of kind memory64 takes two registers. */
export type Bar = {
  readonly kind: 'memory' | 'memory64' | 'io';
  /** Bytes: a power of two; in memory 16 at least, in port space 4 to 256. */
  readonly size: number;
  readonly prefetchable?: boolean;
};

/** What the function's own part is given. */
export type PciSlot = {
  /** Little-endian, of its configuration space as it now is. */
  readonly config: (register: number, size: 1 | 2 | 4) => number;
  readonly dma: Dma;
  readonly clock: GuestClock;
  readonly message: SendMessage;
  /** To be called when what `asks` says may have changed. */
  readonly interrupt: () => void;
  /** To be called when something was written that may move the next event. */
  readonly changed: () => void;
};

/** Something that can be typed at. */
export type TypedAt = {
  readonly port: 'hvc0';
  /** Bytes that it would take now. */
  receiveRoom(): number;
  receive(byte: number): void;
};

/** What is behind the configuration space. */
export type PciBehaviour = {
  /** @param bar index in the function's list @param offset from where the guest has put it */
  read(bar: number, offset: number, size: AccessSize): number;
  write(bar: number, offset: number, size: AccessSize, value: number): void;
  /** Has it an interrupt that was not dealt with? Status bit 3, whether or not it drives INTA. */
  asks?(): boolean;
  /** Does it send messages in INTA's place? */
  sendsMessages?(): boolean;
  /** Registers that are more than storage; undefined where one is not. */
  readConfig?(register: number, size: AccessSize): number | undefined;
  /** @returns false where the register is storage */
  writeConfig?(register: number, size: AccessSize, value: number): boolean;
  /** Something was written to its configuration space. */
  configChanged?(): void;
  nextEvent?(): bigint | undefined;
  advance?(now: bigint): void;
  readonly typedAt?: TypedAt | undefined;
  readonly bulk?: BulkMemory | undefined;
  state(): DeviceState;
  /** Throws Error, and changes nothing, where the state is another's. */
  restore(state: DeviceState): void;
  /** Power-on state. */
  reset(): void;
};

/** A kind of function, as one file describes it. */
export type PciModel = {
  /** In camel case, as chips are named. */
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, subclass, programming interface. */
  readonly classCode: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  readonly bars: readonly Bar[];
  /** Has it INTA? A function alone in its device has no other pin (PCI 3.0, 6.2.4). */
  readonly hasInterrupt: boolean;
  /** The first capability's register, what stands behind the header, and which bits of that can be written. */
  readonly capabilities?:
    | { readonly first: number; readonly rows: readonly ByteRow[]; readonly writable: readonly ByteRow[] }
    | undefined;
  create(slot: PciSlot): PciBehaviour;
};

export type PciPlacement = {
  /** Distinguishes functions of a kind: "virtioBlk0". */
  readonly name: string;
  /** Where firmware has put each of the model's BARs. */
  readonly bars: readonly number[];
  /** The interrupt input of the 8259A pair that firmware wrote down. */
  readonly irq: number;
} & Omit<PciSlot, 'config'>;

/** Reads and writes as a chip are those of its first BAR. */
export type PciFunction = TimedDevice &
  InSlot & {
    readonly bars: readonly Bar[];
    /** Where a BAR answers, in memory or in port space, as the guest has it now; undefined while it does not. */
    barBase(bar?: number): number | undefined;
    readBar(bar: number, offset: number, size: AccessSize): number;
    writeBar(bar: number, offset: number, size: AccessSize, value: number): void;
    /** Does it drive INTA? */
    interruptLevel(): boolean;
    readonly typedAt?: TypedAt | undefined;
  };

const TYPE = { memory: 0, memory64: 4, io: 1 } as const;
const PREFETCHABLE = 8;
const MEMORY_BITS = 0xffff_fff0;
const IO_BITS = 0xffff_fffc;
const IO_END = 0x1_0000;
/** No address beyond is one of this machine's. */
const MEMORY_END = 2 ** 52;

const low = (value: number): number => value % 2 ** 32;
const high = (value: number): number => Math.floor(value / 2 ** 32);

/** A register for each BAR, two for one of 64 bits. */
const barRegisters = (bars: readonly Bar[]): readonly number[] => {
  let next = PCI_BASE_ADDRESS_0;
  return bars.map(({ kind }) => {
    const register = next;
    next += kind === 'memory64' ? 8 : 4;
    return register;
  });
};

const barContents = ({ kind, prefetchable }: Bar, address: number): number[] => [
  ...u32((low(address) | TYPE[kind] | (prefetchable ? PREFETCHABLE : 0)) >>> 0),
  ...(kind === 'memory64' ? u32(high(address)) : []),
];

/** Address bits below the size cannot be written: so a guest finds the size by writing ones. */
const barWritable = ({ kind, size }: Bar): number[] => [
  ...u32(~(size - 1) >>> 0),
  ...(kind === 'memory64' ? u32(0xffff_ffff) : []),
];

/** What decodes at power-on, as firmware leaves it. */
const decodes = (bars: readonly Bar[]): number =>
  bars.reduce((bits, { kind }) => bits | (kind === 'io' ? COMMAND_IO : COMMAND_MEMORY), 0);

const contentsOf = (model: PciModel, { bars, irq }: PciPlacement): number[] => {
  const registers = barRegisters(model.bars);
  return spaceOf([
    [PCI_VENDOR_ID, [...u16(model.vendor), ...u16(model.device)]],
    [PCI_COMMAND, u16(decodes(model.bars))],
    [PCI_STATUS, [model.capabilities ? STATUS_CAP_LIST : 0]],
    [PCI_CLASS_REVISION, [model.revision, ...u32(model.classCode).slice(0, 3)]],
    ...model.bars.map((bar, i): ByteRow => [registers[i] as number, barContents(bar, bars[i] ?? 0)]),
    [PCI_SUBSYSTEM_VENDOR_ID, [...u16(model.subsystemVendor), ...u16(model.subsystem)]],
    [PCI_CAPABILITY_LIST, [model.capabilities?.first ?? 0]],
    [PCI_INTERRUPT_LINE, [model.hasInterrupt ? irq : 0]],
    [PCI_INTERRUPT_PIN, [model.hasInterrupt ? 1 : 0]],
    ...(model.capabilities?.rows ?? []),
  ]);
};

const writableOf = (model: PciModel): number[] => {
  const registers = barRegisters(model.bars);
  const command = decodes(model.bars) | COMMAND_MASTER | (model.hasInterrupt ? COMMAND_INTX_DISABLE : 0);
  return spaceOf([
    [PCI_COMMAND, u16(command)],
    [PCI_CACHE_LINE_SIZE, [0xff]],
    [PCI_LATENCY_TIMER, [0xff]],
    ...model.bars.map((bar, i): ByteRow => [registers[i] as number, barWritable(bar)]),
    [PCI_INTERRUPT_LINE, [model.hasInterrupt ? 0xff : 0]],
    ...(model.capabilities?.writable ?? []),
  ]);
};

export const createPciFunction = (model: PciModel, placement: PciPlacement): PciFunction => {
  const { name, interrupt, changed } = placement;
  const registers = barRegisters(model.bars);
  const writable = writableOf(model);
  let config = contentsOf(model, placement);
  const word = (register: number, size: 1 | 2 | 4): number => readSpace(config, register, size);
  const inner = model.create({ ...placement, config: word });
  const asks = (): boolean => inner.asks?.() ?? false;

  const barBase = (bar = 0): number | undefined => {
    const { kind, size } = model.bars[bar] as Bar;
    const register = registers[bar] as number;
    const decoding = (word(PCI_COMMAND, 2) & (kind === 'io' ? COMMAND_IO : COMMAND_MEMORY)) !== 0;
    const upper = kind === 'memory64' ? word(register + 4, 4) * 2 ** 32 : 0;
    const base = upper + ((word(register, 4) & (kind === 'io' ? IO_BITS : MEMORY_BITS)) >>> 0);
    const end = kind === 'io' ? IO_END : MEMORY_END;
    // A BAR at 0 is one that nobody has placed.
    return decoding && base !== 0 && base + size <= end ? base : undefined;
  };

  const readConfig = (register: number, size: AccessSize): number => {
    const own = inner.readConfig?.(register, size);
    if (own !== undefined) return own;
    const value = word(register, size);
    const hasStatus = register <= PCI_STATUS && register + size > PCI_STATUS;
    return hasStatus && asks() ? (value | (STATUS_INTERRUPT << (8 * (PCI_STATUS - register)))) >>> 0 : value;
  };

  const writeConfig = (register: number, size: AccessSize, value: number): void => {
    if (inner.writeConfig?.(register, size, value)) return;
    writeSpace(config, writable, register, size, value);
    inner.configChanged?.();
    interrupt();
    changed();
  };

  return {
    name,
    bars: model.bars,
    read: (offset, size) => inner.read(0, offset, size),
    write: (offset, size, value) => inner.write(0, offset, size, value),
    readBar: (bar, offset, size) => inner.read(bar, offset, size),
    writeBar: (bar, offset, size, value) => inner.write(bar, offset, size, value),
    readConfig,
    writeConfig,
    barBase,
    interruptLevel: () =>
      model.hasInterrupt &&
      asks() &&
      !(inner.sendsMessages?.() ?? false) &&
      (word(PCI_COMMAND, 2) & COMMAND_INTX_DISABLE) === 0,
    nextEvent: () => inner.nextEvent?.(),
    advance: (now) => inner.advance?.(now),
    ...(inner.bulk ? { bulk: inner.bulk } : {}),
    ...(inner.typedAt ? { typedAt: inner.typedAt } : {}),
    state: () => ({ config: [...config], ...inner.state() }),
    restore: (saved) => {
      const { config: own, ...rest } = adoptState(name, { config, ...inner.state() }, saved);
      if (own.length !== config.length) throw new Error(`${name}: saved state has parts of the wrong size`);
      inner.restore(rest);
      config = own;
    },
    reset: () => {
      config = contentsOf(model, placement);
      inner.reset();
    },
  };
};

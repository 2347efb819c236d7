// The PCI transport of modern virtio devices (virtio 1.2, 4.1): one BAR with the four structures, the MSI-X table and its
// pending bits, a page each. Buffers are handled between two instructions, one at a time, the first as soon as it is
// told of; a byte moved takes a nanosecond, so that what a guest can ask for in a time is bounded.

import type { AccessSize } from '../device.ts';
import { adoptState, copyState } from '../device.ts';
import type { PciBehaviour, PciModel, PciSlot } from '../pci/function.ts';
import {
  flushMsix,
  MSIX_CONTROL_WRITABLE,
  msixCapability,
  msixEnabled,
  type MsixState,
  powerOnMsix,
  raiseMsix,
  readPending,
  readTable,
  writeTable,
} from '../pci/msix.ts';
import { type ByteRow, CAP_ID_VENDOR, COMMAND_MASTER, PCI_COMMAND, u32 } from '../pci/space.ts';
import {
  COMMON_SIZE,
  type CommonState,
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  powerOnCommon,
  readCommon,
  STATUS,
  writeCommon,
} from './commonConfig.ts';
import type { VirtioModel } from './model.ts';
import { askForNotice, type Chain, isQueue, lengthOf, NO_VECTOR, putUsed, takeChain, wantsInterrupt } from './queue.ts';

/** Bytes of the BAR. */
const VIRTIO_BAR_SIZE = 0x8000;
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE_CONFIG = 0x2000;
const NOTIFY = 0x3000;
const MSIX_TABLE = 0x4000;
const MSIX_PBA = 0x5000;
const PART = 0x1000;
const NOTIFY_MULTIPLIER = 4;

/** The driver is at work, with features that both sides know. */
const AGREED = STATUS.featuresOk | STATUS.driverOk;

const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

const VENDOR = 0x1af4;
/** Device IDs are this and the virtio device ID (4.1.2.1). */
const FIRST_DEVICE_ID = 0x1040;
/** 4.1.2.1: 0x40 or higher for a device that is no transitional one. */
const SUBSYSTEM_ID = 0x1100;
const REVISION = 1;

/** Where the capabilities are in configuration space. */
const CAP = { msix: 0x40, common: 0x50, notify: 0x60, isr: 0x74, pci: 0x84, device: 0x98 } as const;
const CFG_TYPE = { common: 1, notify: 2, isr: 3, device: 4, pci: 5 } as const;
const MSIX_CONTROL = CAP.msix + 2;
/** Of the window into the BAR (4.1.4.9): BAR, offset, length, data. */
const WINDOW_BAR = CAP.pci + 4;
const WINDOW_OFFSET = CAP.pci + 8;
const WINDOW_LENGTH = CAP.pci + 12;
const WINDOW_DATA = CAP.pci + 16;

/** 4.1.4: a capability that says where a structure is. */
const vendorCap = (
  next: number,
  type: number,
  offset: number,
  length: number,
  more: readonly number[] = [],
): number[] => [CAP_ID_VENDOR, next, 16 + more.length, ...[type, 0, 0, 0, 0], ...u32(offset), ...u32(length), ...more];

const capabilities = (model: VirtioModel): readonly ByteRow[] => [
  [CAP.msix, msixCapability(CAP.common, model.queues + 1, { bar: 0, table: MSIX_TABLE, pba: MSIX_PBA })],
  [CAP.common, vendorCap(CAP.notify, CFG_TYPE.common, COMMON, COMMON_SIZE)],
  [CAP.notify, vendorCap(CAP.isr, CFG_TYPE.notify, NOTIFY, NOTIFY_MULTIPLIER * model.queues, u32(NOTIFY_MULTIPLIER))],
  [CAP.isr, vendorCap(CAP.pci, CFG_TYPE.isr, ISR, 1)],
  [CAP.pci, vendorCap(model.config.length > 0 ? CAP.device : 0, CFG_TYPE.pci, 0, 0, u32(0))],
  ...(model.config.length > 0
    ? ([[CAP.device, vendorCap(0, CFG_TYPE.device, DEVICE_CONFIG, model.config.length)]] as const)
    : []),
];

/** The window and MSI-X's control. */
const WRITABLE: readonly ByteRow[] = [
  [MSIX_CONTROL, [0, MSIX_CONTROL_WRITABLE]],
  [WINDOW_BAR, [0xff]],
  [WINDOW_OFFSET, u32(0xffff_ffff)],
  [WINDOW_LENGTH, u32(0xffff_ffff)],
];

/** A virtio device as the PCI function that it is. */
export const virtioFunction = (model: VirtioModel): PciModel => ({
  name: model.name,
  vendor: VENDOR,
  device: FIRST_DEVICE_ID + model.id,
  revision: REVISION,
  classCode: model.classCode,
  subsystemVendor: VENDOR,
  subsystem: SUBSYSTEM_ID,
  bars: [{ kind: 'memory', size: VIRTIO_BAR_SIZE }],
  hasInterrupt: true,
  capabilities: { first: CAP.msix, rows: capabilities(model), writable: WRITABLE },
  create: (slot) => createTransport(model, slot),
});

type State = {
  common: CommonState;
  msix: MsixState;
  isr: number;
  /** Queues with buffers that are perhaps not handled yet, a bit each. */
  kicked: number;
  /** Guest time in ns, decimal, until which the last buffer keeps the device busy. */
  busyUntil: string;
};

const powerOn = (model: VirtioModel): State => ({
  common: powerOnCommon(model.queues),
  msix: powerOnMsix(model.queues + 1),
  isr: 0,
  kicked: 0,
  busyUntil: '0',
});

const createTransport = (model: VirtioModel, slot: PciSlot): PciBehaviour => {
  const { name } = model;
  const { dma, message, config } = slot;
  let s = powerOn(model);

  const reset = (): void => {
    s.common = powerOnCommon(model.queues);
    s.isr = 0;
    s.kicked = 0;
    s.msix.pending = 0;
    model.resetByGuest();
    slot.interrupt();
  };
  const common = { features: model.features, vectors: model.queues + 1, reset };

  const command = (): number => config(PCI_COMMAND, 2);
  const msixControl = (): number => config(MSIX_CONTROL, 2);
  const hasFeature = (bit: number): boolean => ((s.common.accepted[0] ?? 0) & bit) !== 0;
  const live = (): boolean =>
    (s.common.status & (AGREED | STATUS.needsReset)) === AGREED && (command() & COMMAND_MASTER) !== 0;

  /** 4.1.4.5.1: a queue's bit is set only where there is no MSI-X, the bit of the configuration always. */
  const raise = (isr: number, vector: number): void => {
    const messages = msixEnabled(msixControl());
    if (!messages || isr === ISR_CONFIG) s.isr |= isr;
    if (messages && vector !== NO_VECTOR) raiseMsix(s.msix, msixControl(), vector, message);
    slot.interrupt();
  };

  /** 2.1.2: the driver broke the rules; nothing happens any more until it resets the device. */
  const giveUp = (): void => {
    s.common.status |= STATUS.needsReset;
    s.kicked = 0;
    raise(ISR_CONFIG, s.common.configVector);
  };

  const finish = (queue: number, chain: Chain, written: number): void => {
    const q = s.common.queues[queue];
    const events = hasFeature(F_EVENT_IDX);
    if (!q || !putUsed(q, dma, chain.head, written) || (events && !askForNotice(q, dma))) return giveUp();
    if (wantsInterrupt(q, dma, events)) raise(ISR_QUEUE, q.vector);
  };

  /** Handles the next buffer of a queue. @returns bytes moved; undefined where there is nothing to do */
  const handleOne = (queue: number): number | undefined => {
    const q = s.common.queues[queue];
    if (!q?.enabled || !model.ready(queue)) return undefined;
    const chain = takeChain(q, dma, hasFeature(F_INDIRECT_DESC));
    if (chain === 'empty') return undefined;
    const handled = chain === 'broken' ? chain : model.handle(queue, chain, dma);
    if (chain === 'broken' || handled === 'broken') {
      giveUp();
      return undefined;
    }
    finish(queue, chain, handled);
    return handled + lengthOf(chain.readable);
  };

  const handleNext = (now: bigint): void => {
    for (let queue = 0; queue < model.queues; queue++) {
      if (((s.kicked >>> queue) & 1) === 0) continue;
      const moved = handleOne(queue);
      if (moved === undefined) s.kicked &= ~(1 << queue);
      else {
        s.busyUntil = (now + BigInt(moved + 1)).toString();
        return;
      }
    }
  };

  const kick = (queue: number): void => {
    if (queue >= model.queues) return;
    s.kicked |= 1 << queue;
    slot.changed();
  };

  // Registers in memory -------------------------------------------------------------------------------------------------

  const readIsr = (): number => {
    const { isr } = s;
    s.isr = 0;
    slot.interrupt();
    return isr;
  };

  const read = (offset: number, size: AccessSize): number => {
    const at = offset % PART;
    switch (offset - at) {
      case COMMON:
        return readCommon(s.common, common, at, size);
      case ISR:
        return at === 0 ? readIsr() : 0;
      case DEVICE_CONFIG:
        return readBytes(model.config, at, size);
      case MSIX_TABLE:
        return at % 4 === 0 ? readTable(s.msix, at) : 0;
      case MSIX_PBA:
        return at % 4 === 0 ? readPending(s.msix, at) : 0;
      default:
        return 0;
    }
  };

  const write = (offset: number, size: AccessSize, value: number): void => {
    const at = offset % PART;
    if (offset - at === COMMON) writeCommon(s.common, common, at, size, value);
    if (offset - at === NOTIFY && at % NOTIFY_MULTIPLIER === 0) kick(at / NOTIFY_MULTIPLIER);
    if (offset - at === MSIX_TABLE && size === 4 && at % 4 === 0) {
      writeTable(s.msix, at, value);
      flushMsix(s.msix, msixControl(), message);
    }
    slot.changed();
  };

  // Configuration space -------------------------------------------------------------------------------------------------

  /** The window: an access to its data is one to the BAR, of the length set (4.1.4.9). */
  const window = (): { readonly offset: number; readonly size: AccessSize } | undefined => {
    const size = config(WINDOW_LENGTH, 4);
    const offset = config(WINDOW_OFFSET, 4);
    if (config(WINDOW_BAR, 1) !== 0 || (size !== 1 && size !== 2 && size !== 4)) return undefined;
    return offset % size === 0 && offset < VIRTIO_BAR_SIZE ? { offset, size } : undefined;
  };

  const { typed } = model;
  return {
    read: (_bar, offset, size) => read(offset, size),
    write: (_bar, offset, size, value) => write(offset, size, value),
    asks: () => s.isr !== 0,
    sendsMessages: () => msixEnabled(msixControl()),
    readConfig: (register) => {
      const through = register === WINDOW_DATA ? window() : undefined;
      return through && read(through.offset, through.size);
    },
    writeConfig: (register, _size, value) => {
      const through = register === WINDOW_DATA ? window() : undefined;
      if (through) write(through.offset, through.size, value);
      return through !== undefined;
    },
    configChanged: () => flushMsix(s.msix, msixControl(), message),
    nextEvent: () => (s.kicked !== 0 && live() ? BigInt(s.busyUntil) : undefined),
    advance: (now) => {
      if (s.kicked !== 0 && live() && BigInt(s.busyUntil) <= now) handleNext(now);
    },
    bulk: model.bulk,
    typedAt: typed && {
      port: typed.port,
      // Before its driver is at work nobody is there to read.
      receiveRoom: () => (live() ? typed.room() : 0),
      receive: (byte) => {
        typed.receive(byte);
        kick(typed.queue);
      },
    },
    state: () => ({ ...copyState(s), model: model.state() }),
    restore: (saved) => {
      const { model: inner, ...own } = adoptState(name, { ...s, model: model.state() }, saved);
      checkState(name, own, powerOn(model));
      model.restore(inner);
      s = own;
    },
    reset: () => {
      s = powerOn(model);
      model.reset();
    },
  };
};

/** Throws Error where a saved state has parts of another size than it can have. */
const checkState = (name: string, saved: State, like: State): void => {
  BigInt(saved.busyUntil); // throws where it is no time
  const sizes = ({ common, msix }: State): string =>
    [common.accepted.length, common.queues.length, msix.table.length].join();
  const fits = sizes(saved) === sizes(like) && saved.common.queues.every((q) => isQueue(name, q));
  if (!fits) throw new Error(`${name}: saved state has parts of the wrong size`);
};

const readBytes = (bytes: readonly number[], offset: number, size: number): number => {
  let value = 0;
  for (let i = 0; i < size; i++) value |= (bytes[offset + i] ?? 0) << (8 * i);
  return value >>> 0;
};

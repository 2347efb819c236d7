// The common configuration structure (virtio 1.2, 4.1.4.3): its registers as a table, and the life of a device that they
// drive: reset, features, queues, DRIVER_OK. Accesses of any size work; each register sees whole values.

import { zeros } from '../device.ts';
import { LARGEST_QUEUE, NO_VECTOR, powerOnQueue, type QueueState } from './queue.ts';

export const STATUS = { driverOk: 4, featuresOk: 8, needsReset: 0x40 } as const;
const STATUS_WRITABLE = 0x8f;

/** Feature bits of the transport: ring features in the low word, VIRTIO_F_VERSION_1 in the high one. */
export const F_INDIRECT_DESC = 1 << 28;
export const F_EVENT_IDX = 1 << 29;
const RING_FEATURES = F_INDIRECT_DESC | F_EVENT_IDX;
const F_VERSION_1 = 1;

export type CommonState = {
  status: number;
  deviceSelect: number;
  driverSelect: number;
  /** What the driver accepted, low and high word. */
  accepted: number[];
  configVector: number;
  generation: number;
  queueSelect: number;
  queues: QueueState[];
};

export const powerOnCommon = (queues: number): CommonState => ({
  status: 0,
  deviceSelect: 0,
  driverSelect: 0,
  accepted: [0, 0],
  configVector: NO_VECTOR,
  generation: 0,
  queueSelect: 0,
  queues: zeros(queues).map(() => powerOnQueue(LARGEST_QUEUE)),
});

export const COMMON_SIZE = 56;

export type CommonOptions = {
  /** Low word of what the device offers. */
  readonly features: number;
  /** MSI-X vectors there are. */
  readonly vectors: number;
  /** The driver reset the device. */
  readonly reset: () => void;
};

type Register = {
  readonly offset: number;
  readonly size: number;
  read(s: CommonState, options: CommonOptions): number;
  write?(s: CommonState, value: number, options: CommonOptions): void;
};

const offered = ({ features }: CommonOptions): readonly number[] => [(features | RING_FEATURES) >>> 0, F_VERSION_1];

const selected = (s: CommonState): QueueState | undefined => s.queues[s.queueSelect];

/** 3.1.1: the device takes FEATURES_OK only where what was accepted was offered, and it is no legacy driver. */
const featuresFit = (s: CommonState, options: CommonOptions): boolean =>
  s.accepted.every((word, i) => (word & ~(offered(options)[i] ?? 0)) === 0) &&
  ((s.accepted[1] ?? 0) & F_VERSION_1) !== 0;

/** Bits come on one after the other; only a reset, which is a write of 0, takes them away. */
const writeStatus = (s: CommonState, value: number, options: CommonOptions): void => {
  if (value === 0) return options.reset();
  const wanted = s.status | (value & STATUS_WRITABLE);
  const agreeing = (wanted & ~s.status & STATUS.featuresOk) !== 0;
  s.status = agreeing && !featuresFit(s, options) ? wanted & ~STATUS.featuresOk : wanted;
};

const writeFeatures = (s: CommonState, value: number): void => {
  if (s.driverSelect < 2 && (s.status & STATUS.featuresOk) === 0) s.accepted[s.driverSelect] = value;
};

/** A vector that there is not reads back as none (4.1.5.1.2). */
const vectorOf = (value: number, { vectors }: CommonOptions): number => (value < vectors ? value : NO_VECTOR);

const writeQueueSize = (q: QueueState, value: number): void => {
  const powerOfTwo = value > 0 && value <= LARGEST_QUEUE && (value & (value - 1)) === 0;
  if (powerOfTwo) q.size = value;
};

type QueuePart = 'descriptors' | 'available' | 'usedRing';

/** Both halves of an address. An enabled queue stays where it is. */
const addressRegisters = (offset: number, part: QueuePart): readonly Register[] =>
  [0, 1].map((half) => ({
    offset: offset + 4 * half,
    size: 4,
    read: (s) => selected(s)?.[part][half] ?? 0,
    write: (s, value) => {
      const q = selected(s);
      if (q && !q.enabled) q[part][half] = value;
    },
  }));

const REGISTERS: readonly Register[] = [
  {
    offset: 0,
    size: 4,
    read: (s) => s.deviceSelect,
    write: (s, value) => {
      s.deviceSelect = value;
    },
  },
  { offset: 4, size: 4, read: (s, options) => offered(options)[s.deviceSelect] ?? 0 },
  {
    offset: 8,
    size: 4,
    read: (s) => s.driverSelect,
    write: (s, value) => {
      s.driverSelect = value;
    },
  },
  { offset: 12, size: 4, read: (s) => s.accepted[s.driverSelect] ?? 0, write: writeFeatures },
  {
    offset: 16,
    size: 2,
    read: (s) => s.configVector,
    write: (s, value, options) => {
      s.configVector = vectorOf(value, options);
    },
  },
  { offset: 18, size: 2, read: (s) => s.queues.length },
  { offset: 20, size: 1, read: (s) => s.status, write: writeStatus },
  { offset: 21, size: 1, read: (s) => s.generation },
  {
    offset: 22,
    size: 2,
    read: (s) => s.queueSelect,
    write: (s, value) => {
      s.queueSelect = value;
    },
  },
  {
    offset: 24,
    size: 2,
    // A queue that there is not has size 0 (4.1.4.3.1).
    read: (s) => selected(s)?.size ?? 0,
    write: (s, value) => {
      const q = selected(s);
      if (q && !q.enabled) writeQueueSize(q, value);
    },
  },
  {
    offset: 26,
    size: 2,
    read: (s) => selected(s)?.vector ?? NO_VECTOR,
    write: (s, value, options) => {
      const q = selected(s);
      if (q) q.vector = vectorOf(value, options);
    },
  },
  {
    offset: 28,
    size: 2,
    read: (s) => (selected(s)?.enabled ? 1 : 0),
    write: (s, value) => {
      const q = selected(s);
      if (q && value === 1) q.enabled = true;
    },
  },
  { offset: 30, size: 2, read: (s) => (selected(s) ? s.queueSelect : 0) },
  ...addressRegisters(32, 'descriptors'),
  ...addressRegisters(40, 'available'),
  ...addressRegisters(48, 'usedRing'),
];

/** @param offset from the structure's beginning */
export const readCommon = (s: CommonState, options: CommonOptions, offset: number, size: number): number => {
  let value = 0;
  for (const register of REGISTERS) {
    if (register.offset + register.size <= offset || register.offset >= offset + size) continue;
    const shift = 8 * (register.offset - offset);
    const whole = register.read(s, options);
    value |= shift >= 0 ? whole << shift : whole >>> -shift;
  }
  return size === 4 ? value >>> 0 : (value & (2 ** (8 * size) - 1)) >>> 0;
};

export const writeCommon = (
  s: CommonState,
  options: CommonOptions,
  offset: number,
  size: number,
  value: number,
): void => {
  for (const register of REGISTERS) {
    if (register.offset + register.size <= offset || register.offset >= offset + size) continue;
    register.write?.(s, merged(register, register.read(s, options), offset, size, value), options);
  }
};

/** What a register becomes where some of its bytes are written. */
const merged = (register: Register, old: number, offset: number, size: number, value: number): number => {
  let result = 0;
  for (let i = 0; i < register.size; i++) {
    const at = register.offset + i - offset;
    const byte = at >= 0 && at < size ? value >>> (8 * at) : old >>> (8 * i);
    result |= (byte & 0xff) << (8 * i);
  }
  return result >>> 0;
};

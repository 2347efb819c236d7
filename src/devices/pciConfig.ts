// PCI configuration mechanism 1 (CONFIG_ADDRESS 0xcf8, CONFIG_DATA 0xcfc) with one function behind it: the host
// bridge 82441FX (440FX) at 00:00.0. Every other function is absent and reads all-ones. CONFIG_ADDRESS answers
// 32-bit accesses only; narrower ones pass it by, as the specification says (PCI 2.1, 3.7.4.1), so a probe for
// mechanism 2 (bytes at 0xcf8 and 0xcfa) finds nothing.

import type { AccessSize, Device, Unimplemented } from './device.ts';
import { adoptState, copyState, hexByte, sayOnce, zeros } from './device.ts';

const CONFIG_ADDRESS = 0;
const CONFIG_DATA = 4;
const CONFIG_ENABLE = 0x8000_0000;
/** Reserved bits 30..24 and 1..0 read as zero. */
const CONFIG_ADDRESS_MASK = 0x80ff_fffc;

const PCI_VENDOR_ID = 0x00;
const PCI_COMMAND = 0x04;
const PCI_STATUS = 0x06;
const PCI_CLASS_REVISION = 0x08;
const PCI_LATENCY_TIMER = 0x0d;
const PCI_HEADER_END = 0x40;
const PAM0 = 0x59;
const SMRAM = 0x72;

type ByteRow = readonly [register: number, bytes: readonly number[]];

/** Power-on contents that are not zero. */
const HOST_BRIDGE: readonly ByteRow[] = [
  [PCI_VENDOR_ID, [0x86, 0x80, 0x37, 0x12]],
  [PCI_COMMAND, [0x06, 0x00]],
  [PCI_STATUS, [0x80, 0x02]],
  [PCI_CLASS_REVISION, [0x02, 0x00, 0x00, 0x06]],
  [SMRAM, [0x02]],
];

/** Writable bits; other bytes of the header are read-only. */
const HOST_BRIDGE_WRITABLE: readonly ByteRow[] = [
  [PCI_COMMAND, [0x00, 0x01]],
  [PCI_LATENCY_TIMER, [0xf8]],
  [PAM0, [0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]],
  [SMRAM, [0x7f]],
];

const bytesOf = (rows: readonly ByteRow[]): number[] => {
  const bytes = zeros(256);
  for (const [register, values] of rows) bytes.splice(register, values.length, ...values);
  return bytes;
};

const WRITABLE: readonly number[] = bytesOf(HOST_BRIDGE_WRITABLE);

const powerOn = (): { address: number; hostBridge: number[] } => ({ address: 0, hostBridge: bytesOf(HOST_BRIDGE) });

const allOnes = (size: AccessSize): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

export type PciConfigOptions = { readonly unimplemented: Unimplemented };

/** CONFIG_ADDRESS at offset 0, CONFIG_DATA at offset 4. */
export const createPciConfig = (options: PciConfigOptions): Device => {
  const name = 'pciConfig';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  /** Bus, device and function 0, and configuration cycles on. */
  const selectsHostBridge = (): boolean => (s.address & ~0xfc) >>> 0 === CONFIG_ENABLE;
  const registerAt = (offset: number): number => (s.address & 0xfc) + (offset & 3);

  const readData = (offset: number, size: AccessSize): number => {
    if (!selectsHostBridge()) return allOnes(size);
    let value = 0;
    for (let i = 0; i < size; i++) {
      const byte = offset + i < 8 ? (s.hostBridge[registerAt(offset + i)] ?? 0xff) : 0xff;
      value |= byte << (8 * i);
    }
    return value >>> 0;
  };

  const writeRegister = (register: number, byte: number): void => {
    const mask = WRITABLE[register] ?? 0;
    s.hostBridge[register] = ((s.hostBridge[register] ?? 0) & ~mask) | (byte & mask);
    if (mask === 0 && register >= PCI_HEADER_END) loud.say(`write to host bridge register ${hexByte(register)}`);
  };

  const writeData = (offset: number, size: AccessSize, value: number): void => {
    if (!selectsHostBridge()) return;
    for (let i = 0; i < size && offset + i < 8; i++) writeRegister(registerAt(offset + i), (value >>> (8 * i)) & 0xff);
  };

  return {
    name,
    read: (offset, size) => {
      if (offset >= CONFIG_DATA) return readData(offset, size);
      return offset === CONFIG_ADDRESS && size === 4 ? s.address : allOnes(size);
    },
    write: (offset, size, value) => {
      if (offset >= CONFIG_DATA) writeData(offset, size, value);
      else if (offset === CONFIG_ADDRESS && size === 4) s.address = (value & CONFIG_ADDRESS_MASK) >>> 0;
    },
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      loud.forget();
    },
    reset: () => {
      s = powerOn();
      loud.forget();
    },
  };
};

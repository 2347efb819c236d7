// PCI configuration mechanism 1 (CONFIG_ADDRESS 0xcf8, CONFIG_DATA 0xcfc) and the host bridge 82441FX (440FX) at 00:00.0.
// Other devices of bus 0 have one function each; whatever is absent reads all-ones. CONFIG_ADDRESS answers
// 32-bit accesses only; narrower ones pass it by, as the specification says (PCI 2.1, 3.7.4.1), so a probe for
// mechanism 2 (bytes at 0xcf8 and 0xcfa) finds nothing.

import type { AccessSize, Device, Unimplemented } from '../device.ts';
import { adoptState, copyState, hexByte, sayOnce } from '../device.ts';
import {
  allOnes,
  type ByteRow,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_HEADER_END,
  PCI_LATENCY_TIMER,
  PCI_STATUS,
  PCI_VENDOR_ID,
  type PciFunction,
  readSpace,
  spaceOf,
  writeSpace,
} from './space.ts';

const CONFIG_ADDRESS = 0;
const CONFIG_DATA = 4;
const CONFIG_ENABLE = 0x8000_0000;
/** Reserved bits 30..24 and 1..0 read as zero. */
const CONFIG_ADDRESS_MASK = 0x80ff_fffc;
/** Slots of bus 0. */
export const PCI_SLOTS = 32;

const PAM0 = 0x59;
const SMRAM = 0x72;

/** Power-on contents that are not zero. */
const HOST_BRIDGE: readonly ByteRow[] = [
  [PCI_VENDOR_ID, [0x86, 0x80, 0x37, 0x12]],
  [PCI_COMMAND, [0x06, 0x00]],
  [PCI_STATUS, [0x80, 0x02]],
  [PCI_CLASS_REVISION, [0x02, 0x00, 0x00, 0x06]],
  [SMRAM, [0x02]],
];

/** Writable bits; other bytes of the header are read-only. */
const WRITABLE: readonly number[] = spaceOf([
  [PCI_COMMAND, [0x00, 0x01]],
  [PCI_LATENCY_TIMER, [0xf8]],
  [PAM0, [0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]],
  [SMRAM, [0x7f]],
]);

const powerOn = (): { address: number; hostBridge: number[] } => ({ address: 0, hostBridge: spaceOf(HOST_BRIDGE) });

export type PciConfigOptions = {
  readonly unimplemented: Unimplemented;
  /** Devices of bus 0 by slot, 1 to 31. */
  readonly functions?: ReadonlyMap<number, PciFunction>;
};

/** CONFIG_ADDRESS at offset 0, CONFIG_DATA at offset 4. */
export const createPciConfig = (options: PciConfigOptions): Device => {
  const name = 'pciConfig';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const hostBridge: PciFunction = {
    readConfig: (register, size) => readSpace(s.hostBridge, register, size),
    writeConfig: (register, size, value) => {
      writeSpace(s.hostBridge, WRITABLE, register, size, value);
      for (let at = Math.max(register, PCI_HEADER_END); at < register + size; at++) {
        if (!WRITABLE[at]) loud.say(`write to host bridge register ${hexByte(at)}`);
      }
    },
  };

  /** What is addressed, where configuration cycles are on and it is there: bus 0, function 0. */
  const selected = (): PciFunction | undefined => {
    if ((s.address & ~0xf8fc) >>> 0 !== CONFIG_ENABLE) return undefined;
    const slot = (s.address >>> 11) & (PCI_SLOTS - 1);
    return slot === 0 ? hostBridge : options.functions?.get(slot);
  };

  /** Bytes of an access that lie in CONFIG_DATA: one that runs over its end is cut there. */
  const fitting = (offset: number, size: AccessSize): AccessSize => {
    const left = 8 - offset;
    return size <= left ? size : left >= 2 ? 2 : 1;
  };

  const readData = (offset: number, size: AccessSize): number => {
    const register = (s.address & 0xfc) + (offset & 3);
    const part = fitting(offset, size);
    const value = selected()?.readConfig(register, part) ?? allOnes(part);
    return part === size ? value : ((allOnes(size) & ~allOnes(part)) | value) >>> 0;
  };

  const writeData = (offset: number, size: AccessSize, value: number): void => {
    const part = fitting(offset, size);
    selected()?.writeConfig((s.address & 0xfc) + (offset & 3), part, (value & allOnes(part)) >>> 0);
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

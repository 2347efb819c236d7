// QEMU's firmware configuration device on its two ports (QEMU's docs/specs/fw_cfg): a 16-bit selector and a byte-wide data
// register that gives the selected item byte for byte, then zeros. Test programs ask it for the RAM size and the number of
// processors. There is no DMA interface, and the ID item says so. Items cannot be written.
import type { Device } from './device.ts';
import { adoptState, copyState } from './device.ts';

const SELECTOR = 0;
const DATA = 1;

/** Bit 0: the two ports; bit 1, DMA, is clear. */
const ID_PORTS = 1;

/** One processor: that is all this machine has. */
const CPUS = 1;

const little = (value: number, size: number): readonly number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

/** @param options.ramBytes below and above the device hole */
export const createFwCfg = (options: { readonly ramBytes: number }): Device => {
  const name = 'fwCfg';
  const items: ReadonlyMap<number, readonly number[]> = new Map([
    /** FW_CFG_SIGNATURE */
    [0x00, Array.from('QEMU', (c) => c.charCodeAt(0))],
    /** FW_CFG_ID */
    [0x01, little(ID_PORTS, 4)],
    /** FW_CFG_RAM_SIZE */
    [0x03, little(options.ramBytes, 8)],
    /** FW_CFG_NB_CPUS, FW_CFG_MAX_CPUS */
    [0x05, little(CPUS, 2)],
    [0x0f, little(CPUS, 2)],
    /** FW_CFG_FILE_DIR: a big-endian count of files, and there are none. */
    [0x19, [0, 0, 0, 0]],
  ]);
  const initial = { selected: 0, position: 0 };
  let s = copyState(initial);
  const nextByte = (): number => {
    const byte = items.get(s.selected)?.[s.position] ?? 0;
    s.position++;
    return byte;
  };
  return {
    name,
    read: (offset) => (offset === DATA ? nextByte() : 0),
    write: (offset, size, value) => {
      if (offset === SELECTOR && size >= 2) s = { selected: value & 0xffff, position: 0 };
      else if (offset === SELECTOR) s = { selected: value & 0xff, position: 0 };
    },
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
    },
    reset: () => {
      s = copyState(initial);
    },
  };
};

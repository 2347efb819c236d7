// What a BIOS has for interrupts in real mode: entries of the interrupt vector table for IRQ 0 to 15, and short handlers
// behind them, so that real-mode code may wait with interrupts on as on any PC. There are no BIOS services: the other entries are 0.
import { putU16 } from '../bits/cursor.ts';
import { bytesOfHex } from '../bits/hex.ts';
import { BIOS_HANDLERS_START, BIOS_START } from './layout.ts';

/** Where a PC BIOS has IRQ 0 to 7 and 8 to 15. In protected mode the former are exceptions' vectors: IRQ 0 is that of #DF. */
export const BIOS_VECTORS = [0x08, 0x70] as const;

/** IRQ 0 counts its ticks in the BIOS data area (0x46c), as DOS-time programs read them; no day ends. */
const TIMER = [
  '1e 50', // push %ds; push %ax
  'b8 40 00 8e d8', // mov $0x40,%ax; mov %ax,%ds
  '66 ff 06 6c 00', // incl 0x6c
  'b0 20 e6 20', // mov $0x20,%al; out %al,$0x20
  '58 1f cf', // pop %ax; pop %ds; iret
];
/** push %ax; mov $0x20,%al; out %al,$0x20; pop %ax; iret */
const MASTER = ['50 b0 20 e6 20 58 cf'];
/** The same, to the slave first. */
const SLAVE = ['50 b0 20 e6 a0 e6 20 58 cf'];

const HANDLERS = [TIMER, MASTER, SLAVE].map((lines) => bytesOfHex(lines.join(' ')));
const offsetOf = (handler: number): number =>
  HANDLERS.slice(0, handler).reduce((sum, bytes) => sum + bytes.length, BIOS_HANDLERS_START - BIOS_START);

/** The handlers' code, for BIOS_HANDLERS_START. */
export const biosHandlers = (): Uint8Array => Uint8Array.from(HANDLERS.flatMap((bytes) => [...bytes]));

/** The table from address 0 on, up to its last entry that is not 0. */
export function interruptVectors(): Uint8Array {
  const [first, second] = BIOS_VECTORS;
  const bytes = new Uint8Array(4 * (second + 8));
  const set = (vector: number, handler: number): void => {
    putU16(bytes, 4 * vector, offsetOf(handler));
    putU16(bytes, 4 * vector + 2, BIOS_START >> 4);
  };
  for (let irq = 0; irq < 8; irq++) {
    set(first + irq, irq === 0 ? 0 : 1);
    set(second + irq, 2);
  }
  return bytes;
}

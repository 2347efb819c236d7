// Two Intel 8259A interrupt controllers wired as in a PC: the slave's INT pin goes to the master's IR2. Before its
// initialization command words (ICW1..4) a chip requests nothing. Not modelled: the 8080 mode (ICW4.uPM = 0 still
// delivers 8086 vectors, and says so) and other cascades. Read: 8259A data sheet, "Programming the 8259A"; the
// edge/level control registers (ELCR, 0x4d0/0x4d1) are the chipset's (82371SB, 2.5).
//
// In edge mode a request is latched at the rising edge and stands until it is acknowledged, whatever its line does: the
// latch in IRR is what QEMU and KVM have, and guests are written against it (the data sheet wants the line held until the
// acknowledge). The master's IR2 follows the slave's INT pin instead, which falls when the slave has nothing more to ask.
// An acknowledge that finds nothing gets IR7 without an in-service bit: the spurious interrupt.

import type { Device, InterruptLine, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce } from './device.ts';

const MASTER_COMMAND = 0x00;
const MASTER_DATA = 0x01;
const SLAVE_COMMAND = 0x80;
const SLAVE_DATA = 0x81;
const ELCR1 = 0x4b0;
const ELCR2 = 0x4b1;
/** IRQ0, 1, 2, 8 and 13 are always edge-triggered. */
const ELCR1_MASK = 0xf8;
const ELCR2_MASK = 0xde;

const ICW1_IC4 = 0x01;
const ICW1_SNGL = 0x02;
const ICW1_LTIM = 0x08;
const ICW1_SELECT = 0x10;
const ICW4_UPM = 0x01;
const ICW4_AEOI = 0x02;
const ICW4_SFNM = 0x10;
const OCW3_SELECT = 0x08;
const OCW3_RIS = 0x01;
const OCW3_RR = 0x02;
const OCW3_POLL = 0x04;
const OCW3_SMM = 0x20;
const OCW3_ESMM = 0x40;

/** OCW2 bits 7..5: R, SL, EOI. */
const OCW2_CLEAR_ROTATE_AEOI = 0;
const OCW2_EOI = 1;
const OCW2_NOP = 2;
const OCW2_SPECIFIC_EOI = 3;
const OCW2_SET_ROTATE_AEOI = 4;
const OCW2_ROTATE_EOI = 5;
const OCW2_SET_PRIORITY = 6;
const OCW2_ROTATE_SPECIFIC_EOI = 7;

const CASCADE_IR = 2;
const SPURIOUS_IR = 7;
const NONE = -1;

type Chip = {
  /** Levels of IR0..7 as last seen. */
  lines: number;
  /** Requests latched by a rising edge; for level-triggered inputs the line itself counts. */
  latched: number;
  imr: number;
  isr: number;
  elcr: number;
  /** Vector of IR0 (ICW2, a multiple of 8). */
  base: number;
  /** Which IR has the lowest priority: 7 unless rotated. */
  lowest: number;
  /** The initialization word expected next, 2..4; 0 when none is. */
  expects: number;
  ready: boolean;
  icw1: number;
  icw4: number;
  specialMask: boolean;
  rotateOnAutoEoi: boolean;
  readIsr: boolean;
  poll: boolean;
};

type PicState = { master: Chip; slave: Chip };

const powerOnChip = (): Chip => ({
  lines: 0,
  latched: 0,
  imr: 0,
  isr: 0,
  elcr: 0,
  base: 0,
  lowest: 7,
  expects: 0,
  ready: false,
  icw1: 0,
  icw4: 0,
  specialMask: false,
  rotateOnAutoEoi: false,
  readIsr: false,
  poll: false,
});

const levelTriggered = (chip: Chip): number => ((chip.icw1 & ICW1_LTIM) !== 0 ? 0xff : chip.elcr);

const irr = (chip: Chip): number => {
  const level = levelTriggered(chip);
  return (chip.latched & ~level) | (chip.lines & level);
};

/** The highest-priority bit of `bits`, or NONE. */
const highest = (chip: Chip, bits: number): number => {
  for (let i = 1; i <= 8; i++) {
    const ir = (chip.lowest + i) & 7;
    if ((bits & (1 << ir)) !== 0) return ir;
  }
  return NONE;
};

/** In-service bits that hold back requests and that a non-specific EOI ends (masked ones do neither in special mask mode). */
const serviced = (chip: Chip): number => (chip.specialMask ? chip.isr & ~chip.imr : chip.isr);

/** The IR that the chip asks to have acknowledged (its INT pin), or NONE. */
const requested = (chip: Chip): number => {
  const wanted = chip.ready ? irr(chip) & ~chip.imr : 0;
  if (wanted === 0) return NONE;
  const ir = highest(chip, wanted);
  const busy = highest(chip, serviced(chip));
  if (busy === NONE) return ir;
  const rank = (of: number): number => (of - chip.lowest + 7) & 7;
  if (rank(ir) < rank(busy)) return ir;
  // Special fully nested mode: a slave already in service may ask again, for a more urgent input of its own.
  const again = ir === busy && ir === CASCADE_IR && (chip.icw4 & ICW4_SFNM) !== 0;
  return again ? ir : NONE;
};

/** Would the chip ask for anything if this input rose now? */
const wouldAsk = (chip: Chip, ir: number): boolean =>
  requested({ ...chip, latched: chip.latched | (1 << ir), lines: chip.lines | (1 << ir) }) !== NONE;

const setLine = (chip: Chip, ir: number, level: boolean): void => {
  const bit = 1 << ir;
  if (level && (chip.lines & bit) === 0) chip.latched |= bit;
  if (!level) chip.latched &= ~(bit & levelTriggered(chip));
  chip.lines = level ? chip.lines | bit : chip.lines & ~bit;
};

const take = (chip: Chip, ir: number): void => {
  chip.latched &= ~(1 << ir);
  if ((chip.icw4 & ICW4_AEOI) === 0) chip.isr |= 1 << ir;
  else if (chip.rotateOnAutoEoi) chip.lowest = ir;
};

const writeIcw1 = (chip: Chip, value: number): void => {
  Object.assign(chip, { ...powerOnChip(), lines: chip.lines, elcr: chip.elcr, base: chip.base });
  chip.icw1 = value;
  chip.expects = 2;
};

const endOfInterrupt = (chip: Chip, ir: number, rotate: boolean): void => {
  if (ir === NONE) return;
  chip.isr &= ~(1 << ir);
  if (rotate) chip.lowest = ir;
};

const writeOcw2 = (chip: Chip, value: number): void => {
  const ir = value & 7;
  switch (value >> 5) {
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
      return endOfInterrupt(chip, highest(chip, serviced(chip)), value >> 5 === OCW2_ROTATE_EOI);
    case OCW2_SPECIFIC_EOI:
    case OCW2_ROTATE_SPECIFIC_EOI:
      return endOfInterrupt(chip, ir, value >> 5 === OCW2_ROTATE_SPECIFIC_EOI);
    case OCW2_SET_PRIORITY:
      chip.lowest = ir;
      return;
    case OCW2_SET_ROTATE_AEOI:
    case OCW2_CLEAR_ROTATE_AEOI:
      chip.rotateOnAutoEoi = value >> 5 === OCW2_SET_ROTATE_AEOI;
      return;
    case OCW2_NOP:
      return;
  }
};

const writeOcw3 = (chip: Chip, value: number): void => {
  if ((value & OCW3_ESMM) !== 0) chip.specialMask = (value & OCW3_SMM) !== 0;
  if ((value & OCW3_RR) !== 0) chip.readIsr = (value & OCW3_RIS) !== 0;
  chip.poll = (value & OCW3_POLL) !== 0;
};

const writeCommand = (chip: Chip, value: number): void => {
  if ((value & ICW1_SELECT) !== 0) writeIcw1(chip, value);
  else if ((value & OCW3_SELECT) !== 0) writeOcw3(chip, value);
  else writeOcw2(chip, value);
};

/** Which initialization word follows `word`, given ICW1; 0 when the sequence is complete. */
const nextIcw = (icw1: number, word: number): number => {
  if (word === 2 && (icw1 & ICW1_SNGL) === 0) return 3;
  return word < 4 && (icw1 & ICW1_IC4) !== 0 ? 4 : 0;
};

const writeData = (chip: Chip, value: number, icw3: number, say: Unimplemented): void => {
  const word = chip.expects;
  if (word === 0) {
    chip.imr = value;
    return;
  }
  if (word === 2) chip.base = value & 0xf8;
  if (word === 3 && value !== icw3) say(`cascade ICW3 = ${hexByte(value)}, wired as ${hexByte(icw3)}`);
  if (word === 4) chip.icw4 = value;
  chip.expects = nextIcw(chip.icw1, word);
  if (chip.expects !== 0) return;
  chip.ready = true;
  if ((chip.icw4 & ICW4_UPM) === 0) say('8080 mode (ICW4.uPM = 0)');
};

const readChip = (chip: Chip, data: boolean): number => {
  if (chip.poll) {
    chip.poll = false;
    const ir = requested(chip);
    if (ir === NONE) return 0;
    take(chip, ir);
    return 0x80 | ir;
  }
  if (data) return chip.imr;
  return chip.readIsr ? chip.isr : irr(chip);
};

export type Pic8259Options = { readonly unimplemented: Unimplemented };

export type Pic8259 = Device & {
  /** Sets input 0..15 (8 and up on the slave) high; IRQ 2 is the cascade and has no pin. */
  raise(irq: number): void;
  /** Sets input 0..15 low. */
  lower(irq: number): void;
  /** The line into input `irq`, as chips take it at construction. */
  line(irq: number): InterruptLine;
  /** Would an edge at input `irq` be asked for, as masks, priorities and interrupts in service stand? */
  hears(irq: number): boolean;
  /** The level of the master's INT pin: the CPU should acknowledge as soon as it takes interrupts. */
  pending(): boolean;
  /** The CPU's acknowledge cycle: returns the vector, 0..255. Without a request it is a spurious IR7. */
  acknowledge(): number;
};

/** The pair, at the offsets of ports 0x20, 0xa0 and 0x4d0 less 0x20. */
export const createPic8259 = (options: Pic8259Options): Pic8259 => {
  const name = 'pic8259';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s: PicState = { master: powerOnChip(), slave: powerOnChip() };

  const cascadeTo = (level: boolean): void => {
    setLine(s.master, CASCADE_IR, level);
    if (!level) s.master.latched &= ~(1 << CASCADE_IR);
  };
  const cascade = (): void => cascadeTo(requested(s.slave) !== NONE);

  const set = (irq: number, level: boolean): void => {
    if (irq < 8) setLine(s.master, irq, level);
    else setLine(s.slave, irq - 8, level);
    cascade();
  };

  const acknowledgeSlave = (): number => {
    const ir = requested(s.slave);
    if (ir !== NONE) take(s.slave, ir);
    // INT falls during the acknowledge cycle, so a request that is still standing makes a new edge at the master.
    cascadeTo(false);
    cascade();
    return s.slave.base + (ir === NONE ? SPURIOUS_IR : ir);
  };

  const readByte = (offset: number): number => {
    switch (offset) {
      case MASTER_COMMAND:
      case MASTER_DATA:
        return readChip(s.master, offset === MASTER_DATA);
      case SLAVE_COMMAND:
      case SLAVE_DATA:
        return readChip(s.slave, offset === SLAVE_DATA);
      case ELCR1:
        return s.master.elcr;
      case ELCR2:
        return s.slave.elcr;
      default:
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
    }
  };

  const writeByte = (offset: number, value: number): void => {
    switch (offset) {
      case MASTER_COMMAND:
        return writeCommand(s.master, value);
      case MASTER_DATA:
        return writeData(s.master, value, 1 << CASCADE_IR, loud.say);
      case SLAVE_COMMAND:
        return writeCommand(s.slave, value);
      case SLAVE_DATA:
        return writeData(s.slave, value, CASCADE_IR, loud.say);
      case ELCR1:
        s.master.elcr = value & ELCR1_MASK;
        return;
      case ELCR2:
        s.slave.elcr = value & ELCR2_MASK;
        return;
      default:
        loud.say(`write to offset ${hexByte(offset)}`);
    }
  };

  return {
    name,
    ...byteWide(
      (offset) => {
        const value = readByte(offset);
        cascade();
        return value;
      },
      (offset, value) => {
        writeByte(offset, value);
        cascade();
      },
    ),
    raise: (irq) => set(irq, true),
    lower: (irq) => set(irq, false),
    line: (irq) => (level) => set(irq, level),
    hears: (irq) => {
      if (irq < 8) return wouldAsk(s.master, irq);
      return wouldAsk(s.slave, irq - 8) && wouldAsk(s.master, CASCADE_IR);
    },
    pending: () => requested(s.master) !== NONE,
    acknowledge: () => {
      const ir = requested(s.master);
      if (ir === NONE) return s.master.base + SPURIOUS_IR;
      take(s.master, ir);
      const slave = ir === CASCADE_IR && (s.master.icw1 & ICW1_SNGL) === 0;
      return slave ? acknowledgeSlave() : s.master.base + ir;
    },
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      loud.forget();
    },
    reset: () => {
      s = { master: powerOnChip(), slave: powerOnChip() };
      loud.forget();
    },
  };
};

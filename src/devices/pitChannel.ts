// One counter of an Intel 8254, as plain data and functions of (counter, tick). A tick is one period of the
// 1.193182 MHz clock since the machine started. Nothing counts here: a running counter is the tick at which its
// initial count stood in the counting element, and its value and OUT pin are computed when somebody looks.
// Callers settle() a counter to the present before they read or change it. Read: 8254 data sheet, "Mode Definitions".

/** Counter modes by the data sheet's numbers. */
const INTERRUPT_ON_TERMINAL_COUNT = 0;
const HARDWARE_ONE_SHOT = 1;
const RATE_GENERATOR = 2;
const SQUARE_WAVE = 3;
const SOFTWARE_STROBE = 4;
const HARDWARE_STROBE = 5;

/** Control word RW field: which bytes of the count are written and read. */
const RW_LSB = 1;
const RW_MSB = 2;
const RW_BOTH = 3;

const EMPTY = -1;

export type PitChannel = {
  mode: number;
  access: number;
  bcd: boolean;
  gate: boolean;
  /** Count register: the last count written since the control word, 1..65536; 0 before. */
  register: number;
  /** The count in the counting element; 0 while the counter does not run. */
  count: number;
  /** Tick at which `count` stood in the counting element (one clock after the write or trigger). */
  start: number;
  /** Counting stands still at `heldAt` ticks after `start`: gate low, or half a count written in mode 0. */
  held: boolean;
  heldAt: number;
  /** A one-shot mode has made its rising edge. */
  expired: boolean;
  /** First byte of a two-byte count, or EMPTY. */
  writeLow: number;
  readHigh: boolean;
  /** Latched count and status, or EMPTY. */
  latch: number;
  status: number;
};

export const powerOnChannel = (gate: boolean): PitChannel => ({
  mode: INTERRUPT_ON_TERMINAL_COUNT,
  access: RW_BOTH,
  bcd: false,
  gate,
  register: 0,
  count: 0,
  start: 0,
  held: false,
  heldAt: 0,
  expired: false,
  writeLow: EMPTY,
  readHigh: false,
  latch: EMPTY,
  status: EMPTY,
});

const periodic = (ch: PitChannel): boolean => ch.mode === RATE_GENERATOR || ch.mode === SQUARE_WAVE;
const gateTriggers = (ch: PitChannel): boolean => ch.mode === HARDWARE_ONE_SHOT || ch.mode === HARDWARE_STROBE;
const elapsed = (ch: PitChannel, tick: number): number => (ch.held ? ch.heldAt : tick - ch.start);
const modulus = (ch: PitChannel): number => (ch.bcd ? 10_000 : 65_536);

/** Ticks after `start` at which OUT rises: at the count's end, or after the strobe's one low clock. */
const riseAfter = (ch: PitChannel): number =>
  ch.mode === SOFTWARE_STROBE || ch.mode === HARDWARE_STROBE ? ch.count + 1 : ch.count;

/** Brings the counter to `tick`; returns how many rising edges of OUT have happened since the last call. */
export const settle = (ch: PitChannel, tick: number): number => {
  if (ch.count === 0 || ch.held) return 0;
  const passed = tick - ch.start;
  if (!periodic(ch)) {
    if (ch.expired || passed < riseAfter(ch)) return 0;
    ch.expired = true;
    return 1;
  }
  if (passed < ch.count) return 0;
  // A count written in mid-period is loaded at the period's end.
  ch.start += ch.count;
  ch.count = ch.register;
  const periods = Math.floor((tick - ch.start) / ch.count);
  ch.start += periods * ch.count;
  return 1 + periods;
};

/** Tick of the next rising edge of OUT of a settled counter; undefined when none will come. */
export const nextRise = (ch: PitChannel): number | undefined => {
  if (ch.count === 0 || ch.held || ch.expired) return undefined;
  return ch.start + riseAfter(ch);
};

/** Level of the OUT pin of a settled counter. */
export const outLevel = (ch: PitChannel, tick: number): boolean => {
  const running = ch.count !== 0;
  const passed = elapsed(ch, tick);
  switch (ch.mode) {
    case INTERRUPT_ON_TERMINAL_COUNT:
      return running && ch.writeLow === EMPTY && passed >= ch.count;
    case HARDWARE_ONE_SHOT:
      return !running || passed < 0 || passed >= ch.count;
    case RATE_GENERATOR:
      return !running || ch.held || passed !== ch.count - 1;
    case SQUARE_WAVE:
      return !running || ch.held || passed < Math.ceil(ch.count / 2);
    default:
      return !running || passed !== ch.count;
  }
};

const toBcd = (value: number): number =>
  ((Math.floor(value / 1000) % 10) << 12) |
  ((Math.floor(value / 100) % 10) << 8) |
  ((Math.floor(value / 10) % 10) << 4) |
  (value % 10);

const fromBcd = (value: number): number =>
  ((value >> 12) & 15) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);

const squareWaveValue = (ch: PitChannel, passed: number): number => {
  const high = Math.ceil(ch.count / 2);
  const even = ch.count - (ch.count % 2);
  return even - 2 * (passed < high ? passed : passed - high);
};

/** The counting element of a settled counter, 16 bits as the guest reads them. */
const countingElement = (ch: PitChannel, tick: number): number => {
  const passed = ch.count === 0 ? 0 : Math.max(0, elapsed(ch, tick));
  const value = ch.mode === SQUARE_WAVE ? squareWaveValue(ch, passed) : ch.count - passed;
  const wrapped = ((value % modulus(ch)) + modulus(ch)) % modulus(ch);
  return ch.bcd ? toBcd(wrapped) : wrapped;
};

/** Control word for this counter (not a latch or read-back command): stops it and sets OUT to the mode's first level. */
export const programChannel = (ch: PitChannel, control: number): void => {
  const mode = (control >> 1) & 7;
  Object.assign(ch, powerOnChannel(ch.gate));
  ch.access = (control >> 4) & 3;
  ch.mode = mode > HARDWARE_STROBE ? mode & 3 : mode;
  ch.bcd = (control & 1) !== 0;
};

const load = (ch: PitChannel, tick: number): void => {
  ch.count = ch.register;
  ch.start = tick + 1;
  ch.expired = false;
  ch.held = !ch.gate && !gateTriggers(ch);
  ch.heldAt = 0;
};

const hold = (ch: PitChannel, tick: number): void => {
  if (ch.held) return;
  ch.heldAt = tick - ch.start;
  ch.held = true;
};

const takeCount = (ch: PitChannel, written: number, tick: number): void => {
  const value = ch.bcd ? fromBcd(written) : written;
  ch.register = value === 0 ? modulus(ch) : value;
  if (gateTriggers(ch) || (periodic(ch) && ch.count !== 0)) return;
  load(ch, tick);
};

/** One byte written to a settled counter; the last byte that the RW field asks for loads the count. */
export const writeChannel = (ch: PitChannel, byte: number, tick: number): void => {
  if (ch.access === RW_BOTH && ch.writeLow === EMPTY) {
    // In mode 0 the first byte stops the counting (data sheet, Mode 0).
    if (ch.mode === INTERRUPT_ON_TERMINAL_COUNT && ch.count !== 0) hold(ch, tick);
    ch.writeLow = byte;
    return;
  }
  const low = ch.access === RW_BOTH ? ch.writeLow : 0;
  ch.writeLow = EMPTY;
  takeCount(ch, ch.access === RW_LSB ? byte : (byte << 8) | low, tick);
};

/** One byte read from a settled counter: latched status, then latched or live count, by the RW field. */
export const readChannel = (ch: PitChannel, tick: number): number => {
  if (ch.status !== EMPTY) {
    const status = ch.status;
    ch.status = EMPTY;
    return status;
  }
  const value = ch.latch === EMPTY ? countingElement(ch, tick) : ch.latch;
  const high = ch.access === RW_MSB || (ch.access === RW_BOTH && ch.readHigh);
  const last = ch.access !== RW_BOTH || ch.readHigh;
  if (ch.access === RW_BOTH) ch.readHigh = !ch.readHigh;
  if (last) ch.latch = EMPTY;
  return high ? value >> 8 : value & 0xff;
};

/** Counter latch command; a second one before the read is ignored. */
export const latchCount = (ch: PitChannel, tick: number): void => {
  if (ch.latch === EMPTY) ch.latch = countingElement(ch, tick);
};

/** Read-back of the status byte: OUT, null count, RW, mode, BCD. */
export const latchStatus = (ch: PitChannel, tick: number): void => {
  if (ch.status !== EMPTY) return;
  const nullCount = ch.count === 0 || ch.count !== ch.register || tick < ch.start;
  const pins = (outLevel(ch, tick) ? 0x80 : 0) | (nullCount ? 0x40 : 0);
  ch.status = pins | (ch.access << 4) | (ch.mode << 1) | (ch.bcd ? 1 : 0);
};

/** Changes the GATE input of a settled counter. */
export const setGate = (ch: PitChannel, gate: boolean, tick: number): void => {
  if (gate === ch.gate) return;
  ch.gate = gate;
  if (!gate) {
    if (!gateTriggers(ch) && ch.count !== 0) hold(ch, tick);
  } else if (periodic(ch) || gateTriggers(ch)) {
    if (ch.register !== 0) load(ch, tick);
  } else if (ch.held) {
    ch.held = false;
    ch.start = tick - ch.heldAt;
  }
};

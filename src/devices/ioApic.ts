// An IO-APIC as chipsets have it since the ICH (82093AA data sheet; version 0x20 adds the EOI register, ICH9 13.5.5): 24
// inputs, each with a redirection entry that says which message its interrupt becomes. Inputs are logical: true is
// "asserted" whatever polarity an entry claims. An edge at a masked input is lost (82093AA 3.2.4).

import type { Device, InterruptLine, Unimplemented } from './device.ts';
import { type ApicMessage, DELIVERY } from './apicRegisters.ts';
import { adoptState, copyState, hexByte, sayOnce, zeros } from './device.ts';

export const IO_APIC_BASE = 0xfec0_0000;
/** Bytes of the register window. */
export const IO_APIC_SIZE = 0x1000;
const IO_APIC_PINS = 24;

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;

const REG_ID = 0;
const REG_VERSION = 1;
const REG_ARBITRATION = 2;
const REG_TABLE = 0x10;
const READ_ONLY: ReadonlySet<number> = new Set([REG_VERSION, REG_ARBITRATION]);
const VERSION = 0x20 | ((IO_APIC_PINS - 1) << 16);

const LOGICAL = 0x800;
const REMOTE_IRR = 0x4000;
const LEVEL = 0x8000;
const MASKED = 0x1_0000;
/** Delivery status and remote IRR are the chip's. */
const LOW_WRITABLE = 0x1_afff;
const DESTINATION = 0xff00_0000;

export type IoApicOptions = {
  /** Sends an interrupt message. @returns was it accepted? */
  readonly send: (message: ApicMessage) => boolean;
  /** Called when the guest wrote something that may have let an interrupt through. */
  readonly changed: () => void;
  readonly unimplemented: Unimplemented;
};

export type IoApic = Device & {
  /** The line into an input, as chips take it at construction. @param pin 0 to 23 */
  line(pin: number): InterruptLine;
  /** The message that ends a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
  /** Does the 8259A's INT get through by an unmasked ExtINT entry (virtual wire mode through the IO-APIC)? */
  passesPic(): boolean;
  /** Is an input not masked? */
  hears(pin: number): boolean;
  /** Is an input programmed to be an NMI? */
  sendsNmi(): boolean;
};

type IoApicState = {
  index: number;
  id: number;
  /** Lower and upper halves of the redirection entries. */
  low: number[];
  high: number[];
  /** Levels of the inputs, a bit each. */
  lines: number;
};

const powerOn = (): IoApicState => ({
  index: 0,
  id: 0,
  low: zeros(IO_APIC_PINS).map(() => MASKED),
  high: zeros(IO_APIC_PINS),
  lines: 0,
});

/** An IO-APIC at offsets of its base address. */
export const createIoApic = (options: IoApicOptions): IoApic => {
  const name = 'ioApic';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const low = (pin: number): number => s.low[pin] ?? MASKED;
  const modeOf = (pin: number): number => (low(pin) >> 8) & 7;
  const asserted = (pin: number): boolean => ((s.lines >> pin) & 1) === 1;

  const send = (pin: number): boolean => {
    const entry = low(pin);
    return options.send({
      vector: entry & 0xff,
      mode: modeOf(pin),
      destination: (s.high[pin] ?? 0) >>> 24,
      logical: (entry & LOGICAL) !== 0,
      level: (entry & LEVEL) !== 0,
    });
  };

  /** A level-triggered input that is asserted asks again until it is accepted, then not before its EOI. */
  const ask = (pin: number): void => {
    if ((low(pin) & (LEVEL | MASKED | REMOTE_IRR)) !== LEVEL || !asserted(pin)) return;
    if (send(pin)) s.low[pin] = low(pin) | REMOTE_IRR;
  };

  const setLine = (pin: number, level: boolean): void => {
    const rises = level && !asserted(pin);
    s.lines = level ? s.lines | (1 << pin) : s.lines & ~(1 << pin);
    if ((low(pin) & (LEVEL | MASKED)) === 0 && rises && modeOf(pin) !== DELIVERY.extInt) send(pin);
    else ask(pin);
  };

  const endOfInterrupt = (vector: number): void => {
    s.low.forEach((entry, pin) => {
      if ((entry & (LEVEL | REMOTE_IRR | 0xff)) !== (LEVEL | REMOTE_IRR | vector)) return;
      s.low[pin] = entry & ~REMOTE_IRR;
      ask(pin);
    });
  };

  const writeLow = (pin: number, value: number): void => {
    // An entry that is made edge-triggered forgets its remote IRR: that is how kernels end a stuck interrupt.
    const remote = (value & LEVEL) !== 0 ? low(pin) & REMOTE_IRR : 0;
    s.low[pin] = (value & LOW_WRITABLE) | remote;
    ask(pin);
  };

  const readWindow = (): number => {
    if (s.index === REG_ID || s.index === REG_ARBITRATION) return s.id;
    if (s.index === REG_VERSION) return VERSION;
    const pin = (s.index - REG_TABLE) >> 1;
    if (pin >= 0 && pin < IO_APIC_PINS) return ((s.index & 1) === 0 ? low(pin) : (s.high[pin] ?? 0)) >>> 0;
    loud.say(`read of register ${hexByte(s.index)}`);
    return 0xffff_ffff;
  };

  const writeWindow = (value: number): void => {
    const pin = (s.index - REG_TABLE) >> 1;
    if (s.index === REG_ID) s.id = value & 0x0f00_0000;
    else if (READ_ONLY.has(s.index)) return;
    else if (pin < 0 || pin >= IO_APIC_PINS) loud.say(`write to register ${hexByte(s.index)}`);
    else if ((s.index & 1) === 0) writeLow(pin, value);
    else s.high[pin] = (value & DESTINATION) >>> 0;
  };

  const narrowed = (value: number, size: number): number => (size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1));

  return {
    name,
    read: (offset, size) => {
      if (offset === IOREGSEL) return s.index;
      if (offset === IOWIN) return narrowed(readWindow(), size);
      if (offset !== EOI) loud.say(`read of offset ${hexByte(offset)}`);
      return 0;
    },
    write: (offset, size, value) => {
      if (offset === IOREGSEL) s.index = value & 0xff;
      else if (offset === IOWIN && size === 4) writeWindow(value >>> 0);
      else if (offset === EOI) endOfInterrupt(value & 0xff);
      else loud.say(`write of ${size} bytes to offset ${hexByte(offset)}`);
      options.changed();
    },
    line: (pin) => (level) => setLine(pin, level),
    endOfInterrupt,
    hears: (pin) => (low(pin) & MASKED) === 0,
    sendsNmi: () => s.low.some((entry, pin) => (entry & MASKED) === 0 && modeOf(pin) === DELIVERY.nmi),
    passesPic: () => s.low.some((entry, pin) => (entry & MASKED) === 0 && modeOf(pin) === DELIVERY.extInt),
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

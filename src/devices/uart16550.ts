// National Semiconductor PC16550D, a serial port with 16-byte FIFOs. The line is infinitely fast: a byte written to
// THR is transmitted at once, so LSR always says THRE and TEMT, and no baud rate costs guest time. Two consequences:
// the THR-empty interrupt comes back as soon as it is served, and the character time-out interrupt comes at once
// when fewer bytes than the trigger level stand in the receive FIFO. Words are always eight bits, whatever LCR says.
// The interrupt pin is gated by OUT2, as PC serial boards wire it. Read: PC16550D data sheet, section 8 (registers).

import type { Device, InterruptLine, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, sayOnce } from './device.ts';

const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_ERBFI = 0x01;
const IER_ETBEI = 0x02;
const IER_ELSI = 0x04;
const IER_EDSSI = 0x08;
const IER_MASK = 0x0f;

const IIR_MODEM_STATUS = 0x00;
const IIR_NO_INTERRUPT = 0x01;
const IIR_THR_EMPTY = 0x02;
const IIR_DATA_AVAILABLE = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIME_OUT = 0x0c;
const IIR_FIFO_ENABLED = 0xc0;

const FCR_FIFO_ENABLE = 0x01;
const FCR_RX_RESET = 0x02;
const FCR_STORED = 0xc9;
const RX_TRIGGER = [1, 4, 8, 14] as const;

const LCR_DLAB = 0x80;

const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const MCR_MASK = 0x1f;

const LSR_DR = 0x01;
const LSR_OE = 0x02;
const LSR_THRE = 0x20;
const LSR_TEMT = 0x40;

const MSR_TERI = 0x04;
const MSR_RI = 0x40;
const MSR_DELTAS = 0x0f;
/** CTS, DSR and DCD: a terminal is connected and listens. */
const MSR_CONNECTED = 0xb0;

const FIFO_DEPTH = 16;

export type UartOptions = {
  /** Shown in messages: "com1". */
  readonly name?: string;
  readonly interrupt: InterruptLine;
  /** Each byte that leaves the serial port. */
  readonly transmit: (byte: number) => void;
  readonly unimplemented: Unimplemented;
};

export type Uart16550 = Device & {
  /** A byte arrives on the line. False when it was lost: FIFO full (LSR overrun) or loopback mode on. */
  receive(byte: number): boolean;
  /** Bytes that receive() would take now without an overrun, 0..16. */
  receiveRoom(): number;
};

type UartState = {
  ier: number;
  fcr: number;
  lcr: number;
  mcr: number;
  scr: number;
  divisor: number;
  overrun: boolean;
  msr: number;
  thrEmptyPending: boolean;
  rxFifo: number[];
  line: boolean;
};

const powerOn = (): UartState => ({
  ier: 0,
  fcr: 0,
  lcr: 0,
  mcr: 0,
  scr: 0,
  divisor: 1,
  overrun: false,
  msr: MSR_CONNECTED,
  thrEmptyPending: false,
  rxFifo: [],
  line: false,
});

const fifoEnabled = (s: UartState): boolean => (s.fcr & FCR_FIFO_ENABLE) !== 0;
const rxDepth = (s: UartState): number => (fifoEnabled(s) ? FIFO_DEPTH : 1);
const rxTrigger = (s: UartState): number => (fifoEnabled(s) ? (RX_TRIGGER[s.fcr >> 6] ?? 1) : 1);

/** The interrupt that stands highest in the data sheet's table of priorities (IIR bits 3..0). */
const interruptId = (s: UartState): number => {
  if ((s.ier & IER_ELSI) !== 0 && s.overrun) return IIR_LINE_STATUS;
  if ((s.ier & IER_ERBFI) !== 0 && s.rxFifo.length > 0) {
    return s.rxFifo.length >= rxTrigger(s) ? IIR_DATA_AVAILABLE : IIR_TIME_OUT;
  }
  if ((s.ier & IER_ETBEI) !== 0 && s.thrEmptyPending) return IIR_THR_EMPTY;
  if ((s.ier & IER_EDSSI) !== 0 && (s.msr & MSR_DELTAS) !== 0) return IIR_MODEM_STATUS;
  return IIR_NO_INTERRUPT;
};

/** MSR bits 7..4 as wired: DTR, RTS, OUT1 and OUT2 in loopback, otherwise the connected terminal. */
const modemInputs = (mcr: number): number => {
  if ((mcr & MCR_LOOP) === 0) return MSR_CONNECTED;
  return ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5) | ((mcr & 0x0c) << 4);
};

/** MSR after its inputs changed: delta bits for CTS, DSR and DCD, and the trailing edge for RI. */
const nextMsr = (msr: number, inputs: number): number => {
  const changed = ((msr ^ inputs) >> 4) & MSR_DELTAS & ~MSR_TERI;
  const ringEnded = (msr & MSR_RI) !== 0 && (inputs & MSR_RI) === 0 ? MSR_TERI : 0;
  return inputs | (msr & MSR_DELTAS) | changed | ringEnded;
};

/** A 16550 at offsets 0..7. */
export const createUart16550 = (options: UartOptions): Uart16550 => {
  const name = options.name ?? 'uart16550';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  let s = powerOn();

  const drive = (level: boolean): void => {
    if (level === s.line) return;
    s.line = level;
    options.interrupt(level);
  };
  const update = (): void => {
    const gated = (s.mcr & MCR_OUT2) !== 0 && (s.mcr & MCR_LOOP) === 0;
    drive(gated && interruptId(s) !== IIR_NO_INTERRUPT);
  };

  const accept = (byte: number): boolean => {
    const fits = s.rxFifo.length < rxDepth(s);
    if (fits) s.rxFifo.push(byte & 0xff);
    else s.overrun = true;
    return fits;
  };

  const writeThr = (value: number): void => {
    // Writing THR takes the interrupt back, and the byte is gone at once: an edge for an edge-triggered 8259A.
    s.thrEmptyPending = false;
    update();
    if ((s.mcr & MCR_LOOP) !== 0) accept(value);
    else options.transmit(value);
    s.thrEmptyPending = true;
  };

  const writeIer = (value: number): void => {
    const enabled = value & ~s.ier;
    s.ier = value & IER_MASK;
    if ((enabled & IER_ETBEI) !== 0) s.thrEmptyPending = true;
  };

  const writeFcr = (value: number): void => {
    if (((value ^ s.fcr) & FCR_FIFO_ENABLE) !== 0 || (value & FCR_RX_RESET) !== 0) s.rxFifo = [];
    // The other bits are only taken together with the enable bit (data sheet 8.5).
    s.fcr = (value & FCR_FIFO_ENABLE) !== 0 ? value & FCR_STORED : 0;
  };

  const readIir = (): number => {
    const id = interruptId(s);
    if (id === IIR_THR_EMPTY) s.thrEmptyPending = false;
    return id | (fifoEnabled(s) ? IIR_FIFO_ENABLED : 0);
  };

  const readLsr = (): number => {
    const value = LSR_THRE | LSR_TEMT | (s.rxFifo.length > 0 ? LSR_DR : 0) | (s.overrun ? LSR_OE : 0);
    s.overrun = false;
    return value;
  };

  const readMsr = (): number => {
    const value = s.msr;
    s.msr &= ~MSR_DELTAS;
    return value;
  };

  const readRegister = (offset: number): number => {
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset) {
      case RBR_THR_DLL:
        return dlab ? s.divisor & 0xff : (s.rxFifo.shift() ?? 0);
      case IER_DLM:
        return dlab ? s.divisor >> 8 : s.ier;
      case IIR_FCR:
        return readIir();
      case LCR:
        return s.lcr;
      case MCR:
        return s.mcr;
      case LSR:
        return readLsr();
      case MSR:
        return readMsr();
      case SCR:
        return s.scr;
      default:
        loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
    }
  };

  const steady = (offset: number): boolean => {
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset) {
      case RBR_THR_DLL:
        return dlab || s.rxFifo.length === 0;
      case IIR_FCR:
        return interruptId(s) !== IIR_THR_EMPTY;
      case LSR:
        return !s.overrun;
      case MSR:
        return (s.msr & MSR_DELTAS) === 0;
      default:
        return true;
    }
  };

  const writeRegister = (offset: number, value: number): void => {
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset) {
      case RBR_THR_DLL:
        if (dlab) s.divisor = (s.divisor & 0xff00) | value;
        else writeThr(value);
        break;
      case IER_DLM:
        if (dlab) s.divisor = (s.divisor & 0x00ff) | (value << 8);
        else writeIer(value);
        break;
      case IIR_FCR:
        writeFcr(value);
        break;
      case LCR:
        s.lcr = value;
        break;
      case MCR:
        s.mcr = value & MCR_MASK;
        s.msr = nextMsr(s.msr, modemInputs(s.mcr));
        break;
      case SCR:
        s.scr = value;
        break;
      default:
        loud.say(`write of ${hexByte(value)} to ${offset === LSR ? 'LSR' : offset === MSR ? 'MSR' : hexByte(offset)}`);
    }
  };

  return {
    name,
    ...byteWide(
      (offset) => {
        const value = readRegister(offset);
        update();
        return value;
      },
      (offset, value) => {
        writeRegister(offset, value);
        update();
      },
    ),
    steady,
    receive: (byte) => {
      if ((s.mcr & MCR_LOOP) !== 0) return false;
      const taken = accept(byte);
      update();
      return taken;
    },
    receiveRoom: () => ((s.mcr & MCR_LOOP) !== 0 ? 0 : Math.max(0, rxDepth(s) - s.rxFifo.length)),
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

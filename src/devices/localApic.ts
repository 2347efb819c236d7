// A local APIC (SDM 3A chapter 11): xAPIC by memory-mapped registers, x2APIC by MSRs, for the processor of its number, which
// is its APIC ID. A chip's offset is the register's distance from IA32_APIC_BASE. Pins: LINT0 is the 8259A pair's INT (the
// machine asks passesPic()), LINT1 has no wire. An NMI waits here until the processor takes it; an SMI would enter firmware
// that finds nothing to do, and is dropped.

import type { Device, GuestClock, TimedDevice, Unimplemented } from './device.ts';
import {
  APIC_BASE_DEFAULT,
  BASE_ADDRESS,
  BASE_BSP,
  BASE_ENABLE,
  BASE_EXTD,
  DELIVERY,
  ERROR,
  ESR_ILLEGAL_REGISTER,
  ESR_RECEIVE_ILLEGAL,
  ESR_SEND_ILLEGAL,
  ICR_ASSERT,
  ICR_LOGICAL,
  ICR_WRITABLE,
  LINT0,
  LINT1,
  LOWEST_VECTOR,
  LVT_MASKED,
  LVT_WRITABLE,
  REG,
  SHORTHAND,
  SVR_ENABLE,
  SVR_WRITABLE,
  TIMER,
  VERSION,
  X2_READABLE,
  X2_RESERVED,
  type ApicMessage,
} from './apicRegisters.ts';
import { MSR_IA32_APIC_BASE, MSR_IA32_TSC_DEADLINE, MSR_X2APIC } from '../x86/msr.ts';
import type { ApicTimer } from './apicTimer.ts';
import { adoptState, copyState, hexByte, sayOnce, zeros } from './device.ts';
import * as countdown from './apicTimer.ts';
import { highestVector, setVector, vectorSet } from './vectorBits.ts';

export type LocalApicOptions = {
  /** Of its processor; 0 is the bootstrap processor. */
  readonly number: number;
  /** Takes messages to the local APICs of other processors. */
  readonly toOthers: (message: ApicMessage) => void;
  readonly clock: GuestClock;
  /** Time stamp counter less guest time, now. */
  readonly tscOffset: () => bigint;
  readonly x2apic: boolean;
  readonly tscDeadline: boolean;
  /** A level-triggered interrupt has been served: EOI message to the IO-APIC. */
  readonly endOfInterrupt: (vector: number) => void;
  /** INIT: the bootstrap processor goes to the firmware (10.4.4). */
  readonly init: () => void;
  /** Called when the guest wrote something that may change when the next interrupt comes. */
  readonly changed: () => void;
  readonly unimplemented: Unimplemented;
};

export type LocalApic = TimedDevice & {
  /** IA32_APIC_BASE bit 11. */
  readonly enabled: boolean;
  /** Where the registers are in memory; undefined in x2APIC mode and while disabled. */
  readonly mmioBase: number | undefined;
  /** TPR, 0 to 255. */
  taskPriority: number;
  readMsr(number: number): bigint | undefined;
  writeMsr(number: number, value: bigint): boolean;
  /** A message from the IO-APIC. @returns was it for this processor and accepted? */
  receive(message: ApicMessage): boolean;
  /** Does the 8259A's INT get through to the processor: LINT0 as ExtINT, or APIC disabled? */
  passesPic(): boolean;
  /** Sets what firmware leaves behind (MP specification 3.6.2.1): software-enabled, LINT0 the 8259A's, LINT1 NMI. */
  virtualWire(): void;
  /** Does the processor have an interrupt to take? */
  pending(): boolean;
  /** Takes it: its vector. The spurious vector where there is none. */
  acknowledge(): number;
  /** Is there an NMI? Further ones do not add up. */
  nmiPending(): boolean;
  acknowledgeNmi(): void;
};

type ApicState = {
  /** IA32_APIC_BASE, decimal. */
  base: string;
  tpr: number;
  ldr: number;
  dfr: number;
  svr: number;
  /** Errors since the last write of ESR, and what that write made readable. */
  errors: number;
  esr: number;
  icrLow: number;
  icrHigh: number;
  lvt: number[];
  isr: number[];
  tmr: number[];
  irr: number[];
  nmi: boolean;
  timer: ApicTimer;
};

const powerOn = (number: number): ApicState => ({
  base: (BigInt(APIC_BASE_DEFAULT) | (number === 0 ? BASE_BSP : 0n) | BASE_ENABLE).toString(),
  tpr: 0,
  ldr: 0,
  dfr: 0xffff_ffff,
  svr: 0xff,
  errors: 0,
  esr: 0,
  icrLow: 0,
  icrHigh: 0,
  lvt: LVT_WRITABLE.map(() => LVT_MASKED),
  isr: zeros(8),
  tmr: zeros(8),
  irr: zeros(8),
  nmi: false,
  timer: countdown.powerOnTimer(),
});

/** As chips are called. */
export const localApicName = (number: number): string => `localApic${number}`;

/** The x2APIC logical ID follows from the APIC ID (11.12.10.2): cluster, and a bit for the member. */
const x2Ldr = (number: number): number => (((number >>> 4) << 16) | (1 << (number & 0xf))) >>> 0;
const ALL_X2 = 0xffff_ffff;
/** RAM that answers at an address goes before the registers. */
const FIRST_DEVICE_ADDRESS = 0xc000_0000n;

const enabledIn = (s: ApicState): boolean => (BigInt(s.base) & BASE_ENABLE) !== 0n;
const isX2 = (s: ApicState): boolean => (BigInt(s.base) & BASE_EXTD) !== 0n;
const softwareEnabled = (s: ApicState): boolean => (s.svr & SVR_ENABLE) !== 0;
const priorityClass = (vector: number): number => vector & 0xf0;

/** Processor priority (11.8.3.1). */
const processorPriority = (s: ApicState): number => {
  const serviced = Math.max(0, highestVector(s.isr));
  return priorityClass(s.tpr) >= priorityClass(serviced) ? s.tpr : priorityClass(serviced);
};

/** The vector to deliver now, or -1. */
const deliverable = (s: ApicState): number => {
  const vector = enabledIn(s) ? highestVector(s.irr) : -1;
  return vector >= 0 && priorityClass(vector) > priorityClass(processorPriority(s)) ? vector : -1;
};

const inFlatOrCluster = (s: ApicState, destination: number): boolean => {
  const own = s.ldr >>> 24;
  if (s.dfr >>> 28 === 0xf) return (destination & own) !== 0;
  const cluster = destination >> 4;
  return (cluster === 0xf || cluster === own >> 4) && (destination & own & 0xf) !== 0;
};

/** Is a message with this destination for us? Bus messages from the IO-APIC have eight bits of it. */
const addressed = (s: ApicState, number: number, destination: number, logical: boolean): boolean => {
  if (destination === (isX2(s) ? ALL_X2 : 0xff) || destination === 0xff) return true;
  if (!logical) return destination === number;
  if (!isX2(s)) return inFlatOrCluster(s, destination);
  const own = x2Ldr(number);
  return destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0;
};

export const createLocalApic = (options: LocalApicOptions): LocalApic => {
  const { number } = options;
  const name = localApicName(number);
  const loud = sayOnce((what) => options.unimplemented(`localApic: ${what}`));
  let s = powerOn(number);

  const lvt = (entry: number): number => s.lvt[entry] ?? LVT_MASKED;
  const unmasked = (entry: number): boolean => (lvt(entry) & LVT_MASKED) === 0;

  const error = (bit: number): void => {
    const isNew = (s.errors & bit) === 0;
    s.errors |= bit;
    if (isNew && unmasked(ERROR) && (lvt(ERROR) & 0xff) >= LOWEST_VECTOR) setVector(s.irr, lvt(ERROR) & 0xff, true);
  };

  const accept = (vector: number, level: boolean): boolean => {
    if (vector < LOWEST_VECTOR) {
      error(ESR_RECEIVE_ILLEGAL);
      return false;
    }
    setVector(s.irr, vector, true);
    setVector(s.tmr, vector, level);
    return true;
  };

  /**
   * The messages that pass the interrupt registers by, and come even where the APIC is software-disabled (11.4.7.2).
   * A start-up message means nothing to a processor that runs. @returns was it taken?
   */
  const signal = (mode: number): boolean => {
    if (mode === DELIVERY.nmi) s.nmi = true;
    else if (mode === DELIVERY.init) options.init();
    else if (mode === DELIVERY.smi) loud.say('SMI: there is no firmware to handle it');
    else if (mode !== DELIVERY.startUp) loud.say(`message with delivery mode ${mode}`);
    return mode === DELIVERY.nmi || mode === DELIVERY.init;
  };

  const receive = ({ vector, mode, destination, logical, level }: ApicMessage): boolean => {
    if (!enabledIn(s) || !addressed(s, number, destination, logical)) return false;
    if (mode === DELIVERY.fixed || mode === DELIVERY.lowest) return softwareEnabled(s) && accept(vector, level);
    return signal(mode);
  };

  /** Brings the timer to the present; whatever it should have raised by then is raised. */
  const settle = (now: bigint): void => {
    if (countdown.settle(s.timer, now, options.tscOffset()) && unmasked(TIMER)) accept(lvt(TIMER) & 0xff, false);
  };

  /** Interrupt command (11.6.1). */
  const sendIpi = (low: number, destination: number): void => {
    const mode = (low >> 8) & 7;
    const shorthand = (low >> 18) & 3;
    const logical = (low & ICR_LOGICAL) !== 0;
    const forUs =
      shorthand === SHORTHAND.self ||
      shorthand === SHORTHAND.all ||
      (shorthand === SHORTHAND.none && addressed(s, number, destination, logical));
    const toOthers = (): void => {
      if (shorthand === SHORTHAND.self) return;
      const to = shorthand === SHORTHAND.none ? { destination, logical } : { destination: 0xff, logical: false };
      options.toOthers({ vector: low & 0xff, mode, level: false, ...to });
    };
    if (mode === DELIVERY.fixed || mode === DELIVERY.lowest) {
      if ((low & 0xff) < LOWEST_VECTOR) return error(ESR_SEND_ILLEGAL);
      const taken = forUs && softwareEnabled(s) && accept(low & 0xff, false);
      // One with lowest priority is for one of those that it names.
      return mode === DELIVERY.lowest && taken ? undefined : toOthers();
    }
    // The INIT level de-assert of old chips does nothing.
    if (mode === DELIVERY.init && (low & ICR_ASSERT) === 0) return;
    if (forUs) signal(mode);
    toOthers();
  };

  const endOfInterrupt = (): void => {
    const vector = highestVector(s.isr);
    if (vector < 0) return;
    setVector(s.isr, vector, false);
    if (vectorSet(s.tmr, vector)) options.endOfInterrupt(vector);
  };

  const writeLvt = (entry: number, value: number): void => {
    const kept = value & (LVT_WRITABLE[entry] ?? 0);
    s.lvt[entry] = softwareEnabled(s) ? kept : kept | LVT_MASKED;
    if (entry !== TIMER) return;
    const mode = (kept >> 17) & 3;
    if (mode === 3 || (mode === countdown.TIMER_MODE.tscDeadline && !options.tscDeadline)) {
      return loud.say(`timer mode ${mode}`);
    }
    countdown.setMode(s.timer, mode);
  };

  const writeSvr = (value: number): void => {
    s.svr = value & SVR_WRITABLE;
    if (!softwareEnabled(s)) s.lvt = s.lvt.map((entry) => entry | LVT_MASKED);
  };

  const readRegister = (register: number): number => {
    if (register >= REG.isr && register < REG.esr) {
      const set = register < REG.tmr ? s.isr : register < REG.irr ? s.tmr : s.irr;
      return set[register & 7] ?? 0;
    }
    if (register >= REG.lvtTimer && register <= REG.lvtError) return lvt(register - REG.lvtTimer);
    switch (register) {
      case REG.id:
        return isX2(s) ? number : (number << 24) >>> 0;
      case REG.eoi:
        return 0;
      case REG.version:
        return VERSION;
      case REG.tpr:
        return s.tpr;
      case REG.ppr:
        return processorPriority(s);
      case REG.ldr:
        return isX2(s) ? x2Ldr(number) : s.ldr;
      case REG.dfr:
        return s.dfr;
      case REG.svr:
        return s.svr;
      case REG.esr:
        return s.esr;
      case REG.icrLow:
        return s.icrLow;
      case REG.icrHigh:
        return s.icrHigh;
      case REG.initialCount:
        return s.timer.initial;
      case REG.currentCount:
        return countdown.currentCount(s.timer, options.clock.now());
      case REG.divide:
        return s.timer.divide;
      default:
        return unknown(`read of register ${hexByte(register << 4)}`);
    }
  };

  const unknown = (what: string): number => {
    error(ESR_ILLEGAL_REGISTER);
    loud.say(what);
    return 0;
  };

  const writeRegister = (register: number, value: number): void => {
    const now = options.clock.now();
    if (register >= REG.lvtTimer && register <= REG.lvtError) return writeLvt(register - REG.lvtTimer, value);
    switch (register) {
      case REG.tpr:
        s.tpr = value & 0xff;
        return;
      case REG.eoi:
        return endOfInterrupt();
      case REG.ldr:
        s.ldr = (value & 0xff00_0000) >>> 0;
        return;
      case REG.dfr:
        s.dfr = (value | 0x0fff_ffff) >>> 0;
        return;
      case REG.svr:
        return writeSvr(value);
      case REG.esr:
        s.esr = s.errors;
        s.errors = 0;
        return;
      case REG.icrHigh:
        s.icrHigh = (value & 0xff00_0000) >>> 0;
        return;
      case REG.icrLow:
        s.icrLow = value & ICR_WRITABLE;
        return sendIpi(s.icrLow, isX2(s) ? s.icrHigh : s.icrHigh >>> 24);
      case REG.initialCount:
        return countdown.writeInitial(s.timer, value, now);
      case REG.divide:
        return countdown.writeDivide(s.timer, value, now);
      default:
        if (register !== REG.id && register !== REG.version && register !== REG.currentCount) {
          unknown(`write to register ${hexByte(register << 4)}`);
        }
    }
  };

  /** 32-bit accesses at multiples of 16 (11.4.1); others are undefined, and narrow reads give part of the register. */
  const read: Device['read'] = (offset, size) => {
    settle(options.clock.now());
    const shift = 8 * (offset & 0xf);
    if (shift >= 32) return 0;
    const value = readRegister(offset >> 4) >>> shift;
    return size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1);
  };

  const write: Device['write'] = (offset, size, value) => {
    settle(options.clock.now());
    if (size !== 4 || (offset & 0xf) !== 0) return loud.say(`write of ${size} bytes to offset ${hexByte(offset)}`);
    writeRegister(offset >> 4, value >>> 0);
    options.changed();
  };

  /** Which modes may follow which: figure 11-27. Switched off and on again it is as after RESET. */
  const writeBase = (value: bigint): boolean => {
    const x2 = options.x2apic ? BASE_EXTD : 0n;
    if (value & ~(BASE_ADDRESS | BASE_BSP | BASE_ENABLE | x2)) return false;
    const enabling = (value & BASE_ENABLE) !== 0n;
    const extended = (value & BASE_EXTD) !== 0n;
    if (extended && (!enabling || !enabledIn(s))) return false;
    if (isX2(s) && enabling && !extended) return false;
    // The processor keeps an NMI that it has not taken.
    if (!enabling) s = { ...powerOn(number), nmi: s.nmi };
    s.base = value.toString();
    if ((value & BASE_ADDRESS) < FIRST_DEVICE_ADDRESS) loud.say('registers moved to where RAM is');
    return true;
  };

  const readX2 = (register: number): bigint | undefined => {
    const listed = X2_READABLE.has(register) || (register >= REG.isr && register < REG.esr);
    if (!isX2(s) || !listed) return undefined;
    const low = BigInt(readRegister(register) >>> 0);
    return register === REG.icrLow ? (BigInt(s.icrHigh) << 32n) | low : low;
  };

  const writeX2 = (register: number, value: bigint): boolean => {
    const reserved = X2_RESERVED.get(register);
    if (!isX2(s) || reserved === undefined || value & reserved) return false;
    const low = Number(value & 0xffff_ffffn);
    if (register === REG.icrLow) s.icrHigh = Number(value >> 32n);
    if (register === REG.selfIpi) sendIpi(low | (SHORTHAND.self << 18), 0);
    else writeRegister(register, low);
    return true;
  };

  const writeMsr = (number: number, value: bigint): boolean => {
    settle(options.clock.now());
    if (number === MSR_IA32_APIC_BASE) return writeBase(value);
    if (number !== MSR_IA32_TSC_DEADLINE) return writeX2(number - MSR_X2APIC, value);
    if (options.tscDeadline) countdown.writeDeadline(s.timer, value);
    return options.tscDeadline;
  };

  return {
    name,
    read,
    write,
    get enabled() {
      return enabledIn(s);
    },
    get mmioBase() {
      return enabledIn(s) && !isX2(s) ? Number(BigInt(s.base) & BASE_ADDRESS) : undefined;
    },
    get taskPriority() {
      return s.tpr;
    },
    set taskPriority(value: number) {
      s.tpr = value & 0xff;
    },
    readMsr: (number) => {
      settle(options.clock.now());
      if (number === MSR_IA32_APIC_BASE) return BigInt(s.base);
      if (number !== MSR_IA32_TSC_DEADLINE) return readX2(number - MSR_X2APIC);
      return options.tscDeadline ? BigInt(s.timer.deadline) : undefined;
    },
    writeMsr: (number, value) => {
      const taken = writeMsr(number, value);
      options.changed();
      return taken;
    },
    receive,
    passesPic: () => !enabledIn(s) || (unmasked(LINT0) && ((lvt(LINT0) >> 8) & 7) === DELIVERY.extInt),
    virtualWire: () => {
      s.svr = SVR_ENABLE | 0x0f;
      s.lvt[LINT0] = DELIVERY.extInt << 8;
      s.lvt[LINT1] = DELIVERY.nmi << 8;
    },
    pending: () => deliverable(s) >= 0,
    acknowledge: () => {
      const vector = deliverable(s);
      if (vector < 0) return s.svr & 0xff;
      setVector(s.irr, vector, false);
      setVector(s.isr, vector, true);
      return vector;
    },
    nmiPending: () => s.nmi,
    acknowledgeNmi: () => {
      s.nmi = false;
    },
    nextEvent: () => (unmasked(TIMER) ? countdown.nextExpiry(s.timer, options.tscOffset()) : undefined),
    advance: settle,
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
      loud.forget();
    },
    reset: () => {
      s = powerOn(number);
      loud.forget();
    },
  };
};

// Motorola MC146818 real-time clock with 128 bytes of battery-backed RAM, behind an index and a data port.
// The time is a fixed start date plus guest time, counted in periods of the 32.768 kHz crystal (a "tick" here), so
// two runs of one machine read the same clock. RAM bytes 0x10..0x5d follow the IBM AT and Bochs/QEMU conventions
// for memory sizes. Bit 7 of the index port (NMI mask) is ignored. Not modelled: square wave output, daylight
// saving, a stopped divider (register A DV), and a day of the week that contradicts the date. Changing DM or 24/12
// converts what is read; the silicon leaves the bytes as they are. Read: MC146818 data sheet, "Registers".

import { KIB, MIB } from '../bits/sizes.ts';
import type { CivilTime } from './civilTime.ts';
import { civilTime, epochSeconds } from './civilTime.ts';
import type { GuestClock, InterruptLine, TimedDevice, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, NS_PER_SECOND, sayOnce, zeros } from './device.ts';

const INDEX_PORT = 0;
const DATA_PORT = 1;

const RTC_SECONDS = 0x00;
const RTC_SECONDS_ALARM = 0x01;
const RTC_MINUTES = 0x02;
const RTC_MINUTES_ALARM = 0x03;
const RTC_HOURS = 0x04;
const RTC_HOURS_ALARM = 0x05;
const RTC_DAY_OF_WEEK = 0x06;
const RTC_DAY_OF_MONTH = 0x07;
const RTC_MONTH = 0x08;
const RTC_YEAR = 0x09;
const RTC_REG_A = 0x0a;
const RTC_REG_B = 0x0b;
const RTC_REG_C = 0x0c;
const RTC_REG_D = 0x0d;
const RTC_CENTURY = 0x32;

const REG_A_UIP = 0x80;
const REG_A_RATE = 0x0f;
/** DV = 32.768 kHz, RS = 1024 Hz: what firmware sets. */
const REG_A_DEFAULT = 0x26;
const REG_B_SET = 0x80;
const REG_B_PIE = 0x40;
const REG_B_AIE = 0x20;
const REG_B_UIE = 0x10;
const REG_B_DM = 0x04;
const REG_B_24H = 0x02;
const REG_C_IRQF = 0x80;
const REG_C_PF = 0x40;
const REG_C_AF = 0x20;
const REG_C_UF = 0x10;
const REG_D_VRT = 0x80;
const HOURS_PM = 0x80;
/** An alarm byte with its two top bits set matches everything. */
const ALARM_ANY = 0xc0;

const CRYSTAL_HZ = 32_768;
/** UIP rises 244 us before an update, which takes 1984 us; the new time stands when it falls. */
const UIP_TICKS = 73;
const SECONDS_PER_DAY = 86_400;

const CMOS_EQUIPMENT = 0x14;
/** A coprocessor and a pointing device. */
const EQUIPMENT = 0x06;
const CMOS_BASE_MEMORY = 0x15;
const CMOS_EXTENDED_MEMORY = 0x17;
const CMOS_EXTENDED_MEMORY_POST = 0x30;
const CMOS_MEMORY_ABOVE_16M = 0x34;
const CMOS_MEMORY_ABOVE_4G = 0x5b;
const CMOS_CHECKSUM = 0x2e;

const UNIT_64K = 64 * KIB;

/** 2026-01-01 00:00:00 UTC. */
export const RTC_START_EPOCH = 1_767_225_600;

export type CmosOptions = {
  readonly clock: GuestClock;
  /** IRQ8. */
  readonly interrupt: InterruptLine;
  readonly unimplemented: Unimplemented;
  /** RAM in bytes that ends below 4 GiB (from address 0), and RAM from 4 GiB on. */
  readonly memory: { readonly below4GiB: number; readonly above4GiB: number };
  /** Date at guest time 0, in seconds since 1970-01-01 UTC; RTC_START_EPOCH when absent. */
  readonly startEpoch?: number;
};

type CmosState = {
  index: number;
  /** 128 bytes; the time registers count only while REG_B_SET holds the clock. */
  ram: number[];
  /** Seconds since 1970 at guest time 0. */
  base: number;
  flags: number;
  /** Up to which crystal tick flags are settled. */
  settled: number;
  line: boolean;
};

const putWord = (ram: number[], at: number, value: number): void => {
  ram[at] = value & 0xff;
  ram[at + 1] = (value >> 8) & 0xff;
};

const units = (bytes: number, unit: number): number => Math.min(0xffff, Math.max(0, Math.floor(bytes / unit)));

const powerOnRam = (memory: CmosOptions['memory']): number[] => {
  const ram = zeros(128);
  ram[RTC_REG_A] = REG_A_DEFAULT;
  ram[RTC_REG_B] = REG_B_24H;
  ram[CMOS_EQUIPMENT] = EQUIPMENT;
  putWord(ram, CMOS_BASE_MEMORY, Math.min(640, units(memory.below4GiB, KIB)));
  putWord(ram, CMOS_EXTENDED_MEMORY, units(memory.below4GiB - MIB, KIB));
  putWord(ram, CMOS_EXTENDED_MEMORY_POST, units(memory.below4GiB - MIB, KIB));
  putWord(ram, CMOS_MEMORY_ABOVE_16M, units(memory.below4GiB - 16 * MIB, UNIT_64K));
  const above = Math.floor(memory.above4GiB / UNIT_64K);
  putWord(ram, CMOS_MEMORY_ABOVE_4G, above);
  ram[CMOS_MEMORY_ABOVE_4G + 2] = (above >> 16) & 0xff;
  const sum = ram.slice(0x10, CMOS_CHECKSUM).reduce((total, byte) => total + byte, 0);
  ram[CMOS_CHECKSUM] = (sum >> 8) & 0xff;
  ram[CMOS_CHECKSUM + 1] = sum & 0xff;
  return ram;
};

const crystalTicks = (ns: bigint): number => Number((ns * BigInt(CRYSTAL_HZ)) / NS_PER_SECOND);
const crystalTickTime = (tick: number): bigint =>
  (BigInt(tick) * NS_PER_SECOND + BigInt(CRYSTAL_HZ) - 1n) / BigInt(CRYSTAL_HZ);

const encode = (regB: number, value: number): number =>
  (regB & REG_B_DM) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
const decode = (regB: number, byte: number): number =>
  (regB & REG_B_DM) !== 0 ? byte : (byte >> 4) * 10 + (byte & 15);

const encodeHour = (regB: number, hour: number): number => {
  if ((regB & REG_B_24H) !== 0) return encode(regB, hour);
  return encode(regB, hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? HOURS_PM : 0);
};
const decodeHour = (regB: number, byte: number): number => {
  if ((regB & REG_B_24H) !== 0) return decode(regB, byte);
  return (decode(regB, byte & ~HOURS_PM) % 12) + ((byte & HOURS_PM) !== 0 ? 12 : 0);
};

/** The byte of a time register; undefined when `register` is none. */
const timeRegister = (regB: number, time: CivilTime, register: number): number | undefined => {
  switch (register) {
    case RTC_SECONDS:
      return encode(regB, time.second);
    case RTC_MINUTES:
      return encode(regB, time.minute);
    case RTC_HOURS:
      return encodeHour(regB, time.hour);
    case RTC_DAY_OF_WEEK:
      return encode(regB, time.weekday);
    case RTC_DAY_OF_MONTH:
      return encode(regB, time.day);
    case RTC_MONTH:
      return encode(regB, time.month);
    case RTC_YEAR:
      return encode(regB, time.year % 100);
    case RTC_CENTURY:
      return encode(regB, Math.floor(time.year / 100));
    default:
      return undefined;
  }
};

const TIME_REGISTERS = [
  RTC_SECONDS,
  RTC_MINUTES,
  RTC_HOURS,
  RTC_DAY_OF_WEEK,
  RTC_DAY_OF_MONTH,
  RTC_MONTH,
  RTC_YEAR,
  RTC_CENTURY,
] as const;

const byteOf = (ram: readonly number[], register: number): number => ram[register] ?? 0;

/** Seconds since 1970 of the time registers as they stand in `ram`. */
const epochOfRam = (ram: readonly number[]): number => {
  const regB = byteOf(ram, RTC_REG_B);
  const field = (register: number): number => decode(regB, byteOf(ram, register));
  return epochSeconds({
    second: field(RTC_SECONDS),
    minute: field(RTC_MINUTES),
    hour: decodeHour(regB, byteOf(ram, RTC_HOURS)),
    weekday: 1,
    day: field(RTC_DAY_OF_MONTH),
    month: field(RTC_MONTH),
    year: field(RTC_CENTURY) * 100 + field(RTC_YEAR),
  });
};

const alarmMatches = (ram: readonly number[], epoch: number): boolean => {
  const regB = byteOf(ram, RTC_REG_B);
  const time = civilTime(epoch);
  const matches = (alarm: number, now: number): boolean =>
    (byteOf(ram, alarm) & ALARM_ANY) === ALARM_ANY || byteOf(ram, alarm) === now;
  return (
    matches(RTC_SECONDS_ALARM, encode(regB, time.second)) &&
    matches(RTC_MINUTES_ALARM, encode(regB, time.minute)) &&
    matches(RTC_HOURS_ALARM, encodeHour(regB, time.hour))
  );
};

/** Ticks between periodic interrupts; 0 when register A's rate selection is off. Rates 1 and 2 are 256 and 128 Hz. */
const periodicTicks = (regA: number): number => {
  const rate = regA & REG_A_RATE;
  if (rate === 0) return 0;
  return 1 << ((rate <= 2 ? rate + 7 : rate) - 1);
};

/** The flags of register C that `from` .. `to` (crystal ticks) sets. */
const flagsBetween = (s: CmosState, from: number, to: number): number => {
  const period = periodicTicks(byteOf(s.ram, RTC_REG_A));
  const PF = period !== 0 && Math.floor(to / period) > Math.floor(from / period) ? REG_C_PF : 0;
  const last = Math.floor(to / CRYSTAL_HZ);
  const first = Math.max(Math.floor(from / CRYSTAL_HZ) + 1, last - SECONDS_PER_DAY + 1);
  if (last < first || (byteOf(s.ram, RTC_REG_B) & REG_B_SET) !== 0) return PF;
  for (let second = first; second <= last; second++) {
    if (alarmMatches(s.ram, s.base + second)) return PF | REG_C_UF | REG_C_AF;
  }
  return PF | REG_C_UF;
};

/** The RTC at offsets 0 (index) and 1 (data). */
export const createCmos = (options: CmosOptions): TimedDevice => {
  const name = 'cmos';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  const powerOn = (): CmosState => ({
    index: 0,
    ram: powerOnRam(options.memory),
    base: options.startEpoch ?? RTC_START_EPOCH,
    flags: 0,
    settled: crystalTicks(options.clock.now()),
    line: false,
  });
  let s = powerOn();

  const register = (at: number): number => byteOf(s.ram, at);
  const held = (): boolean => (register(RTC_REG_B) & REG_B_SET) !== 0;

  const update = (): void => {
    const level = (s.flags & register(RTC_REG_B) & (REG_C_PF | REG_C_AF | REG_C_UF)) !== 0;
    if (level === s.line) return;
    s.line = level;
    options.interrupt(level);
  };

  const settleTo = (tick: number): void => {
    if (tick <= s.settled) return;
    s.flags |= flagsBetween(s, s.settled, tick);
    s.settled = tick;
    update();
  };

  const present = (): number => {
    const tick = crystalTicks(options.clock.now());
    settleTo(tick);
    return tick;
  };

  const captureTime = (tick: number): void => {
    const time = civilTime(s.base + Math.floor(tick / CRYSTAL_HZ));
    for (const at of TIME_REGISTERS) s.ram[at] = timeRegister(register(RTC_REG_B), time, at) ?? 0;
  };
  const releaseTime = (tick: number): void => {
    s.base = epochOfRam(s.ram) - Math.floor(tick / CRYSTAL_HZ);
  };

  const readFlags = (): number => {
    const value = s.flags | (s.line ? REG_C_IRQF : 0);
    s.flags = 0;
    update();
    return value;
  };

  const readData = (tick: number): number => {
    const at = s.index;
    if (at === RTC_REG_A) {
      const updating = !held() && tick % CRYSTAL_HZ >= CRYSTAL_HZ - UIP_TICKS;
      return register(RTC_REG_A) | (updating ? REG_A_UIP : 0);
    }
    if (at === RTC_REG_C) return readFlags();
    if (at === RTC_REG_D) return REG_D_VRT;
    if (held()) return register(at);
    const time = civilTime(s.base + Math.floor(tick / CRYSTAL_HZ));
    return timeRegister(register(RTC_REG_B), time, at) ?? register(at);
  };

  const writeRegB = (value: number, tick: number): void => {
    const wasHeld = held();
    const willHold = (value & REG_B_SET) !== 0;
    // Under SET the bytes in RAM are the clock, in the encoding that register B names when SET is cleared.
    if (willHold && !wasHeld) captureTime(tick);
    s.ram[RTC_REG_B] = value;
    if (wasHeld && !willHold) releaseTime(tick);
    update();
  };

  const writeTime = (at: number, value: number, tick: number): void => {
    if (!held()) captureTime(tick);
    s.ram[at] = value;
    if (!held()) releaseTime(tick);
  };

  const writeData = (value: number, tick: number): void => {
    const at = s.index;
    if (at === RTC_REG_A) s.ram[at] = value & ~REG_A_UIP;
    else if (at === RTC_REG_B) writeRegB(value, tick);
    else if (at === RTC_REG_C || at === RTC_REG_D) return;
    else if (TIME_REGISTERS.some((time) => time === at)) writeTime(at, value, tick);
    else s.ram[at] = value;
  };

  return {
    name,
    ...byteWide(
      (offset) => {
        if (offset === DATA_PORT) return readData(present());
        // The index port is write-only on a PC: nothing drives the bus.
        if (offset !== INDEX_PORT) loud.say(`read of offset ${hexByte(offset)}`);
        return 0xff;
      },
      (offset, value) => {
        if (offset === INDEX_PORT) s.index = value & 0x7f;
        else if (offset === DATA_PORT) writeData(value, present());
        else loud.say(`write to offset ${hexByte(offset)}`);
      },
    ),
    nextEvent: () => {
      if (s.line) return undefined;
      const regB = register(RTC_REG_B);
      const after = (period: number): number => (Math.floor(s.settled / period) + 1) * period;
      const period = (regB & REG_B_PIE) !== 0 ? periodicTicks(register(RTC_REG_A)) : 0;
      const everySecond = (regB & (REG_B_AIE | REG_B_UIE)) !== 0 && !held();
      const ticks = [...(period === 0 ? [] : [after(period)]), ...(everySecond ? [after(CRYSTAL_HZ)] : [])];
      return ticks.length === 0 ? undefined : crystalTickTime(Math.min(...ticks));
    },
    advance: (now) => settleTo(crystalTicks(now)),
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

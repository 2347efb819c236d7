import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../src/bits/sizes.ts';
import { civilTime, epochSeconds } from '../../src/devices/civilTime.ts';
import { createCmos, RTC_START_EPOCH } from '../../src/devices/cmos.ts';
import { bytePorts, handClock, noUnknowns, recordedLine } from './support.ts';

const SECOND = 1_000_000_000n;
const RTC_SECONDS = 0x00;
const RTC_SECONDS_ALARM = 0x01;
const RTC_MINUTES_ALARM = 0x03;
const RTC_HOURS = 0x04;
const RTC_HOURS_ALARM = 0x05;
const REG_A = 0x0a;
const REG_B = 0x0b;
const REG_C = 0x0c;
const REG_D = 0x0d;
const REG_B_SET = 0x80;
const REG_B_24H = 0x02;
const REG_B_DM = 0x04;
const UIP = 0x80;
const DATE_AND_TIME = [0x32, 0x09, 0x08, 0x07, 0x06, 0x04, 0x02, 0x00] as const;

const setUp = ({ startEpoch = RTC_START_EPOCH, memory = { below4GiB: 512 * MIB, above4GiB: 0 } } = {}) => {
  const clock = handClock();
  const line = recordedLine();
  const chip = createCmos({ clock, interrupt: line.drive, unimplemented: noUnknowns, memory, startEpoch });
  const ports = bytePorts(chip);
  const read = (register: number): number => {
    ports.out(0, register);
    return ports.in(1);
  };
  return {
    chip,
    clock,
    line,
    read,
    write: (register: number, value: number): void => {
      ports.out(0, register);
      ports.out(1, value);
    },
    /** Century, year, month, day, weekday, hour, minute, second, in hexadecimal as read. */
    dateAndTime: (): string => DATE_AND_TIME.map((register) => read(register).toString(16).padStart(2, '0')).join(' '),
  };
};

describe('civil time', () => {
  it('agrees with the host\u2019s calendar from 1900 to 2200', () => {
    const range = { min: Date.UTC(1900, 0) / 1000, max: Date.UTC(2200, 0) / 1000 };
    fc.assert(
      fc.property(fc.integer(range), (epoch) => {
        const date = new Date(epoch * 1000);
        expect(civilTime(epoch)).toEqual({
          second: date.getUTCSeconds(),
          minute: date.getUTCMinutes(),
          hour: date.getUTCHours(),
          weekday: date.getUTCDay() + 1,
          day: date.getUTCDate(),
          month: date.getUTCMonth() + 1,
          year: date.getUTCFullYear(),
        });
        expect(epochSeconds(civilTime(epoch))).toBe(epoch);
      }),
    );
  });
});

describe('MC146818 time', () => {
  it('starts at the fixed date, in BCD and 24-hour form', () => {
    expect(setUp().dateAndTime()).toBe('20 26 01 01 05 00 00 00');
  });

  it('rolls over in BCD from the last second of a year', () => {
    const rtc = setUp({ startEpoch: Date.UTC(1999, 11, 31, 23, 59, 58) / 1000 });
    rtc.clock.set(SECOND);
    expect(rtc.dateAndTime()).toBe('19 99 12 31 06 23 59 59');
    rtc.clock.set(2n * SECOND);
    expect(rtc.dateAndTime()).toBe('20 00 01 01 07 00 00 00');
  });

  it('carries from 09 to 10 in BCD, and from 09 to 0a in binary', () => {
    const rtc = setUp();
    rtc.clock.set(10n * SECOND);
    expect(rtc.read(RTC_SECONDS)).toBe(0x10);
    rtc.write(REG_B, REG_B_24H | REG_B_DM);
    expect(rtc.read(RTC_SECONDS)).toBe(0x0a);
  });

  it.each([
    [0, 0x12],
    [11, 0x11],
    [12, 0x92],
    [23, 0x91],
  ])('reads hour %i in 12-hour form with bit 7 for PM', (hour, byte) => {
    const rtc = setUp({ startEpoch: Date.UTC(2026, 0, 1, hour) / 1000 });
    rtc.write(REG_B, 0);
    expect(rtc.read(RTC_HOURS)).toBe(byte);
  });

  it.each([
    [0x12, 0],
    [0x92, 12],
    [0x91, 23],
  ])('takes hour byte %i in 12-hour form', (byte, hour) => {
    const rtc = setUp();
    rtc.write(REG_B, 0);
    rtc.write(RTC_HOURS, byte);
    rtc.write(REG_B, REG_B_24H | REG_B_DM);
    expect(rtc.read(RTC_HOURS)).toBe(hour);
  });

  it('sets UIP before the second changes, and not otherwise', () => {
    const rtc = setUp();
    const uip = [0n, 997_700_000n, 998_000_000n, 999_999_999n, SECOND].map((ns) => {
      rtc.clock.set(ns);
      return rtc.read(REG_A) & UIP;
    });
    expect(uip).toEqual([0, 0, UIP, UIP, 0]);
  });

  it('stands still under SET and takes the written time when SET is cleared', () => {
    const rtc = setUp();
    rtc.write(REG_B, REG_B_SET | REG_B_24H);
    const fields = [0x20, 0x24, 0x02, 0x29, 0x05, 0x12, 0x34, 0x56];
    DATE_AND_TIME.forEach((register, i) => rtc.write(register, fields[i] ?? 0));
    rtc.clock.set(5n * SECOND);
    expect(rtc.read(RTC_SECONDS)).toBe(0x56);
    rtc.write(REG_B, REG_B_24H);
    rtc.clock.set(6n * SECOND);
    expect(rtc.dateAndTime()).toBe('20 24 02 29 05 12 34 57');
  });

  it('takes a single field written while the clock runs', () => {
    const rtc = setUp();
    rtc.write(RTC_HOURS, 0x17);
    expect(rtc.dateAndTime()).toBe('20 26 01 01 05 17 00 00');
  });
});

describe('MC146818 interrupts', () => {
  it('sets the update flag each second and clears it on a read of register C', () => {
    const rtc = setUp();
    expect(rtc.read(REG_C)).toBe(0);
    rtc.clock.set(SECOND);
    expect(rtc.read(REG_C) & 0x10).toBe(0x10);
    expect(rtc.read(REG_C)).toBe(0);
    expect(rtc.line.rises()).toBe(0);
  });

  it('raises IRQ8 at the periodic rate until register C is read', () => {
    const rtc = setUp();
    rtc.write(REG_B, 0x40 | REG_B_24H);
    // Rate 6 is 1024 Hz: 32 periods of the crystal.
    expect(rtc.chip.nextEvent()).toBe(976_563n);
    rtc.chip.advance(976_562n);
    expect(rtc.line.level()).toBe(false);
    rtc.chip.advance(976_563n);
    expect(rtc.line.level()).toBe(true);
    expect(rtc.read(REG_C)).toBe(0xc0);
    expect(rtc.line.level()).toBe(false);
  });

  it('raises IRQ8 at the alarm time', () => {
    const rtc = setUp();
    rtc.write(RTC_SECONDS_ALARM, 0x03);
    rtc.write(RTC_MINUTES_ALARM, 0xff);
    rtc.write(RTC_HOURS_ALARM, 0xff);
    rtc.write(REG_B, 0x20 | REG_B_24H);
    rtc.chip.advance(2n * SECOND);
    expect(rtc.line.level()).toBe(false);
    expect(rtc.chip.nextEvent()).toBe(3n * SECOND);
    rtc.chip.advance(3n * SECOND);
    expect(rtc.line.level()).toBe(true);
    rtc.clock.set(3n * SECOND);
    expect(rtc.read(REG_C)).toBe(0xf0);
  });

  it('has no next event while no interrupt is enabled', () => {
    expect(setUp().chip.nextEvent()).toBeUndefined();
  });
});

describe('CMOS RAM', () => {
  it('says in register D that the battery is good', () => {
    expect(setUp().read(REG_D)).toBe(0x80);
  });

  it('ignores the NMI mask in bit 7 of the index', () => {
    const rtc = setUp();
    rtc.write(0x80 | 0x0f, 0x5a);
    expect(rtc.read(0x0f)).toBe(0x5a);
  });

  it('reads the index port as all-ones', () => {
    expect(setUp().chip.read(0, 1)).toBe(0xff);
  });

  it.each([
    ['base memory in KiB', 0x15, 640],
    ['extended memory in KiB, at most 0xffff', 0x17, 0xffff],
    ['the same again', 0x30, 0xffff],
    ['memory above 16 MiB in 64 KiB units', 0x34, (3 * GIB - 16 * MIB) / 65_536],
    ['memory above 4 GiB in 64 KiB units', 0x5b, ((5 * GIB) / 65_536) & 0xffff],
  ])('holds %s', (_what, register, value) => {
    const rtc = setUp({ memory: { below4GiB: 3 * GIB, above4GiB: 5 * GIB } });
    expect(rtc.read(register) | (rtc.read(register + 1) << 8)).toBe(value);
  });

  it('carries memory above 4 GiB into a third byte', () => {
    const rtc = setUp({ memory: { below4GiB: 3 * GIB, above4GiB: 5 * GIB } });
    expect(rtc.read(0x5d)).toBe(1);
  });

  it('has the checksum of bytes 0x10..0x2d at 0x2e', () => {
    const rtc = setUp();
    const sum = Array.from({ length: 0x1e }, (_, i) => rtc.read(0x10 + i)).reduce((a, b) => a + b, 0);
    expect((rtc.read(0x2e) << 8) | rtc.read(0x2f)).toBe(sum);
    expect(sum).toBeGreaterThan(0);
  });
});

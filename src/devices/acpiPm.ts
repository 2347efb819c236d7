// The power management registers of an ACPI machine (ACPI 6.4, 4.8.3): PM1a event block, PM1a control block and the PM
// timer, side by side. ACPI mode is on from the start (SCI_EN reads 1, there is no SMI_CMD), as on a machine whose
// firmware has handed over. There is no power button and no other wake source, so the only event is the timer's carry.
// Of the sleeping states there is S5, off. The SCI line is level: high while an enabled event's status bit is set.

import type { Device, GuestClock, InterruptLine, TimedDevice, Unimplemented } from './device.ts';
import { adoptState, byteWide, copyState, hexByte, NS_PER_SECOND, sayOnce } from './device.ts';

/** Offsets of the registers, and their lengths in bytes: what the FADT has to say. */
export const ACPI_PM = {
  PM1_EVT_BLK: 0x0,
  PM1_EVT_LEN: 4,
  PM1_CNT_BLK: 0x4,
  PM1_CNT_LEN: 2,
  PM_TMR_BLK: 0x8,
  PM_TMR_LEN: 4,
} as const;

const PM1_STS = 0x0;
const PM1_EN = 0x2;
const PM1_CNT = 0x4;
const PM_TMR = 0x8;
const PM_TMR_END = PM_TMR + 4;

/** PM1 status and enable: the timer's most significant bit has changed. */
const TMR = 0x0001;
/** PM1 enable bits that can be set: timer, global lock, power and sleep button, RTC alarm. */
const PM1_EN_WRITABLE = 0x0721;
const SCI_EN = 0x0001;
/** BM_RLD, SLP_TYP. GBL_RLS and SLP_EN are write-only, SCI_EN is firmware's. */
const PM1_CNT_KEPT = 0x1c02;
const SLP_TYP_SHIFT = 10;
const SLP_TYP_MASK = 7;
const SLP_EN = 0x2000;

/** SLP_TYP of S5; the DSDT's \_S5 object says the same. */
export const SLP_TYP_S5 = 5;

const PM_TMR_HZ = 3_579_545n;
/** The timer has 32 bits (TMR_VAL_EXT); its most significant one changes this often, in ticks. */
const HALF = 1n << 31n;

export type AcpiPmOptions = {
  readonly clock: GuestClock;
  /** The SCI. */
  readonly interrupt: InterruptLine;
  /** Called inside the access that puts the machine into S5. */
  readonly powerOff: () => void;
  readonly unimplemented: Unimplemented;
};

const ticksAt = (ns: bigint): bigint => (ns * PM_TMR_HZ) / NS_PER_SECOND;
/** The first time at which so many ticks have passed. */
const timeOf = (ticks: bigint): bigint => (ticks * NS_PER_SECOND + PM_TMR_HZ - 1n) / PM_TMR_HZ;

const withByte = (register: number, index: number, value: number): number =>
  (register & ~(0xff << (8 * index))) | (value << (8 * index));

/** All registers from offset 0. */
export const createAcpiPm = (options: AcpiPmOptions): TimedDevice => {
  const name = 'acpiPm';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  /** `half`: how often the timer's most significant bit has changed, as far as the status bit knows. */
  const powerOn = () => ({ status: 0, enable: 0, control: SCI_EN, half: '0' });
  let s = powerOn();

  const driveSci = (): void => options.interrupt((s.status & s.enable) !== 0);
  const catchUp = (now: bigint): void => {
    const half = ticksAt(now) / HALF;
    if (half <= BigInt(s.half)) return;
    s.half = half.toString();
    s.status |= TMR;
  };

  const readByte = (offset: number): number => {
    catchUp(options.clock.now());
    if (offset < PM1_EN) return s.status >>> (8 * (offset - PM1_STS));
    if (offset < PM1_CNT) return s.enable >>> (8 * (offset - PM1_EN));
    if (offset < PM1_CNT + ACPI_PM.PM1_CNT_LEN) return s.control >>> (8 * (offset - PM1_CNT));
    loud.say(`read of offset ${hexByte(offset)}`);
    return 0xff;
  };

  const sleep = (): void => {
    const type = (s.control >>> SLP_TYP_SHIFT) & SLP_TYP_MASK;
    if (type === SLP_TYP_S5) options.powerOff();
    else loud.say(`sleeping state SLP_TYP ${type}, which this machine does not have`);
  };

  const writeByte = (offset: number, value: number): void => {
    catchUp(options.clock.now());
    // Status bits are cleared by writing ones.
    if (offset < PM1_EN) s.status &= ~(value << (8 * (offset - PM1_STS)));
    else if (offset < PM1_CNT) s.enable = withByte(s.enable, offset - PM1_EN, value) & PM1_EN_WRITABLE;
    else if (offset < PM1_CNT + ACPI_PM.PM1_CNT_LEN) {
      const written = withByte(s.control, offset - PM1_CNT, value);
      s.control = (written & PM1_CNT_KEPT) | SCI_EN;
      if (written & SLP_EN) sleep();
    } else loud.say(`write to offset ${hexByte(offset)}`);
    driveSci();
  };

  const bytes: Pick<Device, 'read' | 'write'> = byteWide(readByte, writeByte);
  return {
    name,
    read: (offset, size) => {
      const inTimer = offset >= PM_TMR && offset + size <= PM_TMR_END;
      if (!inTimer) return bytes.read(offset, size);
      const count = ticksAt(options.clock.now()) >> BigInt(8 * (offset - PM_TMR));
      return Number(BigInt.asUintN(8 * size, count));
    },
    // The timer cannot be written; whoever writes it is told so by nothing, as on hardware.
    write: (offset, size, value) => {
      if (offset < PM_TMR) bytes.write(offset, size, value);
    },
    nextEvent: () => (s.enable & ~s.status & TMR ? timeOf((BigInt(s.half) + 1n) * HALF) : undefined),
    advance: (now) => {
      catchUp(now);
      driveSci();
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

// Figures as people read them. Independent of any locale, so that a report is the same everywhere.

import { KIB } from '../bits/sizes.ts';

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 1234567 as "1,234,567". Takes non-negative integers. */
export function countText(value: number | bigint): string {
  return value.toString().replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** "1 instruction", "2,666 instructions". */
export function instructionsText(value: number | bigint): string {
  return `${countText(value)} ${value.toString() === '1' ? 'instruction' : 'instructions'}`;
}

/** Guest time: "271 ns", "2.666 us", "1.235 ms", "12.345 s". @param ns nanoseconds */
export function timeText(ns: bigint): string {
  if (ns < 1000n) return `${ns} ns`;
  if (ns < 1_000_000n) return `${scaled(ns, 1e3)} us`;
  if (ns < 1_000_000_000n) return `${scaled(ns, 1e6)} ms`;
  return `${scaled(ns, 1e9)} s`;
}

// Cut, not rounded: a figure never says that more time has passed than has.
function scaled(ns: bigint, unit: number): string {
  const thousandths = (ns * 1000n) / BigInt(unit);
  return `${thousandths / 1000n}.${(thousandths % 1000n).toString().padStart(3, '0')}`;
}

/** The largest unit that keeps it whole: "512 MiB", "6 GiB", "102400 bytes" as "100 KiB". */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value !== 0 && value % KIB === 0 && unit < UNITS.length - 1) {
    value /= KIB;
    unit++;
  }
  return `${countText(value)} ${UNITS[unit]}`;
}

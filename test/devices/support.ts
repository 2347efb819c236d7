// What the chips' tests hand to a chip: a clock set by hand, lines and callbacks that remember.

import type { Device, GuestClock, InterruptLine } from '../../src/devices/device.ts';

export type HandClock = GuestClock & { set(ns: bigint): void; add(ns: bigint): void };

export const handClock = (): HandClock => {
  let time = 0n;
  return {
    now: () => time,
    set: (ns) => {
      time = ns;
    },
    add: (ns) => {
      time += ns;
    },
  };
};

/** A line that keeps its level and how often it rose. */
export const recordedLine = (): { readonly drive: InterruptLine; level(): boolean; rises(): number } => {
  let now = false;
  let rises = 0;
  return {
    drive: (level) => {
      if (level && !now) rises++;
      now = level;
    },
    level: () => now,
    rises: () => rises,
  };
};

/** A callback that keeps what it was told. */
export const recorded = <T>(): { readonly call: (item: T) => void; readonly heard: T[] } => {
  const heard: T[] = [];
  return { call: (item) => void heard.push(item), heard };
};

/** For chips whose test expects that nothing is unknown. */
export const noUnknowns = (what: string): void => {
  throw new Error(`unexpected: ${what}`);
};

/** 8-bit port accesses of one chip. */
export const bytePorts = (chip: Device) => ({
  in: (offset: number): number => chip.read(offset, 1),
  out: (offset: number, ...values: readonly number[]): void => {
    for (const value of values) chip.write(offset, 1, value);
  },
});

// The local APIC's timer (SDM 3A 11.5.4): a counter of the core crystal clock over a divider, once or periodically, or
// a deadline in time stamp counter ticks. Plain state and functions over it; localApic.ts owns it.

import { CRYSTAL_HERTZ } from '../x86/models.ts';

/** LVT timer bits 18..17. */
export const TIMER_MODE = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;

/** ns of one crystal clock. */
const TICK_NS = BigInt(1_000_000_000 / CRYSTAL_HERTZ);

export type ApicTimer = {
  mode: number;
  /** Divide configuration register, bits 3, 1 and 0. */
  divide: number;
  initial: number;
  /** The count as it was at tick `since`; counts down from there while `running`. */
  count: number;
  since: number;
  running: boolean;
  /** IA32_TSC_DEADLINE, decimal; "0" is disarmed. */
  deadline: string;
};

export const powerOnTimer = (): ApicTimer => ({
  mode: TIMER_MODE.oneShot,
  divide: 0,
  initial: 0,
  count: 0,
  since: 0,
  running: false,
  deadline: '0',
});

const ticksAt = (now: bigint): number => Number(now / TICK_NS);

/** 1 to 128: the encoding begins with 2 and ends with 1. */
const divisor = ({ divide }: ApicTimer): number => 1 << (((((divide >> 1) & 4) | (divide & 3)) + 1) & 7);

/** Current count register at guest time `now`; settle first. */
export const currentCount = (timer: ApicTimer, now: bigint): number => {
  if (!timer.running) return 0;
  return timer.count - Math.floor((ticksAt(now) - timer.since) / divisor(timer));
};

/** Starts to count from `count`; 0 stops. */
const restart = (timer: ApicTimer, count: number, now: bigint): void => {
  timer.count = count;
  timer.since = ticksAt(now);
  timer.running = count > 0;
};

export const writeInitial = (timer: ApicTimer, value: number, now: bigint): void => {
  if (timer.mode === TIMER_MODE.tscDeadline) return;
  timer.initial = value;
  restart(timer, value, now);
};

/** What is left is counted at the new rate. */
export const writeDivide = (timer: ApicTimer, value: number, now: bigint): void => {
  const left = currentCount(timer, now);
  timer.divide = value & 0xb;
  if (timer.running) restart(timer, left, now);
};

/** To and from TSC-deadline mode disarms; between the others the count goes on. */
export const setMode = (timer: ApicTimer, mode: number): void => {
  if (mode === timer.mode) return;
  if (mode === TIMER_MODE.tscDeadline || timer.mode === TIMER_MODE.tscDeadline) {
    Object.assign(timer, { ...powerOnTimer(), divide: timer.divide });
  }
  timer.mode = mode;
};

/** Ignored outside TSC-deadline mode. */
export const writeDeadline = (timer: ApicTimer, value: bigint): void => {
  if (timer.mode === TIMER_MODE.tscDeadline) timer.deadline = value.toString();
};

/** Guest time at which the timer expires next. @param tscOffset time stamp counter less guest time */
export const nextExpiry = (timer: ApicTimer, tscOffset: bigint): bigint | undefined => {
  if (timer.mode === TIMER_MODE.tscDeadline) {
    return timer.deadline === '0' ? undefined : BigInt(timer.deadline) - tscOffset;
  }
  if (!timer.running) return undefined;
  return (BigInt(timer.since) + BigInt(timer.count) * BigInt(divisor(timer))) * TICK_NS;
};

/** Lets the timer expire as often as it has by `now`. @returns did it */
export const settle = (timer: ApicTimer, now: bigint, tscOffset: bigint): boolean => {
  const expiry = nextExpiry(timer, tscOffset);
  if (expiry === undefined || expiry > now) return false;
  if (timer.mode === TIMER_MODE.tscDeadline) timer.deadline = '0';
  else if (timer.mode === TIMER_MODE.periodic && timer.initial > 0) reload(timer, now);
  else timer.running = false;
  return true;
};

const reload = (timer: ApicTimer, now: bigint): void => {
  const first = timer.since + timer.count * divisor(timer);
  const period = timer.initial * divisor(timer);
  timer.since = first + Math.floor((ticksAt(now) - first) / period) * period;
  timer.count = timer.initial;
};

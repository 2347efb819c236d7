// The high precision event timer (IA-PC HPET specification 1.0a): one 64-bit counter and three comparators, the first of
// which can be periodic. Legacy replacement takes IRQ 0 and IRQ 8 away from the 8254 and the RTC and gives them to
// comparators 0 and 1; so their lines go through this chip. Otherwise a comparator's interrupt goes to an input of the
// I/O APIC; without an I/O APIC there is only legacy replacement. FSB delivery is not offered.
// Registers have 64 bits and are reached by 32-bit accesses; wider ones are two.

import { adoptState, copyState, hexByte, sayOnce } from './device.ts';
import type { GuestClock, InterruptLine, TimedDevice, Unimplemented } from './device.ts';

export const HPET_BASE = 0xfed0_0000;
/** Bytes of the register window. */
export const HPET_SIZE = 0x400;

/** Length of a tick. */
const TICK_NS = 50n;
const FEMTOSECONDS = 50_000_000;
const VENDOR = 0x8086;
const TIMERS = 3;

const LEG_RT_CAP = 1 << 15;
const COUNT_SIZE_CAP = 1 << 13;
const REVISION = 1;
/** Low half of the capabilities register; the ACPI table repeats it. */
export const HPET_ID = ((VENDOR << 16) | LEG_RT_CAP | COUNT_SIZE_CAP | ((TIMERS - 1) << 8) | REVISION) >>> 0;

const GCAP_ID = 0x000;
const GEN_CONF = 0x010;
const GINTR_STA = 0x020;
const MAIN_CNT = 0x0f0;
const TIMER_0 = 0x100;
const TIMER_STRIDE = 0x20;
const TN_CONF = 0x00;
const TN_COMPARATOR = 0x08;
const TN_FSB = 0x10;

const ENABLE_CNF = 1;
const LEG_RT_CNF = 2;

const INT_TYPE_LEVEL = 1 << 1;
const INT_ENB = 1 << 2;
const TYPE_PERIODIC = 1 << 3;
const PER_INT_CAP = 1 << 4;
const SIZE_CAP = 1 << 5;
const VAL_SET = 1 << 6;
const MODE_32 = 1 << 8;
const INT_ROUTE_SHIFT = 9;
const INT_ROUTE_MASK = 31;
const WRITABLE = INT_TYPE_LEVEL | INT_ENB | TYPE_PERIODIC | VAL_SET | MODE_32 | (INT_ROUTE_MASK << INT_ROUTE_SHIFT);

/** Inputs of the I/O APIC that no ISA or PCI interrupt uses. */
const FIRST_ROUTE = 20;
const LAST_ROUTE = 23;
const ROUTES = 0x00f0_0000;

const LOW32 = 0xffff_ffffn;
const ALL64 = (1n << 64n) - 1n;

export type HpetOptions = {
  readonly clock: GuestClock;
  /** Lines of IRQ 0 and IRQ 8. */
  readonly legacy: readonly [InterruptLine, InterruptLine];
  /** The line into an input of the I/O APIC; absent without one. */
  readonly ioApicLine?: ((pin: number) => InterruptLine) | undefined;
  /** The next event may come sooner than was thought. */
  readonly changed: () => void;
  readonly unimplemented: Unimplemented;
};

export type Hpet = TimedDevice & {
  /** What the 8254 (0) and the RTC (1) drive: IRQ 0 and IRQ 8 while legacy replacement is off. */
  usual(which: 0 | 1): InterruptLine;
};

type Comparator = { config: number; value: string; period: string; level: boolean };
type HpetState = {
  config: number;
  status: number;
  /** The counter as it was at tick `since`; it counts on from there while enabled. */
  counter: string;
  since: string;
  /** Counter up to which matches have been seen. */
  seen: string;
  timers: Comparator[];
  usual: boolean[];
};

const powerOn = (): HpetState => ({
  config: 0,
  status: 0,
  counter: '0',
  since: '0',
  seen: '0',
  timers: Array.from({ length: TIMERS }, () => ({ config: 0, value: ALL64.toString(), period: '0', level: false })),
  usual: [false, false],
});

const moduloOf = ({ config }: Comparator): bigint => (config & MODE_32 ? LOW32 : ALL64);
const isPeriodic = ({ config }: Comparator): boolean => (config & TYPE_PERIODIC) !== 0;

/** Ticks from a counter value to the comparator's next match; a match at that very value is over. */
const ticksToMatch = (timer: Comparator, counter: bigint): bigint => {
  const modulo = moduloOf(timer);
  const distance = (BigInt(timer.value) - counter) & modulo;
  return distance === 0n ? modulo + 1n : distance;
};

/** One half of a 64-bit register replaced. */
const withHalf = (register: bigint, high: boolean, value: number): bigint =>
  high ? (register & LOW32) | (BigInt(value >>> 0) << 32n) : (register & ~LOW32) | BigInt(value >>> 0);

export const createHpet = (options: HpetOptions): Hpet => {
  const name = 'hpet';
  const loud = sayOnce((what) => options.unimplemented(`${name}: ${what}`));
  const routes = options.ioApicLine ? ROUTES : 0;
  const pins = Array.from({ length: LAST_ROUTE - FIRST_ROUTE + 1 }, (_, i) => options.ioApicLine?.(FIRST_ROUTE + i));
  let s = powerOn();

  const tick = (): bigint => options.clock.now() / TICK_NS;
  const enabled = (): boolean => (s.config & ENABLE_CNF) !== 0;
  const replaces = (): boolean => (s.config & LEG_RT_CNF) !== 0;
  const counterAt = (ticks: bigint): bigint =>
    enabled() ? (BigInt(s.counter) + ticks - BigInt(s.since)) & ALL64 : BigInt(s.counter);
  const timerOf = (index: number): Comparator => s.timers[index] as Comparator;

  const lineOf = (index: number): InterruptLine | undefined => {
    if (replaces() && index < 2) return options.legacy[index];
    const route = (timerOf(index).config >> INT_ROUTE_SHIFT) & INT_ROUTE_MASK;
    return pins[route - FIRST_ROUTE];
  };

  const drive = (index: number, level: boolean): void => {
    const timer = timerOf(index);
    if (timer.level === level) return;
    timer.level = level;
    lineOf(index)?.(level);
  };

  const match = (index: number): void => {
    const timer = timerOf(index);
    if (timer.config & INT_TYPE_LEVEL) s.status |= 1 << index;
    if (!(timer.config & INT_ENB)) return;
    // An edge is a new one each time.
    if (!(timer.config & INT_TYPE_LEVEL)) drive(index, false);
    drive(index, true);
  };

  /** Lets a comparator match as often as it has between two counter values. */
  const settleTimer = (index: number, from: bigint, elapsed: bigint): void => {
    const timer = timerOf(index);
    const first = ticksToMatch(timer, from);
    if (first > elapsed) return;
    const period = BigInt(timer.period);
    if (isPeriodic(timer) && period > 0n) {
      const more = (elapsed - first) / period + 1n;
      timer.value = ((BigInt(timer.value) + more * period) & moduloOf(timer)).toString();
    }
    match(index);
  };

  const settle = (): void => {
    const counter = counterAt(tick());
    const from = BigInt(s.seen);
    if (counter === from) return;
    s.seen = counter.toString();
    for (let index = 0; index < TIMERS; index++) settleTimer(index, from, (counter - from) & ALL64);
  };

  const setCounter = (value: bigint): void => {
    s.counter = value.toString();
    s.since = tick().toString();
    s.seen = s.counter;
  };

  /** Whoever loses a line takes its level away, and whoever gets it brings the one it has. */
  const driveLegacy = (which: 0 | 1): void =>
    options.legacy[which](replaces() ? timerOf(which).level : (s.usual[which] ?? false));

  const writeConfig = (value: number): void => {
    setCounter(counterAt(tick()));
    const was = s.config;
    if ((was ^ value) & LEG_RT_CNF) for (const which of [0, 1] as const) drive(which, false);
    s.config = value & (ENABLE_CNF | LEG_RT_CNF);
    if ((was ^ value) & LEG_RT_CNF) for (const which of [0, 1] as const) driveLegacy(which);
  };

  const clearStatus = (value: number): void => {
    for (let index = 0; index < TIMERS; index++) {
      if (!(value & s.status & (1 << index))) continue;
      s.status &= ~(1 << index);
      if (timerOf(index).config & INT_TYPE_LEVEL) drive(index, false);
    }
  };

  const writeTimerConfig = (index: number, value: number): void => {
    const timer = timerOf(index);
    drive(index, false);
    timer.config = value & (index === 0 ? WRITABLE : WRITABLE & ~(TYPE_PERIODIC | VAL_SET));
    if (timer.config & MODE_32) timer.value = (BigInt(timer.value) & LOW32).toString();
    const pending = timer.config & INT_TYPE_LEVEL && s.status & (1 << index);
    if (pending && timer.config & INT_ENB) drive(index, true);
  };

  /**
   * 2.3.9.2.2: with VAL_SET the next write goes to the comparator itself. A write without it is the period, and so is
   * the one with it, as chipsets have it; some systems write once only.
   */
  const writeComparator = (index: number, high: boolean, value: number): void => {
    const timer = timerOf(index);
    const modulo = moduloOf(timer);
    if (isPeriodic(timer)) timer.period = (withHalf(BigInt(timer.period), high, value) & modulo).toString();
    if (isPeriodic(timer) && !(timer.config & VAL_SET)) return;
    timer.value = (withHalf(BigInt(timer.value), high, value) & modulo).toString();
    // A 64-bit write is two here: the low half comes first.
    if (high || modulo === LOW32) timer.config &= ~VAL_SET;
  };

  const timerConfig = (index: number): bigint => {
    const fixed = SIZE_CAP | (index === 0 ? PER_INT_CAP : 0);
    return (BigInt(routes >>> 0) << 32n) | BigInt((timerOf(index).config & ~VAL_SET) | fixed);
  };

  const registerAt = (offset: number): bigint => {
    if (offset === GCAP_ID) return (BigInt(FEMTOSECONDS) << 32n) | BigInt(HPET_ID);
    if (offset === GEN_CONF) return BigInt(s.config);
    if (offset === GINTR_STA) return BigInt(s.status);
    if (offset === MAIN_CNT) return counterAt(tick());
    const index = Math.floor((offset - TIMER_0) / TIMER_STRIDE);
    if (index < 0 || index >= TIMERS) return 0n;
    const register = (offset - TIMER_0) % TIMER_STRIDE;
    if (register === TN_CONF) return timerConfig(index);
    return register === TN_COMPARATOR ? BigInt(timerOf(index).value) : 0n;
  };

  const writeTimer = (offset: number, high: boolean, value: number): void => {
    const index = Math.floor((offset - TIMER_0) / TIMER_STRIDE);
    if (index < 0 || index >= TIMERS) return;
    const register = (offset - TIMER_0) % TIMER_STRIDE;
    if (register === TN_COMPARATOR) writeComparator(index, high, value);
    else if (register === TN_FSB) loud.say('write to an FSB route register');
    else if (register === TN_CONF && !high) writeTimerConfig(index, value);
  };

  const write = (offset: number, value: number): void => {
    const [register, high] = [offset & ~7, (offset & 4) !== 0];
    if (register >= TIMER_0) return writeTimer(register, high, value);
    if (register === MAIN_CNT) return setCounter(withHalf(counterAt(tick()), high, value));
    if (high) return;
    if (register === GEN_CONF) writeConfig(value);
    else if (register === GINTR_STA) clearStatus(value);
  };

  /** Only enabled comparators are waited for; the others are settled when somebody looks. */
  const nextEvent = (): bigint | undefined => {
    if (!enabled()) return undefined;
    const waits = s.timers.filter(({ config }) => config & INT_ENB).map((timer) => ticksToMatch(timer, BigInt(s.seen)));
    const first = waits.reduce<bigint | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined);
    if (first === undefined) return undefined;
    return (BigInt(s.since) + ((BigInt(s.seen) - BigInt(s.counter)) & ALL64) + first) * TICK_NS;
  };

  return {
    name,
    read: (offset, size) => {
      if (size !== 4 || offset & 3) loud.say(`read of ${size} bytes at offset ${hexByte(offset)}`);
      settle();
      const half = registerAt(offset & ~7) >> (offset & 4 ? 32n : 0n);
      return Number(BigInt.asUintN(8 * size, half >> BigInt(8 * (offset & 3))));
    },
    write: (offset, size, value) => {
      if (size !== 4 || offset & 3) return loud.say(`write of ${size} bytes at offset ${hexByte(offset)}`);
      settle();
      write(offset, value);
      options.changed();
    },
    usual: (which) => (level) => {
      s.usual[which] = level;
      if (!replaces()) options.legacy[which](level);
    },
    nextEvent,
    advance: () => settle(),
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

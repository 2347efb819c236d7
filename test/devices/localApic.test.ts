import { describe, expect, it } from 'vitest';
import { DELIVERY } from '../../src/devices/apicRegisters.ts';
import { createLocalApic } from '../../src/devices/localApic.ts';
import { handClock, noUnknowns, recorded } from './support.ts';

const ID = 0x20;
const VERSION = 0x30;
const TPR = 0x80;
const PPR = 0xa0;
const EOI = 0xb0;
const LDR = 0xd0;
const DFR = 0xe0;
const SVR = 0xf0;
const ISR = 0x100;
const TMR = 0x180;
const IRR = 0x200;
const ESR = 0x280;
const ICR = 0x300;
const ICR_HIGH = 0x310;
const LVT_TIMER = 0x320;
const LVT_LINT0 = 0x350;
const LVT_ERROR = 0x370;
const INITIAL = 0x380;
const CURRENT = 0x390;
const DIVIDE = 0x3e0;
const MASKED = 0x10000;
const PERIODIC = 0x20000;
const TSC_DEADLINE_MODE = 0x40000;
const DIVIDE_BY_1 = 0xb;
/** ns of one crystal clock. */
const TICK = 1n;

const MSR_BASE = 0x1b;
const MSR_DEADLINE = 0x6e0;

const setUp = (unimplemented: (what: string) => void = noUnknowns, tscOffset = 0n) => {
  const clock = handClock();
  const ended = recorded<number>();
  const inits = recorded<void>();
  const apic = createLocalApic({
    number: 0,
    toOthers: () => undefined,
    clock,
    tscOffset: () => tscOffset,
    x2apic: true,
    tscDeadline: true,
    endOfInterrupt: ended.call,
    init: inits.call,
    changed: () => {},
    unimplemented,
  });
  const out = (offset: number, value: number): void => apic.write(offset, 4, value);
  const get = (offset: number): number => apic.read(offset, 4);
  const message = (vector: number, rest = {}): boolean =>
    apic.receive({ vector, mode: DELIVERY.fixed, destination: 0, logical: false, level: false, ...rest });
  /** Goes to the next event and lets it happen. @returns guest time in ns */
  const nextEvent = (): bigint | undefined => {
    const event = apic.nextEvent();
    if (event !== undefined) {
      clock.set(event);
      apic.advance(event);
    }
    return event;
  };
  return { apic, clock, ended: ended.heard, inits, out, in: get, message, nextEvent };
};

const enabled = (...args: Parameters<typeof setUp>) => {
  const chip = setUp(...args);
  chip.out(SVR, 0x1ff);
  return chip;
};

describe('local APIC at power-on', () => {
  it('says what it is, and is enabled but not by software', () => {
    const apic = setUp();
    expect(apic.in(ID)).toBe(0);
    expect(apic.in(VERSION)).toBe(0x50014);
    expect(apic.in(SVR)).toBe(0xff);
    expect(apic.in(DFR)).toBe(0xffff_ffff);
    expect(apic.apic.readMsr(MSR_BASE)).toBe(0xfee0_0900n);
    expect([LVT_TIMER, LVT_LINT0, LVT_ERROR].map(apic.in)).toEqual([MASKED, MASKED, MASKED]);
  });

  it('takes no interrupts and unmasks no LVT entry until software enables it', () => {
    const apic = setUp();
    expect(apic.message(0x40)).toBe(false);
    apic.out(LVT_TIMER, 0x40);
    expect(apic.in(LVT_TIMER)).toBe(MASKED | 0x40);
  });

  it('keeps the 8259A out until LINT0 is ExtINT; virtual wire mode lets it in', () => {
    const apic = enabled();
    expect(apic.apic.passesPic()).toBe(false);
    apic.out(LVT_LINT0, 0x700);
    expect(apic.apic.passesPic()).toBe(true);
    const wired = setUp();
    wired.apic.virtualWire();
    expect(wired.apic.passesPic()).toBe(true);
    wired.out(SVR, 0xff);
    expect(wired.apic.passesPic()).toBe(false);
  });
});

describe('local APIC priorities', () => {
  it('takes the highest vector, holds back its class and below until EOI', () => {
    const apic = enabled();
    apic.message(0x41);
    apic.message(0x52);
    expect(apic.apic.acknowledge()).toBe(0x52);
    expect(apic.in(PPR)).toBe(0x50);
    expect(apic.in(ISR + 0x20)).toBe(1 << 0x12);
    apic.message(0x5f);
    expect(apic.apic.pending()).toBe(false);
    apic.message(0x60);
    expect(apic.apic.acknowledge()).toBe(0x60);
    apic.out(EOI, 0);
    apic.out(EOI, 0);
    expect(apic.apic.acknowledge()).toBe(0x5f);
    apic.out(EOI, 0);
    expect(apic.apic.acknowledge()).toBe(0x41);
  });

  it('holds back vectors whose class is not above TPR, which is CR8 shifted', () => {
    const apic = enabled();
    apic.out(TPR, 0x40);
    expect(apic.apic.taskPriority >> 4).toBe(4);
    apic.message(0x4f);
    expect(apic.apic.pending()).toBe(false);
    apic.apic.taskPriority = 3 << 4;
    expect(apic.in(TPR)).toBe(0x30);
    expect(apic.apic.pending()).toBe(true);
  });

  it('answers an acknowledge without a request with the spurious vector, and no bit in ISR', () => {
    const apic = enabled();
    expect(apic.apic.acknowledge()).toBe(0xff);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((n) => apic.in(ISR + 16 * n))).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('tells the IO-APIC of the end of level-triggered interrupts only', () => {
    const apic = enabled();
    apic.message(0x31, { level: true });
    apic.message(0x32);
    expect(apic.in(TMR + 0x10)).toBe(1 << 0x11);
    expect(apic.in(IRR + 0x10)).toBe((1 << 0x11) | (1 << 0x12));
    apic.apic.acknowledge();
    apic.out(EOI, 0);
    expect(apic.ended).toEqual([]);
    apic.apic.acknowledge();
    apic.out(EOI, 0);
    expect(apic.ended).toEqual([0x31]);
  });
});

describe('local APIC messages', () => {
  it.each([
    ['physical, its ID', { destination: 0 }, true],
    ['physical, another', { destination: 1 }, false],
    ['physical, all', { destination: 0xff }, true],
    ['logical flat, a bit in common', { destination: 0x0c, logical: true }, true],
    ['logical flat, none', { destination: 0x03, logical: true }, false],
    ['lowest priority', { mode: DELIVERY.lowest }, true],
  ])('%s: accepted %s', (_, message, taken) => {
    const apic = enabled();
    apic.out(LDR, 0x0400_0000);
    expect(apic.message(0x50, message)).toBe(taken);
    expect(apic.apic.pending()).toBe(taken);
  });

  it('compares clusters in the cluster model', () => {
    const apic = enabled();
    apic.out(DFR, 0x0fff_ffff);
    apic.out(LDR, 0x2100_0000);
    const taken = [0x21, 0x23, 0x31, 0x22, 0xf1].map((destination) =>
      apic.message(0x50, { destination, logical: true }),
    );
    expect(taken).toEqual([true, true, false, false, true]);
  });

  it('refuses vectors below 16, remembers it, and interrupts if the error entry says so', () => {
    const apic = enabled();
    apic.out(LVT_ERROR, 0xfe);
    expect(apic.message(0x0f)).toBe(false);
    expect(apic.in(ESR)).toBe(0);
    apic.out(ESR, 0);
    expect(apic.in(ESR)).toBe(0x40);
    expect(apic.apic.acknowledge()).toBe(0xfe);
  });

  it('interrupts once for an error, until ESR is written and it comes again', () => {
    const apic = enabled();
    apic.out(LVT_ERROR, 0xfe);
    const refused = (): number[] => {
      apic.message(0x0f);
      const taken: number[] = [];
      for (; apic.apic.pending(); apic.out(EOI, 0)) taken.push(apic.apic.acknowledge());
      return taken;
    };
    expect([refused(), refused()]).toEqual([[0xfe], []]);
    apic.out(ICR, 0x4_400f);
    expect(apic.apic.acknowledge()).toBe(0xfe);
    apic.out(EOI, 0);
    apic.out(ESR, 0);
    expect([refused(), refused()]).toEqual([[0xfe], []]);
  });

  it.each([
    ['to itself by shorthand', 0, 0x4_4055, true],
    ['to all', 0, 0x8_4055, true],
    ['to all others', 0, 0xc_4055, false],
    ['to ID 0', 0, 0x4055, true],
    ['to ID 1', 0x0100_0000, 0x4055, false],
  ])('sends an interrupt %s', (_, high, low, arrives) => {
    const apic = enabled();
    apic.out(ICR_HIGH, high);
    apic.out(ICR, low);
    expect(apic.in(ICR)).toBe(low);
    expect(apic.apic.pending()).toBe(arrives);
  });

  it('lets INIT and start-up for other processors go nowhere', () => {
    const apic = enabled();
    apic.out(ICR_HIGH, 0x0100_0000);
    apic.out(ICR, 0xc500);
    apic.out(ICR, 0x4699);
    expect(apic.apic.pending()).toBe(false);
  });

  it('keeps one NMI for the processor, however many come', () => {
    const { apic, out } = enabled();
    out(ICR, 0x4_4402);
    out(ICR, 0x4_4402);
    expect([apic.nmiPending(), apic.pending()]).toEqual([true, false]);
    apic.acknowledgeNmi();
    expect(apic.nmiPending()).toBe(false);
  });

  it('takes an NMI while it is software-disabled, and keeps it when it is switched off', () => {
    const { apic, message } = setUp();
    expect(message(0, { mode: DELIVERY.nmi })).toBe(true);
    apic.writeMsr(MSR_BASE, 0xfee0_0100n);
    expect(apic.nmiPending()).toBe(true);
  });

  it('hands an INIT to itself on, and ignores a start-up', () => {
    const { apic, out, inits } = enabled();
    out(ICR, 0x4_4500);
    out(ICR, 0x4_4699);
    expect(inits.heard).toHaveLength(1);
    expect([apic.pending(), apic.nmiPending()]).toEqual([false, false]);
  });

  it('says aloud that there is nobody to handle an SMI', () => {
    const heard = recorded<string>();
    enabled(heard.call).out(ICR, 0x4_4200);
    expect(heard.heard).toEqual(['localApic: SMI: there is no firmware to handle it']);
  });
});

describe('local APIC timer', () => {
  it('counts the crystal clock down once', () => {
    const apic = enabled();
    apic.out(LVT_TIMER, 0x40);
    apic.out(DIVIDE, DIVIDE_BY_1);
    apic.out(INITIAL, 1000);
    apic.clock.set(250n * TICK);
    expect(apic.in(CURRENT)).toBe(750);
    expect(apic.nextEvent()).toBe(1000n * TICK);
    expect(apic.apic.acknowledge()).toBe(0x40);
    expect(apic.in(CURRENT)).toBe(0);
    expect(apic.nextEvent()).toBeUndefined();
  });

  it.each([
    [0x0, 2n],
    [0x1, 4n],
    [0x2, 8n],
    [0x3, 16n],
    [0x8, 32n],
    [0x9, 64n],
    [0xa, 128n],
    [0xb, 1n],
  ])('divides by what the divide configuration %i says', (divide, by) => {
    const apic = enabled();
    apic.out(LVT_TIMER, 0x40);
    apic.out(DIVIDE, divide);
    apic.out(INITIAL, 10);
    expect(apic.nextEvent()).toBe(10n * by * TICK);
  });

  it('goes on periodically, without drift, also where events were late', () => {
    const apic = enabled();
    apic.out(DIVIDE, DIVIDE_BY_1);
    apic.out(LVT_TIMER, PERIODIC | 0x40);
    apic.out(INITIAL, 100);
    expect(apic.nextEvent()).toBe(100n * TICK);
    expect(apic.nextEvent()).toBe(200n * TICK);
    apic.clock.set(550n * TICK);
    expect(apic.in(CURRENT)).toBe(50);
    expect(apic.nextEvent()).toBe(600n * TICK);
  });

  it('counts on behind a mask, and raises nothing', () => {
    const apic = enabled();
    apic.out(DIVIDE, DIVIDE_BY_1);
    apic.out(LVT_TIMER, MASKED | PERIODIC | 0x40);
    apic.out(INITIAL, 100);
    expect(apic.apic.nextEvent()).toBeUndefined();
    apic.clock.set(130n * TICK);
    apic.out(LVT_TIMER, PERIODIC | 0x40);
    expect(apic.apic.pending()).toBe(false);
    expect(apic.nextEvent()).toBe(200n * TICK);
  });

  it('stops when 0 is written', () => {
    const apic = enabled();
    apic.out(LVT_TIMER, 0x40);
    apic.out(INITIAL, 100);
    apic.out(INITIAL, 0);
    expect(apic.apic.nextEvent()).toBeUndefined();
  });

  it('fires at a time stamp counter value, and is disarmed then', () => {
    const apic = enabled(noUnknowns, 5000n);
    apic.out(LVT_TIMER, TSC_DEADLINE_MODE | 0x40);
    apic.out(INITIAL, 7);
    expect(apic.apic.writeMsr(MSR_DEADLINE, 12_345n)).toBe(true);
    expect(apic.apic.readMsr(MSR_DEADLINE)).toBe(12_345n);
    expect(apic.nextEvent()).toBe(7345n);
    expect(apic.apic.readMsr(MSR_DEADLINE)).toBe(0n);
    expect(apic.apic.acknowledge()).toBe(0x40);
  });

  it('ignores a deadline in another mode, and drops it when the mode changes', () => {
    const apic = enabled();
    apic.apic.writeMsr(MSR_DEADLINE, 1000n);
    expect(apic.apic.readMsr(MSR_DEADLINE)).toBe(0n);
    apic.out(LVT_TIMER, TSC_DEADLINE_MODE | 0x40);
    apic.apic.writeMsr(MSR_DEADLINE, 1000n);
    apic.out(LVT_TIMER, 0x40);
    expect(apic.apic.nextEvent()).toBeUndefined();
  });
});

describe('x2APIC mode', () => {
  const extended = () => {
    const chip = enabled();
    expect(chip.apic.writeMsr(MSR_BASE, 0xfee0_0d00n)).toBe(true);
    return chip;
  };

  it('takes its registers out of memory and into MSRs', () => {
    const { apic } = extended();
    expect(apic.mmioBase).toBeUndefined();
    expect(apic.readMsr(0x803)).toBe(0x50014n);
    expect(apic.readMsr(0x80d)).toBe(1n);
    expect(apic.writeMsr(0x83f, 0x55n)).toBe(true);
    expect(apic.acknowledge()).toBe(0x55);
    expect(apic.writeMsr(0x80b, 0n)).toBe(true);
  });

  it('sends with one write of the 64-bit command register', () => {
    const { apic } = extended();
    apic.writeMsr(0x830, (1n << 32n) | 0x61n);
    expect(apic.pending()).toBe(false);
    apic.writeMsr(0x830, 0x61n);
    expect(apic.acknowledge()).toBe(0x61);
  });

  it.each([
    ['the destination format register', 0x80e, 0n],
    ['the upper half of the command register', 0x831, 0n],
    ['a read-only register', 0x803, 0n],
    ['an end of interrupt that is not 0', 0x80b, 1n],
    ['reserved bits', 0x808, 0x100n],
  ])('refuses writes of %s', (_, number, value) => {
    expect(extended().apic.writeMsr(number, value)).toBe(false);
  });

  it('is left by switching off only, after which the chip is as new', () => {
    const { apic } = extended();
    expect(apic.writeMsr(MSR_BASE, 0xfee0_0900n)).toBe(false);
    expect(apic.writeMsr(MSR_BASE, 0xfee0_0100n)).toBe(true);
    expect(apic.enabled).toBe(false);
    expect(apic.passesPic()).toBe(true);
    expect(apic.writeMsr(MSR_BASE, 0xfee0_0d00n)).toBe(false);
    expect(apic.writeMsr(MSR_BASE, 0xfee0_0900n)).toBe(true);
    expect(apic.read(SVR, 4)).toBe(0xff);
  });

  it('has no MSRs outside the mode', () => {
    expect(setUp().apic.readMsr(0x802)).toBeUndefined();
    expect(setUp().apic.writeMsr(0x808, 0n)).toBe(false);
  });
});

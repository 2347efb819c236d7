import { describe, expect, it } from 'vitest';
import { createHpet, type Hpet, HPET_ID } from '../../src/devices/hpet.ts';
import { handClock, noUnknowns, recordedLine } from './support.ts';

const CONFIG = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const TIMER = (index: number): number => 0x100 + 0x20 * index;
const COMPARATOR = 8;
const TICK = 50n;

const LEVEL = 1 << 1;
const ENABLED = 1 << 2;
const PERIODIC = 1 << 3;
const VAL_SET = 1 << 6;
const MODE_32 = 1 << 8;
const route = (pin: number): number => pin << 9;

function build(withIoApic = true) {
  const clock = handClock();
  const legacy = [recordedLine(), recordedLine()] as const;
  const pins = new Map(Array.from({ length: 24 }, (_, pin) => [pin, recordedLine()] as const));
  const hpet: Hpet = createHpet({
    clock,
    legacy: [legacy[0].drive, legacy[1].drive],
    ioApicLine: withIoApic ? (pin) => (pins.get(pin) as ReturnType<typeof recordedLine>).drive : undefined,
    changed: () => {},
    unimplemented: noUnknowns,
  });
  const read = (offset: number): number => hpet.read(offset, 4);
  const write = (offset: number, value: number): void => hpet.write(offset, 4, value);
  /** To the next event, as the machine does. */
  const sleep = (): bigint => {
    const event = hpet.nextEvent();
    if (event === undefined) throw new Error('nothing is to come');
    clock.set(event);
    hpet.advance(event);
    return event;
  };
  return {
    clock,
    legacy,
    pin: (n: number) => pins.get(n) as ReturnType<typeof recordedLine>,
    hpet,
    read,
    write,
    sleep,
  };
}

describe('the HPET', () => {
  it('says what it is: 64 bits, three comparators, legacy replacement, ticks of 50 ns', () => {
    const { read } = build();
    expect([read(0), read(4)]).toEqual([HPET_ID, 50_000_000]);
    expect(HPET_ID).toBe(0x8086a201);
    expect([read(TIMER(0)) & 0x30, read(TIMER(1)) & 0x30]).toEqual([0x30, 0x20]);
    expect(read(TIMER(2) + 4)).toBe(0x00f0_0000);
  });

  it('offers no route where there is no I/O APIC', () => {
    expect(build(false).read(TIMER(0) + 4)).toBe(0);
  });

  it('counts while it is enabled, and keeps its count while it is not', () => {
    const { clock, read, write } = build();
    clock.add(1000n);
    expect(read(COUNTER)).toBe(0);
    write(CONFIG, 1);
    clock.add(100n * TICK);
    expect(read(COUNTER)).toBe(100);
    write(CONFIG, 0);
    clock.add(1000n);
    expect(read(COUNTER)).toBe(100);
    write(COUNTER, 0xffff_fff0);
    write(CONFIG, 1);
    clock.add(20n * TICK);
    expect([read(COUNTER), read(COUNTER + 4)]).toEqual([4, 1]);
  });

  it('has a comparator of 32 bits where that is asked for, whatever stood above', () => {
    const { read, write } = build();
    write(TIMER(0) + 8, 7);
    write(TIMER(0) + 12, 5);
    expect([read(TIMER(0) + 8), read(TIMER(0) + 12)]).toEqual([7, 5]);
    write(TIMER(0), 0x100);
    expect([read(TIMER(0) + 8), read(TIMER(0) + 12)]).toEqual([7, 0]);
  });

  it('interrupts once where a comparator is met', () => {
    const { pin, hpet, write, sleep } = build();
    write(TIMER(1), ENABLED | MODE_32 | route(21));
    write(TIMER(1) + COMPARATOR, 500);
    expect(hpet.nextEvent()).toBeUndefined();
    write(CONFIG, 1);
    expect(sleep()).toBe(500n * TICK);
    expect([pin(21).rises(), pin(20).rises()]).toEqual([1, 0]);
    // The next match is a whole turn of 32 bits later.
    expect(hpet.nextEvent()).toBe((500n + 2n ** 32n) * TICK);
  });

  it('is periodic: first the comparator, then the period', () => {
    const { pin, write, sleep, read } = build();
    write(TIMER(0), ENABLED | PERIODIC | VAL_SET | MODE_32 | route(20));
    write(TIMER(0) + COMPARATOR, 1000);
    write(TIMER(0) + COMPARATOR, 300);
    write(CONFIG, 1);
    expect([sleep(), sleep(), sleep()]).toEqual([1000n * TICK, 1300n * TICK, 1600n * TICK]);
    expect(pin(20).rises()).toBe(3);
    expect(read(TIMER(0) + COMPARATOR)).toBe(1900);
  });

  it('counts one edge for all the periods nobody looked', () => {
    const { clock, pin, hpet, write, read } = build();
    write(TIMER(0), ENABLED | PERIODIC | VAL_SET | MODE_32 | route(20));
    write(TIMER(0) + COMPARATOR, 100);
    write(CONFIG, 1);
    clock.set(1050n * TICK);
    hpet.advance(clock.now());
    expect([pin(20).rises(), read(TIMER(0) + COMPARATOR)]).toEqual([1, 1100]);
  });

  it('holds a level until its status bit is written', () => {
    const { pin, write, read, sleep } = build();
    write(TIMER(2), ENABLED | LEVEL | MODE_32 | route(22));
    write(TIMER(2) + COMPARATOR, 10);
    write(CONFIG, 1);
    sleep();
    expect([pin(22).level(), read(STATUS)]).toEqual([true, 4]);
    write(STATUS, 4);
    expect([pin(22).level(), read(STATUS)]).toEqual([false, 0]);
  });

  it('takes IRQ 0 from the 8254 in legacy replacement, and gives it back', () => {
    const { hpet, legacy, pin, write, sleep } = build();
    hpet.usual(0)(true);
    expect(legacy[0].level()).toBe(true);
    write(TIMER(0), ENABLED | MODE_32 | route(20));
    write(TIMER(0) + COMPARATOR, 10);
    write(CONFIG, 3);
    expect(legacy[0].level()).toBe(false);
    hpet.usual(0)(false);
    hpet.usual(0)(true);
    expect(legacy[0].rises()).toBe(1);
    sleep();
    expect([legacy[0].rises(), pin(20).rises()]).toEqual([2, 0]);
    hpet.usual(0)(false);
    write(CONFIG, 1);
    expect(legacy[0].level()).toBe(false);
  });
});

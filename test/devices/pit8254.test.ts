import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPit8254, pitTicks, pitTickTime } from '../../src/devices/pit8254.ts';
import { bytePorts, handClock, noUnknowns, recorded, recordedLine } from './support.ts';

const CONTROL = 3;
const PORT_61 = 0x21;
const GATE2 = 0x01;
const OUT2 = 0x20;
const REFRESH = 0x10;

const setUp = (unimplemented = noUnknowns) => {
  const clock = handClock();
  const line = recordedLine();
  const chip = createPit8254({ clock, interrupt: line.drive, unimplemented });
  const ports = bytePorts(chip);
  const program = (counter: number, mode: number, count: number, bcd = 0): void => {
    ports.out(CONTROL, (counter << 6) | 0x30 | (mode << 1) | bcd);
    ports.out(counter, count & 0xff, count >> 8);
  };
  return {
    chip,
    clock,
    line,
    ...ports,
    program,
    /** Sets guest time to this tick of the 1.193182 MHz clock, and lets the chip catch up. */
    atTick: (tick: number): void => {
      clock.set(pitTickTime(tick));
      chip.advance(clock.now());
    },
    /** The counter latch command and the two bytes. */
    latched: (counter: number): number => {
      ports.out(CONTROL, counter << 6);
      return ports.in(counter) | (ports.in(counter) << 8);
    },
    status: (counter: number): number => {
      ports.out(CONTROL, 0xe0 | (2 << counter));
      return ports.in(counter);
    },
  };
};

describe('the 8254\u2019s clock', () => {
  it('has 1,193,182 ticks in a second', () => {
    expect(pitTicks(1_000_000_000n)).toBe(1_193_182);
    expect(pitTicks(999_999_999n)).toBe(1_193_181);
  });

  it('finds the first nanosecond of each tick', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e13 }), (tick) => {
        expect(pitTicks(pitTickTime(tick))).toBe(tick);
        expect(pitTicks(pitTickTime(tick) - 1n)).toBe(tick - 1);
      }),
    );
  });
});

describe('8254 mode 2, rate generator', () => {
  it('counts down from the count to 1 and reloads (counter latch)', () => {
    const pit = setUp();
    pit.program(0, 2, 1000);
    const seen = [1, 2, 1000, 1001, 2001].map((tick) => {
      pit.atTick(tick);
      return pit.latched(0);
    });
    expect(seen).toEqual([1000, 999, 1, 1000, 1000]);
  });

  it('raises IRQ0 once a period, at the reload', () => {
    const pit = setUp();
    pit.program(0, 2, 1000);
    const first = pit.line.rises();
    pit.atTick(1000);
    expect(pit.line.rises()).toBe(first);
    pit.atTick(1001);
    pit.atTick(2001);
    expect(pit.line.rises()).toBe(first + 2);
  });

  it('names each reload as the next event', () => {
    const pit = setUp();
    pit.program(0, 2, 1000);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(1001));
    pit.atTick(1001);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(2001));
  });

  it('takes a new count at the end of the running period', () => {
    const pit = setUp();
    pit.program(0, 2, 1000);
    pit.atTick(501);
    pit.out(0, 0x0a, 0x00);
    pit.atTick(502);
    expect(pit.latched(0)).toBe(499);
    pit.atTick(1003);
    expect(pit.latched(0)).toBe(8);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(1011));
  });

  it('takes a count of 0 for 65,536', () => {
    const pit = setUp();
    pit.program(0, 2, 0);
    pit.atTick(2);
    expect(pit.latched(0)).toBe(0xffff);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(65_537));
  });
});

describe('8254 mode 0, interrupt on terminal count', () => {
  it('holds OUT low until count + 1 clocks after the write', () => {
    const pit = setUp();
    pit.program(0, 0, 100);
    pit.atTick(100);
    expect(pit.line.level()).toBe(false);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(101));
    pit.atTick(101);
    expect(pit.line.level()).toBe(true);
    expect(pit.chip.nextEvent()).toBeUndefined();
  });

  it('counts on through zero', () => {
    const pit = setUp();
    pit.program(0, 0, 100);
    pit.atTick(103);
    expect(pit.latched(0)).toBe(0xfffe);
  });

  it('stops when the first byte of a new count is written', () => {
    const pit = setUp();
    pit.program(0, 0, 100);
    pit.atTick(51);
    pit.out(0, 10);
    pit.atTick(500);
    expect(pit.line.level()).toBe(false);
    pit.out(0, 0);
    pit.atTick(511);
    expect(pit.line.level()).toBe(true);
  });
});

describe('8254 other modes', () => {
  it('mode 3 counts an even count by twos, twice a period', () => {
    const pit = setUp();
    pit.program(0, 3, 10);
    const seen = [1, 2, 5, 6, 10, 11].map((tick) => {
      pit.atTick(tick);
      return pit.latched(0);
    });
    expect(seen).toEqual([10, 8, 2, 10, 2, 10]);
  });

  it('mode 3 is high for the longer half of an odd count', () => {
    const pit = setUp();
    pit.program(0, 3, 5);
    const high = [1, 2, 3, 4, 5, 6].map((tick) => {
      pit.atTick(tick);
      return pit.status(0) >> 7;
    });
    expect(high).toEqual([1, 1, 1, 0, 0, 1]);
  });

  it('mode 4 strobes low for one clock after the count and interrupts as it ends', () => {
    const pit = setUp();
    pit.program(0, 4, 100);
    const before = pit.line.rises();
    pit.atTick(101);
    expect([pit.status(0) >> 7, pit.line.rises()]).toEqual([0, before]);
    pit.atTick(102);
    expect([pit.status(0) >> 7, pit.line.rises()]).toEqual([1, before + 1]);
    expect(pit.chip.nextEvent()).toBeUndefined();
  });

  it('mode 1 starts at the gate\u2019s rising edge and is low for the count', () => {
    const pit = setUp();
    pit.program(2, 1, 50);
    pit.atTick(10);
    expect(pit.in(PORT_61) & OUT2).toBe(OUT2);
    pit.out(PORT_61, GATE2);
    pit.atTick(11);
    expect(pit.in(PORT_61) & OUT2).toBe(0);
    pit.atTick(60);
    expect(pit.in(PORT_61) & OUT2).toBe(0);
    pit.atTick(61);
    expect(pit.in(PORT_61) & OUT2).toBe(OUT2);
  });

  it('mode 5 strobes after a count that the gate started', () => {
    const pit = setUp();
    pit.program(2, 5, 50);
    pit.out(PORT_61, GATE2);
    const high = [50, 51, 52].map((tick) => {
      pit.atTick(tick);
      return pit.in(PORT_61) & OUT2;
    });
    expect(high).toEqual([OUT2, 0, OUT2]);
  });

  it('counts in BCD when the control word says so', () => {
    const pit = setUp();
    pit.program(0, 2, 0x1000, 1);
    pit.atTick(2);
    expect(pit.latched(0)).toBe(0x0999);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(1001));
  });
});

describe('8254 reading', () => {
  it('keeps a latched count until both bytes are read, whatever is latched meanwhile', () => {
    const pit = setUp();
    pit.program(0, 2, 0x1234);
    pit.atTick(1);
    pit.out(CONTROL, 0x00);
    pit.atTick(100);
    pit.out(CONTROL, 0x00);
    expect([pit.in(0), pit.in(0)]).toEqual([0x34, 0x12]);
    expect(pit.latched(0)).toBe(0x1234 - 99);
  });

  it('reads the live count low byte first without a latch', () => {
    const pit = setUp();
    pit.program(0, 2, 0x1234);
    pit.atTick(1);
    expect([pit.in(0), pit.in(0), pit.in(0)]).toEqual([0x34, 0x12, 0x34]);
  });

  it.each([
    ['low byte only', 0x14, 0x37, 0x37],
    ['high byte only', 0x24, 0x12, 0x1200],
  ])('counts with %s', (_what, control, written, count) => {
    const pit = setUp();
    pit.out(CONTROL, control);
    pit.out(0, written);
    expect(pit.chip.nextEvent()).toBe(pitTickTime(count + 1));
    pit.atTick(1);
    expect(pit.in(0)).toBe(written);
  });

  it('reads back status and count of several counters with one command, status first', () => {
    const pit = setUp();
    pit.program(0, 2, 0x1234);
    pit.program(1, 3, 0x0012);
    pit.atTick(1);
    pit.out(CONTROL, 0xc6);
    pit.atTick(2);
    expect([pit.in(0), pit.in(0), pit.in(0)]).toEqual([0xb4, 0x34, 0x12]);
    expect([pit.in(1), pit.in(1), pit.in(1)]).toEqual([0xb6, 0x12, 0x00]);
  });

  it.each([
    ['the count alone', 0xd2, [0x34, 0x12, 0x32]],
    ['the status alone', 0xe2, [0xb4, 0x32, 0x12]],
    ['neither', 0xf2, [0x32, 0x12, 0x32]],
  ])('reads back %s where that is asked for', (_what, command, read) => {
    const pit = setUp();
    pit.program(0, 2, 0x1234);
    pit.atTick(1);
    pit.out(CONTROL, command);
    pit.atTick(3);
    expect([pit.in(0), pit.in(0), pit.in(0)]).toEqual(read);
  });

  it('shows the null count in the status until the count is loaded', () => {
    const pit = setUp();
    pit.out(CONTROL, 0x34);
    expect(pit.status(0)).toBe(0xf4);
    pit.out(0, 1, 1);
    expect(pit.status(0)).toBe(0xf4);
    pit.atTick(1);
    expect(pit.status(0)).toBe(0xb4);
  });

  it.each([
    [6, 2],
    [7, 3],
  ])('takes mode field %i for mode %i', (field, mode) => {
    const pit = setUp();
    pit.program(0, field, 10);
    pit.atTick(1);
    expect((pit.status(0) >> 1) & 7).toBe(mode);
  });

  it('reports a read of the control word', () => {
    const said = recorded<string>();
    const pit = setUp(said.call);
    expect([pit.in(CONTROL), pit.in(CONTROL)]).toEqual([0xff, 0xff]);
    expect(said.heard).toEqual(['pit8254: read of the control word']);
  });
});

describe('port 0x61', () => {
  it('gates counter 2 and shows its OUT, as a calibration loop waits for it', () => {
    const pit = setUp();
    pit.out(PORT_61, GATE2);
    pit.program(2, 0, 1000);
    pit.atTick(1000);
    expect(pit.in(PORT_61) & OUT2).toBe(0);
    pit.atTick(1001);
    expect(pit.in(PORT_61) & OUT2).toBe(OUT2);
  });

  it('lets counter 2 stand still while the gate is low', () => {
    const pit = setUp();
    pit.out(PORT_61, GATE2);
    pit.program(2, 0, 1000);
    pit.atTick(101);
    pit.out(PORT_61, 0);
    pit.atTick(5000);
    expect(pit.latched(2)).toBe(900);
    pit.out(PORT_61, GATE2);
    pit.atTick(5900);
    expect(pit.in(PORT_61) & OUT2).toBe(OUT2);
  });

  it('restarts counter 2 in mode 2 at the gate\u2019s rising edge', () => {
    const pit = setUp();
    pit.program(2, 2, 1000);
    pit.atTick(300);
    pit.out(PORT_61, GATE2);
    pit.atTick(311);
    expect(pit.latched(2)).toBe(990);
  });

  it('toggles the refresh bit every 18 ticks', () => {
    const pit = setUp();
    const bits = [0, 17, 18, 35, 36].map((tick) => {
      pit.atTick(tick);
      return pit.in(PORT_61) & REFRESH;
    });
    expect(bits).toEqual([0, 0, REFRESH, REFRESH, 0]);
  });

  it('keeps only the four writable bits', () => {
    const pit = setUp();
    pit.out(PORT_61, 0xfe);
    expect(pit.in(PORT_61)).toBe(0x0e);
  });
});

describe('8254 determinism', () => {
  it('is in the same state however often it was advanced on the way', () => {
    const steps = fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.constantFrom(0, 2, 3, 4), fc.integer({ min: 2, max: 2000 }), steps, (mode, count, deltas) => {
        const often = setUp();
        const once = setUp();
        for (const pit of [often, once]) pit.program(0, mode, count);
        let tick = 0;
        for (const delta of deltas) {
          tick += delta;
          often.atTick(tick);
        }
        once.atTick(tick);
        expect(often.chip.state()).toEqual(once.chip.state());
        expect(often.chip.nextEvent()).toBe(once.chip.nextEvent());
      }),
    );
  });
});

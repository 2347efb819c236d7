import { describe, expect, it } from 'vitest';
import { createPic8259 } from '../../src/devices/pic8259.ts';
import { bytePorts, noUnknowns, recorded } from './support.ts';

const MASTER = 0x00;
const MASTER_DATA = 0x01;
const SLAVE = 0x80;
const SLAVE_DATA = 0x81;
const ELCR1 = 0x4b0;
const ELCR2 = 0x4b1;
const EOI = 0x20;
const READ_IRR = 0x0a;
const READ_ISR = 0x0b;

/** As Linux does it: vectors 0x30 and 0x38, 8086 mode; nothing masked afterwards. */
const setUp = ({ masterIcw4 = 0x01, slaveIcw4 = 0x01, unimplemented = noUnknowns } = {}) => {
  const chip = createPic8259({ unimplemented });
  const ports = bytePorts(chip);
  ports.out(MASTER, 0x11);
  ports.out(MASTER_DATA, 0x30, 0x04, masterIcw4);
  ports.out(SLAVE, 0x11);
  ports.out(SLAVE_DATA, 0x38, 0x02, slaveIcw4);
  return { chip, ...ports };
};

describe('8259A initialization', () => {
  it('requests nothing before ICW1..4', () => {
    const chip = createPic8259({ unimplemented: noUnknowns });
    chip.raise(0);
    expect(chip.pending()).toBe(false);
  });

  it('takes the data port for IMR outside the sequence', () => {
    const pic = setUp();
    pic.out(MASTER_DATA, 0xfb);
    pic.out(SLAVE_DATA, 0xff);
    expect([pic.in(MASTER_DATA), pic.in(SLAVE_DATA)]).toEqual([0xfb, 0xff]);
  });

  it('clears IMR and the edge latches with ICW1', () => {
    const pic = setUp();
    pic.out(MASTER_DATA, 0xff);
    pic.chip.raise(1);
    pic.out(MASTER, 0x11);
    pic.out(MASTER_DATA, 0x40, 0x04, 0x01);
    expect(pic.in(MASTER_DATA)).toBe(0);
    expect(pic.chip.pending()).toBe(false);
  });

  it('says that another cascade than the wired one is not there', () => {
    const said = recorded<string>();
    const pic = setUp({ unimplemented: said.call });
    pic.out(MASTER, 0x11);
    pic.out(MASTER_DATA, 0x30, 0x08, 0x01);
    expect(said.heard).toEqual(['pic8259: cascade ICW3 = 0x08, wired as 0x04']);
  });
});

describe('8259A priorities', () => {
  it('acknowledges the lowest-numbered request first', () => {
    const pic = setUp();
    pic.chip.raise(4);
    pic.chip.raise(1);
    expect(pic.chip.acknowledge()).toBe(0x31);
    pic.out(MASTER, EOI);
    expect(pic.chip.acknowledge()).toBe(0x34);
  });

  it('holds back lower priorities while one is in service, and lets higher ones through', () => {
    const pic = setUp();
    pic.chip.raise(3);
    pic.chip.acknowledge();
    pic.chip.raise(5);
    expect(pic.chip.pending()).toBe(false);
    pic.chip.raise(0);
    expect(pic.chip.acknowledge()).toBe(0x30);
  });

  it('ends the highest in-service level with a non-specific EOI, and a named one with a specific EOI', () => {
    const pic = setUp();
    for (const irq of [5, 1]) {
      pic.chip.raise(irq);
      pic.chip.acknowledge();
    }
    pic.out(MASTER, READ_ISR);
    expect(pic.in(MASTER)).toBe(0x22);
    pic.out(MASTER, 0x60 | 5);
    expect(pic.in(MASTER)).toBe(0x02);
    pic.out(MASTER, EOI);
    expect(pic.in(MASTER)).toBe(0x00);
  });

  it('does not request what IMR masks, and keeps it in IRR', () => {
    const pic = setUp();
    pic.out(MASTER_DATA, 0x10);
    pic.chip.raise(4);
    expect(pic.chip.pending()).toBe(false);
    pic.out(MASTER, READ_IRR);
    expect(pic.in(MASTER)).toBe(0x10);
    pic.out(MASTER_DATA, 0x00);
    expect(pic.chip.acknowledge()).toBe(0x34);
  });

  it('rotates: the level ended with rotate-on-EOI becomes the lowest', () => {
    const pic = setUp();
    pic.chip.raise(4);
    pic.chip.acknowledge();
    pic.out(MASTER, 0xa0);
    pic.chip.lower(4);
    for (const irq of [4, 5, 3]) pic.chip.raise(irq);
    expect(pic.chip.acknowledge()).toBe(0x35);
  });

  it('takes the bottom priority from the set-priority command', () => {
    const pic = setUp();
    pic.out(MASTER, 0xc0 | 2);
    for (const irq of [0, 3]) pic.chip.raise(irq);
    expect(pic.chip.acknowledge()).toBe(0x33);
  });

  it('leaves no in-service bit with automatic EOI', () => {
    const pic = setUp({ masterIcw4: 0x03 });
    pic.chip.raise(1);
    pic.chip.acknowledge();
    pic.out(MASTER, READ_ISR);
    expect(pic.in(MASTER)).toBe(0);
  });

  it('lets lower levels through in special mask mode while the one in service is masked', () => {
    const pic = setUp();
    pic.chip.raise(1);
    pic.chip.acknowledge();
    pic.chip.raise(6);
    pic.out(MASTER_DATA, 0x02);
    expect(pic.chip.pending()).toBe(false);
    pic.out(MASTER, 0x68);
    expect(pic.chip.acknowledge()).toBe(0x36);
  });

  it('answers a poll command with the request and takes it into service', () => {
    const pic = setUp();
    pic.chip.raise(3);
    pic.out(MASTER, 0x0c);
    expect(pic.in(MASTER)).toBe(0x83);
    pic.out(MASTER, READ_ISR);
    expect(pic.in(MASTER)).toBe(0x08);
  });
});

describe('8259A inputs', () => {
  it('takes one interrupt from one edge', () => {
    const pic = setUp();
    pic.chip.raise(0);
    pic.chip.acknowledge();
    pic.out(MASTER, EOI);
    expect(pic.chip.pending()).toBe(false);
    pic.chip.lower(0);
    pic.chip.raise(0);
    expect(pic.chip.pending()).toBe(true);
  });

  it('asks again while a level-triggered line stays high', () => {
    const pic = setUp();
    pic.out(ELCR1, 0x20);
    pic.chip.raise(5);
    pic.chip.acknowledge();
    pic.out(MASTER, EOI);
    expect(pic.chip.pending()).toBe(true);
    pic.chip.lower(5);
    expect(pic.chip.pending()).toBe(false);
  });

  it('keeps the timer, keyboard, cascade, clock and coprocessor edge-triggered in ELCR', () => {
    const pic = setUp();
    pic.out(ELCR1, 0xff);
    pic.out(ELCR2, 0xff);
    expect([pic.in(ELCR1), pic.in(ELCR2)]).toEqual([0xf8, 0xde]);
  });

  it('keeps the request of a pulse that ended before its acknowledge, once', () => {
    for (const [irq, vector] of [
      [4, 0x34],
      [11, 0x3b],
    ] as const) {
      const pic = setUp();
      pic.chip.raise(irq);
      pic.chip.lower(irq);
      expect(pic.chip.pending()).toBe(true);
      expect(pic.chip.acknowledge()).toBe(vector);
      pic.out(SLAVE, EOI);
      pic.out(MASTER, EOI);
      expect(pic.chip.pending()).toBe(false);
    }
  });

  it('keeps nothing of a level that came and went, also when the input is made edge-triggered later', () => {
    const pic = setUp();
    pic.out(ELCR1, 0x20);
    pic.chip.raise(5);
    pic.chip.lower(5);
    pic.out(ELCR1, 0x00);
    expect(pic.chip.pending()).toBe(false);
  });

  it('forgets a pulse with ICW1', () => {
    const pic = setUp();
    pic.chip.raise(4);
    pic.chip.lower(4);
    pic.out(MASTER, 0x11);
    pic.out(MASTER_DATA, 0x40, 0x04, 0x01);
    expect(pic.chip.pending()).toBe(false);
  });

  it('gives a spurious IR7 without in-service bit when a level-triggered request is gone, or masked', () => {
    const level = setUp();
    level.out(ELCR1, 0x20);
    level.chip.raise(5);
    level.chip.lower(5);
    const masked = setUp();
    masked.chip.raise(4);
    masked.out(MASTER_DATA, 0x10);
    for (const pic of [level, masked]) {
      expect(pic.chip.pending()).toBe(false);
      expect(pic.chip.acknowledge()).toBe(0x37);
      pic.out(MASTER, READ_ISR);
      expect(pic.in(MASTER)).toBe(0);
    }
  });
});

describe('8259A cascade', () => {
  it('delivers IRQ8..15 with the slave\u2019s vectors and both in service', () => {
    const pic = setUp();
    pic.chip.raise(12);
    expect(pic.chip.acknowledge()).toBe(0x3c);
    pic.out(MASTER, READ_ISR);
    pic.out(SLAVE, READ_ISR);
    expect([pic.in(MASTER), pic.in(SLAVE)]).toEqual([0x04, 0x10]);
  });

  it('ranks the slave between IRQ1 and IRQ3', () => {
    const pic = setUp();
    for (const irq of [3, 8, 1]) pic.chip.raise(irq);
    const order: number[] = [];
    for (let i = 0; i < 3; i++) {
      order.push(pic.chip.acknowledge());
      pic.out(SLAVE, EOI);
      pic.out(MASTER, EOI);
    }
    expect(order).toEqual([0x31, 0x38, 0x33]);
  });

  it('brings the second of two slave requests after the first is ended', () => {
    const pic = setUp();
    pic.chip.raise(9);
    pic.chip.raise(8);
    expect(pic.chip.acknowledge()).toBe(0x38);
    pic.out(SLAVE, EOI);
    expect(pic.chip.pending()).toBe(false);
    pic.out(MASTER, EOI);
    expect(pic.chip.acknowledge()).toBe(0x39);
  });

  it('keeps asking for a second slave request when the slave ends interrupts by itself', () => {
    const pic = setUp({ slaveIcw4: 0x03 });
    pic.chip.raise(9);
    pic.chip.raise(8);
    pic.chip.acknowledge();
    pic.out(MASTER, EOI);
    expect(pic.chip.acknowledge()).toBe(0x39);
  });

  it('lets a more urgent slave input through at once in special fully nested mode only', () => {
    const nested = (masterIcw4: number): boolean => {
      const pic = setUp({ masterIcw4 });
      pic.chip.raise(10);
      pic.chip.acknowledge();
      pic.chip.raise(8);
      return pic.chip.pending();
    };
    expect([nested(0x01), nested(0x11)]).toEqual([false, true]);
  });

  it('asks no more when the slave\u2019s request is masked at the slave', () => {
    const pic = setUp();
    pic.chip.raise(8);
    pic.out(SLAVE_DATA, 0x01);
    expect(pic.chip.pending()).toBe(false);
    pic.out(SLAVE_DATA, 0x00);
    expect(pic.chip.acknowledge()).toBe(0x38);
  });

  it('is silenced by the cascade bit of the master\u2019s IMR', () => {
    const pic = setUp();
    pic.out(MASTER_DATA, 0x04);
    pic.chip.raise(8);
    expect(pic.chip.pending()).toBe(false);
  });
});

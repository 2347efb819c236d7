import { describe, expect, it } from 'vitest';
import type { ApicMessage } from '../../src/devices/apicRegisters.ts';
import { createIoApic } from '../../src/devices/ioApic.ts';
import { noUnknowns } from './support.ts';

const MASKED = 0x10000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;
const EXT_INT = 0x700;

const setUp = (accepts = () => true, unimplemented: (what: string) => void = noUnknowns) => {
  const sent: ApicMessage[] = [];
  const send = (message: ApicMessage): boolean => {
    sent.push(message);
    return accepts();
  };
  const chip = createIoApic({ send, changed: () => {}, unimplemented });
  const get = (register: number): number => {
    chip.write(0, 4, register);
    return chip.read(0x10, 4);
  };
  const out = (register: number, value: number): void => {
    chip.write(0, 4, register);
    chip.write(0x10, 4, value);
  };
  return { chip, sent, in: get, out, entry: (pin: number, value: number): void => out(0x10 + 2 * pin, value) };
};

describe('IO-APIC registers', () => {
  it('says what it is: version 0x20, 24 inputs, all masked', () => {
    const io = setUp();
    expect(io.in(1)).toBe(0x0017_0020);
    expect(Array.from({ length: 24 }, (_, pin) => io.in(0x10 + 2 * pin))).toEqual(
      Array.from({ length: 24 }, () => MASKED),
    );
  });

  it('keeps ID and destinations, and lets nobody write status and remote IRR', () => {
    const io = setUp();
    io.out(0, 0xffff_ffff);
    io.out(0x11, 0xffff_ffff);
    io.out(0x10, 0xffff_ffff);
    expect([io.in(0), io.in(0x11), io.in(0x10)]).toEqual([0x0f00_0000, 0xff00_0000, 0x1_afff]);
  });

  it('says which registers it does not have', () => {
    const heard: string[] = [];
    const io = setUp(undefined, (what) => heard.push(what));
    io.in(0x40);
    io.out(0x03, 1);
    expect(heard).toEqual(['ioApic: read of register 0x40', 'ioApic: write to register 0x03']);
  });
});

describe('an IO-APIC level that was accepted', () => {
  it('is not sent again before its EOI, and then as long as it stands', () => {
    const io = setUp();
    const [LEVEL, EOI] = [0x8000, 0x40];
    io.entry(4, LEVEL | 0x31);
    const line = io.chip.line(4);
    line(true);
    line(true);
    io.entry(4, LEVEL | 0x31);
    expect(io.sent).toHaveLength(1);
    io.chip.write(EOI, 4, 0x31);
    expect(io.sent).toHaveLength(2);
    line(false);
    io.chip.write(EOI, 4, 0x31);
    expect(io.sent).toHaveLength(2);
  });
});

describe('IO-APIC edges', () => {
  it('sends one message a rising edge, with what the entry says', () => {
    const io = setUp();
    io.out(0x19, 0x0300_0000);
    io.entry(4, 0x931);
    const line = io.chip.line(4);
    line(true);
    line(true);
    line(false);
    line(true);
    const message = { vector: 0x31, mode: 1, destination: 3, logical: true, level: false };
    expect(io.sent).toEqual([message, message]);
  });

  it('loses an edge at a masked input', () => {
    const io = setUp();
    io.chip.line(4)(true);
    io.entry(4, 0x31);
    expect(io.sent).toEqual([]);
  });
});

describe('IO-APIC levels', () => {
  it('asks once, and again after the end of the interrupt while the input is asserted', () => {
    const io = setUp();
    io.entry(9, LEVEL | 0x39);
    io.chip.line(9)(true);
    expect(io.in(0x22)).toBe(LEVEL | REMOTE_IRR | 0x39);
    expect(io.sent).toHaveLength(1);
    io.chip.endOfInterrupt(0x38);
    expect(io.sent).toHaveLength(1);
    io.chip.endOfInterrupt(0x39);
    expect(io.sent).toHaveLength(2);
    io.chip.line(9)(false);
    io.chip.write(0x40, 4, 0x39);
    expect(io.in(0x22)).toBe(LEVEL | 0x39);
    expect(io.sent).toHaveLength(2);
  });

  it('waits behind a mask instead of being lost', () => {
    const io = setUp();
    io.entry(9, MASKED | LEVEL | 0x39);
    io.chip.line(9)(true);
    expect(io.sent).toEqual([]);
    io.entry(9, LEVEL | 0x39);
    expect(io.sent).toHaveLength(1);
  });

  it('sets no remote IRR where nobody accepts', () => {
    const io = setUp(() => false);
    io.entry(9, LEVEL | 0x39);
    io.chip.line(9)(true);
    expect(io.in(0x22)).toBe(LEVEL | 0x39);
  });

  it('forgets remote IRR where an entry becomes edge-triggered', () => {
    const io = setUp();
    io.entry(9, LEVEL | 0x39);
    io.chip.line(9)(true);
    io.entry(9, MASKED | 0x39);
    io.entry(9, MASKED | LEVEL | 0x39);
    expect(io.in(0x22)).toBe(MASKED | LEVEL | 0x39);
  });
});

describe('the 8259A at the IO-APIC', () => {
  it('gets through by an unmasked ExtINT entry', () => {
    const io = setUp();
    expect(io.chip.passesPic()).toBe(false);
    io.entry(0, EXT_INT);
    expect(io.chip.passesPic()).toBe(true);
    io.entry(0, MASKED | EXT_INT);
    expect(io.chip.passesPic()).toBe(false);
  });
});

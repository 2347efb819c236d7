import { describe, expect, it } from 'vitest';
import { createUart16550 } from '../../src/devices/uart16550.ts';
import { bytePorts, noUnknowns, recorded, recordedLine } from './support.ts';

const THR = 0;
const RBR = 0;
const DLL = 0;
const IER = 1;
const DLM = 1;
const IIR = 2;
const FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const LSR_DR = 0x01;
const LSR_OE = 0x02;

const setUp = (unimplemented = noUnknowns) => {
  const line = recordedLine();
  const sent = recorded<number>();
  const chip = createUart16550({ interrupt: line.drive, transmit: sent.call, unimplemented });
  return { chip, line, sent: sent.heard, ...bytePorts(chip) };
};

describe('16550 transmitter', () => {
  it('sends a byte written to THR at once and stays ready (LSR THRE and TEMT)', () => {
    const uart = setUp();
    uart.out(THR, 0x41, 0x0a);
    expect(uart.sent).toEqual([0x41, 0x0a]);
    expect(uart.in(LSR)).toBe(0x60);
  });

  it('keeps the divisor behind DLAB apart from THR and IER', () => {
    const uart = setUp();
    uart.out(IER, 0x05);
    uart.out(LCR, 0x83);
    uart.out(DLL, 0x0c);
    uart.out(DLM, 0x01);
    expect([uart.in(DLL), uart.in(DLM)]).toEqual([0x0c, 0x01]);
    uart.out(LCR, 0x03);
    expect(uart.in(IER)).toBe(0x05);
    expect(uart.sent).toEqual([]);
  });

  it('interrupts when ETBEI is set, until IIR is read, and again after the next byte', () => {
    const uart = setUp();
    uart.out(MCR, MCR_OUT2);
    uart.out(IER, 0x02);
    expect(uart.line.level()).toBe(true);
    expect(uart.in(IIR)).toBe(0x02);
    expect(uart.line.level()).toBe(false);
    expect(uart.in(IIR)).toBe(0x01);
    uart.out(THR, 0x41);
    expect(uart.line.level()).toBe(true);
    expect(uart.line.rises()).toBe(2);
  });

  it('does not interrupt for THR while another interrupt alone is enabled', () => {
    const uart = setUp();
    uart.out(MCR, MCR_OUT2);
    uart.out(IER, 0x01);
    uart.out(THR, 0x41);
    expect(uart.in(IIR)).toBe(0x01);
    expect(uart.line.level()).toBe(false);
  });

  it('is not pending for an IER write that does not set ETBEI anew', () => {
    const uart = setUp();
    uart.out(IER, 0x02);
    uart.in(IIR);
    uart.out(IER, 0x03);
    expect(uart.in(IIR)).toBe(0x01);
  });

  it('makes an edge for each byte while the THR-empty interrupt stands', () => {
    const uart = setUp();
    uart.out(MCR, MCR_OUT2);
    uart.out(IER, 0x02);
    uart.out(THR, 0x41, 0x42);
    expect(uart.line.rises()).toBe(3);
  });

  it('holds the interrupt pin back while MCR OUT2 is clear', () => {
    const uart = setUp();
    uart.out(IER, 0x02);
    expect(uart.line.level()).toBe(false);
    expect(uart.in(IIR)).toBe(0x02);
  });
});

describe('16550 receiver', () => {
  it('shows received bytes in RBR in order, with LSR DR while any is left', () => {
    const uart = setUp();
    uart.out(FCR, 0x01);
    uart.chip.receive(0x61);
    uart.chip.receive(0x62);
    expect(uart.in(LSR) & LSR_DR).toBe(LSR_DR);
    expect([uart.in(RBR), uart.in(RBR)]).toEqual([0x61, 0x62]);
    expect(uart.in(LSR) & LSR_DR).toBe(0);
  });

  it('overruns after 16 bytes with FIFOs and says so once in LSR OE', () => {
    const uart = setUp();
    uart.out(FCR, 0x01);
    const taken = Array.from({ length: 17 }, (_, byte) => uart.chip.receive(byte));
    expect(taken.indexOf(false)).toBe(16);
    expect(uart.chip.receiveRoom()).toBe(0);
    expect(uart.in(LSR) & LSR_OE).toBe(LSR_OE);
    expect(uart.in(LSR) & LSR_OE).toBe(0);
    expect(uart.in(RBR)).toBe(0);
  });

  it('tells its host how many more bytes it takes: none in loopback', () => {
    const uart = setUp();
    expect(uart.chip.receiveRoom()).toBe(1);
    uart.out(FCR, 0x01);
    uart.chip.receive(1);
    expect(uart.chip.receiveRoom()).toBe(15);
    uart.out(MCR, MCR_LOOP);
    expect([uart.chip.receiveRoom(), uart.chip.receive(2)]).toEqual([0, false]);
  });

  it('holds one byte without FIFOs', () => {
    const uart = setUp();
    expect([uart.chip.receive(1), uart.chip.receive(2)]).toEqual([true, false]);
  });

  it('names the cause in IIR: character time-out below the trigger level, data available from it on', () => {
    const uart = setUp();
    uart.out(MCR, MCR_OUT2);
    uart.out(FCR, 0x41);
    uart.out(IER, 0x01);
    uart.chip.receive(1);
    expect(uart.in(IIR)).toBe(0xcc);
    for (const byte of [2, 3, 4]) uart.chip.receive(byte);
    expect(uart.in(IIR)).toBe(0xc4);
    expect(uart.line.level()).toBe(true);
    for (let i = 0; i < 4; i++) uart.in(RBR);
    expect(uart.line.level()).toBe(false);
  });

  it('puts line status before received data before THR empty', () => {
    const uart = setUp();
    uart.out(IER, 0x07);
    uart.chip.receive(1);
    uart.chip.receive(2);
    expect(uart.in(IIR)).toBe(0x06);
    uart.in(LSR);
    expect(uart.in(IIR)).toBe(0x04);
    uart.in(RBR);
    expect(uart.in(IIR)).toBe(0x02);
  });

  it('forgets received bytes on an FCR receiver reset', () => {
    const uart = setUp();
    uart.out(FCR, 0x01);
    uart.chip.receive(1);
    uart.out(FCR, 0x03);
    expect(uart.in(LSR) & LSR_DR).toBe(0);
  });
});

describe('16550 as a driver probes it', () => {
  it('turns MCR outputs into MSR inputs in loopback: RTS and OUT2 become CTS and DCD', () => {
    const uart = setUp();
    uart.out(MCR, MCR_LOOP | 0x0a);
    expect(uart.in(MSR) & 0xf0).toBe(0x90);
    uart.out(MCR, MCR_LOOP | 0x05);
    expect(uart.in(MSR) & 0xf0).toBe(0x60);
  });

  it('sets MSR delta bits on a change and clears them on read', () => {
    const uart = setUp();
    uart.out(MCR, MCR_LOOP);
    expect(uart.in(MSR)).toBe(0x0b);
    expect(uart.in(MSR)).toBe(0x00);
    uart.out(MCR, MCR_LOOP | 0x04);
    uart.out(MCR, MCR_LOOP);
    expect(uart.in(MSR)).toBe(0x04);
  });

  it('hands THR to its own receiver in loopback, 16 bytes deep, and sends nothing', () => {
    const uart = setUp();
    uart.out(FCR, 0x07);
    uart.out(MCR, MCR_LOOP);
    for (let i = 0; i < 256; i++) uart.out(THR, i);
    let count = 0;
    while ((uart.in(LSR) & LSR_DR) !== 0) expect(uart.in(RBR)).toBe(count++);
    expect(count).toBe(16);
    expect(uart.sent).toEqual([]);
  });

  it('shows FIFOs in IIR bits 7..6 while FCR has them on', () => {
    const uart = setUp();
    uart.out(FCR, 0x01);
    expect(uart.in(IIR)).toBe(0xc1);
    uart.out(FCR, 0x00);
    expect(uart.in(IIR)).toBe(0x01);
  });

  it('keeps only the four interrupt bits of IER, and any byte in SCR', () => {
    const uart = setUp();
    uart.out(IER, 0xff);
    uart.out(SCR, 0x5a);
    expect([uart.in(IER), uart.in(SCR)]).toEqual([0x0f, 0x5a]);
  });

  it('reports a write to a read-only register once', () => {
    const said = recorded<string>();
    const uart = setUp(said.call);
    uart.out(LSR, 0x20, 0x20);
    expect(said.heard).toEqual(['uart16550: write of 0x20 to LSR']);
  });
});

// A loop that polls a chip's port asks the chip only when something may have changed; that must show nowhere.
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import type { InputByte } from '../../src/machine/input.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { codeOf, makeElf32, multibootHeader } from '../boot/programs.ts';
import { concat } from '../image/synthetic.ts';
import { enterRealMode } from './realMode.ts';

const CODE = 0x1000;
const END = 3_000_000;

/**
 * Waits for a byte, sends it back, looks at what may change by itself or by that (IIR twice, MSR, the keyboard controller),
 * writes what was read, and waits again. Everything read is added up in EBX.
 */
const ECHO = [
  'ba fd 03 ec a8 01 74 f8', // 1: mov $0x3fd,%dx; in (%dx),%al; test $1,%al; jz 1b
  '00 c3 ba f8 03 ec 00 c3 ee', // add %al,%bl; mov $0x3f8,%dx; in; add; out
  'ba f9 03 b0 02 ee ec 66 01 c3', // mov $0x3f9,%dx; mov $2,%al; out; in; add %eax,%ebx
  'ba fa 03 ec 66 01 c3 ec 66 01 c3', // IIR: THR empty, then nothing
  'ba fc 03 30 d8 ee ec 66 01 c3', // MCR: xor %bl,%al; out; in
  'ba fe 03 ec 66 01 c3 ec 66 01 c3', // MSR: what MCR changed, then no more
  'b0 0b ee e4 64 66 01 c3 e4 64', // in $0x64 twice
  'ba fc 03 b0 0b ee', // out of loopback
  'eb b1',
]
  .join('')
  .replaceAll(' ', '');

const INPUT: readonly InputByte[] = Array.from({ length: 40 }, (_, i) => ({
  at: BigInt(1_234_567 * i + 7 * i * i),
  byte: 0x41 + i,
  port: 'com1',
}));

/** 32 bits in hexadecimal, least significant byte first. */
const little = (value: number): string =>
  [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')).join('');

/** @param asked the chip is asked each time */
function machineWith(asked: boolean): { machine: Machine; reads: () => number } {
  const machine = new Machine({
    model: withApic(cpuModel('max')),
    ram: [{ start: 0, end: 0x10000 }],
    seed: 0,
    input: INPUT,
  });
  enterRealMode(machine, CODE, ECHO);
  const { ports } = machine.engine;
  if (asked) Object.defineProperty(ports, 'steady', { value: () => undefined });
  let reads = 0;
  const read = ports.in.bind(ports);
  ports.in = (port, size) => {
    reads++;
    return read(port, size);
  };
  return { machine, reads: () => reads };
}

function run(asked: boolean, slice: number): { hash: string; output: string; now: bigint; reads: number } {
  const { machine, reads } = machineWith(asked);
  let output = '';
  machine.console.onByte = (byte) => (output += String.fromCharCode(byte));
  for (let until = Math.min(slice, END); ; until = Math.min(until + slice, END)) {
    expect(machine.run(BigInt(until))).toBeUndefined();
    if (until === END) return { hash: machine.stateHash(), output, now: machine.now, reads: reads() };
  }
}

describe('a polled port', () => {
  const { reads: allReads, ...reference } = run(true, END);

  it('is read by a loop that sees each byte as it arrives', () => {
    expect(reference.output).toBe(String.fromCharCode(...INPUT.map(({ byte }) => byte)));
  });

  it.each([END, 123_457, 10_007])('gives the same run when the chip is not asked again, in slices of %i', (slice) => {
    const { reads, ...result } = run(false, slice);
    expect(result).toEqual(reference);
    expect(reads).toBeLessThan(allReads / 5);
  });

  it('is not to be read by a program that may not, whatever its byte is known to be', () => {
    const header = multibootHeader(0);
    const start = 0x100000 + header.length;
    // Offsets in the code: user mode's first instruction, its IN, and the table's register and entries.
    const [user, denied, gdtr, gdt] = [38, 40, 41, 47];
    const code = codeOf(
      'bc 00 80 00 00  66 ba fd 03  ec ec', // mov $0x8000,%esp; mov $0x3fd,%dx; in (%dx),%al twice
      // The TSS that a reset leaves lies at 0, and so does its permission map.
      'c6 05 7f 00 00 00 ff', // movb $0xff,0x3f8 / 8
      `0f 01 15 ${little(start + gdtr)}`, // lgdt
      `6a 13  54  6a 02  6a 0b  68 ${little(start + user)}  cf`, // SS, ESP, EFLAGS, CS, EIP; iret
      '90 90 ec', // IN, with IOPL 0
      `17 00 ${little(start + gdt)}`,
      '00 00 00 00 00 00 00 00  ff ff 00 00 00 fa cf 00  ff ff 00 00 00 f2 cf 00',
    );
    const image = makeElf32({ bytes: concat([header, code]), entry: start });
    const boot = new BootRun({
      image,
      cpu: 'max',
      memoryBytes: 64 << 20,
      cmdline: '',
      until: 'end',
      maxInstructions: 1_000_000n,
      seed: 0,
    });
    const { outcome } = runToEnd(boot);
    expect(outcome).toMatchObject({
      kind: 'triple-fault',
      chain: [{ vector: 13, error: 0, rip: BigInt(start + denied) }, {}],
    });
  });
});

// A loop that polls a chip's port asks the chip only when something may have changed; that must show nowhere.
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import type { InputByte } from '../../src/machine/input.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { addressOf, assembleAt, byte, dq, dw, type Item, ptr, x86 } from '../support/assembler.ts';
import { configOf, MULTIBOOT_ENTRY, multibootGuest } from '../support/guest.ts';
import { enterRealMode } from './realMode.ts';

const { iretd, lgdt, mov, nop, push } = x86;
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
  machine.observe({ byte: (byte) => (output += String.fromCharCode(byte)) });
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
    const code = [
      ...[mov('esp', 0x8000), mov('dx', 0x3fd), x86.in('al', 'dx'), x86.in('al', 'dx')],
      // The TSS that a reset leaves lies at 0, and so does its permission map.
      ...[mov(byte(0x3f8 / 8), 0xff), lgdt(ptr('@gdtr'))],
      // SS, ESP, EFLAGS, CS, EIP, with IOPL 0.
      ...[push(0x13), push('esp'), push(2), push(0x0b), push('@user'), iretd()],
      ...['@user', nop(), nop(), '@denied', x86.in('al', 'dx')],
      ...['@gdtr', dw(0x17), addressOf('@gdt', 4)],
      ...['@gdt', dq(0n, 0x00cf_fa00_0000_ffffn, 0x00cf_f200_0000_ffffn)],
    ] as Item[];
    const image = multibootGuest(code);
    const { outcome } = runToEnd(new BootRun(configOf(image)));
    const denied = assembleAt(32, MULTIBOOT_ENTRY, code).labels.get('@denied');
    expect(outcome).toMatchObject({ kind: 'triple-fault', chain: [{ vector: 13, error: 0, rip: denied }, {}] });
  });
});

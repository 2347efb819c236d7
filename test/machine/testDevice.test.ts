// The test device in the machine: where programs entered by Multiboot find it.

import { describe, expect, it } from 'vitest';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { enterRealMode, poke } from './realMode.ts';

const CODE = 0x8000;
const [RAX, RBX] = [0, 3];

function run(code: string, testDevice: boolean): Machine {
  const machine = new Machine({
    model: withApic(cpuModel('max')),
    ram: [{ start: 0, end: 0x10000 }],
    seed: 0,
    testDevice,
  });
  // IRQ 5 by the 8259A pair as it powers on after ICW2 = 0x20: INC BX; IRET.
  poke(machine, CODE + 0x80, '43cf');
  poke(machine, 4 * 0x25, '80800000');
  enterRealMode(machine, CODE, code);
  expect(machine.run(10_000n)?.kind).toBe('halt');
  return machine;
}

const reg = (machine: Machine, index: number): number => Number(machine.engine.state.reg(index) & 0xffffn);

describe('the test device', () => {
  it('keeps what is written to its port', () => {
    // MOV AX, 0x1234; OUT 0xe0, AX; XOR AX, AX; IN AL, 0xe1; HLT.
    expect(reg(run('fab83412e7e031c0e4e1f4', true), RAX)).toBe(0x12);
  });

  it('has memory where a chip is', () => {
    // MOV DWORD [0xff000ffe], 0x12345678; INC WORD [0xff000ffe]; MOV AX, [0xff000ffe]; HLT.
    const code = 'fa6766c705fe0f00ff7856341267ff05fe0f00ff67a1fe0f00fff4';
    expect(reg(run(code, true), RAX)).toBe(0x5679);
  });

  it('raises interrupt lines', () => {
    // ICW1 to ICW4 of the master, all but IRQ 5 masked; MOV DX, 0x2005; MOV AL, 1; STI; OUT DX, AL; NOP; CLI; HLT.
    const pic = 'b011e620b020e621b004e621b001e621b0dfe621';
    expect(reg(run(`fa31db${pic}ba0520b001fbee90faf4`, true), RBX)).toBe(1);
  });

  it('is there only where it is asked for', () => {
    const machine = run('fab83412e7e031c0e4e1f4', false);
    expect(reg(machine, RAX)).toBe(0xff);
    expect(machine.unimplemented.map(({ what }) => what)).toContain('port 0xe0: write, no device there');
  });
});

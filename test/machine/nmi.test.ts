// NMI in the machine: sent by the local APIC to its own processor, taken with RFLAGS.IF clear, held back while another
// one is handled, and waking a halted processor.

import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { Machine, type MachineStop } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { enterRealMode, poke } from './realMode.ts';

const CODE = 0x8000;
const HANDLER = CODE + 0x80;
const [RCX, RDX, RBX] = [1, 2, 3];

/** Real mode with a flat DS. MOV DWORD [0xfee00300], 0x44400: an NMI to itself. */
const SEND = '6766c7050003e0fe00440400';

/** Runs `code` with `handler` for NMI until it stops by itself. RCX counts what runs on, RBX the handler's calls. */
function run(code: string, handler: string): { machine: Machine; stop: MachineStop | undefined } {
  const machine = new Machine({ model: withApic(cpuModel('max')), ram: [{ start: 0, end: 0x10000 }], seed: 0 });
  poke(machine, HANDLER, handler);
  machine.memory.write((4 * 2) as PhysAddr, Uint8Array.of(HANDLER & 0xff, HANDLER >> 8, 0, 0));
  enterRealMode(machine, CODE, code);
  return { machine, stop: machine.run(10_000n) };
}

const reg = (machine: Machine, index: number): bigint => machine.engine.state.reg(index);

describe('NMI', () => {
  it('is taken with interrupts disabled', () => {
    // SEND; INC CX; HLT. Handler: INC BX; IRET.
    const { machine, stop } = run(`fa${SEND}41f4`, '43cf');
    expect(stop?.kind).toBe('halt');
    expect([reg(machine, RBX), reg(machine, RCX)]).toEqual([1n, 1n]);
  });

  it('waits for the IRET of its handler, and then comes once for all that were sent', () => {
    // Handler: INC BX; CMP BX, 1; JNE +38; SEND three times; MOV DX, BX; IRET.
    const { machine } = run(`fa${SEND}f4`, `4383fb017526${SEND}${SEND}${SEND}89dacf`);
    expect(reg(machine, RBX)).toBe(2n);
    // The first handler saw none of them.
    expect(reg(machine, RDX) & 0xffffn).toBe(1n);
  });

  it('comes behind the instruction that follows STI, not before it', () => {
    // MOV AX, 1; the handler notes AX in BX. STI with the message sent two instructions earlier is no shadow of it; so the
    // message is sent in the shadow: STI; SEND; MOV AX, 2; HLT.
    const { machine } = run(`b80100fb${SEND}b80200faf4`, '89c3cf');
    expect(reg(machine, RBX)).toBe(1n);
  });

  it('of the shadow of a load of SS waits for the next instruction', () => {
    // MOV AX, SS; MOV SS, AX; SEND; INC CX; HLT: the shadow covers SEND only. Handler: MOV BX, CX; IRET.
    const { machine } = run(`fa8cd08ed0${SEND}41f4`, '89cbcf');
    expect(reg(machine, RBX)).toBe(0n);
    expect(reg(machine, RCX)).toBe(1n);
  });

  it('wakes a halted processor that has interrupts disabled', () => {
    // IO-APIC input 2 (the 8254) as NMI; 8254 channel 0, mode 0, count 1000; HLT; INC CX; CLI; HLT without the NMI.
    const select = (register: string): string => `6766c7050000c0fe${register}000000`;
    const window = (value: string): string => `6766c7051000c0fe${value}`;
    const program = `fab030e643b0e8e640b003e640${select('14')}${window('00040000')}f441${select('14')}${window('00000100')}f4`;
    const { machine, stop } = run(program, '43cf');
    expect([reg(machine, RBX), reg(machine, RCX), stop?.kind]).toEqual([1n, 1n, 'halt']);
  });
});

describe('INIT to the only processor', () => {
  it('is a reset of the machine', () => {
    const { stop } = run(SEND.replace('00440400', '00450400'), 'cf');
    expect(stop).toEqual({ kind: 'reset', source: 'init' });
  });
});

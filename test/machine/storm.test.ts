// What a guest does must not keep the host busy without end, whatever never retires an instruction.
import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import * as at from '../../src/cpu/layout.ts';
import { SEG } from '../../src/cpu/state.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, DEFAULT_MODEL, withApic } from '../../src/x86/models.ts';

const MIB = 0x10_0000;

/** A PC in real mode with code at 0:0x1000, and every vector leading to 0:0x2000. */
function realMode(code: readonly number[], handler: readonly number[]): Machine {
  const machine = new Machine({ model: withApic(cpuModel(DEFAULT_MODEL)), ram: [{ start: 0, end: MIB }], seed: 1 });
  const { state } = machine.engine;
  const write = (address: number, bytes: readonly number[]): void =>
    machine.memory.write(address as PhysAddr, Uint8Array.from(bytes));
  for (let vector = 0; vector < 256; vector++) write(4 * vector, [0x00, 0x20, 0, 0]);
  write(0x1000, code);
  write(0x2000, handler);
  state.setSegment(SEG.CS, { selector: 0, attributes: 0x93, base: 0n, limit: 0xffff });
  state.setReg(4, 0x8000n);
  state.rip = 0x1000n;
  machine.engine.modeChanged();
  return machine;
}

const UD2 = [0x0f, 0x0b];

describe('exceptions without end', () => {
  it('a handler that faults at once into itself: each counts, and the run ends', () => {
    const machine = realMode(UD2, UD2);
    expect(machine.run(1000n)).toBeUndefined();
    expect(machine.engine.retired).toBe(1000n);
  });

  it('a breakpoint on the handler of #DB', () => {
    const machine = realMode(UD2, [0x90]);
    machine.engine.state.setU64(at.DR0, 0x2000n);
    machine.engine.state.setU64(at.DR0 + 8 * 7, 0x402n);
    expect(machine.run(1000n)).toBeUndefined();
    expect(machine.engine.retired).toBe(1000n);
  });

  it('how the run is cut changes nothing', () => {
    const [whole, pieces] = [realMode(UD2, UD2), realMode(UD2, UD2)];
    whole.run(777n);
    for (let until = 1n; until <= 777n; until++) pieces.run(until);
    expect(pieces.stateHash()).toBe(whole.stateHash());
  });

  it('one exception alone takes no instruction', () => {
    const machine = realMode(UD2, [0xeb, 0xfe]);
    machine.run(1n);
    expect(machine.engine.state.rip).toBe(0x2000n);
    expect(machine.memory.read(0x7ffa as PhysAddr, 2)).toEqual(Uint8Array.of(0x00, 0x10));
    machine.run(10n);
    expect(machine.memory.read(0x7ff4 as PhysAddr, 2)).toEqual(Uint8Array.of(0, 0));
  });
});

describe('what is asked for and not there', () => {
  it('is listed up to a bound', () => {
    // IN AL, DX; INC DX; JMP to the first: every port there is.
    const machine = realMode([0xec, 0x42, 0xeb, 0xfc], [0xcf]);
    machine.run(150_000n);
    const { unimplemented } = machine;
    expect(unimplemented.length).toBe(1001);
    expect(unimplemented.at(-1)?.what).toBe('more that is not listed');
    expect(unimplemented.at(-1)?.count).toBeGreaterThan(40_000);
  });
});

describe('exact stepping', () => {
  it('a probe behind an instruction that is stepped over is not taken for its own', () => {
    // MOV BYTE [0x3000], 0x55; then NOPs.
    const machine = realMode([0xc6, 0x06, 0x00, 0x30, 0x55, 0x90, 0x90], [0xcf]);
    const { engine } = machine;
    const met: bigint[] = [];
    engine.code.probe = (insn) => insn.ip === 0x1005n;
    engine.onProbe = () => met.push(engine.state.rip);
    engine.watch(0x3000 as PhysAddr, 0x1000, at.PAGE_WATCH_WRITE, true);
    machine.run(1n);
    expect([engine.retired, engine.state.rip]).toEqual([1n, 0x1005n]);
    machine.run(2n);
    expect([engine.retired, engine.state.rip]).toEqual([2n, 0x1006n]);
    expect(met).toEqual([0x1005n]);
  });
});

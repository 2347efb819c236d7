// What a guest does must not keep the host busy without end, whatever never retires an instruction.
import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { MIB } from '../../src/bits/sizes.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, DEFAULT_MODEL, withApic } from '../../src/x86/models.ts';

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
    const observation = engine.observe({ instruction: () => met.push(engine.state.rip) });
    observation.probe({ linear: 0x1005n });
    observation.watch(0x3000 as PhysAddr, 0x1000, at.PAGE_WATCH_WRITE);
    machine.run(1n);
    expect([engine.retired, engine.state.rip]).toEqual([1n, 0x1005n]);
    machine.run(2n);
    expect([engine.retired, engine.state.rip]).toEqual([2n, 0x1006n]);
    expect(met).toEqual([0x1005n]);
  });
});

/** IRQ 4 as a level that stays, and a controller that ends interrupts by itself: one is always waiting. */
function alwaysRequested(machine: Machine): void {
  const { ports } = machine.engine;
  const INITIALISE = 0x11;
  const AUTOMATIC_END = 3;
  const writes: readonly (readonly [port: number, value: number])[] = [
    ...([INITIALISE, 0x20, 4, AUTOMATIC_END].map((value, i) => [i ? 0x21 : 0x20, value]) as [number, number][]),
    ...([
      [0x4d0, 0x10],
      [0x3fc, 8],
      [0x3f9, 2],
      [0x21, 0xef],
    ] as const),
  ];
  for (const [port, value] of writes) ports.out(port, 1, value);
}

/** The same in 32-bit protected mode with every vector a trap gate to 0x2000: handlers run with IF set. */
function trapGates(): Machine {
  const machine = realMode([0x40, 0xeb, 0xfd], [0x43, 0xeb, 0xfd]);
  const { engine } = machine;
  const { state } = engine;
  const write = (address: number, bytes: readonly number[]): void =>
    machine.memory.write(address as PhysAddr, Uint8Array.from(bytes));
  write(0x3008, [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
  for (let vector = 0; vector < 256; vector++) write(0x4000 + 8 * vector, [0x00, 0x20, 8, 0, 0, 0x8f, 0, 0]);
  state.setTable(at.GDTR, { base: 0x3000n, limit: 0xf });
  state.setTable(at.IDTR, { base: 0x4000n, limit: 0x7ff });
  state.setU64(at.CR0, state.u64(at.CR0) | 1n);
  state.setSegment(SEG.CS, { selector: 8, attributes: 0xc09b, base: 0n, limit: 0xffff_ffff });
  state.setSegment(SEG.SS, { selector: 0x10, attributes: 0xc093, base: 0n, limit: 0xffff_ffff });
  engine.modeChanged();
  alwaysRequested(machine);
  state.rflags |= 0x200;
  return machine;
}

describe('interrupts without end', () => {
  it('one that waits when another was delivered comes behind one instruction, and the run ends', () => {
    const machine = trapGates();
    machine.run(101n);
    expect(machine.engine.retired).toBe(101n);
    // Each pushes 12 bytes.
    expect(machine.engine.state.reg(4)).toBe(0x8000n - 101n * 12n);
  });

  it('how the run is cut changes nothing', () => {
    const [whole, pieces] = [trapGates(), trapGates()];
    whole.run(300n);
    for (let until = 1n; until <= 300n; until++) pieces.run(until);
    expect(pieces.stateHash()).toBe(whole.stateHash());
  });
});

describe('a task gate', () => {
  it('of an exception may lead to a task with IF: the interrupt that waits comes first', () => {
    const machine = trapGates();
    const { state } = machine.engine;
    const write = (address: number, bytes: readonly number[]): void =>
      machine.memory.write(address as PhysAddr, Uint8Array.from(bytes));
    write(0x1000, UD2);
    write(0x1100, [0x41, 0xeb, 0xfd]);
    write(0x3010, [0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
    write(0x3018, [0x67, 0, 0x00, 0x50, 0, 0x89, 0, 0]);
    write(0x3020, [0x67, 0, 0x00, 0x60, 0, 0x8b, 0, 0]);
    write(0x4000 + 8 * 6, [0, 0, 0x18, 0, 0, 0x85, 0, 0]);
    // EIP and EFLAGS, ESP, CS and SS of the task.
    write(0x5020, [0x00, 0x11, 0, 0, 2, 2, 0, 0]);
    write(0x5038, [0x00, 0x70, 0, 0]);
    write(0x504c, [8, 0, 0, 0, 0x10, 0, 0, 0]);
    state.setTable(at.GDTR, { base: 0x3000n, limit: 0x27 });
    state.setSegment(SEG.TR, { selector: 0x20, attributes: 0x8b, base: 0x6000n, limit: 0x67 });
    state.rflags &= ~0x200;
    machine.run(1n);
    // INC EBX is the handler's, INC ECX the task's.
    expect([state.reg(3), state.reg(1)]).toEqual([1n, 0n]);
  });
});

describe('watched pages', () => {
  it('a repeated store to decoded code takes as many instructions watched or not', () => {
    const run = (watched: boolean): Machine => {
      // CALL 0x3000 (RET); MOV DI, 0x3000; MOV CX, 0x1000; REP STOSB.
      const machine = realMode([0xe8, 0xfd, 0x1f, 0xbf, 0, 0x30, 0xb9, 0, 0x10, 0xf3, 0xaa, 0xeb, 0xfe], [0xcf]);
      machine.memory.write(0x3000 as PhysAddr, Uint8Array.of(0xc3));
      const { engine } = machine;
      if (watched) engine.observe({}).watch(0x3000 as PhysAddr, 0x1000, at.PAGE_WATCH_WRITE);
      machine.run(5n);
      return machine;
    };
    const machine = run(true);
    expect(machine.engine.state.reg(1)).toBe(0n);
    expect(machine.stateHash()).toBe(run(false).stateHash());
  });
});

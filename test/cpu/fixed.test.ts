// The static binding builds what there is of handlers: no definition needs a record, and each asks for operands of the
// kind that its key promises.
import { describe, expect, it } from 'vitest';
import { defineFixed, type FixedInstruction, fixedHost, fixedOperands } from '../../src/cpu/binding/fixed.ts';
import { allHandlers } from '../../src/cpu/binding/handlers.ts';
import { defineMemory, importHost } from '../../src/cpu/binding/memory.ts';
import { stateBlock } from '../../src/cpu/binding/stateBlock.ts';
import type { Registers } from '../../src/cpu/semantics/emission.ts';
import { Emitter } from '../../src/cpu/semantics/emitter.ts';
import type { Handler } from '../../src/cpu/semantics/handler.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { widthOf } from '../../src/cpu/state/width.ts';
import { get, ret, set } from '../../src/wasm/code.ts';
import { type FunctionBuilder, ModuleBuilder } from '../../src/wasm/module.ts';

const RBX = 3;
const RSI = 6;
const MMX = 'y64';

/** Some instruction of the form that a key names, with registers of the kinds that stand in it. */
function instructionOf(key: string): FixedInstruction {
  const letters = key.split(' ')[1]?.split(',') ?? [];
  const hasMemory = letters.some((letter) => /^[mg]/.test(letter));
  const registers = letters
    .filter((letter) => /^[rxy]\d/.test(letter))
    .map((letter, place) => {
      if (letter.startsWith('r')) return at.regAddress(place);
      return letter === MMX ? at.ST0 + 16 * place : at.xmmAddress(place);
    });
  const { ZERO } = at;
  return {
    addressing: 2,
    reg1: registers[0] ?? ZERO,
    reg2: registers[1] ?? ZERO,
    base: hasMemory ? at.regAddress(RBX) : (registers[2] ?? ZERO),
    index: hasMemory ? at.regAddress(RSI) : ZERO,
    disp: 0x40n,
    imm: BigInt(registers[hasMemory ? 2 : 3] ?? 0x11),
  };
}

/** The module's bytes, which a fault in the building leaves unmade. */
function built(instructions: readonly (readonly [Handler, FixedInstruction])[]): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const shared = defineMemory(module, importHost(module));
  for (const [handler, insn] of instructions) defineFixed(module, handler, insn, shared);
  return module.encode({ module: 'host', name: 'memory', minPages: at.RAM_BASE >>> 16 });
}

describe('the static binding', () => {
  const handlers = allHandlers();
  const handler = (key: string): Handler => handlers.find((one) => one.key === key) as Handler;

  it('builds every handler', () => {
    expect(handlers.length).toBeGreaterThan(2700);
    const bytes = built(handlers.map((one) => [one, instructionOf(one.key)]));
    expect(WebAssembly.validate(bytes)).toBe(true);
  });

  it.each([
    ['a vector register for a general one', 'add r64,r64', 'paddb x128,x128'],
    ['a general register for a vector one', 'paddb x128,x128', 'add r64,r64'],
    ['no register', 'add r64,r64', 'add r64,i64'],
    ['no fourth register', 'vpblendvb x128,x128,x128,x128', 'vpaddb x128,x128,x128'],
  ])('refuses %s', (_what, key, other) => {
    expect(() => built([[handler(key), instructionOf(other)]])).toThrow(/^no (?:general|vector) register at \d+$/);
    expect(() => built([[handler(key), instructionOf(key)]])).not.toThrow();
  });

  it('leaves open where registers are: here in locals of the function, whole ones only', () => {
    const inLocals = (fn: FunctionBuilder): Registers => ({
      ...stateBlock,
      general: (index, bytes) => {
        const local = fn.param(index, 'i64');
        const width = widthOf(bytes);
        return { read: () => width.from64(get(local)), write: (value) => set(local, width.unsigned64(value)) };
      },
    });
    const module = new ModuleBuilder();
    const shared = defineMemory(module, importHost(module));
    const RDX = 2;
    // MUL RBX: RAX and RDX are the instruction's own, RBX is its operand.
    const insn = { ...instructionOf('mul r64'), reg1: at.regAddress(RBX) };
    const index = module.function(['i64', 'i64', 'i64', 'i64'], ['i64'], (fn) => {
      const registers = inLocals(fn);
      const operands = fixedOperands(insn, registers, shared);
      const host = { ...fixedHost(operands), next: () => ret(get(fn.param(RDX, 'i64'))) };
      const e = new Emitter(fn, shared, { registers, operands, host });
      handler('mul r64').build(e);
      return [e.code, get(fn.param(RDX, 'i64')).code];
    });
    module.exportFunction('high', index);
    const pages = at.RAM_BASE >>> 16;
    const bytes = module.encode({ module: 'host', name: 'memory', minPages: pages });
    const none = (): number => 0;
    const host = { memory: new WebAssembly.Memory({ initial: pages }), touchChunk: none };
    const imports = { ...host, deviceRead: none, deviceWrite: none, codeStore: none };
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host: imports });
    const high = exports['high'] as (rax: bigint, rcx: bigint, rdx: bigint, rbx: bigint) => bigint;
    expect(high(1n << 63n, 7n, 9n, 6n)).toBe(3n);
  });
});

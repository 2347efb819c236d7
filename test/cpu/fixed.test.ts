// The static binding builds what there is of handlers: no definition needs a record, and each asks for operands of the
// kind that its key promises.
import { describe, expect, it } from 'vitest';
import { defineFixed, type FixedInstruction } from '../../src/cpu/binding/fixed.ts';
import { allHandlers } from '../../src/cpu/binding/handlers.ts';
import { defineMemory, importHost } from '../../src/cpu/binding/memory.ts';
import type { Handler } from '../../src/cpu/semantics/handler.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';

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
});

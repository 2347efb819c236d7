// One case of the fuzzer: a machine that lives through several lives, each a mode and a generator, each for a bounded
// number of instructions. Everything follows from the seed.

import type { Instruction } from 'iced-x86';
import type { PhysAddr } from '../../../src/bits/address.ts';
import * as at from '../../../src/cpu/state/layout.ts';
import type { VariantName } from '../../../src/cpu/binding/variants.ts';
import { Machine, type MachineStop } from '../../../src/machine/machine.ts';
import { CPU_MODELS, withApic } from '../../../src/x86/models.ts';
import { GENERATORS, type Generator } from './code.ts';
import { beginLife } from './guest.ts';
import { modesOf } from './modes.ts';
import * as place from './places.ts';
import { type Source, source } from './source.ts';

export type Life = {
  readonly mode: string;
  readonly generator: Generator;
  readonly instructions: number;
  readonly exceptions: number;
  readonly ending: MachineStop['kind'] | 'went on';
  /** State hash at its end. */
  readonly hash: string;
};

export type CaseResult = {
  readonly seed: number;
  readonly lives: readonly Life[];
  readonly unimplemented: readonly string[];
  readonly consoleBytes: number;
  /** Milliseconds of the longest single call of `run`, where a clock was given. */
  readonly longestCall: number;
};

export type CaseOptions = {
  /** Code of real programs, to mutate. */
  readonly real: Uint8Array;
  readonly lives: number;
  /** Instructions that a life may last. */
  readonly instructions: number;
  /**
   * How a life is cut into calls of `run`: as few as can be, pieces of random lengths, or those with pages watched and
   * instructions probed. None of it may change what happens.
   */
  readonly cut: 'whole' | 'pieces' | 'watched';
  /** Which engine. It may change nothing either. */
  readonly variant?: VariantName | undefined;
  /** Instructions that each life may last instead: as long as it did when it was run before. */
  readonly lengths?: readonly number[];
  /** Ends the case after so many instructions of one of its lives: to find where two ways part. */
  readonly until?: { readonly life: number; readonly instructions: number } | undefined;
  /** Shown the machine at the end. */
  readonly inspect?: (machine: Machine) => void;
  readonly now?: () => number;
  /** Told of each life as it begins and ends. */
  readonly onLife?: (number: number, life: string) => void;
};

const MACHINE_ENDED = new Set<Life['ending']>(['reset', 'powered-off', 'debug-exit', 'memory-full']);

function makeMachine(random: Source, variant: VariantName | undefined): Machine {
  const model = random.pick(CPU_MODELS);
  const config = {
    model: random.percent(75) ? withApic(model) : model,
    ram: [
      { start: 0, end: 0xa0000 },
      { start: 0x100000, end: place.RAM_END },
      { start: place.HIGH_RAM, end: place.HIGH_RAM_END },
    ],
    rom: { start: 0xc0000, end: 0x100000 },
    seed: random.below(1000),
    input: random.percent(50)
      ? Array.from({ length: 20 }, (_, i) => ({ at: BigInt(1000 * i * i), byte: random.below(256) }))
      : [],
  };
  return new Machine(config, variant);
}

/** Watches pages and probes instructions, as recorders and diagnosers do; both let everything go on. */
function watch(random: Source, machine: Machine): void {
  const { engine } = machine;
  const nothing = { access: () => undefined, instruction: () => undefined };
  const choose = (insn: Instruction): boolean => Number(insn.ip & 7n) === 3;
  const observation = engine.observe(random.percent(50) ? { ...nothing, choose } : nothing);
  const pages = [place.CODE, place.DATA, place.TABLES, place.GDT, place.KERNEL_STACK - 0x1000];
  for (const page of pages) {
    if (random.percent(50)) observation.watch(page as PhysAddr, 0x1000, at.PAGE_WATCHES);
  }
}

export function runCase(seed: number, options: CaseOptions): CaseResult {
  const random = source(seed);
  const cuts = source(seed ^ 0x5bd1_e995);
  const machine = makeMachine(random, options.variant);
  if (options.cut === 'watched') watch(cuts, machine);
  let exceptions = 0;
  machine.observe({ fault: () => exceptions++ });
  const lives: Life[] = [];
  let longestCall = 0;
  const run = (until: bigint): MachineStop | undefined => {
    const start = options.now?.() ?? 0;
    const stop = machine.run(until);
    longestCall = Math.max(longestCall, (options.now?.() ?? 0) - start);
    return stop;
  };
  for (let i = 0; i < options.lives; i++) {
    const mode = random.pick(modesOf(machine.config.model));
    const generator = random.pick(GENERATORS);
    options.onLife?.(i, `${mode.name}, ${generator}`);
    beginLife(random, mode, generator, options.real, machine);
    exceptions = 0;
    const before = machine.engine.retired;
    const instructions =
      i === options.until?.life ? options.until.instructions : (options.lengths?.[i] ?? options.instructions);
    const ending = live(machine, random, { ...options, instructions }, cuts, run);
    lives.push({
      mode: mode.name,
      generator,
      instructions: Number(machine.engine.retired - before),
      exceptions,
      ending,
      hash: machine.stateHash(),
    });
    if (MACHINE_ENDED.has(ending) || i === options.until?.life) break;
  }
  options.inspect?.(machine);
  return {
    seed,
    lives,
    unimplemented: machine.unimplemented.map(({ what }) => what),
    consoleBytes: machine.console.length,
    longestCall,
  };
}

/** So often the host moves the guest on, which else would sit in its first loop for ever. */
const MOVED = 3000n;
/** Code that changes itself all the time is decoded all the time, which is slow; a life ends after so many instructions of it. */
const MOST_DECODED = 60_000;
const PIECES = [1, 1, 2, 3, 10, 100, 1023, 1024, 1025, 3000];

function live(
  machine: Machine,
  random: Source,
  options: CaseOptions,
  cuts: Source,
  run: (until: bigint) => MachineStop | undefined,
): Life['ending'] {
  const { engine } = machine;
  const linear = engine.state.rip + engine.mode.base;
  const start = linear - ((linear - BigInt(place.CODE)) % BigInt(place.CODE_BYTES));
  const end = engine.retired + BigInt(options.instructions);
  const decoded = engine.code.decoded + MOST_DECODED;
  let move = engine.retired + MOVED;
  while (engine.retired < end) {
    const next = move < end ? move : end;
    const until = options.cut === 'whole' ? next : engine.retired + BigInt(cuts.pick(PIECES));
    const stop = run(until < next ? until : next);
    if (stop) return stop.kind;
    if (engine.retired < move) continue;
    if (engine.retired >= end || (engine.code.decoded > decoded && !options.lengths)) break;
    const block = start + BigInt(place.BLOCK * random.below(place.CODE_BYTES / place.BLOCK));
    engine.state.rip = BigInt.asUintN(64, block - engine.mode.base) & engine.mode.limit;
    move += MOVED;
  }
  return 'went on';
}

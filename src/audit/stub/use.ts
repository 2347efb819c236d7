// What the code does with a constant: uses it as an address, corrects it by the load address, counts with it. Each function
// that has a constant to ask for is followed once, along all its ways, with what its registers hold.

import { Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory } from 'iced-x86';
import type { CodeInstruction, CodeMap } from '../../code/codeMap.ts';
import type { Bits } from '../../code/disassembly.ts';
import { type Program, type Stretch, stretchAt } from '../../code/program.ts';
import {
  afterCall,
  copyState,
  entryState,
  goesThere,
  handOver,
  joinStates,
  type State,
  transfer,
  type Use,
} from './transfer.ts';
import { type ConstantKey, keyOf, RUNTIME } from './values.ts';

export type Uses = ReadonlySet<Use>;

/** Asks what becomes of a constant: of the instruction at an offset, its bytes standing at `offset` in that. */
export type UseFinder = {
  usesOf(at: number, offset: number): Uses;
  free(): void;
};

/** Instructions that are followed in all, those of loops more than once; a real stub has some 15,000. */
const MOST_STEPS = 200_000;

type Walk = {
  readonly program: Program;
  readonly map: CodeMap;
  readonly mayBe: (constant: bigint) => boolean;
  /** Where functions start, ascending. */
  readonly starts: readonly number[];
  readonly bitsAt: ReadonlyMap<number, Bits>;
  readonly seen: Set<number>;
  readonly uses: Map<ConstantKey, Set<Use>>;
  readonly decoders: Map<string, Decoder>;
  readonly factory: InstructionInfoFactory;
  readonly scratch: Instruction;
  steps: number;
};

/** @param mayBe whether a number may be an address by its value */
export function useFinder(program: Program, map: CodeMap, mayBe: (constant: bigint) => boolean): UseFinder {
  const walk: Walk = {
    ...{ program, map, mayBe, seen: new Set(), uses: new Map(), decoders: new Map(), steps: MOST_STEPS },
    starts: [...map.functions].sort((a, b) => a - b),
    bitsAt: new Map(map.instructions.map(({ at, bits }: CodeInstruction) => [at, bits])),
    factory: new InstructionInfoFactory(),
    scratch: new Instruction(),
  };
  return {
    usesOf: (at, offset) => {
      follow(walk, at);
      return walk.uses.get(keyOf(at, offset)) ?? NONE;
    },
    free: () => {
      for (const decoder of walk.decoders.values()) decoder.free();
      walk.factory.free();
      walk.scratch.free();
    },
  };
}

const NONE: Uses = new Set();

function follow(walk: Walk, at: number): void {
  if (walk.seen.has(at)) return;
  const start = startBefore(walk, at);
  if (start !== undefined && !walk.seen.has(start)) followFrom(walk, start, entryState(isByHand(walk, start)));
  // Reached by a way that was not seen: then all its registers were there before.
  if (!walk.seen.has(at)) followFrom(walk, at, entryState(true));
}

function startBefore({ starts }: Walk, at: number): number | undefined {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] as number) <= at) low = middle + 1;
    else high = middle;
  }
  return starts[low - 1];
}

/** Compilers write 64-bit code, and it lies behind the payload. */
const isByHand = ({ program, bitsAt }: Walk, at: number): boolean =>
  bitsAt.get(at) !== 64 || (program.payload !== undefined && at < program.payload.at);

function followFrom(walk: Walk, start: number, entry: State): void {
  const states = new Map<number, State>([[start, entry]]);
  const open = [start];
  const flowTo = (at: number, state: State): void => {
    const known = states.get(at);
    const joined = known === undefined ? copyState(state) : joinStates(known, state);
    if (joined === known) return;
    states.set(at, joined);
    open.push(at);
  };
  for (let at = open.pop(); at !== undefined && walk.steps > 0; at = open.pop()) {
    const state = states.get(at);
    if (state !== undefined) step(walk, at, copyState(state), start, flowTo);
  }
}

function step(walk: Walk, at: number, state: State, start: number, flowTo: (at: number, state: State) => void): void {
  const bits = walk.bitsAt.get(at);
  const insn = bits === undefined ? undefined : decode(walk, at, bits);
  if (insn === undefined) return;
  walk.seen.add(at);
  walk.steps--;
  const context = { state, insn, mayBe: walk.mayBe, factory: walk.factory, report: reporter(walk) };
  transfer(context);
  leave(walk, context, at + insn.length, start, flowTo);
}

function reporter({ uses }: Walk): (key: ConstantKey, use: Use) => void {
  return (key, use) => {
    const own = uses.get(key);
    if (own === undefined) uses.set(key, new Set([use]));
    else own.add(use);
  };
}

function leave(
  { map }: Walk,
  context: Parameters<typeof transfer>[0],
  next: number,
  start: number,
  flowTo: (at: number, state: State) => void,
): void {
  const { insn, state } = context;
  const target = Number(insn.nearBranchTarget);
  switch (insn.flowControl) {
    case FlowControl.Next:
    case FlowControl.Interrupt:
      return flowTo(next, state);
    case FlowControl.ConditionalBranch:
      flowTo(target, state);
      return flowTo(next, state);
    case FlowControl.UnconditionalBranch:
      // A jump to another function is its last call.
      if (map.functions.has(target) && target !== start) handOver(context);
      return flowTo(target, state);
    case FlowControl.Call:
      if (target === next) return flowTo(next, { ...state, top: RUNTIME });
      break;
    case FlowControl.IndirectCall:
      goesThere(context);
      break;
    case FlowControl.IndirectBranch:
    case FlowControl.Return:
      return goesThere(context);
    default:
      return;
  }
  handOver(context);
  afterCall(state);
  flowTo(next, state);
}

function decode({ program, decoders, scratch }: Walk, at: number, bits: Bits): Instruction | undefined {
  const stretch = stretchAt(program, at);
  if (stretch === undefined) return undefined;
  const decoder = decoderOf(program, decoders, stretch, bits);
  decoder.position = at - stretch.at;
  decoder.ip = BigInt(at);
  decoder.decodeOut(scratch);
  return scratch;
}

function decoderOf(program: Program, decoders: Map<string, Decoder>, stretch: Stretch, bits: Bits): Decoder {
  const key = `${stretch.at} ${bits}`;
  const known = decoders.get(key);
  if (known !== undefined) return known;
  const bytes = program.bytes.subarray(stretch.fileOffset, stretch.fileOffset + stretch.size);
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  decoders.set(key, decoder);
  return decoder;
}

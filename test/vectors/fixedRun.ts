// Instructions bound statically (src/cpu/binding/fixed.ts): each a WebAssembly function of its own, without a record, over
// the state block and memory of the engine that vectors run on.
import { decodeOne } from '../../src/code/disassembly.ts';
import { defineFixed, ENDED, type FixedInstruction } from '../../src/cpu/binding/fixed.ts';
import { allHandlers } from '../../src/cpu/binding/handlers.ts';
import { defineMemory, importHost } from '../../src/cpu/binding/memory.ts';
import { Planner } from '../../src/cpu/decode/decode.ts';
import { hostCalls } from '../../src/cpu/interpret/hostCalls.ts';
import type { Handler } from '../../src/cpu/semantics/handler.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';
import { engine, memory, prepare, running } from './engineRun.ts';
import type { Vector, VectorInput } from './load.ts';
import type { RunOutput } from './replay.ts';

export const handlers: readonly Handler[] = allHandlers();
const planner = new Planner(new Map(handlers.map(({ key }, number) => [key, number])));

/** @property rip where it stands: targets and addresses that are relative to it are constants too */
export type Form = { readonly handler: Handler; readonly insn: FixedInstruction; readonly rip: bigint };

/** What a vector's instruction is bound to: a direct branch has a handler for each way to reach its target. */
export function formsOf({ code, rip, mode }: VectorInput): Form[] {
  const decoded = decodeOne(code, rip, mode);
  const insn = planner.plan(decoded, mode);
  decoded.free();
  const numbers = insn.branch ? [insn.branch.near, insn.branch.out] : [insn.handler];
  return numbers.flatMap((number) =>
    number === undefined ? [] : [{ handler: handlers[number] as Handler, insn, rip }],
  );
}

type Bound = () => number;

/** One module of a function for each of them. */
export function bindAll(forms: readonly Form[]): Bound[] {
  const module = new ModuleBuilder();
  const shared = defineMemory(module, importHost(module));
  forms.forEach(({ handler, insn }, number) => {
    module.exportFunction(`${number}`, defineFixed(module, handler, insn, shared));
  });
  const bytes = module.encode({ module: 'host', name: 'memory', minPages: at.RAM_BASE >>> 16 });
  const devices = { read: () => 0xffn, write: () => {}, emptyAccesses: 0 };
  const host = hostCalls(engine.state, memory, devices, () => {});
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host });
  return forms.map((_, number) => exports[`${number}`] as Bound);
}

const MAX_PIECES = 20000;

/** Runs an instruction's code on a vector; undefined where it says that microcode has to do it. */
export function runBound(bound: Bound, vector: Vector): RunOutput | undefined {
  prepare(vector);
  const { state } = engine;
  state.setU32(at.FAULT_VECTOR, at.FAULT_NONE);
  let ended: number = ENDED.AGAIN;
  for (let piece = 0; piece < MAX_PIECES && ended === ENDED.AGAIN; piece++) ended = bound();
  if (ended === ENDED.MICRO) return undefined;
  if (ended === ENDED.NEXT) return { ...running(vector), rip: vector.rip + BigInt(vector.code.length) };
  if (ended === ENDED.JUMP) return { ...running(vector), rip: state.u64(at.TARGET) };
  if (ended === ENDED.FAULT) return { ...running(vector), ...fault(vector) };
  throw new Error(`ended by ${ended}`);
}

const SS_VECTOR = 12;
const GP_VECTOR = 13;

/** As it would be delivered. Which of the two a non-canonical address is follows from the instruction's segment, and is the engine's to tell. */
function fault({ out }: Vector): Pick<RunOutput, 'vector' | 'errorCode' | 'cr2'> {
  const { state } = engine;
  const raised = state.u32(at.FAULT_VECTOR);
  if (raised === at.FAULT_NONCANONICAL)
    return { vector: out.vector === SS_VECTOR ? SS_VECTOR : GP_VECTOR, errorCode: 0 };
  const errorCode = state.u32(at.FAULT_ERROR) | 0;
  return {
    vector: raised,
    errorCode: errorCode < 0 ? undefined : errorCode,
    cr2: raised === 14 ? state.u64(at.FAULT_ADDRESS) : undefined,
  };
}

// Follows startup code from the kernel's entry to where it has installed the kernel mapping: every function it calls on
// the way, with what the caller has in its registers. A function is followed once for each different set of addresses it
// is given, so that what one caller passes is not mixed with what another does. The walk ends
//  - where, after a write to CR3, control leaves by an indirect jump or far return: that goes to the kernel mapping. A
//    function that writes CR3 and returns (memory encryption, its check) put the old tables back, or others with the 1:1 map;
//  - at calls of functions that never return.
// What is only called through pointers (exception handlers) is not followed.
import { FlowControl, Mnemonic } from 'iced-x86';
import { type Calls, callsOf } from './calls.ts';
import { type KernelFile, segmentAt } from './layout.ts';
import { type Operation, type Operations, operationsOf, RAX } from './operation.ts';
import { copyState, entryState, joinStates, popValues, type State, stackOffset, topOfStack } from './state.ts';
import { afterCall, loadedFrom, reportAll, transfer, type Use } from './transfer.ts';
import { ANY, joinValues, shapeOf, UNKNOWN, type Value, type Values } from './values.ts';

export interface StartupCode {
  /** Instructions that run from the 1:1 map, by address. */
  readonly instructions: readonly Operation[];
  readonly uses: readonly Use[];
  /** Where CR3 is written before control goes to the kernel mapping. */
  readonly switches: readonly number[];
  /** Functions that startup code calls and the rest of the kernel too (panic, printk), not followed. */
  readonly left: readonly number[];
  /** The walk was given up: the code is more than startup code ever is. */
  readonly incomplete: boolean;
}

interface Walk {
  readonly kernel: KernelFile;
  readonly operations: Operations;
  readonly seen: Set<number>;
  readonly uses: Map<string, Use>;
  readonly summaries: Map<string, Summary>;
  readonly switches: Set<number>;
  readonly calls: Calls;
  readonly left: Set<number>;
  /** Steps left. */
  budget: number;
}

/** What a caller learns of a function. */
interface Summary {
  readonly returns: boolean;
  readonly result: Values;
}

/** Debian's kernels take up to 5,000. */
const MOST_STEPS = 60_000;
const DEEPEST_CALL = 100;

/** What one round finds out of where startup code lies decides in the next what is not. */
const MOST_ROUNDS = 4;

/** The startup code from `entry` on, and what it does with kernel addresses. */
export function followStartup(kernel: KernelFile, entry: number): StartupCode {
  const operations = operationsOf(kernel);
  const calls = callsOf(kernel, operations);
  try {
    let walk = newWalk(kernel, operations, calls);
    followFunction(walk, entry, [], 0);
    for (let round = 1; round < MOST_ROUNDS && walk.left.size > 0; round++) {
      const before = walk.left.size;
      calls.again();
      walk = newWalk(kernel, operations, calls);
      followFunction(walk, entry, [], 0);
      if (walk.left.size === before) break;
    }
    return startupOf(walk);
  } finally {
    operations.free();
  }
}

function newWalk(kernel: KernelFile, operations: Operations, calls: Calls): Walk {
  return {
    ...{ kernel, operations, calls, seen: new Set<number>(), uses: new Map<string, Use>() },
    ...{ summaries: new Map<string, Summary>(), switches: new Set<number>(), left: new Set<number>() },
    budget: MOST_STEPS,
  };
}

function startupOf(walk: Walk): StartupCode {
  const ascending = (set: ReadonlySet<number>): number[] => [...set].sort((a, b) => a - b);
  return {
    instructions: ascending(walk.seen).flatMap((at) => walk.operations.at(at) ?? []),
    uses: [...walk.uses.values()],
    switches: ascending(walk.switches),
    left: ascending(walk.left),
    incomplete: walk.budget <= 0 || walk.calls.gaveUp(),
  };
}

const BEFORE_KNOWN: Summary = { returns: true, result: ANY };

function followFunction(walk: Walk, entry: number, registers: readonly Values[], depth: number): Summary {
  walk.calls.addStartup(entry);
  const given = Array.from({ length: 16 }, (_, i) => passed(registers[i] ?? ANY));
  const key = `${entry}|${given.map((values) => values.map(shapeAndSum).join('/')).join('|')}`;
  const known = walk.summaries.get(key);
  if (known !== undefined) return known;
  // A recursive call meets this.
  walk.summaries.set(key, BEFORE_KNOWN);
  if (depth > DEEPEST_CALL) return BEFORE_KNOWN;
  const summary = new FunctionWalk(walk, depth).run(entry, entryState(given));
  walk.summaries.set(key, summary);
  return summary;
}

const shapeAndSum = (value: Value): string => (value.unknown ? shapeOf(value) : `${shapeOf(value)}:${value.sum}`);

/** Plain numbers and the caller's stack are nothing to a callee. */
const passed = (values: Values): Values => joinValues(values.map(passedValue), []);

const passedValue = (value: Value): Value =>
  value.stack ? UNKNOWN : value.plus.length === 0 && value.minus === 0 && value.loaded === 0 ? UNKNOWN : value;

/** One function with one set of arguments: states by instruction, joined until nothing changes. */
class FunctionWalk {
  readonly #walk: Walk;
  readonly #depth: number;
  readonly #states = new Map<number, State>();
  readonly #open: number[] = [];
  #returns = false;
  #result: Values = [];

  constructor(walk: Walk, depth: number) {
    this.#walk = walk;
    this.#depth = depth;
  }

  run(entry: number, state: State): Summary {
    this.#flowTo(entry, state);
    for (let key = this.#open.pop(); key !== undefined; key = this.#open.pop()) {
      if (this.#walk.budget-- <= 0) break;
      const state = this.#states.get(key);
      const operation = this.#walk.operations.at(Math.floor(key / 2));
      if (state !== undefined && operation !== undefined) this.#step(operation, copyState(state));
    }
    return { returns: this.#returns, result: this.#result.length === 0 ? ANY : this.#result };
  }

  #flowTo(address: number, state: State): void {
    if (segmentAt(this.#walk.kernel, address) === undefined) return;
    const key = address * 2 + (state.mapped ? 1 : 0);
    const known = this.#states.get(key);
    const joined = known === undefined ? copyState(state) : joinStates(known, state);
    if (joined === known) return;
    this.#states.set(key, joined);
    this.#open.push(key);
  }

  #step(operation: Operation, state: State): void {
    const { walk, use } = this.#bound(state);
    if (!state.mapped) walk.seen.add(operation.at);
    transfer(walk.kernel, state, operation, use);
    if (operation.setsCr3 && !state.mapped) {
      walk.switches.add(operation.at);
      this.#flowTo(operation.next, { ...state, mapped: true });
      return;
    }
    this.#leave(operation, state);
  }

  #bound(state: State): { walk: Walk; use: (use: Use) => void } {
    const walk = this.#walk;
    return {
      walk,
      use: (use) => {
        if (!state.mapped)
          walk.uses.set(`${use.constant.address}|${use.kind}|${use.at}|${use.exact}|${use.alone}`, use);
      },
    };
  }

  #leave(operation: Operation, state: State): void {
    const { flow, target, next } = operation;
    if (flow === FlowControl.Next || flow === FlowControl.Interrupt) {
      if (operation.mnemonic !== Mnemonic.Int3) this.#flowTo(next, state);
    } else if (flow === FlowControl.ConditionalBranch || flow === FlowControl.UnconditionalBranch) {
      if (target !== undefined && !this.#leavesStartup(target, flow)) this.#flowTo(target, state);
      if (flow === FlowControl.ConditionalBranch) this.#flowTo(next, state);
    } else if (flow === FlowControl.Call) this.#call(operation, target, state);
    else if (flow === FlowControl.IndirectCall) this.#call(operation, this.#goesTo(operation, state), state);
    else if (flow === FlowControl.IndirectBranch) this.#jump(this.#goesTo(operation, state), state);
    else if (flow === FlowControl.Return) this.#return(operation, state);
    else if (flow === FlowControl.XbeginXabortXend) this.#flowTo(next, state);
  }

  #call(operation: Operation, target: number | undefined, state: State): void {
    const summary = this.#summaryOf(target, state);
    if (!summary.returns) return;
    afterCall(state, summary.result);
    const top = stackOffset(state);
    for (const slot of state.slots.keys()) if (top !== undefined && slot < top) state.slots.delete(slot);
    this.#flowTo(operation.next, state);
  }

  #summaryOf(target: number | undefined, state: State): Summary {
    const { kernel, calls, left } = this.#walk;
    if (target === undefined || state.mapped || segmentAt(kernel, target) === undefined) return BEFORE_KNOWN;
    if (!calls.isCommon(target)) return followFunction(this.#walk, target, state.registers, this.#depth + 1);
    left.add(target);
    return { returns: calls.mayReturn(target), result: ANY };
  }

  /** A jump that is the last call of a function. */
  #leavesStartup(target: number, flow: FlowControl): boolean {
    const leaves = flow === FlowControl.UnconditionalBranch && this.#walk.calls.isCommon(target);
    if (leaves) {
      this.#walk.left.add(target);
      this.#returns ||= this.#walk.calls.mayReturn(target);
    }
    return leaves;
  }

  /** Where an indirect jump or call leads, where that is one address in the 1:1 map. */
  #goesTo(operation: Operation, state: State): number | undefined {
    const [operand] = operation.operands;
    let values = ANY;
    if (operand?.kind === 'register') values = state.registers[operand.register] ?? ANY;
    if (operand?.kind === 'memory') values = loadedFrom(this.#walk.kernel, state, operand.memory, operation);
    return this.#onlyTarget(values, operation, state);
  }

  #onlyTarget(values: Values, operation: Operation, state: State): number | undefined {
    reportAll(values, 'jumped-to', operation, this.#bound(state).use);
    const [only] = values;
    if (values.length !== 1 || only === undefined || only.unknown || only.stack) return undefined;
    return only.loaded === 1 && only.plus.length === 0 && only.minus === 0 ? only.sum : undefined;
  }

  /** A jump to an address that is not known ends this way; after CR3 was written it is the one to the kernel mapping. */
  #jump(target: number | undefined, state: State): void {
    if (target !== undefined && !state.mapped) this.#flowTo(target, state);
  }

  /** A return pops its target: the caller's, or one that was pushed (`lea 1f(%rip); push; lretq` loads CS). */
  #return(operation: Operation, state: State): void {
    const pushed = stackOffset(state) !== 0 || state.slots.has(0);
    const target = pushed ? this.#onlyTarget(topOfStack(state), operation, state) : undefined;
    const far = operation.mnemonic !== Mnemonic.Ret;
    if (far && state.mapped) return;
    if (target !== undefined && !state.mapped) {
      popValues(state);
      if (far) popValues(state);
      this.#flowTo(target, state);
      return;
    }
    if (far) return;
    this.#returns = true;
    this.#result = joinValues(this.#result, state.registers[RAX] ?? ANY);
  }
}

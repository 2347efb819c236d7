// The way from the constant to the death: the run again up to the culprit, then instruction by instruction with its
// value followed, until the bytes copied through it are executed or nothing more comes of it.

import { BootRun } from '../run/run.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { SymbolTable } from '../image/symbols.ts';
import type { ExecutedReference } from '../record/references.ts';
import { Taint, type Use } from '../record/taint.ts';
import type { Case } from './case.ts';
import { driveUntil } from './drive.ts';
import { instructionAt } from './instructionAt.ts';
import type { InstructionAt, Step, Tick } from './types.ts';

/** Instructions that are followed at most. */
const MAX_STEPS = 120_000;
/** Instructions without a use after which the value is given up. */
const QUIET = 40_000;
const MAX_USES = 8;
const TICK = 2_000;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

export type Followed = {
  readonly steps: readonly Step[];
  /** The address, or one made from it, was compared with another or subtracted from it: their distance counts too. */
  readonly compared: boolean;
};

/** @param executed the culprit, as the sick run executed it */
export function* followConstant(
  { config, outcome: death, symbols }: Case,
  executed: ExecutedReference,
): Generator<Tick, Followed> {
  const run = new BootRun(config);
  const started = yield* driveUntil(run, executed.first, 'running up to the culprit');
  if (started) return { steps: [], compared: false };
  const taint = new Taint(run.machine.engine.state);
  const steps: Step[] = [];
  let last = 0;
  let compared = false;
  for (let count = 0; count < MAX_STEPS && count - last < QUIET && steps.length < MAX_USES; count++) {
    if (run.machine.engine.retired >= death.instructions) break;
    const insn = run.machine.engine.currentInstruction();
    if (isFault(insn)) break;
    const uses = count === 0 ? taint.begin(insn) : taint.step(insn);
    insn.free();
    compared ||= uses.some(({ kind }) => kind === 'compare');
    for (const use of uses) {
      last = count;
      add(steps, describe(use, instructionHere(run, symbols), executed));
    }
    if (uses.some(ends)) break;
    if (count % TICK === 0) yield { doing: 'following the constant', instructions: run.machine.engine.retired };
    if (run.advance(1n)) break;
  }
  taint.free();
  return { steps, compared };
}

/** What comes after it is not the stub's doing any more. */
const ends = (use: Use): boolean => use.kind === 'execute' || (use.kind === 'jump' && use.mark === 'pointer');

const instructionHere = (run: BootRun, symbols: SymbolTable | undefined): InstructionAt | undefined =>
  instructionAt(run, run.machine.engine.state.rip + run.machine.engine.mode.base, symbols);

/** The same instruction doing the same again in a loop is said once. */
function add(steps: Step[], step: Step): void {
  const seen = steps.some(
    (other) => other.instruction?.runtimeAddress === step.instruction?.runtimeAddress && kindOf(other) === kindOf(step),
  );
  if (!seen) steps.push(step);
}

const kindOf = (step: Step): string => step.what.split(' ').slice(0, 3).join(' ');

const sizeOf = (bytes: number): string => (bytes === 1 ? '1 byte' : `${bytes} bytes`);

function describe(use: Use, instruction: InstructionAt | undefined, executed: ExecutedReference): Step {
  const right = (address: bigint): string => hex(address + executed.runtime - executed.link);
  const at = instruction ? { instruction } : {};
  switch (use.kind) {
    case 'load':
      return { ...at, what: `reads ${sizeOf(use.bytes)} at ${hex(use.address)}; right would be ${right(use.address)}` };
    case 'store':
      return {
        ...at,
        what: `writes ${sizeOf(use.bytes)} at ${hex(use.address)}; right would be ${right(use.address)}`,
      };
    case 'copy':
      return {
        ...at,
        what: `copies ${hex(use.bytes)} bytes from ${hex(use.from)} to ${hex(use.to)}; right would be from ${right(use.from)}`,
      };
    case 'compare':
      return { ...at, what: 'compares the fixed address with one computed at run time, so what it decides is wrong' };
    case 'jump':
      return { ...at, what: jumpText(use) };
    case 'system':
      return {
        ...at,
        what: `loads a system register with ${use.mark === 'pointer' ? 'that address' : 'what was read through that address'}`,
      };
    default:
      return { ...at, what: `is executed at ${hex(use.address)}: what was copied from the wrong place` };
  }
}

/** The target is known where it is in a register. */
function jumpText({ target, mark }: Extract<Use, { kind: 'jump' }>): string {
  const known = target === 0n ? '' : `, ${hex(target)}`;
  return mark === 'pointer'
    ? `goes to that address${known}`
    : `goes where the bytes read through that address say${known}`;
}

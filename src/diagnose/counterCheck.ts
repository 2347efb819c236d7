// The counter-check of a proof: the culprit as it was given, in a machine where its address is right because the load bias of
// what it means is 0, beside the same machine with another bias. Either the stub lies at its link address, in RAM
// without a PC's hole; or, for code that runs where the stub has moved itself to, which no load address changes,
// what the constant means is seen where the constant points.

import { InputError } from '../bits/errors.ts';
import { alignDown, alignUp, HIGH_MEMORY_START, overlap, type Range } from '../boot/layout.ts';
import { BootRun, type RunConfig } from '../run/run.ts';
import type { Alias } from '../run/interventions/alias.ts';
import { viewOf } from '../bits/cursor.ts';
import { MIB } from '../bits/sizes.ts';
import * as at from '../cpu/state/layout.ts';
import type { ReferenceForm } from '../code/references.ts';
import type { BzImage } from '../image/bzimage.ts';
import { biasIn } from './bias.ts';
import { rangesOf } from './likelihood.ts';
import { type End, endOf, sameEnd } from './progress.ts';
import { type Change, changed, repaired } from './repair.ts';
import type { Case } from './case.ts';
import { bootBeyond, type Dead } from './trials.ts';
import type { CounterCheck, Tick } from './types.ts';

/** Where the image is loaded for a check by alias, tried in this order. */
const LOAD_ADDRESSES = [16 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 1 * MIB];
/** In the setup header (boot protocol 2.10). */
const INIT_SIZE_OFFSET = 0x260;

export type CheckInput = {
  readonly dead: Case;
  readonly changes: readonly Change[];
  /** It was seen being compared with another address, or subtracted from it. */
  readonly compared: boolean;
  /** The other death that the repaired boot met, where it came to no later stage. */
  readonly next: End | undefined;
};

type Pair = Extract<CounterCheck, { verdict: 'held' | 'failed' }>;
type Attempt = Pair | { readonly verdict: 'not-made'; readonly because: string };

export function* counterCheck(input: CheckInput): Generator<Tick, CounterCheck> {
  const zero = yield* atBiasZero(input);
  if (zero.verdict === 'held') return zero;
  const alias = yield* byAlias(input);
  if (alias.verdict !== 'not-made') return alias;
  return zero.verdict === 'failed' ? zero : alias;
}

const notMade = (because: string): Attempt => ({ verdict: 'not-made', because });

/** The stub at its link address, for culprits that run where it was loaded. */
function* atBiasZero({ dead, changes, next }: CheckInput): Generator<Tick, Attempt> {
  const { config } = dead;
  const loaded = loadAddressOf(config);
  if (loaded === undefined || changes.some(({ bias }) => bias !== BigInt(loaded))) {
    return notMade('it means a place in the copy of the stub that the stub makes of itself, whatever its load address');
  }
  const machine = changed(config, { kind: 'plain-ram' });
  return yield* pairOf('bias-zero', { ...machine, loadAt: loaded }, { ...machine, loadAt: 0 }, dead, next);
}

function loadAddressOf(config: RunConfig): number | undefined {
  try {
    return new BootRun(config).boot.loadAddress;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** Both boots: with a bias the death, without it progress past that death. */
function* pairOf(
  by: Pair['by'],
  biased: RunConfig,
  unbiased: RunConfig,
  dead: Dead,
  next: End | undefined,
): Generator<Tick, Attempt> {
  try {
    const doing = 'booting the unrepaired image with and without a load bias';
    const first = yield* bootBeyond(biased, 'as-given', { dead, next }, doing);
    const { outcome } = first.run;
    if (first.boot.passed || outcome === undefined) return notMade('with a load bias that machine does not die');
    // The death of this machine is what has to be passed; it need not look the same in every machine.
    const here: Dead = { outcome, end: endOf(first.run, outcome) };
    const second = yield* bootBeyond(unbiased, 'as-given', { dead: here, next }, doing);
    const made = { by, withBias: first.boot, without: second.boot };
    if (second.boot.passed) return { verdict: 'held', ...made };
    const end = second.run.outcome && endOf(second.run, second.run.outcome);
    if (end !== undefined && sameEnd(end, here.end)) return { verdict: 'failed', ...made };
    return notMade(
      `without a load bias that machine ends in another way: ${second.boot.outcome}, after ${second.boot.stage}`,
    );
  } catch (error) {
    if (error instanceof InputError) return notMade(error.message);
    throw error;
  }
}

/** What the constants mean, seen where they point. */
function* byAlias(input: CheckInput): Generator<Tick, Attempt> {
  const { compared, dead, next } = input;
  // What no second sight of memory serves is repaired in both boots.
  const changes = input.changes.filter((change) => servedByAlias(input, change));
  const [first] = changes;
  if (first === undefined) return notMade('it is set against other addresses, and not only followed');
  const rest = input.changes.filter((change) => !changes.includes(change));
  const found = yield* machineWithAlias({ ...input, changes }, first, rest);
  if (typeof found === 'string') return notMade(found);
  const { machine, alias } = found;
  const made = yield* pairOf('alias', machine, changed(machine, { kind: 'alias', ...alias }), dead, next);
  // A second sight of memory makes an address right to follow, and its distance from other addresses as wrong as before.
  return made.verdict === 'failed' && compared
    ? notMade('it is set against other addresses, and not only followed')
    : made;
}

/** Operations that set an address against another one. */
const AGAINST: ReadonlySet<ReferenceForm> = new Set(['alu-imm32', 'alu-imm32-mem']);

/** Of several culprits; a single one is tried, whatever it is. */
function servedByAlias({ dead: { image }, changes }: CheckInput, { executed }: Change): boolean {
  const { form, constant } = executed.reference;
  return changes.length === 1 || (!AGAINST.has(form) && constant >= rangesOf(image).bodyStart);
}

type Aliased = { readonly machine: RunConfig; readonly alias: Alias };

/** A machine in which it can be made, or why there is none. */
function* machineWithAlias(
  input: CheckInput,
  change: Change,
  rest: readonly Change[],
): Generator<Tick, Aliased | string> {
  let why = 'the image cannot be loaded clear of its link addresses';
  for (const loadAt of LOAD_ADDRESSES) {
    try {
      const found = yield* aliasAt(input, change, rest, loadAt);
      if (typeof found !== 'string') return found;
      why = found;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
  return why;
}

/** Throws InputError where the image does not go there. */
function* aliasAt(
  input: CheckInput,
  change: Change,
  rest: readonly Change[],
  loadAt: number,
): Generator<Tick, Aliased | string> {
  const { changes } = input;
  const { config, image } = input.dead;
  const window = windowOf(image, changes);
  const plain = window.start < HIGH_MEMORY_START ? [{ kind: 'plain-ram' } as const] : [];
  const machine = changed({ ...config, loadAt }, ...plain);
  const bias = yield* biasIn(machine, change, input.dead.outcome);
  if (bias === undefined) return 'the culprit was not met at another load address';
  const missing = (at.CHUNK_BYTES - (Number(bias) % at.CHUNK_BYTES)) % at.CHUNK_BYTES;
  const moved = withLargerInitSize(machine, image, missing);
  const whole = moved === machine ? bias : yield* biasIn(moved, change, input.dead.outcome);
  if (whole === undefined || Number(whole) % at.CHUNK_BYTES !== 0) {
    return 'the stub does not run a whole number of 64 KiB from its link address, whatever it is told';
  }
  const alias = { from: window.start, to: window.start + Number(whole), size: window.size };
  const inTheWay = occupied(new BootRun(moved), Number(whole), image);
  if (inTheWay.some((range) => overlap(range, window))) return 'something else lies where the constant points';
  return { machine: repaired(moved, rest), alias };
}

/** Link addresses to be seen: from the lowest constant to the end of the part of the stub that it lies in. */
function windowOf(image: BzImage, changes: readonly Change[]): Range {
  const { headEnd, end } = rangesOf(image);
  const constants = changes.map(({ executed }) => executed.reference.constant);
  const lowest = constants.reduce((a, b) => (a < b ? a : b));
  const highest = constants.reduce((a, b) => (a > b ? a : b));
  const start = alignDown(Number(lowest), at.CHUNK_BYTES);
  const stop = highest < headEnd ? headEnd : end;
  return { start, size: alignUp(Number(stop), at.CHUNK_BYTES) - start };
}

function withLargerInitSize(machine: RunConfig, { bytes }: BzImage, more: number): RunConfig {
  if (more === 0) return machine;
  const value = BigInt(viewOf(bytes).getUint32(INIT_SIZE_OFFSET, true) + more);
  return changed(machine, { kind: 'header', field: 'init_size', value });
}

/** What a second sight of memory may not hide. */
function occupied(run: BootRun, bias: number, image: BzImage): Range[] {
  const moved = { start: bias, size: Number(rangesOf(image).end) };
  return [...run.boot.placement, run.boot.runtime, moved];
}

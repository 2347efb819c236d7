// The past of a run as a place: any moment of it can be gone to. Checkpoints are taken as the run goes on; a moment is
// reached by restoring the one before it and running on. A run is a pure function of its configuration, so what is there is
// exactly what was there the first time.
// A moment is a count of retired instructions: where a run stands that was stopped at that count. Inside a repeated string
// instruction it may also name the iterations done of those that count as one (a piece within a page): the state between
// two iterations is architectural, with the instruction pointer on the instruction. Guest time and state hashes belong to
// counts only. Nothing that is typed while it runs is remembered: input that is to come again stands in the configuration.

import { InputError } from '../bits/errors.ts';
import { type Checkpoint, Checkpoints } from './checkpoints.ts';
import { drive, type Going, PIECE } from './drive.ts';
import { iterate } from './iterations.ts';
import { BootRun, type RunConfig } from './run.ts';

/** A place in time of one run; see above. */
export type Moment = {
  /** Retired before it. */
  readonly instructions: bigint;
  /** Of the repeated string instruction that is next. */
  readonly iterations?: number;
};

const MOST_BYTES = 512 * 2 ** 20;

export type TimelineOptions = {
  /** Bytes that checkpoints may take together. */
  readonly mostBytes?: number;
  /** Instructions from one checkpoint to the next, at least and at most; between these a quarter of what went before. */
  readonly shortest?: bigint;
  readonly longest?: bigint;
};

const SHARE = 4n;
const SHORTEST = 1_000_000n;
const LONGEST = 50_000_000n;
/**
 * On the way to a moment checkpoints are taken so many of the shortest distances before it, and a tenth of one: who looks
 * there looks around.
 */
const NEAR = 8n;
const NEAREST = 10n;
export class Timeline {
  readonly run: BootRun;
  readonly #checkpoints: Checkpoints;
  /** Where the next checkpoint is due, while the run comes to where it never was. */
  #next: bigint;
  /** It stands between two iterations: from there it does not run on as it would have. */
  #within = false;

  readonly #shortest: bigint;
  readonly #longest: bigint;

  /** @param run stands at the moment from which on its past is kept */
  constructor(run: BootRun, options: TimelineOptions = {}) {
    this.run = run;
    this.#checkpoints = new Checkpoints(options.mostBytes ?? MOST_BYTES);
    this.#shortest = options.shortest ?? SHORTEST;
    this.#longest = options.longest ?? LONGEST;
    this.#next = this.#retired;
    this.note();
  }

  get #retired(): bigint {
    return this.run.machine.engine.retired;
  }

  /** Bytes that checkpoints take. */
  get bytes(): number {
    return this.#checkpoints.bytes;
  }

  /** Instruction counts of the checkpoints, oldest first. */
  get marks(): readonly bigint[] {
    return this.#checkpoints.all.map(({ at }) => at);
  }

  /** Instructions that the run may go on before `note` has something to do. */
  get untilNote(): bigint {
    const left = this.#next - this.#retired;
    return left > 0n ? left : 0n;
  }

  /** To be called between two calls of `run.advance`: takes a checkpoint where one is due. */
  note(): void {
    if (this.#retired < this.#next || this.run.outcome || this.#within) return;
    this.#checkpoints.take(this.run);
    const share = this.#retired / SHARE;
    this.#next = this.#retired + least(share > this.#shortest ? share : this.#shortest, this.#longest);
  }

  /** Goes on to where the run ends, or to so many instructions in all. */
  *record(until: bigint): Generator<Going, void> {
    for (const going of drive(this.run, { until, piece: () => least(this.untilNote || PIECE, PIECE) })) {
      this.note();
      yield going;
    }
  }

  /**
   * Goes to a moment, forwards or backwards. Throws InputError where there is none such: the run ended before, or the
   * instruction does not come to so many iterations in one count.
   */
  *seek(moment: Moment): Generator<Going, void> {
    const { instructions, iterations = 0 } = moment;
    this.#startBefore(instructions);
    yield* this.#forward(instructions);
    if (iterations === 0) return;
    this.#within = true;
    if (!iterate(this.run.machine.engine, iterations))
      throw new InputError(`there is no moment of ${iterations} iterations behind ${instructions} instructions`);
  }

  #startBefore(instructions: bigint): void {
    const checkpoint = this.#checkpoints.before(instructions);
    const straight = !this.#within && !this.run.outcome && this.#retired <= instructions;
    if (straight && (checkpoint === undefined || checkpoint.at <= this.#retired)) return;
    if (checkpoint === undefined)
      throw new InputError(`nothing is kept of the run before ${instructions} instructions`);
    this.#checkpoints.restore(this.run, checkpoint);
    this.#within = false;
  }

  *#forward(instructions: bigint): Generator<Going, void> {
    const near = [NEAR * this.#shortest, this.#shortest, this.#shortest / NEAREST];
    const stops = [...near.map((before) => instructions - before), instructions];
    for (const stop of stops) {
      const start = this.#retired;
      if (yield* drive(this.run, { until: stop })) {
        throw new InputError(`the run ends before ${instructions} instructions`);
      }
      if (stop !== instructions && this.#retired - start > 0n) this.#checkpoints.take(this.run);
    }
  }

  /** Another run of the same configuration, at a moment of this one; this one stays where it is. Nobody watches it yet. */
  *fork(instructions: bigint, config: RunConfig = this.run.config): Generator<Going, BootRun> {
    const checkpoint = this.#checkpoints.before(instructions);
    const run = checkpoint ? this.#copy(checkpoint, config) : new BootRun(config, this.run.image);
    yield* drive(run, { until: instructions });
    return run;
  }

  #copy(checkpoint: Checkpoint, config: RunConfig): BootRun {
    const run = new BootRun(config, this.run.image, false);
    this.#checkpoints.restore(run, checkpoint, true);
    return run;
  }
}

const least = (...counts: readonly bigint[]): bigint => counts.reduce((a, b) => (a < b ? a : b));

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
import { lookout, type Sought } from './lookout.ts';
import type { Outcome } from './outcome.ts';
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
/** Longer than any stretch. */
const MOST = 1n << 62n;
/** Where looking costs much, the first stretch is so wide, and each of the next so many times the one before. */
const NARROW = 4_096n;
const WIDER = 16n;

/** Is it looked at every few instructions? */
const isDear = ({ kind }: Sought): boolean => kind === 'register';

export class Timeline {
  readonly run: BootRun;
  readonly #checkpoints: Checkpoints;
  /** Where the next checkpoint is due, while the run comes to where it never was. */
  #next: bigint;
  /** It stands between two iterations: from there it does not run on as it would have. */
  #within = false;
  readonly #shortest: bigint;
  readonly #longest: bigint;
  /** Its checkpoints are those of another timeline, and of another run. */
  readonly #borrowed: boolean;

  /**
   * @param run stands at the moment from which on its past is kept
   * @param lent what another timeline has kept of the same run
   */
  constructor(run: BootRun, options: TimelineOptions = {}, lent?: Checkpoints) {
    this.run = run;
    this.#borrowed = lent !== undefined;
    this.#checkpoints = lent ?? new Checkpoints(options.mostBytes ?? MOST_BYTES);
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
    this.#keep();
    const share = this.#retired / SHARE;
    this.#next = this.#retired + least(share > this.#shortest ? share : this.#shortest, this.#longest);
  }

  #keep(): void {
    if (!this.#borrowed) this.#checkpoints.take(this.run);
  }

  /** Goes on to where the run ends, or to so many instructions in all. @returns the outcome, where it came to that */
  *record(until: bigint): Generator<Going, Outcome | undefined> {
    for (const going of drive(this.run, { until, piece: () => least(this.untilNote || PIECE, PIECE) })) {
      this.note();
      yield going;
    }
    return this.run.outcome;
  }

  /** The same past with a run of its own, to look around in: this one stays where it is. */
  beside(): Timeline {
    const checkpoint = this.#checkpoints.all[0];
    const run = checkpoint ? this.#copy(checkpoint, this.run.config) : new BootRun(this.run.config, this.run.image);
    return new Timeline(run, {}, checkpoint && this.#checkpoints);
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
    this.#checkpoints.restore(this.run, checkpoint, this.#borrowed);
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
      if (stop !== instructions && this.#retired - start > 0n) this.#keep();
    }
  }

  /**
   * The last time before a moment that something came to be so, as the moment right before: one step from there it is so.
   * Undefined where that never was, as far as the past is kept. It looks through stretches from one checkpoint to the next,
   * the latest first; the run is left where that ended.
   */
  *lastBefore(moment: Moment, sought: Sought): Generator<Going, Moment | undefined> {
    let end = moment;
    for (let width = isDear(sought) ? NARROW : MOST; ; width *= WIDER) {
      const start = this.#startOf(end, width);
      if (start === undefined) return undefined;
      yield* this.seek({ instructions: start });
      const found = yield* this.#lookUpTo(end, sought);
      if (found !== undefined) return found;
      end = { instructions: start };
    }
  }

  /** Where a stretch before a moment begins that is no wider than that and crosses no checkpoint. */
  #startOf({ instructions, iterations = 0 }: Moment, width: bigint): bigint | undefined {
    const checkpoint = this.#checkpoints.before(iterations > 0 ? instructions : instructions - 1n);
    if (checkpoint === undefined) return undefined;
    return checkpoint.at > instructions - width ? checkpoint.at : instructions - width;
  }

  *#lookUpTo(end: Moment, sought: Sought): Generator<Going, Moment | undefined> {
    const { instructions, iterations = 0 } = end;
    const watch = lookout(this.run, sought, end);
    try {
      yield* drive(this.run, { until: instructions });
      if (iterations > 0 && !this.run.outcome) {
        this.#within = true;
        iterate(this.run.machine.engine, iterations);
      }
    } finally {
      watch.observation.dispose();
    }
    return watch.last;
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

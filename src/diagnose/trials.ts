// One boot of an image with something changed, run until it has come past a death, or has met one itself.

import { driveUntil } from './drive.ts';
import { BootRun, type Outcome, type RunConfig } from '../run/run.ts';
import type { What, WhatKind } from '../run/interventions/table.ts';
import type { Stage } from '../run/stages.ts';
import type { Case } from './case.ts';
import { diedElsewhere, type End, endOf, hasPassed, LIMITS, sameEnd } from './progress.ts';
import { type ObservedBoot, observedBoot } from './observedBoot.ts';
import { type Change, repaired } from './repair.ts';
import type { ProofBoot, Tick, Variant } from './types.ts';

const STRETCH = 5_000_000n;

/** Instructions beyond a multiple of the death's that a boot gets to come to the next stage. Unpacking by xz takes 4.5 G. */
const ROOM: Readonly<Record<Stage, bigint>> = {
  entry: 300_000_000n,
  decompress: 8_000_000_000n,
  handoff: 4_000_000_000n,
  banner: 8_000_000_000n,
  init: 8_000_000_000n,
};
const TIMES = 10n;
/** A death that took long to come is not waited for ten times over: what is repaired goes on at its own pace. */
const MOST_BEYOND = 500_000_000n;

/** Instructions that a changed boot gets to come past `death`. A limit says when waiting ended, not when it died. */
export function roomFor({ kind, instructions, stage }: Pick<Outcome, 'kind' | 'instructions' | 'stage'>): bigint {
  if (LIMITS.has(kind)) return ROOM[stage];
  const beyond = (TIMES - 1n) * instructions;
  return instructions + (beyond < MOST_BEYOND ? beyond : MOST_BEYOND) + ROOM[stage];
}

/**
 * Instructions that the trials of one death may take together: some minutes. A kernel that has said its first line has
 * little left that its boot stub can be blamed for.
 */
const MOST_WORK: Readonly<Record<Stage, bigint>> = {
  entry: 24_000_000_000n,
  decompress: 24_000_000_000n,
  handoff: 24_000_000_000n,
  banner: 8_000_000_000n,
  init: 8_000_000_000n,
};

/** Of the trials of one death. What is being proved goes on to its end. */
export class Work {
  #left: bigint;
  #untried = 0;

  constructor({ stage }: Pick<Outcome, 'stage'>) {
    this.#left = MOST_WORK[stage];
  }

  add({ instructions }: Pick<ProofBoot, 'instructions'>): void {
    this.#left -= instructions;
  }

  get isOver(): boolean {
    return this.#left <= 0n;
  }

  /** So many candidates are left untried. Who is left out of one search may be left out of the next. */
  leave(candidates: number): void {
    this.#untried = Math.max(this.#untried, candidates);
  }

  /** Candidates that were left untried, since there were too many or the trials before took too long. */
  get untried(): number {
    return this.#untried;
  }
}

/** A death that others are compared with. */
export type Dead = { readonly outcome: Outcome; readonly end: End };

function whatOf<K extends WhatKind>({ config }: BootRun, kind: K): Extract<What, { kind: K }> | undefined {
  const found = config.interventions?.find(({ what }) => what.kind === kind)?.what;
  return found as Extract<What, { kind: K }> | undefined;
}

function aliasOf(run: BootRun): ProofBoot['alias'] {
  const found = whatOf(run, 'alias');
  return found && { from: found.from, to: found.to, size: found.size };
}

export const record = (run: BootRun, variant: Variant, passed: boolean): ProofBoot => ({
  loadAddress: run.boot.loadAddress,
  entry: run.boot.entry,
  paging: run.config.paging ?? 4,
  cpu: run.config.cpu,
  variant,
  plainRam: whatOf(run, 'plain-ram') !== undefined,
  alias: aliasOf(run),
  passed,
  outcome: run.outcome?.kind ?? 'alive',
  stage: run.stages.current,
  instructions: run.machine.engine.retired,
});

/** Runs until the boot has passed `death`, has ended, or has had its room. @param room instructions, where not as usual */
export function* driveBeyond(
  run: BootRun,
  death: Outcome,
  doing: string,
  room = roomFor(death),
): Generator<Tick, boolean> {
  while (!hasPassed(run, death) && run.machine.engine.retired < room) {
    if (yield* driveUntil(run, run.machine.engine.retired + STRETCH, doing)) break;
  }
  return hasPassed(run, death);
}

export type Tried = ObservedBoot & {
  readonly boot: ProofBoot;
  /** Came past the death: to a later stage, or to another death. */
  readonly passed: boolean;
  /** The other death, where it did not come to a later stage. */
  readonly next: End | undefined;
};

/** The death that a trial is to come past, and what all its trials may take. */
export type Aim = Dead & { readonly work: Work };

/** The boot of a configuration that differs from the dead one's in what may repair it, to just past the death; it can go on. */
export function* tryBoot(dead: Case, config: RunConfig, doing: string): Generator<Tick, Tried> {
  const observed = observedBoot(config, dead.classes);
  const { run } = observed;
  const later = yield* driveBeyond(run, dead.outcome, doing);
  const elsewhere = !later && diedElsewhere(run, dead.outcome, dead.end);
  const passed = later || elsewhere;
  const boot = record(run, 'repaired', passed);
  dead.work.add(boot);
  return { ...observed, boot, passed, next: elsewhere && run.outcome ? endOf(run, run.outcome) : undefined };
}

/** The same with instructions rewritten. */
export function* tryRepair(dead: Case, changes: readonly Change[]): Generator<Tick, Tried> {
  const [first] = changes;
  const what =
    changes.length === 1 && first
      ? `the instruction at 0x${first.executed.link.toString(16)}`
      : `${changes.length} instructions`;
  return yield* tryBoot(dead, repaired(dead.config, changes), `booting with ${what} rewritten`);
}

/** Boots `config` as it stands, and says whether it came as far as the repaired boot did. */
export function* bootBeyond(
  config: RunConfig,
  variant: Variant,
  { dead, next, room }: { readonly dead: Dead; readonly next: End | undefined; readonly room?: bigint },
  doing: string,
): Generator<Tick, { readonly boot: ProofBoot; readonly run: BootRun }> {
  const run = new BootRun(config);
  const later = yield* driveBeyond(run, dead.outcome, doing, room);
  const there = run.outcome !== undefined && next !== undefined && sameEnd(endOf(run, run.outcome), next);
  return { boot: record(run, variant, later || there), run };
}

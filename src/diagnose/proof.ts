// Proof by intervention: the same boot with one instruction rewritten (or the few that fail together) and everything else
// equal. It has to come to a later stage than the one it died in, and not only where the image was loaded first: at several
// load addresses, with 4- and 5-level paging, with and without LA57. Another wrong value in its place may not heal it, and as
// it was given it has to heal where its bias is 0 (controls.ts, counterCheck.ts).

import { InputError } from '../bits/errors.ts';
import { MIB } from '../bits/sizes.ts';
import { BootRun, type Outcome, type RunConfig } from '../run/run.ts';
import { CPU_MODELS, findModel } from '../x86/models.ts';
import { biasIn } from './bias.ts';
import { driveUntil } from './drive.ts';
import { diedElsewhere, endOf } from './progress.ts';
import { type Change, changeOf, meansItsOwnCopy, repaired } from './repair.ts';
import { type Dead, driveBeyond, record, type Tried } from './trials.ts';
import type { Case } from './case.ts';
import type { ProofBoot, Tick } from './types.ts';

/** Tried in this order until enough of them take the image. */
const LOAD_ADDRESSES = [1 * MIB, 16 * MIB, 64 * MIB, 32 * MIB, 128 * MIB, 256 * MIB];
export const WANTED_ADDRESSES = 3;
/** How far beyond the death's instruction count the unrepaired boot is followed, to compare. */
const MARGIN = 20_000_000n;
/** Where the repaired boot comes past its death in so many instructions, each mode is tried at each address. */
const WHOLE_PROOF_LIMIT = 20_000_000n;

/** CPU models to prove with: the one asked for, and the first that differs from it in LA57. */
function models(config: RunConfig): string[] {
  const la57 = (name: string): boolean => findModel(name)?.features.has('LA57') ?? false;
  const other = CPU_MODELS.find((model) => la57(model.name) !== la57(config.cpu));
  return other ? [config.cpu, other.name] : [config.cpu];
}

/** Every processor and paging mode that goes with the entry. */
function* modes(config: RunConfig, entry: 32 | 64): Generator<Mode> {
  for (const cpu of models(config)) {
    yield { cpu, paging: 4 };
    if (entry === 64 && findModel(cpu)?.features.has('LA57')) yield { cpu, paging: 5 };
  }
}

/** Of one death: the same machine with the repair made in it, right where the image is loaded there; undefined where there is none. */
export type Repairing = (config: RunConfig) => RunConfig | Generator<Tick, RunConfig | undefined>;
type Proving = { readonly dead: Case; readonly config: RunConfig; readonly repairIn: Repairing };

/**
 * The repaired boots. One that is soon past its death is proved at every address in every mode. Where each boot takes
 * seconds, at every address in one mode: the modes take turns, so that each is seen.
 */
export function* repairedBoots(
  dead: Case,
  tried: Tried,
  repairIn: Repairing,
): Generator<Tick, { readonly boots: readonly ProofBoot[]; readonly addresses: number }> {
  const { config, addresses } = dead;
  const proving = { dead, config, repairIn };
  const first = tried.boot;
  const others = [...modes(config, first.entry)].filter((mode) => !sameMode(mode, first));
  const whole = first.instructions < WHOLE_PROOF_LIMIT;
  const boots: ProofBoot[] = [first];
  if (whole) boots.push(...(yield* proveIn(others, proving, first.loadAddress)));
  let seen = 1;
  for (const loadAt of LOAD_ADDRESSES) {
    if (seen >= addresses) break;
    if (loadAt === first.loadAddress) continue;
    const turn = others[(seen - 1) % Math.max(1, others.length)] ?? first;
    const here = yield* proveIn(whole ? [first, ...others] : [turn], proving, loadAt);
    if (here.length) seen++;
    boots.push(...here);
  }
  return { boots, addresses: seen };
}

type Mode = Pick<RunConfig, 'cpu' | 'paging'>;

const sameMode = (mode: Mode, boot: ProofBoot): boolean =>
  mode.cpu === boot.cpu && (boot.entry === 32 || mode.paging === boot.paging);

function* proveIn(modesHere: readonly Mode[], proving: Proving, loadAt: number): Generator<Tick, ProofBoot[]> {
  const boots: ProofBoot[] = [];
  for (const { cpu, paging } of modesHere) {
    const config = { ...proving.config, loadAt, cpu, paging: proving.config.entry === 32 ? undefined : paging };
    const boot = yield* proveAt({ ...proving, config });
    if (boot) boots.push(boot);
  }
  return boots;
}

/** Undefined where the image does not fit there. */
function* proveAt({ dead, config, repairIn }: Proving): Generator<Tick, ProofBoot | undefined> {
  try {
    const repair = repairIn(config);
    const here = 'next' in repair ? yield* repair : repair;
    if (!here) return undefined;
    const run = new BootRun(here);
    const doing = `booting the repaired image at 0x${run.boot.loadAddress.toString(16)}`;
    if (yield* driveBeyond(run, dead.outcome, doing)) return record(run, 'repaired', true);
    const unrepaired = yield* deathHere(config, dead.outcome);
    return record(run, 'repaired', unrepaired !== undefined && diedElsewhere(run, unrepaired.outcome, unrepaired.end));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** How the unrepaired image dies in this configuration; undefined where it does not, about as soon. */
function* deathHere(config: RunConfig, death: Outcome): Generator<Tick, Dead | undefined> {
  const run = new BootRun(config);
  const doing = 'booting the unrepaired image for comparison';
  const outcome = yield* driveUntil(run, death.instructions + MARGIN, doing);
  return outcome && { outcome, end: endOf(run, outcome) };
}

/** Instructions rewritten. What means a place in another copy of the stub than the one that runs needs the address of that one in this machine. */
export function* rewrittenIn(
  config: RunConfig,
  changes: readonly Change[],
  death: Outcome,
): Generator<Tick, RunConfig | undefined> {
  const here: Change[] = [];
  for (const change of changes) {
    if (meansItsOwnCopy(change)) {
      here.push(change);
      continue;
    }
    const bias = yield* biasIn(config, change, death);
    const changed = bias === undefined ? undefined : changeOf(change.executed, bias);
    if (changed === undefined) return undefined;
    here.push(changed);
  }
  return repaired(config, here);
}

// Proof by intervention: the same boot with one instruction rewritten (or the few that fail together) and everything else
// equal. It has to come past the
// point of death, and not only where the image was loaded first: at several load addresses, with 4- and 5-level paging,
// with and without LA57. The unrepaired image at its link address is the counter-check: there the constant is right.

import { InputError } from '../bits/errors.ts';
import { BootRun, type Outcome, type RunConfig } from '../boot/run.ts';
import { STAGES, type Stage } from '../boot/stages.ts';
import type { BzImage } from '../image/bzimage.ts';
import { type ExecutedReference, ReferenceRecorder } from '../record/references.ts';
import { CPU_MODELS, findModel } from '../x86/models.ts';
import { driveUntil } from './drive.ts';
import { recordedBoot } from './recordedBoot.ts';
import { type Change, patched, type Repair, repairOf } from './repair.ts';
import type { Proof, ProofBoot, Tick } from './types.ts';

const MIB = 2 ** 20;
/** Tried in this order until three of them take the image. */
const LOAD_ADDRESSES = [1 * MIB, 16 * MIB, 64 * MIB, 32 * MIB, 128 * MIB, 256 * MIB];
const WANTED_ADDRESSES = 3;
/** How far beyond the death's instruction count a boot has to live to have passed it, at least. */
const MARGIN = 20_000_000n;
/** A death before so many instructions is an early one. */
const WHOLE_PROOF_LIMIT = 20_000_000n;
const STRETCH = 5_000_000n;

const later = (stage: Stage, than: Stage): boolean => STAGES.indexOf(stage) > STAGES.indexOf(than);
const hung = (death: Outcome): boolean => death.kind === 'hang' || death.kind === 'instruction-limit';

/** Where a boot died, to be compared with a boot of the same image, repaired: relative to where it was loaded. */
function placeOf(outcome: Outcome, loadAddress: number): bigint {
  const rip = outcome.kind === 'triple-fault' ? outcome.chain[0]?.rip : 'rip' in outcome ? outcome.rip : undefined;
  const base = BigInt(loadAddress);
  return rip === undefined ? -1n : rip >= base ? rip - base : rip;
}

/**
 * Did the repaired boot die of something else: later than the same boot unrepaired, and elsewhere? Then this death was
 * passed, and another one met. Believed only of the form that nobody but a linker writes: any other change to a wild
 * run may move its end.
 */
function diedLater(run: BootRun, changes: readonly Change[], unrepaired: Outcome): boolean {
  const { outcome } = run;
  const linkers = changes.every(({ executed }) => executed.reference.form === 'mov-imm32-rex');
  if (!outcome || !linkers || unrepaired.kind === 'stage-reached') return false;
  if (outcome.instructions <= unrepaired.instructions) return false;
  return placeOf(outcome, run.boot.loadAddress) !== placeOf(unrepaired, run.boot.loadAddress);
}

/**
 * Has the boot come past the point of death? A later stage shows it, and so does living on well beyond the death's
 * instruction count; a hang is passed only by a later stage.
 */
function hasPassed(run: BootRun, death: Outcome): boolean {
  if (later(run.stages.current, death.stage)) return true;
  if (run.outcome?.kind === 'stage-reached') return true;
  const beyond = death.instructions + MARGIN + death.instructions / 8n;
  return run.outcome === undefined && !hung(death) && run.machine.engine.retired >= beyond;
}

const record = (run: BootRun, repaired: boolean, passed: boolean): ProofBoot => ({
  loadAddress: run.boot.loadAddress,
  entry: run.boot.entry,
  paging: run.config.paging ?? 4,
  cpu: run.config.cpu,
  repaired,
  plainRam: run.config.plainRam ?? false,
  passed,
  outcome: run.outcome?.kind ?? 'alive',
  stage: run.stages.current,
  instructions: run.machine.engine.retired,
});

/** Runs to just past the point of death, or to another death. The run can be continued. */
function* driveToProof(run: BootRun, death: Outcome, repaired: boolean, doing: string): Generator<Tick, ProofBoot> {
  while (!hasPassed(run, death)) {
    if (run.advance(STRETCH)) break;
    yield { doing, instructions: run.machine.engine.retired };
  }
  return record(run, repaired, hasPassed(run, death));
}

export type Tried = { readonly boot: ProofBoot; readonly run: BootRun; readonly recorder: ReferenceRecorder };

/** The boot with the changes made, to just past the death; it can go on from there. */
export function* tryRepair(
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  death: Outcome,
): Generator<Tick, Tried> {
  const bytes = patched(image, changes);
  const { run, recorder } = recordedBoot({ ...config, image: bytes });
  const [first] = changes;
  const what =
    changes.length === 1 && first
      ? `the instruction at 0x${first.executed.link.toString(16)}`
      : `${changes.length} instructions`;
  const doing = `booting with ${what} rewritten`;
  const boot = yield* driveToProof(run, death, true, doing);
  const passed = boot.passed || diedLater(run, changes, death);
  return { boot: { ...boot, passed }, run, recorder: recorder as ReferenceRecorder };
}

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

/**
 * An early death is proved at every address in every mode. A late one, where each boot takes seconds, at every address
 * in one mode: the modes take turns, so that each is seen.
 */
export function* proveRepair(
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  first: ProofBoot,
  death: Outcome,
): Generator<Tick, Proof> {
  const others = [...modes(config, first.entry)].filter((mode) => !sameMode(mode, first));
  const whole = death.instructions < WHOLE_PROOF_LIMIT;
  const boots: ProofBoot[] = [first];
  if (whole) boots.push(...(yield* proveIn(others, { ...config, loadAt: first.loadAddress }, image, changes, death)));
  let addresses = 1;
  for (const loadAt of LOAD_ADDRESSES) {
    if (addresses >= WANTED_ADDRESSES) break;
    if (loadAt === first.loadAddress) continue;
    const turn = others[(addresses - 1) % Math.max(1, others.length)] ?? first;
    const here = yield* proveIn(whole ? [first, ...others] : [turn], { ...config, loadAt }, image, changes, death);
    if (here.length) addresses++;
    boots.push(...here);
  }
  const atLink = yield* atLinkAddress(config, image, death);
  const held = addresses >= WANTED_ADDRESSES && boots.every((boot) => boot.passed);
  return { held, boots: atLink ? [...boots, atLink] : boots };
}

type Mode = Pick<RunConfig, 'cpu' | 'paging'>;

const sameMode = (mode: Mode, boot: ProofBoot): boolean =>
  mode.cpu === boot.cpu && (boot.entry === 32 || mode.paging === boot.paging);

function* proveIn(
  modesHere: readonly Mode[],
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  death: Outcome,
): Generator<Tick, ProofBoot[]> {
  const boots: ProofBoot[] = [];
  for (const { cpu, paging } of modesHere) {
    const boot = yield* proveAt(
      { ...config, cpu, paging: config.entry === 32 ? undefined : paging },
      image,
      changes,
      death,
    );
    if (boot) boots.push(boot);
  }
  return boots;
}

/** Undefined where the image does not fit there. */
function* proveAt(
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  death: Outcome,
): Generator<Tick, ProofBoot | undefined> {
  try {
    const here = yield* changesFor(config, image, changes, death);
    if (!here) return undefined;
    const bytes = patched(image, here);
    const run = new BootRun({ ...config, image: bytes });
    const doing = `booting the repaired image at 0x${run.boot.loadAddress.toString(16)}`;
    const boot = yield* driveToProof(run, death, true, doing);
    if (boot.passed) return boot;
    const unrepaired = yield* deathHere(config, image, death);
    return { ...boot, passed: unrepaired !== undefined && diedLater(run, changes, unrepaired) };
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** How the unrepaired image dies in this configuration; undefined where it does not, about as soon. */
function* deathHere(config: RunConfig, image: BzImage, death: Outcome): Generator<Tick, Outcome | undefined> {
  const run = new BootRun({ ...config, image: image.bytes }, image);
  return yield* driveUntil(run, death.instructions + MARGIN, 'booting the unrepaired image for comparison');
}

function* changesFor(
  config: RunConfig,
  image: BzImage,
  changes: readonly Change[],
  death: Outcome,
): Generator<Tick, Change[] | undefined> {
  const here: Change[] = [];
  for (const { executed } of changes) {
    const repair = yield* repairFor(config, image, executed, death);
    if (!repair) return undefined;
    here.push({ executed, repair });
  }
  return here;
}

/** The lea is right everywhere; an immediate needs the bias that the code has at this load address, found by running. */
function* repairFor(
  config: RunConfig,
  image: BzImage,
  executed: ExecutedReference,
  death: Outcome,
): Generator<Tick, Repair | undefined> {
  const repair = repairOf(executed, executed.runtime - executed.link);
  if (!repair || repair.everywhere) return repair;
  const run = new BootRun({ ...config, image: image.bytes }, image);
  const recorder = new ReferenceRecorder(run, image, (r) => r.constant === executed.reference.constant);
  yield* driveUntil(run, death.instructions + MARGIN, 'finding where the stub runs');
  const here = [...recorder.executed.values()].find((other) => other.fileOffset === executed.fileOffset);
  return here && repairOf(here, here.runtime - here.link);
}

/** The unrepaired image where it was linked: address 0, in a machine with plain RAM there. */
function* atLinkAddress(config: RunConfig, image: BzImage, death: Outcome): Generator<Tick, ProofBoot | undefined> {
  try {
    const run = new BootRun({ ...config, image: image.bytes, loadAt: 0, plainRam: true }, image);
    return yield* driveToProof(run, death, false, 'booting the unrepaired image at its link address');
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

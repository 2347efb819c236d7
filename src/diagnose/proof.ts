// Proof by intervention: the same boot with one instruction rewritten and everything else equal. It has to come past the
// point of death, and not only where the image was loaded first: at several load addresses, with 4- and 5-level paging,
// with and without LA57. The unrepaired image at its link address is the counter-check: there the constant is right.

import { InputError } from '../bits/errors.ts';
import { BootRun, type Outcome, type RunConfig } from '../boot/run.ts';
import { STAGES, type Stage } from '../boot/stages.ts';
import type { BzImage } from '../image/bzimage.ts';
import { type ExecutedReference, ReferenceRecorder } from '../record/references.ts';
import { CPU_MODELS, findModel } from '../x86/models.ts';
import { drive, driveUntil } from './drive.ts';
import { patched, type Repair, repairOf } from './repair.ts';
import type { Proof, ProofBoot, Tick } from './types.ts';

const MIB = 2 ** 20;
/** Tried in this order until three of them take the image. */
const LOAD_ADDRESSES = [1 * MIB, 16 * MIB, 64 * MIB, 32 * MIB, 128 * MIB, 256 * MIB];
const WANTED_ADDRESSES = 3;
/** How far beyond the death's instruction count a boot has to live to have passed it, at least. */
const MARGIN = 20_000_000n;

const nextStage = (stage: Stage): Stage => STAGES[Math.min(STAGES.indexOf(stage) + 1, STAGES.length - 1)] as Stage;

/** The boot that shows whether the point of death is passed: to the next stage, or well beyond the death. */
export function passingConfig(config: RunConfig, death: Outcome): RunConfig {
  const hung = death.kind === 'hang' || death.kind === 'instruction-limit';
  const beyond = death.instructions + MARGIN + death.instructions / 8n;
  const maxInstructions = hung || beyond > config.maxInstructions ? config.maxInstructions : beyond;
  return { ...config, until: nextStage(death.stage), maxInstructions };
}

/** A hang is passed only by getting on; any other death also by living on. */
export const passed = (outcome: Outcome, death: Outcome): boolean => {
  if (outcome.kind === 'stage-reached') return true;
  const hung = death.kind === 'hang' || death.kind === 'instruction-limit';
  return outcome.kind === 'instruction-limit' && !hung && outcome.instructions > death.instructions;
};

const record = (run: BootRun, outcome: Outcome, repaired: boolean, ok: boolean): ProofBoot => ({
  loadAddress: run.boot.loadAddress,
  entry: run.boot.entry,
  paging: run.config.paging ?? 4,
  cpu: run.config.cpu,
  repaired,
  plainRam: run.config.plainRam ?? false,
  passed: ok,
  outcome: outcome.kind,
  stage: outcome.stage,
  instructions: outcome.instructions,
});

/** One boot of the repaired image, to just past the death. */
export function* tryRepair(
  config: RunConfig,
  image: BzImage,
  executed: ExecutedReference,
  repair: Repair,
  death: Outcome,
): Generator<Tick, ProofBoot> {
  const bytes = patched(image, executed.fileOffset, repair.bytes);
  const run = new BootRun({ ...passingConfig(config, death), image: bytes });
  const outcome = yield* drive(run, `booting with the instruction at 0x${executed.link.toString(16)} rewritten`);
  return record(run, outcome, true, passed(outcome, death));
}

/** CPU models to prove with: the one asked for, and the first that differs from it in LA57. */
function models(config: RunConfig): string[] {
  const la57 = (name: string): boolean => findModel(name)?.features.has('LA57') ?? false;
  const other = CPU_MODELS.find((model) => la57(model.name) !== la57(config.cpu));
  return other ? [config.cpu, other.name] : [config.cpu];
}

/** Every processor and paging mode that goes with the entry. */
function* modes(config: RunConfig, entry: 32 | 64): Generator<Pick<RunConfig, 'cpu' | 'paging'>> {
  for (const cpu of models(config)) {
    yield { cpu, paging: 4 };
    if (entry === 64 && findModel(cpu)?.features.has('LA57')) yield { cpu, paging: 5 };
  }
}

export function* proveRepair(
  config: RunConfig,
  image: BzImage,
  executed: ExecutedReference,
  first: ProofBoot,
  death: Outcome,
): Generator<Tick, Proof> {
  const boots: ProofBoot[] = [first];
  const addresses = new Set<number>([first.loadAddress]);
  for (const loadAt of [first.loadAddress, ...LOAD_ADDRESSES]) {
    if (addresses.size >= WANTED_ADDRESSES && !addresses.has(loadAt)) break;
    for (const mode of modes(config, first.entry)) {
      const variant: RunConfig = { ...config, ...mode, loadAt };
      if (boots.some((boot) => same(boot, variant, first.entry))) continue;
      const boot = yield* proveAt(variant, image, executed, death);
      if (!boot) continue;
      boots.push(boot);
      addresses.add(boot.loadAddress);
    }
  }
  const atLink = yield* atLinkAddress(config, image, death);
  return { held: boots.every((boot) => boot.passed), boots: atLink ? [...boots, atLink] : boots };
}

const same = (boot: ProofBoot, variant: RunConfig, entry: 32 | 64): boolean =>
  boot.loadAddress === variant.loadAt &&
  boot.cpu === variant.cpu &&
  (entry === 32 || boot.paging === variant.paging);

/** Undefined where the image does not fit there. */
function* proveAt(
  config: RunConfig,
  image: BzImage,
  executed: ExecutedReference,
  death: Outcome,
): Generator<Tick, ProofBoot | undefined> {
  try {
    const repair = yield* repairFor(config, image, executed, death);
    return repair && (yield* tryRepair(config, image, executed, repair, death));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
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
    const run = new BootRun({ ...passingConfig(config, death), image: image.bytes, loadAt: 0, plainRam: true }, image);
    const outcome = yield* drive(run, 'booting the unrepaired image at its link address');
    return record(run, outcome, false, passed(outcome, death));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

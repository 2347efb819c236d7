// Class A: an absolute address in code that runs unrelocated. Candidates are the executed instructions of the stub whose
// immediate is an address inside the image by its value; likelihood orders them, only the proof decides.

import type { Outcome, RunConfig } from '../../boot/run.ts';
import type { BzImage } from '../../image/bzimage.ts';
import { type SymbolTable, symbolAt, symbolText } from '../../image/symbols.ts';
import type { ExecutedReference, ReferenceRecorder } from '../../record/references.ts';
import { attText, decodeOne } from '../../code/disassembly.ts';
import { adviceOf, explanationOf } from '../catalogue.ts';
import { type Ranges, rangesOf } from '../likelihood.ts';
import { proveRepair, type Tried, tryRepair } from '../proof.ts';
import { ranked } from '../recordedBoot.ts';
import { fixedByTheLinker } from '../fixedByTheLinker.ts';
import { type Change, repairOf } from '../repair.ts';
import { followConstant } from '../steps.ts';
import type { Cause, Culprit, Evidence, Step, Suspicion, Tick } from '../types.ts';

/** Candidates that are tried at most. */
const MAX_TRIES = 24;

export type Found = {
  readonly cause: Cause | undefined;
  readonly suspicions: readonly Suspicion[];
  /** The boot with the cause repaired, just past the death: it can go on. */
  readonly repaired: Tried | undefined;
};

/** A boot that died. */
export type Death = {
  readonly config: RunConfig;
  readonly image: BzImage;
  readonly outcome: Outcome;
  readonly evidence: Evidence;
  readonly recorder: ReferenceRecorder;
};

export function* findPositionDependentReference(dead: Death, symbols: SymbolTable | undefined): Generator<Tick, Found> {
  const suspicions: Suspicion[] = [];
  const candidates = candidatesOf(dead);
  for (const change of candidates.slice(0, MAX_TRIES)) {
    const found = yield* judge(dead, [change], symbols);
    if (found === undefined) continue;
    if ('cause' in found) return { ...found, suspicions };
    suspicions.push(found.suspicion);
  }
  const several = allOfTheLink(dead, candidates);
  const found = several === undefined ? undefined : yield* judge(dead, several, symbols);
  if (found !== undefined && 'cause' in found) return { ...found, suspicions: apartFrom(found.cause, suspicions) };
  return { cause: undefined, suspicions, repaired: undefined };
}

/** What alone was not enough is no suspicion any more where it is part of the cause. */
function apartFrom({ instruction, others }: Cause, suspicions: readonly Suspicion[]): Suspicion[] {
  const blamed = new Set([instruction, ...others.map((other) => other.instruction)].map((i) => i.fileOffset));
  return suspicions.filter((suspicion) => !blamed.has(suspicion.instruction.fileOffset));
}

/** Likeliest first. */
function candidatesOf({ recorder, image }: Pick<Death, 'recorder' | 'image'>): Change[] {
  return ranked(recorder, image).flatMap((executed) => {
    const bias = executed.runtime - executed.link;
    const repair = bias === 0n ? undefined : repairOf(executed, bias);
    return repair === undefined ? [] : [{ executed, repair }];
  });
}

type Judged = { readonly cause: Cause; readonly repaired: Tried } | { readonly suspicion: Suspicion };

/** Undefined where the boot does not come past the death by these changes, or by chance. */
function* judge(
  { config, image, outcome: death, evidence }: Death,
  changes: readonly Change[],
  symbols: SymbolTable | undefined,
): Generator<Tick, Judged | undefined> {
  const [change, ...others] = changes;
  const tried = yield* tryRepair(config, image, changes, death);
  if (!tried.boot.passed || change === undefined) return undefined;
  const { executed, repair } = change;
  const culprit = culpritOf(executed, symbols);
  const steps = yield* followConstant(config, image, executed, death, symbols);
  const proof = yield* proveRepair(config, image, changes, tried.boot, death);
  // A number that is no address may change a death by chance; the forms that compilers also write for plain numbers
  // are believed only where the value was seen being used as an address.
  const isAddress = culprit.form === 'mov-imm32-rex' || steps.length > 0;
  if (!isAddress) return undefined;
  if (!proof.held) return { suspicion: { instruction: culprit, proof } };
  return {
    repaired: tried,
    cause: {
      class: 'position-dependent-reference',
      instruction: culprit,
      repair,
      others: others.map((other) => ({ instruction: culpritOf(other.executed, symbols), repair: other.repair })),
      evidence,
      steps: [firstStep(culprit, rangesOf(image)), ...steps, ...lastStep(evidence, steps)],
      explanation: explanationOf(culprit.form),
      advice: adviceOf(culprit.form),
      proof,
    },
  };
}

/**
 * Where no instruction alone is to blame, several may be: a link without -pie fixes every address that goes through the
 * GOT. Then all that only a linker writes are repaired together, whether they were executed or not, so that what is
 * proved does not depend on the way a boot takes: the one thing changed is what the linker made of them. The first is
 * the likeliest that was executed. Undefined where there are no two.
 */
function allOfTheLink({ image }: Death, executed: readonly Change[]): Change[] | undefined {
  const first = executed.find((change) => change.executed.reference.form === 'mov-imm32-rex');
  if (first === undefined) return undefined;
  const bias = first.executed.runtime - first.executed.link;
  const others = fixedByTheLinker(image).flatMap((reference): Change[] => {
    if (reference.fileOffset === first.executed.fileOffset) return [];
    const moved = { ...reference, runtime: reference.link + bias };
    const repair = repairOf(moved, bias);
    return repair === undefined ? [] : [{ executed: moved, repair }];
  });
  return others.length === 0 ? undefined : [first, ...others];
}

function culpritOf(executed: ExecutedReference, symbols: SymbolTable | undefined): Culprit {
  const { reference, runtime, link, fileOffset, bytes } = executed;
  const insn = decodeOne(bytes, link, 64);
  const text = attText(insn);
  insn.free();
  const name = (address: bigint): string | undefined => {
    const hit = symbols && symbolAt(symbols, address);
    return hit ? symbolText(hit) : undefined;
  };
  const symbol = name(link);
  const target = name(reference.constant);
  return {
    runtimeAddress: runtime,
    linkAddress: link,
    fileOffset,
    bytes,
    text,
    form: reference.form,
    constant: reference.constant,
    bias: runtime - link,
    ...(symbol ? { symbol } : {}),
    ...(target ? { target } : {}),
  };
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function firstStep(culprit: Culprit, ranges: Ranges): Step {
  const { constant, bias } = culprit;
  const right = constant + bias;
  const part = constant >= ranges.bodyStart ? 'code, data or bss' : constant < ranges.headEnd ? 'head' : 'payload';
  const named = culprit.target ? ` (${culprit.target})` : '';
  return {
    instruction: culprit,
    what: `uses the constant ${hex(constant)}${named}: a link address in the stub's ${part}. The stub runs ${hex(bias)} above its link address, so the thing itself lies at ${hex(right)}; at ${hex(constant)} lies something else or nothing`,
  };
}

/** The death, where following the constant has not already led to it. */
function lastStep({ at }: Evidence, steps: readonly Step[]): Step[] {
  if (!at || steps.at(-1)?.instruction?.runtimeAddress === at.runtimeAddress) return [];
  return [{ instruction: at, what: 'is where the boot ends' }];
}

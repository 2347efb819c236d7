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
import { repairOf } from '../repair.ts';
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
  const { config, image, outcome: death, evidence } = dead;
  const ranges = rangesOf(image);
  const suspicions: Suspicion[] = [];
  for (const executed of ranked(dead.recorder, image).slice(0, MAX_TRIES)) {
    const bias = executed.runtime - executed.link;
    const repair = repairOf(executed, bias);
    if (!repair || bias === 0n) continue;
    const tried = yield* tryRepair(config, image, executed, repair, death);
    if (!tried.boot.passed) continue;
    const culprit = culpritOf(executed, symbols);
    const steps = yield* followConstant(config, image, executed, death, symbols);
    const proof = yield* proveRepair(config, image, executed, tried.boot, death);
    // A number that is no address may change a death by chance; the forms that compilers also write for plain numbers
    // are believed only where the value was seen being used as an address.
    const isAddress = culprit.form === 'mov-imm32-rex' || steps.length > 0;
    if (!isAddress) continue;
    if (!proof.held) {
      suspicions.push({ instruction: culprit, proof });
      continue;
    }
    return {
      suspicions,
      repaired: tried,
      cause: {
        class: 'position-dependent-reference',
        instruction: culprit,
        repair: { bytes: repair.bytes, text: repair.text },
        evidence,
        steps: [firstStep(culprit, ranges), ...steps, ...lastStep(evidence, steps)],
        explanation: explanationOf(culprit.form),
        advice: adviceOf(culprit.form),
        proof,
      },
    };
  }
  return { cause: undefined, suspicions, repaired: undefined };
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

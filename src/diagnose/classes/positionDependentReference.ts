// Class A: an absolute address in code that runs unrelocated. Candidates are the executed instructions of the stub whose
// immediate is an address inside the image by its value; likelihood orders them, only the proof decides.

import { BootRun, type Outcome, type RunConfig } from '../../boot/run.ts';
import type { BzImage } from '../../image/bzimage.ts';
import type { Reference } from '../../image/references.ts';
import { type SymbolTable, symbolAt, symbolText } from '../../image/symbols.ts';
import { type ExecutedReference, ReferenceRecorder } from '../../record/references.ts';
import { decodeOne } from '../../cpu/codeCache.ts';
import { adviceOf, explanationOf } from '../catalogue.ts';
import { driveUntil } from '../drive.ts';
import { attText } from '../instructionAt.ts';
import { proveRepair, tryRepair } from '../proof.ts';
import { repairOf } from '../repair.ts';
import { followConstant } from '../steps.ts';
import type { Cause, Culprit, Evidence, Step, Suspicion, Tick } from '../types.ts';

/** Room for the stub's .bss, heap, stack and page tables behind what the file holds. */
const BSS_ROOM = 5 * 2 ** 20;
/** Candidates that are tried at most. */
const MAX_TRIES = 24;

/** Link addresses of the stub's own code, data and bss: the image without its payload. */
type Ranges = { readonly headEnd: bigint; readonly bodyStart: bigint; readonly end: bigint };

function rangesOf(image: BzImage): Ranges {
  const { fileOffset, size } = image.protectedMode;
  const end = BigInt(size + BSS_ROOM);
  if (!image.payload) return { headEnd: 0n, bodyStart: 0n, end };
  const start = image.payload.fileOffset - fileOffset;
  return { headEnd: BigInt(start), bodyStart: BigInt(start + image.payload.length), end };
}

/**
 * How likely a constant is an address of the stub; 0 for not at all. A 7-byte mov of a positive number is a linker's:
 * compilers and assemblers write the 5-byte form. Low addresses look like small numbers, so the other forms need one
 * behind the payload.
 */
function likelihood({ form, constant }: Reference, ranges: Ranges): number {
  if (constant <= 0n || constant >= ranges.end) return 0;
  const inBody = constant >= ranges.bodyStart;
  if (form === 'mov-imm32-rex') return inBody ? 5 : constant < ranges.headEnd ? 4 : 3;
  if (!inBody) return 0;
  return constant % 4096n === 0n ? 1 : 2;
}

export type Found = { readonly cause: Cause | undefined; readonly suspicions: readonly Suspicion[] };

/** @param config boots the sick image @param death how it dies */
export function* findPositionDependentReference(
  config: RunConfig,
  image: BzImage,
  death: Outcome,
  evidence: Evidence,
  symbols: SymbolTable | undefined,
): Generator<Tick, Found> {
  const ranges = rangesOf(image);
  const candidates = yield* executedReferences(config, image, death, ranges);
  const suspicions: Suspicion[] = [];
  for (const executed of candidates.slice(0, MAX_TRIES)) {
    const bias = executed.runtime - executed.link;
    const repair = repairOf(executed, bias);
    if (!repair || bias === 0n) continue;
    const first = yield* tryRepair(config, image, executed, repair, death);
    if (!first.passed) continue;
    const culprit = culpritOf(executed, symbols);
    const proof = yield* proveRepair(config, image, executed, first, death);
    if (!proof.held) {
      suspicions.push({ instruction: culprit, proof });
      continue;
    }
    const steps = yield* followConstant(config, image, executed, death, symbols);
    return {
      suspicions,
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
  return { cause: undefined, suspicions };
}

/** Every candidate the run executed before it died: likeliest first, and among equals the one executed last. */
function* executedReferences(
  config: RunConfig,
  image: BzImage,
  death: Outcome,
  ranges: Ranges,
): Generator<Tick, ExecutedReference[]> {
  const run = new BootRun(config, image);
  const recorder = new ReferenceRecorder(run, image, (reference) => likelihood(reference, ranges) > 0);
  yield* driveUntil(run, death.instructions, 'recording absolute references');
  const score = (executed: ExecutedReference): number => likelihood(executed.reference, ranges);
  const found = [...recorder.executed.values()];
  return found.sort((a, b) => score(b) - score(a) || Number(b.last - a.last));
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
function lastStep(evidence: Evidence, steps: readonly Step[]): Step[] {
  const { at, writer } = evidence;
  const last = steps.at(-1);
  if (!at || last?.instruction?.runtimeAddress === at.runtimeAddress) return [];
  const from = writer ? `, bytes that ${writer.instruction.text} at ${hex(writer.instruction.runtimeAddress)} had written there` : '';
  return [{ instruction: at, what: `is where the boot ends${from}` }];
}


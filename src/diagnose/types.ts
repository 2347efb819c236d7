// What a diagnosis is made of. Plain data: reports print it, JSON carries it.

import type { Outcome, RunConfig, RunResult } from '../boot/run.ts';
import type { Stage } from '../boot/stages.ts';
import type { ReferenceForm } from '../code/references.ts';

/** An instruction as far as it is known. Addresses are linear; link addresses and offsets only for code of the image. */
export type InstructionAt = {
  readonly runtimeAddress: bigint;
  readonly bytes: Uint8Array;
  /** AT&T text. */
  readonly text: string;
  readonly linkAddress?: bigint;
  readonly fileOffset?: number;
  /** Symbol and offset, where symbols were given. */
  readonly symbol?: string;
};

/** Where a run ended and what stood there. */
export type Evidence = {
  readonly outcome: Outcome;
  /** The instruction the first exception reports, or that the processor stopped or loops at. */
  readonly at: InstructionAt | undefined;
  /** Nothing at all was printed. */
  readonly silent: boolean;
  /** Last line on the console. */
  readonly lastWords: string;
  /** The last instruction that wrote the bytes at `at`, where they are not the stub's own code. */
  readonly writer?: Writer;
};

export type Writer = {
  readonly instruction: InstructionAt;
  /** Instructions retired before it. */
  readonly instructions: bigint;
  /** Where the bytes came from, for a string move. */
  readonly source?: bigint;
};

/** One step of the way from the constant to the death, in the order in which they happened. */
export type Step = { readonly what: string; readonly instruction?: InstructionAt };

export type ProofBoot = {
  readonly loadAddress: number;
  readonly entry: 32 | 64;
  readonly paging: 4 | 5;
  readonly cpu: string;
  /** With the culprit rewritten, or the image as it is. */
  readonly repaired: boolean;
  /** RAM without the PC's hole below 1 MiB. */
  readonly plainRam: boolean;
  /** Came past the point of death: reached a later stage, or lived on well beyond the instruction count of the death. */
  readonly passed: boolean;
  /** How the boot stood when that was decided; 'alive' where it was still running. */
  readonly outcome: Outcome['kind'] | 'alive';
  readonly stage: Stage;
  readonly instructions: bigint;
};

export type Proof = { readonly held: boolean; readonly boots: readonly ProofBoot[] };

export type Culprit = InstructionAt & {
  readonly linkAddress: bigint;
  readonly fileOffset: number;
  readonly form: ReferenceForm;
  readonly constant: bigint;
  /** Run-time address less link address at which it ran. */
  readonly bias: bigint;
  /** Symbol at the constant, where symbols were given. */
  readonly target?: string;
};

export type RepairedInstruction = {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** Right at every load address; else the right address was put in, for each load address its own. */
  readonly everywhere: boolean;
};

export type Cause = {
  readonly class: 'position-dependent-reference';
  readonly instruction: Culprit;
  /** What was put in its place to prove it, and as text. */
  readonly repair: RepairedInstruction;
  /** Instructions that had to be repaired together with it: a link that fixed one address fixed others. */
  readonly others: readonly { readonly instruction: Culprit; readonly repair: RepairedInstruction }[];
  readonly evidence: Evidence;
  readonly steps: readonly Step[];
  readonly explanation: string;
  readonly advice: string;
  readonly proof: Proof;
};

/** A reference that fits a class but whose proof did not hold. Printed as a suspicion, never as a cause. */
export type Suspicion = { readonly instruction: Culprit; readonly proof: Proof };

export type Diagnosis = {
  readonly config: RunConfig;
  /** The image as it was given. */
  readonly first: RunResult;
  readonly causes: readonly Cause[];
  readonly suspicions: readonly Suspicion[];
  /** The last boot, with every proven cause repaired; the first one where there was none. */
  readonly last: RunResult;
  /** How the last boot died, where it did: not explained. */
  readonly unexplained: Evidence | undefined;
};

/** What a diagnosis is doing, for progress lines. It yields between stretches of guest time. */
export type Tick = { readonly doing: string; readonly instructions: bigint };

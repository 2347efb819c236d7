// What a diagnosis is made of. Plain data: reports print it, JSON carries it.

import type { Outcome, RunConfig, RunResult } from '../run/run.ts';
import type { Alias } from '../run/interventions/alias.ts';
import type { Stage } from '../run/stages.ts';
import type { Registers } from './registers.ts';
import type { Explanation } from './explain.ts';
import type { ReferenceForm } from '../code/references.ts';
import type { Owner } from '../record/location.ts';

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
  /** Whose place it is, where it is not the image's. */
  readonly owner?: Owner;
};

/** Where a run ended and what stood there. */
export type Evidence = {
  readonly outcome: Outcome;
  /** The instruction the first exception reports, or that the processor stopped or loops at. */
  readonly at: InstructionAt | undefined;
  /** The check that raised the first exception of a triple fault, with the values it was made on. */
  readonly reason?: Explanation;
  /** The processor's registers as the run left them; of a triple fault those that the first exception found. */
  readonly registers: Registers;
  /** Nothing at all was printed, neither on the console nor on the text screen. */
  readonly silent: boolean;
  /** The last lines on the console or, where it printed there only, on the text screen. */
  readonly lastWords: string;
  /** The lines in which it says itself what went wrong, first ones first; none where it says nothing of that kind. */
  readonly complaints: readonly string[];
  /** Where they stood. */
  readonly lastWordsOn: 'console' | 'screen';
  /** The last instruction that wrote the bytes at `at`, where they are not the stub's own code. */
  readonly writer?: Writer;
  /** The last instruction of the image that went there, or to where execution ran on from, where `at` is none of the image. */
  readonly jump?: Jump;
};

export type Jump = {
  readonly instruction: InstructionAt;
  /** Instructions retired before it. */
  readonly instructions: bigint;
  readonly target: bigint;
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

/** What stands where the culprit is: the right value, what was given, or another wrong value. */
export type Variant = 'repaired' | 'as-given' | 'wrong-value';

export type ProofBoot = {
  readonly loadAddress: number;
  readonly entry: 32 | 64;
  readonly paging: 4 | 5;
  readonly cpu: string;
  readonly variant: Variant;
  /** RAM without the PC's hole below 1 MiB. */
  readonly plainRam: boolean;
  /** Memory seen at a second address, where the constant points. */
  readonly alias: Alias | undefined;
  /** Came past the point of death: reached a later stage, or met another death, later and elsewhere. */
  readonly passed: boolean;
  /** How the boot stood when that was decided; 'alive' where it was still running. */
  readonly outcome: Outcome['kind'] | 'alive';
  readonly stage: Stage;
  readonly instructions: bigint;
};

/** Another value in the culprit's place that is as wrong as its own: it may not heal. */
export type Control = {
  /** What was put in, as text of the instruction. */
  readonly text: string;
  /** `same-kind`: a link address too, of another place; `far`: an address above the loaded image that belongs to nobody. */
  readonly kind: 'same-kind' | 'far';
  readonly boot: ProofBoot;
};

/**
 * The culprit as it was given, with the load bias of what it means made 0, beside the same machine with another bias.
 * `bias-zero`: the stub lies at its link address; `alias`: what the constant means is seen where the constant points.
 */
export type CounterCheck =
  | {
      readonly verdict: 'held' | 'failed';
      readonly by: 'bias-zero' | 'alias';
      readonly withBias: ProofBoot;
      readonly without: ProofBoot;
    }
  /** In words, to stand behind "because". */
  | { readonly verdict: 'not-made'; readonly because: string };

export type Proof = {
  readonly held: boolean;
  /** The repaired image: at several load addresses, in several modes. */
  readonly boots: readonly ProofBoot[];
  readonly controls: readonly Control[];
  readonly counterCheck: CounterCheck;
};

export type Culprit = InstructionAt & {
  readonly linkAddress: bigint;
  readonly fileOffset: number;
  readonly form: ReferenceForm;
  /** The mode whose code it is. */
  readonly bits: 32 | 64;
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

/** An instruction that was rewritten together with the one that is named. */
export type Other = { readonly instruction: Culprit; readonly repair: RepairedInstruction };

/** What is known of every cause, whatever its class (classes/table.ts), and what a report asks its class for. */
export type Cause = {
  /** The name of its class. */
  readonly class: string;
  readonly evidence: Evidence;
  readonly proof: { readonly held: boolean };
};

/** What fits a class but whose proof did not hold. Printed as a suspicion, never as a cause. */
export type Suspicion = { readonly class: string; readonly proof: { readonly held: boolean } };

export type ReferenceCause = {
  readonly class: 'position-dependent-reference';
  readonly instruction: Culprit;
  /** What was put in its place to prove it, and as text. */
  readonly repair: RepairedInstruction;
  /** Instructions that had to be repaired together with it: a link that fixed one address fixed others. */
  readonly others: readonly Other[];
  readonly evidence: Evidence;
  readonly steps: readonly Step[];
  readonly explanation: string;
  readonly advice: string;
  readonly proof: Proof;
};

export type ReferenceSuspicion = {
  readonly class: 'position-dependent-reference';
  readonly instruction: Culprit;
  readonly others: readonly Other[];
  readonly proof: Proof;
};

/** A boot that differs in one thing: its command line makes the guest speak on the serial port. */
export type Spoken = { readonly config: RunConfig; readonly result: RunResult };

/** What one way into the image has come to. */
export type WayDiagnosis = {
  readonly config: RunConfig;
  /** The image as it was given. */
  readonly first: RunResult;
  /** Where that said nothing: the same with words that make it speak. What follows is about it, then. */
  readonly spoken?: Spoken | undefined;
  readonly causes: readonly Cause[];
  readonly suspicions: readonly Suspicion[];
  /** The last boot, with every proven cause repaired; the first one where there was none. */
  readonly last: RunResult;
  /** What may have been to blame and was not tried, since there were too many or each took too long. */
  readonly untried?: number;
  /** How the last boot died, where it did: not explained. */
  readonly unexplained: Evidence | undefined;
};

/** Another way into the image, tried where the one asked for passes; or why the loader does not take it. */
export type OtherEntry = WayDiagnosis | { readonly config: RunConfig; readonly refusal: string };

export type Diagnosis = WayDiagnosis & { readonly entries: readonly OtherEntry[] };

/** What a diagnosis is doing, for progress lines. It yields between stretches of guest time. */
export type Tick = { readonly doing: string; readonly instructions: bigint };

// A class of deaths: what is observed for it, how its causes are found and proved, and the words and facts they are told in.
// One file in this folder and one row of table.ts; whoever diagnoses or reports knows no class by its name.

import type { Line } from '../../bits/lines.ts';
import type { KernelImage } from '../../image/image.ts';
import type { BootRun } from '../../run/run.ts';
import type { Case } from '../case.ts';
import type { Tried } from '../trials.ts';
import type { Cause, Suspicion, Tick } from '../types.ts';

export type Found<C = Cause, S = Suspicion> = {
  readonly cause: C | undefined;
  /** What fits the class and is not proved. */
  readonly suspicions: readonly S[];
  /** The boot with the cause repaired, just past the death: it can go on. */
  readonly repaired: Tried | undefined;
};

/** @typeParam C its causes  @typeParam S its suspicions */
export type DeathClass<C extends Cause = Cause, S extends Suspicion = Suspicion> = {
  /** In JSON, and in the words of a death without a cause: kebab-case. */
  readonly name: string;
  /** What is looked for, to stand before its name in brackets. */
  readonly looksFor: string;
  /** Attaches what it wants observed to each boot of a diagnosis, before that starts; a case has it by the name of the class. */
  readonly observe?: (run: BootRun) => unknown;
  /** Suspects by the evidence, what is changed to try each, and what makes one believed. */
  find(dead: Case): Generator<Tick, Found<C, S>>;
  readonly words: {
    /** In capitals, behind "CAUSE 1: ". */
    readonly title: string;
    /** All that is told of a cause, but for the death itself. */
    cause(cause: C, image: KernelImage): readonly Line[];
    /** What is wrong and where, in one line. */
    place(found: C | S): string;
    /** With what nothing of the end would be: "the instruction below rewritten". */
    repaired: string;
    /** The same of all its causes together: "that one instruction rewritten in memory". */
    allRepaired(causes: readonly C[]): string;
    suspicion(suspicion: S): readonly Line[];
  };
  /** As JSON, what stands beside the cause's class and its evidence. */
  facts(cause: C): { readonly proof: object };
  suspicionFacts(suspicion: S): object;
};

/** The row of what was found. */
export function classOf(found: Cause | Suspicion, classes: readonly DeathClass[]): DeathClass {
  const row = classes.find(({ name }) => name === found.class);
  if (row === undefined) throw new Error(`no class of deaths is called ${found.class}`);
  return row;
}

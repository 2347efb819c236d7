// Diagnoses one mutant of scripts/accept/why-mutants.ts at a time, in a process of its own.
import { readFileSync } from 'node:fs';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { referenceCauses, referenceSuspicions } from '../../src/diagnose/classes/executedReferences.ts';
import { diagnose } from '../../src/diagnose/why.ts';
import { judgedMutants, mutantConfig } from '../../test/support/mutants.ts';
import { answer } from './pool.ts';

export interface MutantTask {
  readonly image: string;
  readonly fileOffset: number;
  /** Index into the list's ways. */
  readonly way: number;
  /** Load addresses at which a proof is made. */
  readonly addresses?: number | undefined;
}

export interface MutantRow {
  /** How it died here, and at which stage. */
  readonly end: string;
  readonly instructions: number;
  /** Each cause: is it the mutated instruction, and was it proved? */
  readonly causes: readonly ('right' | 'wrong' | 'unproved')[];
  readonly suspicions: readonly string[];
  /** It is suspected, and nothing else is. */
  readonly suspected: boolean;
  /** The end of the boot with all causes repaired. */
  readonly last: string;
  readonly secondsToCause: number;
  readonly seconds: number;
}

const list = judgedMutants();

function why({ image, fileOffset, way, addresses }: MutantTask): MutantRow {
  const chosen = list.ways[way];
  if (!chosen) throw new Error(`there is no way ${way}`);
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  let secondsToCause = 0;
  const config = mutantConfig(list, new Uint8Array(readFileSync(image)), fileOffset, chosen);
  const work = diagnose(config, { addresses, onCause: () => (secondsToCause ||= seconds()) });
  for (;;) {
    const step = work.next();
    if (!step.done) continue;
    const { first, last } = step.value;
    const causes = referenceCauses(step.value.causes);
    const suspicions = referenceSuspicions(step.value.suspicions);
    const isRight = (cause: (typeof causes)[number]): boolean => cause.instruction.fileOffset === fileOffset;
    const suspects = suspicions.map(({ instruction }) => instruction.fileOffset);
    return {
      suspected: suspects.length > 0 && suspects.every((suspect) => suspect === fileOffset),
      end: `${first.outcome.kind}@${first.outcome.stage}`,
      instructions: Number(first.outcome.instructions),
      causes: causes.map((cause) => (!isRight(cause) ? 'wrong' : cause.proof.held ? 'right' : 'unproved')),
      suspicions: suspicions.map((suspicion) => suspicion.instruction.text),
      last: `${last.outcome.kind}@${last.outcome.stage}`,
      secondsToCause,
      seconds: seconds(),
    };
  }
}

setV8Flags();
answer(why);

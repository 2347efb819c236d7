// A class of deaths for tests: a byte of the stub has a value on which it halts. What a class needs is in this one file.
import { hex } from '../../../src/bits/hex.ts';
import { type Line, paragraph } from '../../../src/bits/lines.ts';
import { findBySuspects, type Suspect, type SuspectProof } from '../../../src/diagnose/classes/bySuspects.ts';
import type { DeathClass } from '../../../src/diagnose/classes/class.ts';
import { proofBootJson } from '../../../src/diagnose/facts.ts';
import type { Evidence } from '../../../src/diagnose/types.ts';
import type { What } from '../../../src/run/interventions/table.ts';
import { fileOffsetOf } from '../support.ts';

const NAME = 'test-flag-byte';
/** Link address of the byte, and the value with which the guest goes on. */
export const FLAG = 0x340;
export const GOOD = 0x5a;

type Flag = { readonly class: typeof NAME; readonly fileOffset: number; readonly proof: SuspectProof };
type FlagCause = Flag & { readonly evidence: Evidence };

const withByte = (value: number): What[] => [
  { kind: 'image', fileOffset: fileOffsetOf(FLAG), bytes: Uint8Array.of(value) },
];

const placeOf = ({ fileOffset }: Flag): string => `the flag at file offset ${hex(fileOffset)}`;

const linesOf = (flag: Flag): Line[] => [
  paragraph(`The byte at file offset ${hex(flag.fileOffset)} has to be ${hex(GOOD)}.`),
  paragraph(`Repaired, it passes in ${flag.proof.boots.length} boots.`),
];

const factsOf = ({ fileOffset, proof }: Flag) => ({
  fileOffset,
  proof: {
    held: proof.held,
    boots: proof.boots.map(proofBootJson),
    controls: proof.controls.map(({ text, boot }) => ({ text, boot: proofBootJson(boot) })),
  },
});

/** @param values that are tried; other than GOOD each is wrong */
export const flagByte = (values: readonly number[], wrong: readonly number[]): DeathClass<FlagCause, Flag> => ({
  name: NAME,
  looksFor: 'a flag byte that is wrong',
  observe: ({ boot }) => boot.loadAddress,
  *find(dead) {
    if (dead.evidence.outcome.kind !== 'halt' || typeof dead.observed.get(NAME) !== 'number') {
      return { cause: undefined, suspicions: [], repaired: undefined };
    }
    const suspects = values.map(
      (value): Suspect<number> => ({
        of: fileOffsetOf(FLAG),
        doing: `booting with the flag ${hex(value)}`,
        repair: withByte(value),
        wrong: wrong.map((other) => ({ text: hex(other), change: withByte(other) })),
      }),
    );
    return yield* findBySuspects(dead, suspects, {
      cause: (fileOffset, proof) => ({ class: NAME, fileOffset, proof, evidence: dead.evidence }),
      suspicion: (fileOffset, proof) => ({ class: NAME, fileOffset, proof }),
    });
  },
  words: {
    title: 'A FLAG BYTE',
    cause: linesOf,
    place: placeOf,
    repaired: 'the byte below set right',
    allRepaired: () => 'that byte set right',
    suspicion: (flag) => [...linesOf(flag), paragraph('That is not proved.')],
  },
  facts: factsOf,
  suspicionFacts: (flag) => ({ class: NAME, ...factsOf(flag) }),
});

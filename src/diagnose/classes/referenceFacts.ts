// Position-dependent references as JSON.

import { hex, hexBytes } from '../../bits/hex.ts';
import { instructionJson, proofBootJson, stepJson } from '../facts.ts';
import type { CounterCheck, Culprit, Other, Proof, ReferenceCause, ReferenceSuspicion } from '../types.ts';

export const facts = (cause: ReferenceCause) => ({
  instruction: culpritJson(cause.instruction),
  steps: cause.steps.map(stepJson),
  explanation: cause.explanation,
  advice: cause.advice,
  repair: repairJson(cause.repair),
  others: cause.others.map(otherJson),
  proof: proofJson(cause.proof),
});

const otherJson = ({ instruction, repair }: Other) => ({
  instruction: culpritJson(instruction),
  repair: repairJson(repair),
});

const repairJson = ({ bytes, text }: ReferenceCause['repair']) => ({ bytes: hexBytes(bytes), text });

export const suspicionFacts = ({ instruction, others, proof }: ReferenceSuspicion) => ({
  instruction: culpritJson(instruction),
  others: others.map(otherJson),
  proof: proofJson(proof),
});

const culpritJson = (culprit: Culprit) => ({
  ...instructionJson(culprit),
  target: culprit.target ?? null,
  form: culprit.form,
  bits: culprit.bits,
  constant: hex(culprit.constant),
  bias: hex(culprit.bias),
});

const proofJson = ({ held, boots, controls, counterCheck }: Proof) => ({
  held,
  boots: boots.map(proofBootJson),
  controls: controls.map(({ kind, text, boot }) => ({ kind, text, boot: proofBootJson(boot) })),
  counterCheck: counterCheckJson(counterCheck),
});

const counterCheckJson = (check: CounterCheck) =>
  check.verdict === 'not-made'
    ? { verdict: check.verdict, because: check.because }
    : {
        verdict: check.verdict,
        by: check.by,
        withBias: proofBootJson(check.withBias),
        without: proofBootJson(check.without),
      };

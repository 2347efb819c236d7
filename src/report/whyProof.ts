// The boots of a proof as a table, and what they show.

import { hex } from '../bits/hex.ts';
import type { Proof, ProofBoot } from '../diagnose/types.ts';
import { BLANK, type Line, paragraph, tableRows } from './lines.ts';

const HEAD = ['image', 'loaded at', 'entry', 'paging', 'CPU', 'result'];

/** How a boot that did not pass ended. */
const ENDS: Readonly<Record<ProofBoot['outcome'], string>> = {
  'stage-reached': 'reached its stage',
  'text-seen': 'showed its text',
  'triple-fault': 'triple fault',
  'powered-off': 'powered off',
  'debug-exit': 'ended by debug-exit',
  reset: 'reset',
  halt: 'halted for ever',
  hang: 'hang',
  panic: 'kernel panic',
  'instruction-limit': 'instruction limit',
  'memory-limit': 'memory limit',
  alive: 'still running',
};

export function proofLines(proof: Proof): Line[] {
  const rows = tableRows([HEAD, ...proof.boots.map(rowOf)]);
  const tones = ['note', ...proof.boots.map((boot) => (boot.passed ? 'good' : 'bad'))] as const;
  return [
    BLANK,
    ...rows.map((text, i): Line => ({ text, indent: 4, whole: true, tone: tones[i] ?? 'plain' })),
    BLANK,
    paragraph(summary(proof)),
    ...proof.boots.filter((boot) => boot.plainRam).map((boot) => paragraph(plainRamText(boot))),
  ];
}

const rowOf = (boot: ProofBoot): string[] => [
  boot.repaired ? 'repaired' : 'as given',
  hex(boot.loadAddress) + (boot.plainRam ? ', plain RAM' : ''),
  `${boot.entry}-bit`,
  boot.entry === 32 ? '-' : `${boot.paging}-level`,
  boot.cpu,
  resultText(boot),
];

const resultText = ({ passed, stage, outcome }: ProofBoot): string =>
  passed ? `passes, comes to ${stage}` : `does not pass: ${ENDS[outcome]}, after ${stage}`;

function summary({ held, boots }: Proof): string {
  const repaired = boots.filter((boot) => boot.repaired);
  const passed = repaired.filter((boot) => boot.passed);
  const addresses = new Set(repaired.map((boot) => boot.loadAddress)).size;
  const where = addresses === 1 ? 'at one load address' : `at ${addresses} load addresses`;
  const all = passed.length === repaired.length ? 'all' : `${passed.length} of`;
  const verdict = held ? 'proved' : 'not proved';
  return `Repaired, it passes the point of death in ${all} ${repaired.length} ${repaired.length === 1 ? 'boot' : 'boots'}, ${where}: ${verdict}.`;
}

function plainRamText({ passed }: ProofBoot): string {
  const machine = 'in a machine with plain RAM at its link address, which no PC has,';
  return passed
    ? `As given, ${machine} it passes too: there the fixed address is the right one.`
    : `As given, ${machine} it does not pass either.`;
}

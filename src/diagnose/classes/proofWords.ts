// The boots of a proof as a table, and what they show.

import { hex } from '../../bits/hex.ts';
import type { Control, CounterCheck, Proof, ProofBoot, Variant } from '../types.ts';
import { BLANK, type Line, paragraph, tableRows } from '../../bits/lines.ts';

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
  'no-progress': 'no progress seen',
  panic: 'kernel panic',
  'instruction-limit': 'instruction limit',
  'memory-limit': 'memory limit',
  alive: 'still running',
};

const IMAGES: Readonly<Record<Variant, string>> = {
  repaired: 'repaired',
  'as-given': 'as given',
  'wrong-value': 'wrong value',
};

export function proofLines(proof: Proof): Line[] {
  const { boots, controls, counterCheck } = proof;
  const wanted = boots.map((boot) => ({ boot, good: boot.passed }));
  const wrong = controls.map(({ boot }) => ({ boot, good: !boot.passed }));
  const rows = [...wanted, ...wrong, ...counterRows(counterCheck)];
  const tones = ['note', ...rows.map(({ good }) => (good ? 'good' : 'bad'))] as const;
  return [
    BLANK,
    ...tableRows([HEAD, ...rows.map(({ boot }) => rowOf(boot))]).map(
      (text, i): Line => ({ text, indent: 4, whole: true, tone: tones[i] ?? 'plain' }),
    ),
    BLANK,
    paragraph(summary(proof)),
    ...(controls.length === 0 ? [] : [paragraph(controlsText(controls))]),
    paragraph(counterText(counterCheck)),
  ];
}

const counterRows = (check: CounterCheck) =>
  check.verdict === 'not-made'
    ? []
    : [
        { boot: check.withBias, good: !check.withBias.passed },
        { boot: check.without, good: check.without.passed },
      ];

const rowOf = (boot: ProofBoot): string[] => [
  IMAGES[boot.variant],
  hex(boot.loadAddress) + (boot.plainRam ? ', plain RAM' : '') + (boot.alias ? ', seen twice' : ''),
  `${boot.entry}-bit`,
  boot.entry === 32 ? '-' : `${boot.paging}-level`,
  boot.cpu,
  resultText(boot),
];

const resultText = ({ passed, stage, outcome }: ProofBoot): string =>
  passed ? `passes, comes to ${stage}` : `fails: ${ENDS[outcome]}, after ${stage}`;

function summary({ held, boots }: Proof): string {
  const passed = boots.filter((boot) => boot.passed);
  const addresses = new Set(boots.map((boot) => boot.loadAddress)).size;
  const where = addresses === 1 ? 'at one load address' : `at ${addresses} load addresses`;
  const all = passed.length === boots.length ? 'all' : `${passed.length} of`;
  const verdict = held ? 'proved' : 'not proved';
  return `Repaired, it passes the point of death in ${all} ${boots.length} ${boots.length === 1 ? 'boot' : 'boots'}, ${where}: ${verdict}.`;
}

function controlsText(controls: readonly Control[]): string {
  const healing = controls.find(({ boot }) => boot.passed);
  const tried = controls.map(({ text }) => `\`${text.replace(/\s+/g, ' ')}\``).join(', ');
  return healing === undefined
    ? `Negative control: with another wrong value in its place (${tried}) it dies as before, so the right one heals because it is right.`
    : `Negative control: with another wrong value in its place (${tried}) it comes past its death too, so the right one may heal by chance.`;
}

const VERDICTS: Readonly<Record<'held' | 'failed', string>> = {
  held: 'there the fixed address is the right one, and as given the image passes',
  failed: 'there the fixed address is the right one, and yet the image does not pass',
};

function counterText(check: CounterCheck): string {
  if (check.verdict === 'not-made') {
    return `Counter-check, as given with a load bias of 0: not made, because ${check.because}.`;
  }
  const { alias } = check.without;
  const machine =
    alias === undefined
      ? 'in a machine with plain RAM, which no PC has, as given at its link address and elsewhere'
      : `as given, in a machine whose memory from ${hex(alias.from)} is that from ${hex(alias.to)}, where the stub has what is meant, and without that`;
  return `Counter-check, ${machine}: ${VERDICTS[check.verdict]}. The load bias is the one difference between the two.`;
}

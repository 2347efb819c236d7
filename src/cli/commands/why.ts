// `firstlight why [IMAGE]`: the answer on stdout, piece by piece as it becomes known; progress on stderr.

import { fileURLToPath } from 'node:url';
import { MIB } from '../../bits/sizes.ts';
import { BootRun, type RunConfig, type RunResult } from '../../run/run.ts';
import { wellEnded } from '../../diagnose/ending.ts';
import { livesMute } from '../../diagnose/mute.ts';
import type { Diagnosis, Tick, WayDiagnosis } from '../../diagnose/types.ts';
import { diagnose } from '../../diagnose/why.ts';
import { parseSymbols } from '../../image/symbols.ts';
import { type Given, optionsOf } from '../../options/row.ts';
import { OPTIONS } from '../../options/table.ts';
import type { Line } from '../../bits/lines.ts';
import { commandLineText, imageText, machineText } from '../../report/machine.ts';
import { instructionsText } from '../../report/numbers.ts';
import { endLines, firstLines, foundLines, quietEntry, quietLines } from '../../report/why.ts';
import { entryHeading, spokenLines } from '../../report/whyEnd.ts';
import { whyJson } from '../../report/whyJson.ts';
import type { Command } from '../command.ts';
import { driveWork } from '../drive.ts';
import { EXIT, exitCodeOf, type Stopped, stoppedBy } from '../exit.ts';
import { readInput } from '../files.ts';
import { uninterrupted } from '../io.ts';
import { type BootInput, checkAgainstEntry, imageOperand, readBootInput } from '../options.ts';
import { Screen } from '../screen.ts';
import type { CommandUsage } from '../usage.ts';

/** A vmlinux with debug information has some 400 MiB. */
const LARGEST_SYMBOLS = 1024 * MIB;

/** The failure of samples/README.md, bundled so that there is something to show without a kernel. */
const SAMPLE = new URL('../../../samples/built/bad.bzImage', import.meta.url);
const SAMPLE_SYMBOLS = new URL('../../../samples/built/bad.elf', import.meta.url);

const DEMONSTRATION =
  'No image was given, so this is a demonstration on the bundled sample, samples/built/bad.bzImage: a boot stub that was linked without -pie.';
const CLOSING: readonly Line[] = [
  { text: '' },
  { text: 'Now with a kernel of yours: firstlight why path/to/bzImage', tone: 'note' },
];

export const whyUsage: CommandUsage = {
  name: 'why',
  operand: '[IMAGE]',
  summary: 'boot it and, where it dies silently, say why and prove it',
  intro: [
    'Boots an image as `firstlight boot` does. Where it dies, says how, walks back from there to',
    'the instruction that is to blame, and proves it by booting again with that one repaired.',
    'Where it passes, the other entry that boot loaders take is tried too, unless --entry names',
    'one. Where it says nothing for want of words on its command line, it is booted with them.',
    'Without IMAGE: a bundled sample that dies before it prints a word.',
  ],
  options: optionsOf('why', OPTIONS),
  outro: ['Example:', '  firstlight why vmlinuz --symbols arch/x86/boot/compressed/vmlinux'],
};

export type WhyInput = BootInput & {
  readonly symbols: ReturnType<typeof parseSymbols> | undefined;
  /** No image was given: this is a demonstration, and went well if the cause was found and proved. */
  readonly isSample: boolean;
};

/** Throws UsageError and InputError. */
export function readWhyInput(given: Given): WhyInput {
  const path = imageOperand(given);
  const input = readBootInput(given, path ?? fileURLToPath(SAMPLE), true);
  const symbolsPath = given.values.get('symbols') ?? (path === undefined ? fileURLToPath(SAMPLE_SYMBOLS) : undefined);
  const symbols =
    symbolsPath === undefined ? undefined : parseSymbols(readInput(symbolsPath, LARGEST_SYMBOLS, 'symbols need'));
  return { ...input, symbols, isSample: path === undefined };
}

export const why: Command = {
  usage: whyUsage,
  async run(given, io) {
    const input = readWhyInput(given);
    const screen = new Screen(io);
    const json = given.switches.has('json');
    const quiet = given.switches.has('quiet');
    const tell = json || quiet ? undefined : (lines: readonly Line[]): void => screen.report(lines);
    const opening = openingLines(input);
    const { ended, last, result } = await uninterrupted(io, () => {
      tell?.(opening);
      return driveWork(diagnosing(input, tell), io, screen, !quiet);
    });
    if (ended === 'output-closed') return EXIT.outputClosed;
    if (result === undefined) return sayInterrupted(last, stoppedBy(io.signal()), screen);
    if (json) io.stdout.write(`${JSON.stringify(whyJson(result, input.image), null, 2)}\n`);
    else if (quiet)
      io.stdout.write(
        `${[...quietLines(result), ...result.entries.flatMap((entry) => quietEntry(entry))].join('\n')}\n`,
      );
    else screen.report([...endLines(result), ...(input.isSample ? CLOSING : [])]);
    return input.isSample ? demonstrated(result) : exitCode(result);
  },
};

/** What is booted, and in which machine. Throws UsageError and InputError where they do not go together. */
function openingLines({ config, image, isSample, leftOut }: WhyInput): Line[] {
  const run = new BootRun(config, image);
  checkAgainstEntry(run);
  const sample: Line[] = [{ text: DEMONSTRATION }, { text: '' }];
  return [
    ...(isSample ? sample : []),
    {
      text: `${imageText(image)}, ${machineText(config, run.boot)}${commandLineText(config, leftOut)}`,
      tone: 'note',
      hanging: 2,
    },
  ];
}

function diagnosing(
  { config, image, symbols }: WhyInput,
  tell: ((lines: readonly Line[]) => void) | undefined,
): Generator<Tick, Diagnosis> {
  let causes = 0;
  let first: RunResult | undefined;
  let way: { readonly config: RunConfig; readonly heading: readonly Line[] } = { config, heading: [] };
  return diagnose(config, {
    symbols,
    speak: true,
    otherEntries: true,
    onEntry: (other, boot) => {
      way = { config: other, heading: first ? entryHeading(first, config, other, boot) : [] };
      causes = 0;
    },
    onFirst: (result) => {
      first = result;
      const lines = firstLines(result.outcome, way.config);
      if (lines.length > 0) tell?.([...way.heading, ...lines]);
    },
    onSpoken: (spoken) => first && tell?.(spokenLines(first, spoken)),
    onCause: (cause) => tell?.(foundLines(cause, causes++, image)),
  });
}

/** It dies, a cause is proved, and repaired it boots. */
function demonstrated({ first, causes, last, config }: Diagnosis): number {
  const good = (result: RunResult): boolean => wellEnded(result.outcome, config) !== undefined;
  return !good(first) && causes.length > 0 && good(last) ? EXIT.reached : EXIT.died;
}

/** The way it was entered decides, and then the other entries. */
function exitCode(diagnosis: Diagnosis): number {
  const own = exitOfWay(diagnosis);
  const entries = diagnosis.entries.flatMap((entry) => ('refusal' in entry ? [] : exitOfWay(entry)));
  return own === EXIT.reached ? (entries.find((code) => code !== EXIT.reached) ?? own) : own;
}

function exitOfWay({ first, spoken, config }: WayDiagnosis): number {
  if (wellEnded(first.outcome, config) !== undefined) return EXIT.reached;
  if (spoken === undefined) return exitCodeOf(first, config.until);
  return livesMute(first, spoken) ? EXIT.reached : exitCodeOf(spoken.result, config.until) || EXIT.died;
}

function sayInterrupted(last: Tick | undefined, { text, code }: Stopped, screen: Screen): number {
  const doing = last === undefined ? '' : ` while ${last.doing}, after ${instructionsText(last.instructions)}`;
  screen.say(`${text}${doing}; the answer is not complete`, 'limit');
  return code;
}

// `firstlight boot IMAGE`: the console on stdout, what happens on stderr, the outcome as exit code.

import { BootRun, endedAsAsked, type Goal, type Outcome } from '../../boot/run.ts';
import { STAGES } from '../../boot/stages.ts';
import { bootJson } from '../../report/json.ts';
import { imageText, machineText } from '../../report/machine.ts';
import { outcomeDetails, outcomeText, stageText, whenText } from '../../report/outcome.ts';
import type { Command } from '../command.ts';
import { drive } from '../drive.ts';
import { EXIT, exitCodeOf } from '../exit.ts';
import {
  BOOT_OPTIONS,
  type BootInput,
  checkAgainstEntry,
  END_OPTIONS,
  imageOperand,
  readBootInput,
  withEnd,
} from '../options.ts';
import { driveInteractive, openKeyboard } from '../interactive.ts';
import { Screen, type Tone } from '../screen.ts';
import { type CommandUsage, UsageError } from '../usage.ts';

/** Every stage, and the end of the run by the guest itself. */
const GOALS: readonly Goal[] = [...STAGES, 'end'];

const usage: CommandUsage = {
  name: 'boot',
  operand: 'IMAGE',
  summary: 'boot a kernel image and show its serial console',
  intro: [
    'Boots a bzImage (x86-64, boot protocol 2.06 or newer), an ELF vmlinux or a Multiboot',
    'program in a PC of its own. The serial console goes to stdout, all that is said about',
    'the run to stderr.',
  ],
  options: [...BOOT_OPTIONS.map(withEnd), ...END_OPTIONS],
  outro: [
    'Examples:',
    '  firstlight boot vmlinuz --append "earlyprintk=serial,ttyS0,115200 console=ttyS0"',
    '  firstlight boot vmlinuz --run "uname -a; cat /proc/cpuinfo"',
  ],
};

export const boot: Command = {
  usage,
  async run(given, io) {
    const path = imageOperand(given);
    if (path === undefined) throw new UsageError('no image given');
    if (given.switches.has('json') && given.switches.has('interactive')) {
      throw new UsageError('--json keeps stdout for itself; --interactive needs it for the console');
    }
    const input = readBootInput(given, path, GOALS);
    const run = new BootRun(input.config, input.image);
    checkAgainstEntry(run);
    const keyboard = given.switches.has('interactive') ? openKeyboard(io) : undefined;
    const screen = new Screen(io);
    const json = given.switches.has('json');
    const quiet = given.switches.has('quiet');
    if (!json) listen(run, screen, quiet ? undefined : input);
    const ended = keyboard ? await driveInteractive(run, io, screen, keyboard) : await drive(run, io, screen, !quiet);
    if (ended === 'output-closed') return EXIT.outputClosed;
    if (ended === 'interrupted') return sayStopped(run, screen, 'stopped by Ctrl-C', EXIT.interrupted);
    if (ended === 'left') return sayStopped(run, screen, 'left by Ctrl-A x', EXIT.reached);
    if (json) io.stdout.write(`${JSON.stringify(bootJson(input.config, input.image, run.result()), null, 2)}\n`);
    else sayOutcome(run, screen, quiet);
    return exitCodeOf(run.result().outcome, input.config.until);
  },
};

/** Passes on what happens as it happens. @param announced what to announce; nothing but the console where undefined */
function listen(run: BootRun, screen: Screen, announced: BootInput | undefined): void {
  const { console } = run.machine;
  const stageWatch = console.onByte;
  console.onByte = (byte) => {
    // The console first: the banner's last letter stands before the line that says it was reached.
    screen.console(byte);
    stageWatch?.(byte);
  };
  if (announced === undefined) return;
  screen.say(`booting ${imageText(announced.image)}, ${machineText(announced.config, run.boot)}`, 'note');
  for (const stage of run.stages.reached) screen.say(stageText(stage), 'note');
  const stopAtStage = run.stages.onStage;
  run.stages.onStage = (stage) => {
    screen.say(stageText(stage), 'note');
    stopAtStage?.(stage);
  };
}

function sayStopped(run: BootRun, screen: Screen, how: string, code: number): number {
  const point = { instructions: run.machine.engine.retired, guestTime: run.machine.now };
  screen.say(`${how} after ${whenText(point)}, last stage: ${run.stages.current}`, 'limit');
  return code;
}

function sayOutcome(run: BootRun, screen: Screen, quiet: boolean): void {
  const result = run.result();
  screen.say(outcomeText(result.outcome), toneOf(result.outcome, run.config.until));
  if (quiet) return;
  for (const line of outcomeDetails(result)) screen.say(line);
  if (result.outcome.kind === 'instruction-limit') screen.say('a higher --max-instructions lets it go on');
}

function toneOf(outcome: Outcome, until: Goal): Tone {
  if (endedAsAsked(outcome, until)) return 'good';
  return outcome.kind === 'instruction-limit' || outcome.kind === 'memory-limit' ? 'limit' : 'bad';
}

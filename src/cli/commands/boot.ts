// `firstlight boot IMAGE`: the console on stdout, what happens on stderr, the outcome as exit code.

import { type BootRun, endedAsAsked, type Goal, type Outcome } from '../../boot/run.ts';
import { hintLines } from '../../report/hints.ts';
import { bootJson } from '../../report/json.ts';
import { commandLineText, imageText, machineText } from '../../report/machine.ts';
import { outcomeDetails, outcomeText, stageText, whenText } from '../../report/outcome.ts';
import { wordsHint } from '../../report/silence.ts';
import type { Command } from '../command.ts';
import { EXIT, exitCodeOf, type Stopped, stoppedBy } from '../exit.ts';
import { openKeyboard } from '../interactive.ts';
import { BOOT_OPTIONS, DEVICE_OPTIONS, END_OPTIONS, withEnd } from '../options.ts';
import { Screen, type Tone } from '../screen.ts';
import { uninterrupted } from '../io.ts';
import { openRun, play } from '../session.ts';
import { SNAPSHOT_OPTIONS } from '../snapshots.ts';
import { type CommandUsage, UsageError } from '../usage.ts';

const usage: CommandUsage = {
  name: 'boot',
  operand: 'IMAGE',
  summary: 'boot a kernel image and show its serial console',
  intro: [
    'Boots a bzImage (x86-64, boot protocol 2.06 or newer), an ELF vmlinux or a Multiboot',
    'program in a PC of its own. The serial console goes to stdout, all that is said about',
    'the run to stderr.',
  ],
  options: [...BOOT_OPTIONS.map(withEnd), ...END_OPTIONS, ...DEVICE_OPTIONS, ...SNAPSHOT_OPTIONS],
  outro: [
    'Examples:',
    '  firstlight boot vmlinuz --append "root=/dev/vda" --disk disk.img --until end',
    '  firstlight boot vmlinuz --run "uname -a; cat /proc/cpuinfo"',
    '  firstlight boot vmlinuz --run sh --interactive',
    '  firstlight boot vmlinuz --run dmesg --save-at init --save at-init',
    '  firstlight boot --restore at-init',
    '',
    'Exit codes: 0 the stage or end asked for was reached, or Ctrl-A x was typed; 1 the guest',
    'died; 2 bad usage or unreadable input; 3 a limit of instructions or memory; 130 Ctrl-C (143',
    'SIGTERM, 129 SIGHUP).',
  ],
};

export const boot: Command = {
  usage,
  async run(given, io) {
    if (given.switches.has('json') && given.switches.has('interactive')) {
      throw new UsageError('--json keeps stdout for itself; --interactive needs it for the console');
    }
    const opened = await openRun(given);
    const { run } = opened;
    const screen = new Screen(io);
    const json = given.switches.has('json');
    const quiet = given.switches.has('quiet');
    const keyboard = given.switches.has('interactive') ? openKeyboard(io) : undefined;
    const ended = await uninterrupted(io, () => {
      if (!json) listen(run, screen, !quiet, opened.leftOut);
      return play({ ...opened, io, screen, keyboard, progress: !quiet, announce: !quiet && !json });
    });
    if (ended === 'output-closed') return EXIT.outputClosed;
    if (ended === 'interrupted') return sayStopped(run, screen, stoppedBy(io.signal()));
    if (ended === 'left') return sayStopped(run, screen, { text: 'left by Ctrl-A x', code: EXIT.reached });
    if (json) io.stdout.write(`${JSON.stringify(bootJson(run.config, run.image, run.result()), null, 2)}\n`);
    else sayOutcome(run, screen, quiet, given.values.has('until'));
    if (given.switches.has('screen') && !json) io.stdout.write(`${run.result().screen.join('\n')}\n`);
    return exitCodeOf(run.result().outcome, run.config.until);
  },
};

/** Passes on what happens as it happens. @param announce more than the console */
function listen(run: BootRun, screen: Screen, announce: boolean, leftOut: string): void {
  const { console } = run.machine;
  const stageWatch = console.onByte;
  console.onByte = (byte) => {
    // The console first: the banner's last letter stands before the line that says it was reached.
    screen.console(byte);
    stageWatch?.(byte);
  };
  if (!announce) return;
  const doing = run.machine.engine.retired === 0n ? 'booting' : 'going on with';
  const lines = commandLineText(run.config, leftOut);
  screen.say(`${doing} ${imageText(run.image)}, ${machineText(run.config, run.boot)}${lines}`, 'note');
  for (const stage of run.stages.reached) screen.say(stageText(stage), 'note');
  const stopAtStage = run.stages.onStage;
  run.stages.onStage = (stage) => {
    screen.say(stageText(stage), 'note');
    stopAtStage?.(stage);
  };
}

function sayStopped(run: BootRun, screen: Screen, { text, code }: Stopped): number {
  const point = { instructions: run.machine.engine.retired, guestTime: run.machine.now };
  screen.say(`${text} after ${whenText(point)}, last stage: ${run.stages.current}`, 'limit');
  return code;
}

/** @param asked the stage to stop at was given */
function sayOutcome(run: BootRun, screen: Screen, quiet: boolean, asked: boolean): void {
  const result = run.result();
  const { config, image } = run;
  const stopped = result.outcome.kind === 'stage-reached' && !asked && !quiet ? NOT_RUN : '';
  screen.say(outcomeText(result.outcome) + stopped, toneOf(result.outcome, config.until));
  if (quiet) return;
  for (const line of outcomeDetails(result, config.until)) screen.say(line);
  if (!endedAsAsked(result.outcome, config.until)) {
    for (const line of wordsHint(config, image, result)) screen.say(line);
  }
  for (const line of hintLines(config, result.outcome, result)) screen.say(line);
  if (result.outcome.kind === 'instruction-limit') screen.say('a higher --max-instructions lets it go on');
}

/** The kernel's first line is no sign of its health. */
const NOT_RUN = '; what comes after was not run (--until init or end goes on)';

function toneOf(outcome: Outcome, until: Goal): Tone {
  if (endedAsAsked(outcome, until)) return 'good';
  return outcome.kind === 'instruction-limit' || outcome.kind === 'memory-limit' ? 'limit' : 'bad';
}

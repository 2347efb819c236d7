// `firstlight boot IMAGE`: the console on stdout, what happens on stderr, the outcome as exit code.

import { type BootRun, endedAsAsked, type Goal, type Outcome, type RunResult } from '../../run/run.ts';
import { EXIT_CODE } from '../../options/boots.ts';
import { optionsOf, valueOf } from '../../options/row.ts';
import { OPTIONS } from '../../options/table.ts';
import { UsageError } from '../../options/usageError.ts';
import { hintLines } from '../../report/hints.ts';
import { bootJson } from '../../report/json.ts';
import { commandLineText, imageText, machineText } from '../../report/machine.ts';
import { outcomeDetails, outcomeText, stageText, whenText } from '../../report/outcome.ts';
import { wordsHint } from '../../report/silence.ts';
import type { Command } from '../command.ts';
import { EXIT, exitCodeOf, isOwnEnd, type Stopped, stoppedBy } from '../exit.ts';
import { openKeyboard } from '../interactive.ts';
import { Screen, type Tone } from '../screen.ts';
import { uninterrupted } from '../io.ts';
import { openRun, play } from '../session.ts';
import type { CommandUsage } from '../usage.ts';

const usage: CommandUsage = {
  name: 'boot',
  operand: 'IMAGE',
  summary: 'boot a kernel image and show its serial console',
  intro: [
    'Boots a bzImage (x86-64, boot protocol 2.06 or newer), an ELF vmlinux or a Multiboot',
    'program in a PC of its own. The serial console goes to stdout, all that is said about',
    'the run to stderr.',
  ],
  options: optionsOf('boot', OPTIONS),
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
    "SIGTERM, 129 SIGHUP). With --run, where the guest then powers off, the command's status: 126",
    'not executable, 127 not found, 128 + N killed by signal N. --json tells which it was.',
    '',
    'What the guest prints goes to a terminal as it is, control sequences too (--safe-console).',
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
    const screen = new Screen(io, given.switches.has('safe-console'));
    const json = given.switches.has('json');
    const quiet = given.switches.has('quiet');
    const asGuest = valueOf<'guest' | 'own'>(given, EXIT_CODE) === 'guest';
    const keyboard = given.switches.has('interactive') ? openKeyboard(io) : undefined;
    const ended = await uninterrupted(io, () => {
      if (!json) listen(run, screen, keyboard === undefined, quiet);
      if (!json && !quiet) announce(run, screen, opened.leftOut);
      return play({ ...opened, io, screen, keyboard, progress: !quiet, announce: !quiet && !json });
    });
    if (ended === 'output-closed') return EXIT.outputClosed;
    if (ended === 'interrupted') return sayStopped(run, screen, stoppedBy(io.signal()));
    if (ended === 'left') return sayStopped(run, screen, { text: 'left by Ctrl-A x', code: EXIT.reached });
    if (json) io.stdout.write(`${JSON.stringify(bootJson(run.config, run.image, run.result()), null, 2)}\n`);
    else if (quiet) sayWhatIsWrong(run, screen, asGuest);
    else sayOutcome(run, screen, given.values.has('until'));
    if (given.switches.has('screen') && !json) io.stdout.write(`${run.result().screen.join('\n')}\n`);
    return exitCodeOf(run.result(), run.config.until, asGuest);
  },
};

/**
 * Passes on what the guest prints. What a command prints goes where it would go if it ran here, and the kernel's console
 * aside to stderr, or nowhere; with a terminal they are one.
 * @param apart there is no terminal
 */
function listen(run: BootRun, screen: Screen, apart: boolean, quiet: boolean): void {
  const { command } = run.machine;
  const place = command === undefined || !apart ? 'stdout' : quiet ? undefined : 'stderr';
  const places = { console: place, stdout: 'stdout', stderr: 'stderr', control: undefined } as const;
  run.observe({
    byte: (byte, from) => {
      const to = places[from];
      if (to !== undefined) screen.console(byte, to);
    },
  });
}

/** Says what is booted, and each stage when it is reached. */
function announce(run: BootRun, screen: Screen, leftOut: string): void {
  const doing = run.machine.engine.retired === 0n ? 'booting' : 'going on with';
  const lines = commandLineText(run.config, leftOut);
  screen.say(`${doing} ${imageText(run.image)}, ${machineText(run.config, run.boot)}${lines}`, 'note');
  for (const stage of run.stages.reached) screen.say(stageText(stage), 'note');
  run.observe({ stage: (stage) => screen.say(stageText(stage), 'note') });
}

function sayStopped(run: BootRun, screen: Screen, { text, code }: Stopped): number {
  const point = { instructions: run.machine.engine.retired, guestTime: run.machine.now };
  screen.say(`${text} after ${whenText(point)}, last stage: ${run.stages.current}`, 'limit');
  return code;
}

/** @param asked the stage to stop at was given */
function sayOutcome(run: BootRun, screen: Screen, asked: boolean): void {
  const result = run.result();
  const { config, image } = run;
  const { until } = config;
  const stopped = result.outcome.kind === 'stage-reached' && !asked ? NOT_RUN : '';
  screen.say(outcomeText(result.outcome) + stopped, toneOf(result.outcome, until));
  const status = result.command?.status;
  if (status !== undefined && status !== 0) screen.say(`the command ended with status ${status}`, 'limit');
  if (lacksStatus(result, until)) screen.say(NO_STATUS, 'bad');
  for (const line of outcomeDetails(result, until)) screen.say(line);
  if (!endedAsAsked(result.outcome, until)) {
    for (const line of wordsHint(config, image, result)) screen.say(line);
  }
  for (const line of hintLines(config, result.outcome, result)) screen.say(line);
  if (result.outcome.kind === 'instruction-limit') screen.say('a higher --max-instructions lets it go on');
}

/** The kernel's first line is no sign of its health. */
const NOT_RUN = '; what comes after was not run (--until init or end goes on)';
const NO_STATUS = 'the guest ended before it told a status of the command';

/** Nothing where the run ended as it was asked to. */
function sayWhatIsWrong(run: BootRun, screen: Screen, asGuest: boolean): void {
  const result = run.result();
  const { outcome } = result;
  const { until } = run.config;
  const asAsked = endedAsAsked(outcome, until) || (asGuest && outcome.kind === 'debug-exit');
  if (!asAsked) screen.say(outcomeText(outcome), toneOf(outcome, until));
  else if (lacksStatus(result, until)) screen.say(NO_STATUS, 'bad');
}

/** Did the guest end well, and the command not? */
const lacksStatus = ({ outcome, command }: RunResult, until: Goal): boolean =>
  command !== undefined && command.status === undefined && isOwnEnd(outcome, until);

function toneOf(outcome: Outcome, until: Goal): Tone {
  if (endedAsAsked(outcome, until)) return 'good';
  return exitCodeOf({ outcome }, until) === EXIT.limit ? 'limit' : 'bad';
}

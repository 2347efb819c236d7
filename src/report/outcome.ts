// How a run ended, in words. Each outcome is worded here and nowhere else.

import { hex } from '../bits/hex.ts';
import { endedAsAsked, type Goal, type Outcome, type RunResult } from '../run/run.ts';
import type { StageReached } from '../run/stages.ts';
import type { ResetSource } from '../devices/device.ts';
import { chainLines, firstExceptionText } from '../run/chain.ts';
import { consoleText, printable } from './console.ts';
import { instructionsText, timeText } from './numbers.ts';
import { isSilent, silenceLines } from './silence.ts';
import { unexpectedOnes, unimplementedLines } from './unimplemented.ts';

/** What pulled the reset line, and the port behind which it sits; INIT is a message. */
export const RESET_PORTS: Readonly<
  Record<Exclude<ResetSource, 'init'>, { readonly port: number; readonly name: string }>
> = {
  '8042': { port: 0x64, name: 'the keyboard controller' },
  port92: { port: 0x92, name: 'system control port A' },
  cf9: { port: 0xcf9, name: "the chipset's reset control register" },
};

/** Frames of a call trace that are shown. */
const MOST_FRAMES = 20;

/** "1,234,567 instructions (1.234 ms of guest time)". */
export function whenText(point: Pick<StageReached, 'instructions' | 'guestTime'>): string {
  return `${instructionsText(point.instructions)} (${timeText(point.guestTime)} of guest time)`;
}

export function stageText(stage: StageReached): string {
  return `stage ${stage.name} after ${whenText(stage)}`;
}

/** The outcome in one line. */
export function outcomeText(outcome: Outcome): string {
  if (outcome.kind === 'stage-reached') return `reached ${outcome.stage} after ${whenText(outcome)}`;
  return `${endText(outcome)}; after ${whenText(outcome)}, last stage: ${outcome.stage}`;
}

/** How it ended, without when and where. */
export function endText(outcome: Exclude<Outcome, { kind: 'stage-reached' }>): string {
  switch (outcome.kind) {
    case 'triple-fault':
      return `triple fault: ${firstExceptionText(outcome.chain)}`;
    case 'debug-exit':
      return `the guest ended the run with ${hex(outcome.value)} on the debug-exit port (exit code ${outcome.code})`;
    case 'text-seen':
      return `the guest said "${printable(outcome.text)}"`;
    case 'powered-off':
      return 'powered off';
    case 'reset':
      return resetText(outcome.source);
    case 'halt':
      return `halted for ever: HLT before ${hex(outcome.rip)}, with ${outcome.interruptsEnabled ? 'no interrupt to come' : 'interrupts off'}`;
    case 'hang':
      return `hang at ${hex(outcome.rip)}: ${outcome.rule}`;
    case 'no-progress':
      return `no progress seen, at ${hex(outcome.rip)}: ${outcome.seen}; no state repeated, so it may yet go on`;
    case 'panic':
      return `the kernel gave up: ${printable(outcome.message)}`;
    case 'memory-limit':
      return `swept through more memory than a run is given, at ${hex(outcome.rip)}`;
    default:
      return `instruction limit reached, at ${hex(outcome.rip)}`;
  }
}

function resetText(source: ResetSource): string {
  if (source === 'init') return 'the guest reset the processor by an INIT that it sent to itself';
  const { port, name } = RESET_PORTS[source];
  return `the guest reset the machine through ${name} (port ${hex(port)})`;
}

/** The last line on the text screen, where there is one. */
function screenText(rows: readonly string[]): string[] {
  const last = rows.filter((row) => row.trim() !== '').at(-1);
  return last === undefined
    ? []
    : [`the last line on the text screen (--screen shows all of it): "${printable(last.trim())}"`];
}

/** How it came to that: the chain of exceptions, or the kernel's own call trace. */
function howLines(outcome: Outcome): string[] {
  if (outcome.kind === 'triple-fault') return chainLines(outcome.chain).map((line) => `  ${line}`);
  if (outcome.kind !== 'panic' || outcome.callTrace.length === 0) return [];
  const { callTrace } = outcome;
  const rest = callTrace.length > MOST_FRAMES ? [`  and ${callTrace.length - MOST_FRAMES} more`] : [];
  return [
    "the kernel's call trace:",
    ...callTrace.slice(0, MOST_FRAMES).map((frame) => `  ${printable(frame)}`),
    ...rest,
  ];
}

/**
 * What else there is to say: how it came to that, the console, what this machine does not have.
 * @param until where the run was to stop
 */
export function outcomeDetails(result: RunResult, until: Goal): string[] {
  const { outcome, unimplemented } = result;
  const how = howLines(outcome);
  if (endedAsAsked(outcome, until)) return unimplementedLines(unexpectedOnes(unimplemented));
  const heard = isSilent(result) ? silenceLines(result) : screenText(result.screen);
  return [...how, consoleText(result.console), ...heard, ...unimplementedLines(unimplemented)];
}

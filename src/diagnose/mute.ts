// Dead, or only mute? A boot that says nothing where somebody listens, with a command line that does not ask it to, is
// booted once more with one that does, and nothing else changed.

import { isHushed, spokenLine } from '../run/cmdline.ts';
import type { BootRun, Outcome, RunConfig, RunResult } from '../run/run.ts';
import { BANNER } from '../run/stages.ts';
import type { KernelImage } from '../image/image.ts';
import { wellEnded } from './ending.ts';
import type { Spoken } from './types.ts';

/** A guest that cannot be heard has so many instructions before it is booted with words that make it speak. */
export const MUTE_LIMIT = 1_000_000_000n;
const BEYOND = 100_000_000n;

/** How far the silent boot then goes: past the end of the one that was heard. @param most the limit of both */
export function muteLimit({ instructions }: Outcome, most: bigint): bigint {
  const enough = instructions + instructions / 8n + BEYOND;
  return enough < MUTE_LIMIT ? MUTE_LIMIT : enough < most ? enough : most;
}

/** The same with the words that make the guest speak; undefined where it has them. */
export function spokenConfig(config: RunConfig, image: KernelImage): RunConfig | undefined {
  const line = spokenLine({ image, entry: config.entry, given: config.cmdline });
  return line && { ...config, cmdline: line.cmdline, cmdlineAdded: line.cmdlineAdded };
}

/** What was said by the kernel itself, and not by its boot stub. */
const KERNELS_OWN = [BANNER, 'Kernel panic'];

/** Has nothing been printed, or nothing by a kernel that was asked to be quiet? */
export function isMute({ machine, config }: BootRun): boolean {
  const { console } = machine;
  if (console.length === 0) return true;
  return isHushed(config.cmdline) && !KERNELS_OWN.some((text) => console.includes(text));
}

/** How a run ends of a guest that goes on and is not heard. One that is shown to hang, or halts, does not go on. */
const GOES_ON: ReadonlySet<Outcome['kind']> = new Set(['instruction-limit', 'no-progress']);

/** As given it had no end, or the same as where it is heard; and there it comes through. */
export const livesMute = (first: Pick<RunResult, 'outcome'>, { config, result }: Spoken): boolean =>
  (GOES_ON.has(first.outcome.kind) || first.outcome.kind === result.outcome.kind) &&
  wellEnded(result.outcome, config) !== undefined;

// A run on the command line from where it comes from (an image, or a snapshot) to where it stops, and the snapshot that
// is written on the way or there.

import { BootRun, type Goal, type RunConfig } from '../run/run.ts';
import type { Given } from '../options/row.ts';
import { UsageError } from '../options/usageError.ts';
import { whenText } from '../report/outcome.ts';
import { drive, type Ended } from './drive.ts';
import { driveInteractive, openKeyboard } from './interactive.ts';
import type { Io, Keyboard } from './io.ts';
import { checkAgainstEntry, imageOperand, onwardOptions, readBootInput } from './options.ts';
import type { Screen } from './screen.ts';
import { checkBesideRestore, checkSavePlace, restoreRun, type Saving, saveRun, savingOf } from './snapshots.ts';

/** A run that is ready to be driven. */
export type Opened = {
  readonly run: BootRun;
  /** Where it is to stop in the end; at first it stops where it is to be saved. */
  readonly goal: Pick<RunConfig, 'until' | 'untilText' | 'maxInstructions'>;
  readonly saving: Saving | undefined;
  /** The file it was read from. */
  readonly image: string | undefined;
  /** Words that are not on the command line because they would make it too long. */
  readonly leftOut: string;
};

/** Throws UsageError and InputError. */
export const openRun = (given: Given): Promise<Opened> =>
  given.values.has('restore') ? openSaved(given, given.values.get('restore') as string) : openImage(given);

async function openImage(given: Given): Promise<Opened> {
  const path = imageOperand(given);
  if (path === undefined) throw new UsageError('no image given');
  const { config, image, leftOut } = readBootInput(given, path, false);
  const saving = await placeOf(given, config.until, path);
  const run = new BootRun({ ...config, until: saving?.at ?? config.until }, image);
  checkAgainstEntry(run);
  return { run, goal: config, saving, image: path, leftOut };
}

async function openSaved(given: Given, path: string): Promise<Opened> {
  checkBesideRestore(given);
  const goal = onwardOptions(given);
  const saving = await placeOf(given, goal.until, undefined);
  const until = saving?.at ?? goal.until;
  const run = await restoreRun(path, { ...goal, until });
  if (until !== 'end' && run.stages.has(until)) {
    throw new UsageError(`the saved run has reached stage ${until} already`);
  }
  return { run, goal, saving, image: undefined, leftOut: '' };
}

async function placeOf(given: Given, until: Goal, image: string | undefined): Promise<Saving | undefined> {
  const saving = savingOf(given, until);
  if (saving) await checkSavePlace(saving.path, given, image);
  return saving;
}

export type Session = Opened & {
  readonly io: Io;
  readonly screen: Screen;
  readonly keyboard: Keyboard | undefined;
  /** Show how it goes, where there is a terminal. */
  readonly progress: boolean;
  /** Say what was done. */
  readonly announce: boolean;
};

/** Drives a run to where it stops, and saves it where that is wanted. */
export async function play(session: Session): Promise<Ended | 'left'> {
  const { run, goal, saving } = session;
  const ended = await driven(session, session.keyboard);
  if (saving === undefined || (ended !== 'left' && ended !== 'outcome')) return ended;
  if (saving.at === undefined) return (await saved(session, saving.path)) ? ended : 'interrupted';
  if (run.outcome?.kind !== 'stage-reached') {
    session.screen.say(`nothing was saved: the run did not come to stage ${saving.at}`, 'limit');
    return ended;
  }
  if (!(await saved(session, saving.path))) return 'interrupted';
  run.goOn(goal.until, goal.maxInstructions, goal.untilText);
  return driven(session, session.keyboard && openKeyboard(session.io));
}

/** Closes the keyboard in the end. */
const driven = ({ run, io, screen, progress }: Session, keyboard: Keyboard | undefined): Promise<Ended | 'left'> =>
  keyboard ? driveInteractive(run, io, screen, keyboard) : drive(run, io, screen, progress);

/** Saves a run that can go on, and says so. @returns false where Ctrl-C came in between */
async function saved({ run, io, screen, progress, announce, image }: Session, path: string): Promise<boolean> {
  if (!run.canGoOn) {
    screen.say('nothing was saved: the guest has ended the run', 'limit');
    return true;
  }
  if (progress) screen.progress(`saving ${path}`);
  const written = await saveRun(run, path, io, image).finally(() => screen.clearProgress());
  if (written === 'interrupted') screen.say('nothing was saved', 'limit');
  else if (announce) {
    const point = { instructions: run.machine.engine.retired, guestTime: run.machine.now };
    screen.say(`saved to ${path} after ${whenText(point)}`, 'note');
  }
  return written === 'written';
}

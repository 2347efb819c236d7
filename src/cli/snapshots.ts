// Snapshots as files: what run/snapshot.ts makes, compressed with gzip. A file is there whole or not at all.

import { constants, createReadStream, statSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import process from 'node:process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { InputError } from '../bits/errors.ts';
import type { BootRun, Goal } from '../run/run.ts';
import { type Onward, SnapshotReader, snapshotOf } from '../run/snapshot.ts';
import { type Stage, STAGES } from '../run/stages.ts';
import { attempt, noStreamOfBytes, STDIN } from './files.ts';
import type { Io } from './io.ts';
import { type Given, type OptionRow, UsageError } from './usage.ts';
import { choiceValue } from './values.ts';
import { type Written, writeFile } from './writeFile.ts';

export const SNAPSHOT_OPTIONS: readonly OptionRow[] = [
  {
    name: 'save',
    value: 'FILE',
    help: [
      'Save the run where it stops (a stage, an instruction limit, Ctrl-A x), for',
      '--restore. A run that the guest has ended is not saved.',
    ],
  },
  {
    name: 'save-at',
    value: 'STAGE',
    help: ['With --save: save when that stage is reached, and go on to --until.'],
  },
  {
    name: 'restore',
    value: 'FILE',
    help: [
      'Go on with a saved run, as if it had never stopped; IMAGE and the options of',
      'the machine are in the file and not given again, except --disk. The counts',
      'of --max-instructions go on too. Sets --until end unless that is given.',
    ],
  },
];

/** What may stand beside --restore; all else describes the machine, which is in the file. */
const BESIDE_RESTORE = new Set(
  'restore until until-text max-instructions disk interactive exit-code safe-console json quiet save save-at screen'.split(
    ' ',
  ),
);

/** Where a run is to be saved. */
export type Saving = {
  readonly path: string;
  /** As soon as it has come here; where it stops, if undefined. */
  readonly at: Stage | undefined;
};

/** What --save and --save-at amount to. Throws UsageError. */
export function savingOf({ values }: Given, until: Goal): Saving | undefined {
  const [path, stage] = [values.get('save'), values.get('save-at')];
  if (path === undefined) {
    if (stage !== undefined) throw new UsageError('--save-at is for --save; without that it has no use');
    return undefined;
  }
  const at = stage === undefined ? undefined : choiceValue('save-at', stage, STAGES);
  if (at !== undefined && until !== 'end' && STAGES.indexOf(at) > STAGES.indexOf(until)) {
    throw new UsageError(`--save-at ${at} comes after the end of the run, --until ${until}`);
  }
  return { path, at };
}

/** Throws UsageError where something is given that the snapshot has. */
export function checkBesideRestore({ values, switches, operands }: Given): void {
  if (operands.length > 0) throw new UsageError('--restore needs no image: it is in the snapshot');
  const extra = [...values.keys(), ...switches].find((name) => !BESIDE_RESTORE.has(name));
  if (extra !== undefined) throw new UsageError(`--${extra} cannot be changed by --restore: it is in the snapshot`);
}

/** The option's files that are read as long as the run goes, or may be wanted again. */
const READ = ['initrd', 'busybox', 'disk', 'module'] as const;

/** Before the long way to where it is written. @param image the image's file, where there is one. Throws InputError. */
export async function checkSavePlace(path: string, given: Given, image: string | undefined): Promise<void> {
  const refusal = (why: string): InputError => new InputError(`cannot write '${path}': ${why}`);
  if (path === '') throw refusal('the name is empty');
  const old = await stat(path).catch(() => undefined);
  if (old?.isDirectory()) throw refusal('it is a folder');
  // A device or a pipe is written to; a file is put in its place.
  if (old && !old.isFile()) return;
  const inputs = [image ?? [], ...READ.map((name) => given.all.get(name) ?? [])].flat();
  for (const input of old ? inputs : []) {
    const read = await stat(input).catch(() => undefined);
    if (read?.ino === old?.ino && read?.dev === old?.dev) throw refusal('it is a file that is read');
  }
  await access(dirname(path), constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw refusal(error.code === 'ENOENT' ? 'no such folder' : 'the folder cannot be written to');
  });
}

/** RAM compresses well; more work gains little. */
const LEVEL = 1;

/** Writes a snapshot of a run that can go on. Throws InputError that names the file. */
export async function saveRun(run: BootRun, path: string, io: Io, image: string | undefined): Promise<Written> {
  const source = Readable.from(copies(run), { objectMode: false, highWaterMark: 1 << 20 });
  return writeFile(path, source.pipe(createGzip({ level: LEVEL })), io, image);
}

/** Pieces of RAM are views; a stream may hold what it was given for a while. */
function* copies(run: BootRun): Generator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for (const piece of snapshotOf(run)) {
    held.push(Buffer.from(piece));
    size += piece.length;
    if (size < 1 << 16) continue;
    yield Buffer.concat(held);
    held = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(held);
}

const ZLIB_ERRORS: Readonly<Record<string, string>> = {
  Z_DATA_ERROR: 'it is no snapshot, or is damaged',
  Z_BUF_ERROR: 'it ends too early',
};

/** Reads a snapshot. Throws InputError that names the file. */
export async function restoreRun(path: string, onward: Onward): Promise<BootRun> {
  const wrong = path === STDIN ? undefined : attempt(path, () => noStreamOfBytes(statSync(path)));
  if (wrong !== undefined) throw new InputError(`cannot read '${path}': ${wrong}`);
  const reader = new SnapshotReader(onward);
  // What the reader throws, and not what the streams make of it.
  let thrown: unknown;
  try {
    await pipeline(
      path === STDIN ? process.stdin : createReadStream(path),
      createGunzip(),
      async (pieces: AsyncIterable<Uint8Array>) => {
        try {
          for await (const piece of pieces) reader.push(piece);
        } catch (error) {
          thrown = error;
          throw error;
        }
      },
    );
    return reader.finish();
  } catch (error) {
    throw new InputError(`cannot go on with '${path}': ${reasonOf(thrown ?? error)}`);
  }
}

/** Anything else is our bug and stays what it is. */
function reasonOf(error: unknown): string {
  if (error instanceof InputError) return error.message;
  const { code = '' } = error as NodeJS.ErrnoException;
  const known = ZLIB_ERRORS[code];
  if (known !== undefined) return known;
  if (code.startsWith('E') && code !== '') return `it cannot be read (${code})`;
  throw error;
}

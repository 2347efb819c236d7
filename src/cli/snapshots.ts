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
import { SAVE_AT } from '../options/boots.ts';
import { type Given, optionsOf, valueOf } from '../options/row.ts';
import { OPTIONS } from '../options/table.ts';
import { UsageError } from '../options/usageError.ts';
import { attempt, noStreamOfBytes, STDIN } from './files.ts';
import type { Io } from './io.ts';
import { type Written, writeFile } from './writeFile.ts';

const ROWS = optionsOf('boot', OPTIONS);

/** Where a run is to be saved. */
export type Saving = {
  readonly path: string;
  /** As soon as it has come here; where it stops, if undefined. */
  readonly at: Stage | undefined;
};

/** What --save and --save-at amount to. Throws UsageError. */
export function savingOf(given: Given, until: Goal): Saving | undefined {
  const [path, stage] = [given.values.get('save'), given.values.get(SAVE_AT.name)];
  if (path === undefined) {
    if (stage !== undefined) throw new UsageError('--save-at is for --save; without that it has no use');
    return undefined;
  }
  const at = valueOf<Stage | undefined>(given, SAVE_AT);
  if (at !== undefined && until !== 'end' && STAGES.indexOf(at) > STAGES.indexOf(until)) {
    throw new UsageError(`--save-at ${at} comes after the end of the run, --until ${until}`);
  }
  return { path, at };
}

/** Throws UsageError where something is given that the snapshot has. */
export function checkBesideRestore({ values, switches, operands }: Given): void {
  if (operands.length > 0) throw new UsageError('--restore needs no image: it is in the snapshot');
  const beside = new Set(ROWS.filter((row) => row.besideRestore).map(({ name }) => name));
  const extra = [...values.keys(), ...switches].find((name) => !beside.has(name));
  if (extra !== undefined) throw new UsageError(`--${extra} cannot be changed by --restore: it is in the snapshot`);
}

/** Before the long way to where it is written. @param image the image's file, where there is one. Throws InputError. */
export async function checkSavePlace(path: string, given: Given, image: string | undefined): Promise<void> {
  const refusal = (why: string): InputError => new InputError(`cannot write '${path}': ${why}`);
  if (path === '') throw refusal('the name is empty');
  const old = await stat(path).catch(() => undefined);
  if (old?.isDirectory()) throw refusal('it is a folder');
  // A device or a pipe is written to; a file is put in its place.
  if (old && !old.isFile()) return;
  const parts = ROWS.filter(({ file }) => file === 'part');
  const inputs = [image ?? [], ...parts.map(({ name }) => given.all.get(name) ?? [])].flat();
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

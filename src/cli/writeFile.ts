// Files that the command line writes. A file is there whole or not at all: it is written beside its place under another
// name and then put there.

import { constants } from 'node:fs';
import { access, chmod, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { InputError } from '../bits/errors.ts';
import type { Io } from './io.ts';
import { writeReason } from './writeReasons.ts';

/** Between two pieces there is time for Ctrl-C. */
const PIECE = 4 << 20;

type Bytes = Uint8Array | AsyncIterable<Uint8Array>;

export type Written = 'written' | 'interrupted';

/**
 * Writes a file, over an old one of that name if there is one, whose permissions stay. A device or pipe is written to.
 * Throws an InputError that names the file. Ctrl-C ends it without a trace.
 * @param bytes all of them, or one piece after the other
 * @param input a file that is read, which is not to be overwritten
 */
export async function writeFile(path: string, bytes: Bytes, io: Io, input: string | undefined): Promise<Written> {
  try {
    const old = await statOf(path);
    if (old?.isDirectory()) throw unwritable(path, 'EISDIR');
    if (old !== undefined && input !== undefined && (await isSame(path, input))) {
      throw new InputError(`cannot write '${path}': it is the file that is read`);
    }
    if (old !== undefined && !old.isFile()) return await writePieces(path, 'w', bytes, io);
    return await replace(path, old?.mode, bytes, io);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw unwritable(path, (error as NodeJS.ErrnoException).code);
  }
}

const unwritable = (path: string, code = 'unknown error'): InputError =>
  new InputError(`cannot write '${path}': ${writeReason(code)}`);

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function isSame(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([stat(a), statOf(b)]);
  return second !== undefined && first.dev === second.dev && first.ino === second.ino;
}

async function replace(path: string, oldMode: number | undefined, bytes: Bytes, io: Io): Promise<Written> {
  // Renaming needs no permission to write the old file; overwriting does.
  if (oldMode !== undefined) await access(path, constants.W_OK);
  // What a symbolic link names is replaced, not the link.
  const target = oldMode === undefined ? path : await realpath(path);
  const temporary = join(dirname(target), `.${basename(target).slice(0, 64)}.${process.pid}.part`);
  let finished = false;
  try {
    const written = await writePieces(temporary, 'wx', bytes, io);
    if (written === 'interrupted') return written;
    if (oldMode !== undefined) await chmod(temporary, oldMode & 0o7777);
    await rename(temporary, target);
    finished = true;
    return written;
  } finally {
    if (!finished) await rm(temporary, { force: true });
  }
}

function* inPieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

async function writePieces(path: string, flags: 'w' | 'wx', bytes: Bytes, io: Io): Promise<Written> {
  const state = { interrupted: false };
  const done = io.onInterrupt(() => {
    state.interrupted = true;
  });
  const file = await open(path, flags).catch((error: unknown) => {
    done();
    throw error;
  });
  try {
    for await (const piece of bytes instanceof Uint8Array ? inPieces(bytes) : bytes) {
      if (state.interrupted) break;
      await file.writeFile(piece);
    }
  } finally {
    done();
    await file.close();
  }
  return state.interrupted ? 'interrupted' : 'written';
}

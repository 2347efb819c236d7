// Files named on the command line. What cannot be read ends in an InputError that names the file.

import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { isatty } from 'node:tty';
import { InputError } from '../bits/errors.ts';
import { sizeText } from '../report/numbers.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENXIO: 'it is a socket, or a device that is not there',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ERR_FS_FILE_TOO_LARGE: 'it is too large',
  ERR_INVALID_ARG_VALUE: 'no such file',
};

/** Stands for standard input, wherever a file to read is named. */
export const STDIN = '-';
const STDIN_FD = 0;
/** A stream says nothing of its length; it is read so much at a time. */
const PIECE = 1 << 20;
/** ms between two looks at a stream that has nothing yet. */
const PAUSE = 10;

/** It comes once; what is read again is not there any more. */
let stdinRead = false;

/** @param path `-` is standard input  @param limit most bytes it may have  @param bound what sets the limit, as the message names it */
export function readInput(path: string, limit: number, bound: string): Uint8Array {
  const tooLarge = (what: string): InputError =>
    new InputError(`cannot use '${path}': ${what} more than ${bound}, ${sizeText(limit)}`);
  const file = attempt(path, () => (path === STDIN ? openStdin() : openSync(path, 'r')));
  try {
    const info = attempt(path, () => fstatSync(file));
    const wrong = path === STDIN ? undefined : noStreamOfBytes(info);
    if (wrong !== undefined) throw unreadable(path, wrong);
    if (info.isFile() && info.size > limit) throw tooLarge(`its ${sizeText(info.size)} are`);
    const bytes = attempt(path, () => readBounded(file, info.isFile() ? info.size : 0, limit));
    if (bytes === undefined) throw tooLarge('it has');
    return bytes;
  } finally {
    if (file !== STDIN_FD) closeSync(file);
  }
}

function openStdin(): number {
  if (isatty(STDIN_FD)) throw new InputError(`cannot read '${STDIN}': standard input is a terminal`);
  if (stdinRead) throw new InputError(`cannot read '${STDIN}' again: standard input is one file`);
  stdinRead = true;
  return STDIN_FD;
}

/** Why it is not to be read to its end. A named pipe may be, as the shell makes it of <(...). */
export function noStreamOfBytes(info: Stats): string | undefined {
  if (info.isFile() || info.isFIFO()) return undefined;
  if (info.isDirectory()) return 'it is a directory';
  if (info.isSocket()) return 'it is a socket';
  return `it is a ${info.isBlockDevice() ? 'block' : 'character'} device, no file`;
}

/** All there is, or undefined where that is more than `limit` bytes. @param expected how many there should be */
function readBounded(file: number, expected: number, limit: number): Uint8Array | undefined {
  let bytes = new Uint8Array(expected === 0 ? PIECE : expected + 1);
  let length = 0;
  for (;;) {
    if (length === bytes.length) {
      const larger = new Uint8Array(Math.min(2 * length, limit + PIECE));
      larger.set(bytes);
      bytes = larger;
    }
    const count = readSome(file, bytes.subarray(length));
    if (count === 0) return bytes.subarray(0, length);
    length += count;
    if (length > limit) return undefined;
  }
}

/** Waits where a stream has nothing yet, and was opened by somebody who does not want to wait. */
function readSome(file: number, into: Uint8Array): number {
  for (;;) {
    try {
      return readSync(file, into, 0, into.length, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE);
    }
  }
}

/** Runs a file operation; what goes wrong is an InputError that names the file. */
export function attempt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof InputError) throw error;
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw unreadable(path, REASONS[code] ?? code);
  }
}

/** What is wrong with a file that `words` name already, where the reason may begin with its name too. */
export function aboutFile(words: string, path: string, reason: string): InputError {
  const named = [`'${path}'`, path].find((name) => reason.startsWith(name));
  const rest = named === undefined ? reason : reason.slice(named.length);
  if (named === undefined || /^[\w./-]/.test(rest)) return new InputError(`${words} '${path}': ${reason}`);
  const said = rest.startsWith('(') ? rest : rest.replace(/^[:,]? /, (gap) => (gap === ' ' ? 'it ' : ''));
  return new InputError(`${words} '${path}': ${said}`);
}

const unreadable = (path: string, reason: string): InputError => new InputError(`cannot read '${path}': ${reason}`);

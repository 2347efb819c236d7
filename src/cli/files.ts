// Files named on the command line. What cannot be read ends in an InputError that names the file.

import { readFileSync, statSync } from 'node:fs';
import { InputError } from '../bits/errors.ts';
import { sizeText } from '../report/numbers.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ERR_FS_FILE_TOO_LARGE: 'it is too large',
  ERR_INVALID_ARG_VALUE: 'no such file',
};

/** @param limit most bytes it may have  @param bound what sets the limit, as the message names it */
export function readInput(path: string, limit: number, bound: string): Uint8Array {
  const tooLarge = (size: number): InputError =>
    new InputError(`cannot use '${path}': its ${sizeText(size)} are more than ${bound}, ${sizeText(limit)}`);
  const info = attempt(path, () => statSync(path));
  if (info.isDirectory()) throw unreadable(path, 'it is a directory');
  // A named pipe is fine, as the shell makes it of <(...); a device may never end.
  if (!info.isFile() && !info.isFIFO()) throw unreadable(path, 'it is no file');
  if (info.size > limit) throw tooLarge(info.size);
  const bytes = attempt(path, () => readFileSync(path));
  if (bytes.length > limit) throw tooLarge(bytes.length);
  return bytes;
}

/** Runs a file operation; what goes wrong is an InputError that names the file. */
export function attempt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw unreadable(path, REASONS[code] ?? code);
  }
}

const unreadable = (path: string, reason: string): InputError => new InputError(`cannot read '${path}': ${reason}`);

// Disk images named on the command line: read when the guest reads them, so that their size does not matter. A run is a
// function of what a disk holds, so a file that changes under it ends the run.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { InputError } from '../bits/errors.ts';
import { type DiskImage, SECTOR } from '../devices/disk.ts';
import { countText } from '../report/numbers.ts';
import { attempt, noStreamOfBytes, STDIN } from './files.ts';

/** Opens a file as a disk. It stays open until the process ends. Throws InputError where it cannot be read. */
export function openDisk(path: string): DiskImage {
  if (path === STDIN)
    throw new InputError("cannot use '-' as a disk: a guest reads a disk at any place, and a stream has none");
  // Not blocking: nobody may ever write to a named pipe.
  const file = attempt(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const opened = attempt(path, () => fstatSync(file));
  if (!opened.isFile()) {
    closeSync(file);
    throw new InputError(`cannot use '${path}' as a disk: ${noStreamOfBytes(opened) ?? 'it is a pipe, no file'}`);
  }
  if (opened.size === 0 || opened.size % SECTOR !== 0) {
    closeSync(file);
    const size = `${countText(opened.size)} ${opened.size === 1 ? 'byte' : 'bytes'}`;
    throw new InputError(`cannot use '${path}' as a disk: its ${size} are no whole sectors of ${SECTOR}`);
  }
  return {
    size: opened.size,
    read: (offset, length) => {
      const bytes = new Uint8Array(length);
      attempt(path, () => fill(file, bytes, offset));
      if (hasChanged(opened, fstatSync(file)))
        throw new InputError(`'${path}' has changed while it was used as a disk`);
      return bytes;
    },
  };
}

/** What a file no longer has stays zero; that it is shorter is seen by its size. */
function fill(file: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(file, bytes, done, bytes.length - done, offset + done);
    if (count === 0) return;
    done += count;
  }
}

const hasChanged = (before: Stats, now: Stats): boolean => before.size !== now.size || before.mtimeMs !== now.mtimeMs;

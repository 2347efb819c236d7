// The busybox that `--run` puts into the guest: a file of the user's, else the one of this system where it will do.

import { InputError } from '../bits/errors.ts';
import { MIB } from '../bits/sizes.ts';
import { checkStaticProgram } from '../boot/initramfs.ts';
import { readInput } from './files.ts';

const USUAL_PLACES = ['/bin/busybox', '/usr/bin/busybox'];
/** Busybox has some 2 MiB. */
const LARGEST = 64 * MIB;
const HOW_TO_GET_IT =
  "--run needs a statically linked busybox: install Debian's package busybox-static, or name a file with --busybox";

/**
 * @param path the file to use; without one, the usual places are searched
 * Throws InputError where there is none that could run in the guest.
 */
export function findBusybox(path: string | undefined, places: readonly string[] = USUAL_PLACES): Uint8Array {
  if (path !== undefined) return readStatic(path);
  const refusals: string[] = [];
  for (const place of places) {
    try {
      return readStatic(place);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      refusals.push(error.message);
    }
  }
  throw new InputError(`${HOW_TO_GET_IT} (${refusals.join('; ')})`);
}

function readStatic(path: string): Uint8Array {
  const bytes = readInput(path, LARGEST, 'a busybox may have');
  checkStaticProgram(bytes, `'${path}'`);
  return bytes;
}

// What audit, info, diff and the loader answer to a file: a result or one clear line. Anything else thrown is a bug, and passed on.
import { auditFile } from '../../src/audit/audit.ts';
import { diffImages } from '../../src/audit/diff/diff.ts';
import { imageInfo } from '../../src/audit/info.ts';
import { InputError } from '../../src/bits/errors.ts';
import { MIB } from '../../src/bits/sizes.ts';
import { bootImage } from '../../src/boot/boot.ts';
import { parseImage } from '../../src/image/image.ts';
import { openFile } from '../../src/image/open.ts';
import type { WholeFile } from './files.ts';

export type Answer = 'result' | 'refused';

function answerOf(work: () => unknown): Answer {
  try {
    work();
    return 'result';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (error.message === '' || error.message.includes('\n'))
      throw new Error(`no clear line: ${error.message}`, { cause: error });
    return 'refused';
  }
}

/** As a boot begins: opened, read, and put into memory that nobody looks at. */
function loaded(bytes: Uint8Array): void {
  const image = parseImage(openFile(bytes).bytes);
  bootImage({ memoryBytes: 64 * MIB, cmdline: '' }, image, { write: () => undefined });
}

/** By command. @param whole the file before it was broken */
export function answers({ name, bytes }: WholeFile, whole: Uint8Array): Readonly<Record<string, Answer>> {
  return {
    audit: answerOf(() => auditFile(bytes, name, { payload: true })),
    info: answerOf(() => imageInfo(bytes)),
    diff: answerOf(() => diffImages(whole, bytes)),
    load: answerOf(() => loaded(bytes)),
  };
}

// What audit, info and diff answer to a file: a result or one clear line. Anything else thrown is a bug, and passed on.
import { auditFile } from '../../src/audit/audit.ts';
import { diffImages } from '../../src/audit/diff/diff.ts';
import { imageInfo } from '../../src/audit/info.ts';
import { InputError } from '../../src/bits/errors.ts';
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

/** By command. @param whole the file before it was broken */
export function answers({ name, bytes }: WholeFile, whole: Uint8Array): Readonly<Record<string, Answer>> {
  return {
    audit: answerOf(() => auditFile(bytes, name, { payload: true })),
    info: answerOf(() => imageInfo(bytes)),
    diff: answerOf(() => diffImages(whole, bytes)),
  };
}

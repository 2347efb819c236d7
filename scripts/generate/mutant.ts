// Makes a bzImage sick as a linker would: the RIP-relative lea at a file offset of its stub becomes the mov of its
// target's link address (src/code/mutant.ts says which).
//
//   npx tsx scripts/generate/mutant.ts IMAGE                  lists the leas of its stub
//   npx tsx scripts/generate/mutant.ts IMAGE FILEOFFSET OUT   writes the mutant
import { readFileSync, writeFileSync } from 'node:fs';
import { InputError } from '../../src/bits/errors.ts';
import { hex } from '../../src/bits/hex.ts';
import { listRipRelativeLeas, mutateLea } from '../../src/code/mutant.ts';

const [image, offset, out] = process.argv.slice(2);

function run(): void {
  if (image === undefined) throw new InputError('usage: npx tsx scripts/generate/mutant.ts IMAGE [FILEOFFSET OUT]');
  const bytes = new Uint8Array(readFileSync(image));
  if (offset === undefined || out === undefined) return list(bytes);
  const fileOffset = Number(offset);
  if (!Number.isSafeInteger(fileOffset)) throw new InputError(`'${offset}' is no file offset`);
  writeFileSync(out, mutateLea(bytes, fileOffset));
}

function list(bytes: Uint8Array): void {
  for (const { fileOffset, linkAddress, register, target } of listRipRelativeLeas(bytes)) {
    console.log(`${fileOffset}\t${hex(linkAddress)}\tlea to ${hex(target)}, %${register}`);
  }
}

try {
  run();
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

// Code of a real program for the fuzzer to mutate: our own sample, which is there on every machine.
import { readFileSync } from 'node:fs';
import { parseElf } from '../../../src/image/elf.ts';

const EXECUTABLE = 1;

export function realCode(): Uint8Array {
  const bytes = new Uint8Array(readFileSync(new URL('../../../samples/built/good.elf', import.meta.url)));
  const segment = parseElf(bytes).segments.find(({ flags }) => flags & EXECUTABLE);
  if (!segment) throw new Error('the sample has no code');
  return bytes.subarray(segment.fileOffset, segment.fileOffset + segment.fileSize);
}

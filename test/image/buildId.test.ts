import { describe, expect, it } from 'vitest';
import { putU32 } from '../../src/bits/cursor.ts';
import { findBanner } from '../../src/image/banner.ts';
import { buildId } from '../../src/image/buildId.ts';
import { searchFor } from '../../src/image/search.ts';
import { asNoteSegment, note } from './kernelParts.ts';
import { concat, makeElf } from './synthetic.ts';

const ID = Uint8Array.from({ length: 20 }, (_, i) => 0xa0 + i);
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const NT_GNU_BUILD_ID = 3;

const segment = (bytes: Uint8Array, at = 0n) => ({
  physAddr: 0x1000000n + at,
  virtAddr: 0xffffffff81000000n + at,
  memSize: BigInt(bytes.length),
  bytes,
});

/** An ELF file with a segment of code that holds `code`, and one of notes. */
const withNotes = (notes: Uint8Array, code: Uint8Array = new Uint8Array(16)): Uint8Array =>
  asNoteSegment(makeElf({ segments: [segment(code), segment(notes, 0x1000n)] }), 1);

describe('the build id', () => {
  it('is the contents of the note of that type by GNU', () => {
    const notes = [note('Xen', 3, ID.slice(4)), note('GNU', 1, new Uint8Array(16)), note('GNU', NT_GNU_BUILD_ID, ID)];
    expect(buildId(withNotes(concat(notes)))).toEqual(ID);
  });

  it('is that of the file, not one of a vDSO in its data', () => {
    const other = note('GNU', NT_GNU_BUILD_ID, ID.slice().reverse());
    expect(buildId(withNotes(note('GNU', NT_GNU_BUILD_ID, ID), other))).toEqual(ID);
    expect(buildId(makeElf({ segments: [segment(other)] }))).toBeUndefined();
  });

  it.each([
    ['without such a note', note('GNU', 1, ID)],
    ['cut off', note('GNU', NT_GNU_BUILD_ID, ID).subarray(0, 30)],
    ['too long', note('GNU', NT_GNU_BUILD_ID, new Uint8Array(65))],
    ['empty', note('GNU', NT_GNU_BUILD_ID, new Uint8Array())],
  ])('is not there: %s', (_name, notes) => {
    expect(buildId(withNotes(notes))).toBeUndefined();
  });

  it('is not looked for beyond the end of the file', () => {
    const elf = withNotes(note('GNU', NT_GNU_BUILD_ID, ID));
    putU32(elf, 64 + 56 + 8 + 4, 0xffff_ffff);
    expect(buildId(elf)).toBeUndefined();
  });
});

describe('the banner', () => {
  it('is the whole line, without its end', () => {
    const bytes = concat([ascii('xx%s version %s\0Linux version 6.1.0 (a@b) (gcc) #1 SMP\n\0more')]);
    expect(findBanner(bytes)).toBe('Linux version 6.1.0 (a@b) (gcc) #1 SMP');
  });

  it.each([
    'Linux version %s\0',
    'Linux version 6.1.0 without an end',
    'Linux version 6.1\x1b[2J\0',
    'Linux version \0',
    '',
  ])('is not: %j', (text) => {
    expect(findBanner(ascii(text))).toBeUndefined();
  });

  it.each([
    'Linux version 6.1.0 (a@b) (gcc, ld) # SMP Thu Jan 1 00:00:00 UTC 1970',
    'Linux version 6.1.0 (a@b) (gcc, ld) # Thu Jan 1 00:00:00 UTC 1970',
    'Linux version 6.1.0 (a@b) (gcc, ld) # SMP PREEMPT_DYNAMIC Debian 6.1.1 (2026-01-01)',
  ])('is not the copy that stands in for it: %s', (copy) => {
    const banner = 'Linux version 6.1.0 (a@b) (gcc, ld) #1 SMP Debian 6.1.1 (2026-01-01)';
    expect(findBanner(ascii(`${copy}\n\0${banner}\n\0`))).toBe(banner);
    expect(findBanner(ascii(`${copy}\n\0`))).toBe(copy);
  });

  it('is found behind what looks like it', () => {
    expect(findBanner(ascii('Linux version %s\0Linux Linux version 5.4\0'))).toBe('Linux version 5.4');
  });
});

describe('searching bytes', () => {
  it.each([
    ['abcabcabd', 'abcabd', 3],
    ['aaaaab', 'aab', 3],
    ['abc', 'abcd', -1],
    ['abc', 'abc', 0],
    ['abc', 'c', 2],
    ['', 'a', -1],
  ])('%j for %j', (text, pattern, at) => {
    expect(searchFor(ascii(pattern))(ascii(text))).toBe(at);
  });

  it('goes on from an offset', () => {
    expect(searchFor(ascii('ab'))(ascii('abxabxab'), 1)).toBe(3);
  });
});

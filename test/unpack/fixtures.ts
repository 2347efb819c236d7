// The packed fixtures, and what a kernel's build and broken files make of them.
import { readFileSync } from 'node:fs';
import { putU32 } from '../../src/bits/cursor.ts';
import type { PackedFormat } from '../../src/unpack/unpack.ts';
import { type ContentName, content } from './contents.ts';

export interface Fixture {
  readonly format: PackedFormat;
  readonly content: ContentName;
  /** The command that packed it. */
  readonly command: string;
  readonly packed: Uint8Array;
}

type Entry = Omit<Fixture, 'packed'> & { readonly base64: string };

const entries = JSON.parse(readFileSync(new URL('data/fixtures.json', import.meta.url), 'utf8')) as Entry[];

export const FIXTURES: readonly Fixture[] = entries.map(({ base64, ...entry }) => ({
  ...entry,
  packed: new Uint8Array(Buffer.from(base64, 'base64')),
}));

export const FORMATS: readonly PackedFormat[] = ['gzip', 'bzip2', 'lzma', 'xz', 'lzo', 'lz4', 'zstd'];

/** The first fixture of a format and a content. */
export function fixture(format: PackedFormat, name: ContentName): Fixture {
  const found = FIXTURES.find((fixture) => fixture.format === format && fixture.content === name);
  if (found === undefined) throw new Error(`no fixture ${format} ${name}`);
  return found;
}

/** The fixture's bytes, to be changed. */
export function packed(format: PackedFormat, name: ContentName): Uint8Array {
  return fixture(format, name).packed.slice();
}

/** As in a bzImage: with the size of the content behind it. */
export function asPayload({ packed, content: name }: Fixture): Uint8Array {
  const payload = new Uint8Array(packed.length + 4);
  payload.set(packed);
  putU32(payload, packed.length, content(name).length);
  return payload;
}

export function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

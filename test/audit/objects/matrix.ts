// test/data/link-matrix.json for tests: objects, and what real linkers made of them (scripts/generate/make-link-matrix.ts).
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parseArchive } from '../../../src/image/archive.ts';

export interface LinkSet {
  readonly name: string;
  readonly archive: string;
  readonly with: readonly string[];
  readonly cells: Readonly<Record<string, readonly (string | null)[]>>;
}

export interface LinkMatrix {
  readonly tools: Readonly<Record<string, string>>;
  readonly commands: Readonly<Record<string, string>>;
  readonly errors: readonly string[];
  readonly archives: Readonly<Record<string, string>>;
  readonly sets: readonly LinkSet[];
}

export const matrix = JSON.parse(
  readFileSync(new URL('../../data/link-matrix.json', import.meta.url), 'utf8'),
) as LinkMatrix;

/** The bytes of one of the archives, as ar wrote it. */
export const archiveBytes = (name: string): Uint8Array =>
  new Uint8Array(gunzipSync(Buffer.from(matrix.archives[name] ?? '', 'base64')));

const archives = new Map<string, Map<string, Uint8Array>>();

/** An object of the matrix. */
export function objectBytes(archive: string, name: string): Uint8Array {
  const known = archives.get(archive);
  const members = known ?? new Map(parseArchive(archiveBytes(archive)).map((m) => [m.name, m.bytes]));
  archives.set(archive, members);
  const bytes = members.get(name);
  if (bytes === undefined) throw new Error(`no ${name} in archive ${archive}`);
  return bytes;
}

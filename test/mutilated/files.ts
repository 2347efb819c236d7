// Files with something wrong in them, for all that reads files without running them: whole ones of every kind, and ways to
// break them. The same seed breaks the same way.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { KINDS } from '../image/kinds.ts';
import { concat, makeBzImage, makeElf, randomOf } from '../image/synthetic.ts';
import { parseArchive } from '../../src/image/archive.ts';
import { archiveBytes, matrix } from '../audit/objects/matrix.ts';
import { stubImage } from '../audit/stub/stubs.ts';
import { asPayload, FIXTURES } from '../unpack/fixtures.ts';

export interface WholeFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const built = (name: string): WholeFile => ({
  name,
  bytes: new Uint8Array(readFileSync(new URL(`../../samples/built/${name}`, import.meta.url))),
});

/** A kernel of one segment in the upper half, with code, a banner and a configuration. */
function smallKernel(): Uint8Array {
  const bytes = new Uint8Array(0x4000);
  bytes.set([0x48, 0x8d, 0x05, 0xf9, 0x0f, 0, 0, 0x48, 0xc7, 0xc0, 0, 0x10, 0, 0x81, 0x0f, 0x22, 0xd8, 0xf4], 0);
  bytes.set(new TextEncoder().encode('Linux version 0.0.0-small (nobody@nowhere) #1\n\0'), 0x1000);
  const config = gzipSync('CONFIG_64BIT=y\nCONFIG_RELOCATABLE=y\n# CONFIG_LTO is not set\n');
  bytes.set(concat([new TextEncoder().encode('IKCFG_ST'), config, new TextEncoder().encode('IKCFG_ED')]), 0x2000);
  return makeElf({
    segments: [{ physAddr: 0x1000000n, virtAddr: 0xffffffff81000000n, memSize: 0x5000n, bytes }],
    symbols: [{ name: 'startup_64', address: 0xffffffff81000000n, size: 18n }],
  });
}

/** A payload of 256 MiB of zeros, in a quarter of a MiB. */
function bomb(): Uint8Array {
  const member = gzipSync(new Uint8Array(32 * 2 ** 20));
  return concat(Array.from({ length: 8 }, () => member));
}

/** Four of an archive's objects. */
const objects = (archive: string): WholeFile[] =>
  parseArchive(archiveBytes(archive))
    .slice(0, 4)
    .map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));

/** One of every kind of file, and of every payload format. */
export function wholeFiles(): WholeFile[] {
  const packed = FIXTURES.filter(({ content }) => content !== 'tiny');
  return [
    ...['good.bzImage', 'bad.bzImage', 'compare-bad.bzImage', 'good.elf', 'bad.elf', 'compare-bad.elf'].map(built),
    { name: 'stub', bytes: stubImage({ text: '48 c7 c6 00 16 00 00' }) },
    { name: 'kernel', bytes: smallKernel() },
    { name: 'packed kernel', bytes: makeBzImage({ payload: new Uint8Array(gzipSync(smallKernel())) }) },
    { name: 'bomb', bytes: makeBzImage({ payload: bomb() }) },
    ...packed.map((f) => ({ name: `${f.format} ${f.content}`, bytes: makeBzImage({ payload: asPayload(f) }) })),
    ...Object.keys(matrix.archives).map((name) => ({ name, bytes: archiveBytes(name) })),
    ...Object.keys(matrix.archives).slice(0, 3).flatMap(objects),
    ...Object.entries(KINDS).map(([name, make]) => ({ name: `kind: ${name}`, bytes: make().slice() })),
  ];
}

type Below = (below: number) => number;

/** What sizes and offsets are broken with. */
const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0xfff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff];

/** Most of what is broken is in headers and tables: at the start of the file, or at its end. */
function place(bytes: Uint8Array, below: Below): number {
  const kind = below(4);
  if (kind === 0) return below(bytes.length);
  if (kind === 1) return Math.max(0, bytes.length - 1 - below(Math.min(bytes.length, 2048)));
  return below(Math.min(bytes.length, kind === 2 ? 1024 : 128));
}

type Breaking = (bytes: Uint8Array, below: Below) => Uint8Array;

const extreme = (below: Below): number => EXTREMES[below(EXTREMES.length)] ?? 0;

const BREAKINGS: readonly Breaking[] = [
  (bytes, below) => {
    const at = place(bytes, below);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
    return bytes;
  },
  (bytes, below) => {
    const at = place(bytes, below);
    if (at + 4 <= bytes.length) putU32(bytes, at, extreme(below));
    return bytes;
  },
  (bytes, below) => {
    const at = place(bytes, below) & ~7;
    if (at + 8 <= bytes.length) putU64(bytes, at, (BigInt(extreme(below)) << 32n) | BigInt(extreme(below)));
    return bytes;
  },
  (bytes, below) => {
    const at = place(bytes, below) & ~1;
    if (at + 2 <= bytes.length) putU16(bytes, at, extreme(below) & 0xffff);
    return bytes;
  },
  (bytes, below) => bytes.subarray(0, below(bytes.length + 1)),
  (bytes, below) => concat([bytes, Uint8Array.from({ length: 1 + below(4096) }, () => below(256))]),
  (bytes, below) => bytes.fill(below(2) === 0 ? 0 : 0xff, place(bytes, below), place(bytes, below) + below(64)),
  (bytes, below) => {
    const [from, to] = [place(bytes, below), place(bytes, below)];
    bytes.copyWithin(to, from, from + below(256));
    return bytes;
  },
];

/** One of `files`, broken in one to four ways. */
export function mutilated(files: readonly WholeFile[], seed: number): WholeFile {
  const below = randomOf(seed);
  const file = files[below(files.length)];
  if (file === undefined) throw new RangeError('no files');
  let bytes: Uint8Array = file.bytes.slice();
  const times = 1 + below(4);
  for (let i = 0; i < times && bytes.length > 0; i++) {
    bytes = (BREAKINGS[below(BREAKINGS.length)] as Breaking)(bytes, below);
  }
  return { name: file.name, bytes };
}

// Makes test/unpack/data/fixtures.json: the contents of test/unpack/contents.ts packed by the real tools.
//
//   npx tsx scripts/generate/make-unpack-fixtures.ts
//
// Needs gzip, bzip2, xz, lzop, lz4, zstd and lzmp (Debian's package `lzma`) on PATH.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackedFormat } from '../../src/unpack/unpack.ts';
import { type ContentName, content } from '../../test/unpack/contents.ts';

/** A command packs its standard input to its standard output; FILE in it stands for a file with the same bytes. */
const COMMANDS: readonly (readonly [PackedFormat, ContentName, string])[] = [
  ['gzip', 'tiny', 'gzip -n -9'],
  ['gzip', 'short', 'gzip -n -9'],
  ['gzip', 'code', 'gzip -N -1 -c FILE'],
  ['gzip', 'long', 'gzip -n -9'],
  ['gzip', 'zeros', 'gzip -n -9'],
  ['bzip2', 'tiny', 'bzip2 -9'],
  ['bzip2', 'short', 'bzip2 -9'],
  ['bzip2', 'long', 'bzip2 -1'],
  ['bzip2', 'zeros', 'bzip2 -9'],
  ['lzma', 'tiny', 'xz --format=lzma -9'],
  ['lzma', 'short', 'xz --format=lzma -9'],
  ['lzma', 'short', 'lzmp -9 -c FILE'],
  ['lzma', 'long', 'xz --format=lzma -9 --lzma1=preset=9,lc=1,lp=2,pb=1'],
  ['lzma', 'zeros', 'xz --format=lzma -9'],
  ['xz', 'tiny', 'xz --check=crc32 --x86 --lzma2=dict=32MiB'],
  ['xz', 'short', 'xz --check=crc32 --x86 --lzma2=dict=32MiB'],
  ['xz', 'code', 'xz --check=crc32 --x86 --lzma2=dict=32MiB'],
  ['xz', 'code', 'xz --x86=start=4096 --lzma2'],
  ['xz', 'lines', 'xz -9'],
  ['xz', 'short', 'xz -9'],
  ['xz', 'long', 'xz -T2 --block-size=100KiB'],
  ['xz', 'long', 'xz --check=sha256 --lzma2=preset=6,lc=0,lp=3,pb=0'],
  ['xz', 'zeros', 'xz --check=none'],
  ['lzo', 'tiny', 'lzop -9'],
  ['lzo', 'short', 'lzop -9'],
  ['lzo', 'code', 'lzop -1 --no-checksum'],
  ['lzo', 'long', 'lzop -9 --crc32 -c FILE'],
  ['lzo', 'zeros', 'lzop -9'],
  ['lz4', 'tiny', 'lz4 -l -9'],
  ['lz4', 'short', 'lz4 -l -9'],
  ['lz4', 'code', 'lz4 -1'],
  ['lz4', 'long', 'lz4 -9 -B4 -BD -BX --content-size -c FILE'],
  ['lz4', 'zeros', 'lz4 -l -9'],
  ['zstd', 'tiny', 'zstd -22 --ultra'],
  ['zstd', 'short', 'zstd -22 --ultra'],
  ['zstd', 'code', 'zstd -1 --no-check'],
  ['zstd', 'long', 'zstd -22 --ultra -c FILE'],
  ['zstd', 'long', 'zstd -1'],
  ['zstd', 'zeros', 'zstd -19'],
];

const folder = mkdtempSync(join(tmpdir(), 'fixtures-'));
const fixtures = COMMANDS.map(([format, name, command]) => {
  const file = join(folder, name);
  writeFileSync(file, content(name));
  const [tool = '', ...args] = command.split(' ').map((word) => (word === 'FILE' ? name : word));
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd: folder, input: content(name), maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return { format, content: name, command, base64: stdout.toString('base64') };
});
rmSync(folder, { recursive: true });
const data = resolve(fileURLToPath(import.meta.url), '../../../test/unpack/data/fixtures.json');
writeFileSync(data, `[\n${fixtures.map((fixture) => JSON.stringify(fixture)).join(',\n')}\n]\n`);
for (const { format, content, command, base64 } of fixtures) console.log(format, content, command, base64.length);
console.log(readFileSync(data).length);

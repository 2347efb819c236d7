// What the tools people use today say of a boot stub with the bug, beside what Firstlight says, with wall times of this run.
// Makes the table and the transcripts of docs/beside-other-tools.md.
//
//   npx tsx scripts/accept/beside-tools.ts     (needs binutils, pax-utils, diffoscope; a tool that is missing is said to be)
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listRipRelativeLeas, mutateLea } from '../../src/code/mutant.ts';
import { kernel } from '../../test/support/kernels.ts';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const built = (name: string): string => join('samples/built', name);
/** Lines of a transcript that are shown. */
const SHOWN = 12;

interface Run {
  readonly what: string;
  readonly command: readonly string[];
}

function show({ what, command }: Run, folder: string): void {
  const start = performance.now();
  const [tool = '', ...args] = command;
  const { status, stdout, stderr, error } = spawnSync(tool === 'firstlight' ? join(root, tool) : tool, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    timeout: 600_000,
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(2);
  if (error !== undefined && status === null) return console.log(`### ${what}\n\n${tool}: ${error.message}\n`);
  const lines = `${stdout}${stderr}`.trimEnd().split('\n');
  const more = lines.length > SHOWN ? [`... (${lines.length} lines in all)`] : [];
  console.log(`### ${what}\n\n${seconds} s, exit code ${status}, ${lines.length} lines\n`);
  console.log([`$ ${command.join(' ')}`, ...lines.slice(0, SHOWN), ...more].map((line) => `    ${line}`).join('\n'));
  console.log();
}

const SAMPLE: readonly Run[] = [
  { what: 'readelf: run-time relocations', command: ['readelf', '-r', built('bad.elf')] },
  { what: 'readelf: dynamic section', command: ['readelf', '-d', built('bad.elf')] },
  {
    what: 'scanelf: text relocations, executable stacks, writable code',
    command: ['scanelf', '-aqT', built('bad.elf')],
  },
  { what: 'objdump: the whole disassembly', command: ['objdump', '-d', built('bad.elf')] },
  {
    what: 'objdump: what people grep for',
    command: ['sh', '-c', `objdump -d ${built('bad.elf')} | grep -c 'mov .*\\$0x'`],
  },
  {
    what: 'diffoscope, with a good build beside it',
    command: ['diffoscope', '--text', '-', built('good.elf'), built('bad.elf')],
  },
  { what: 'Firstlight', command: ['firstlight', 'audit', built('bad.elf')] },
  {
    what: 'Firstlight, with a good build beside it',
    command: ['firstlight', 'diff', built('good.elf'), built('bad.elf')],
  },
];

const [GOOD, BAD] = ['good.bzImage', 'bad.bzImage'];

const IMAGES: readonly Run[] = [
  { what: 'readelf', command: ['readelf', '-r', BAD] },
  { what: 'objdump', command: ['objdump', '-d', BAD] },
  { what: 'scanelf', command: ['scanelf', '-aqT', BAD] },
  { what: 'cmp, with the good image beside it', command: ['cmp', '-l', GOOD, BAD] },
  { what: 'diffoscope, with the good image beside it', command: ['diffoscope', '--text', '-', GOOD, BAD] },
  { what: 'Firstlight', command: ['firstlight', 'audit', BAD] },
  { what: 'Firstlight, with the good image beside it', command: ['firstlight', 'diff', GOOD, BAD] },
];

console.log('## The bundled sample\n');
for (const run of SAMPLE) show(run, root);

const debian = kernel('debian-6.1');
if (debian === undefined) console.log('no Debian kernel: the second part is left out');
else {
  const folder = mkdtempSync(join(tmpdir(), 'beside-'));
  const image = new Uint8Array(readFileSync(debian.path));
  const leas = listRipRelativeLeas(image);
  const chosen = leas[Math.floor(leas.length / 2)];
  if (chosen === undefined) throw new Error('the kernel has no lea to mutate');
  writeFileSync(join(folder, GOOD), image);
  writeFileSync(join(folder, BAD), mutateLea(image, chosen.fileOffset));
  console.log(
    `## ${debian.version} with the lea at file offset 0x${chosen.fileOffset.toString(16)} turned into a mov\n`,
  );
  for (const run of IMAGES) show(run, folder);
  rmSync(folder, { recursive: true, force: true });
}

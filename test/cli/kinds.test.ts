// Every kind of file that people hand over, given to every command: an exit code, and one true line.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KINDS, type KindName, UKI_CMDLINE, UKI_INITRD } from '../image/kinds.ts';
import type { BootJson } from '../../src/report/json.ts';
import { firstlight, type Said } from './fakeIo.ts';

const COMMANDS = ['boot', 'audit', 'info', 'extract', 'diff'] as const;
type CommandName = (typeof COMMANDS)[number];

/** Exit codes of the commands in their order, and words that are in the answer of each; or words for one command alone. */
type Row = readonly [KindName, string, string | RegExp, Partial<Record<CommandName, string | RegExp>>?];

const REFUSED = '22222';
const PROGRAM = /headers were looked at, and not its code/;

const ROWS: readonly Row[] = [
  ['bzImage', '01000', /bzImage|an ELF file, unpacked from/],
  ['bzImage of a 32-bit kernel', '01000', /bzImage|an ELF file/, { boot: '32-bit entry' }],
  ['bzImage, gzip', '01000', 'unpacked from gzip', { diff: 'bzImage' }],
  ['bzImage, gzip twice', '01000', 'unpacked from gzip, unpacked from gzip', { diff: 'bzImage' }],
  ['bzImage, gzip, cut', REFUSED, 'compressed with gzip, and it cannot be unpacked: the gzip data is damaged'],
  ['unified kernel image', '01000', 'unified kernel image (Test OS 1)', { diff: 'bzImage' }],
  ['unified kernel image, gzip', '01000', 'unified kernel image (Test OS 1), unpacked from gzip', { diff: 'bzImage' }],
  ['program with a setup header', '00020', 'rogram with a Linux setup header', { diff: /GOOD/, audit: PROGRAM }],
  [
    'program that needs its real-mode setup',
    '20020',
    'rogram with a Linux setup header',
    { boot: 'code32_start is 0): its own real-mode setup has to run first', diff: /GOOD/ },
  ],
  ['program of protocol 2.03', REFUSED, 'protocol 2.03', { extract: 'no kernel packed in it' }],
  ['vmlinux', '01022', /vmlinux|ELF image/, { extract: 'a kernel already', diff: 'stripped' }],
  ['vmlinux, gzip', '01002', 'unpacked from gzip', { diff: 'stripped' }],
  [
    'vmlinux of a 32-bit kernel',
    '20022',
    /vmlinux/,
    { boot: 'boot its bzImage', extract: 'a kernel already', audit: PROGRAM },
  ],
  ['vmlinux of a 32-bit kernel with a PVH note', '00022', /vmlinux/, { boot: 'PVH entry', extract: 'kernel already' }],
  ['Multiboot ELF file', '00022', 'Multiboot', { audit: PROGRAM }],
  ['Multiboot ELF64 file, gzip', '00002', 'unpacked from gzip', { diff: 'stripped', audit: PROGRAM }],
  ['flat Multiboot image', '00022', 'Multiboot', { audit: PROGRAM }],
  ['Multiboot header with an unknown demand', '21222', 'Multiboot', { boot: 'demands what no loader knows' }],
  ['Multiboot header behind 8192 bytes', '22022', 'a Multiboot header stands at 0x3074, behind the first 8192 bytes'],
  ['Multiboot 2 kernel', '20022', 'Multiboot 2', { boot: 'Multiboot 2 is not entered yet', audit: PROGRAM }],
  ['PVH kernel', '00022', 'PVH entry', { diff: 'stripped', audit: PROGRAM }],
  [
    'PVH kernel with a wrong address',
    '21022',
    'PVH entry',
    { boot: '0x40100000 lies in no loaded segment', audit: '0x40100000 lies in no loaded segment', diff: 'stripped' },
  ],
  ['PVH note of another type', '02022', /"Xen" of type 17/, { diff: 'stripped' }],
  ['PVH note in no PT_NOTE', '02022', 'in no PT_NOTE segment', { diff: 'stripped' }],
  ['ELF file of nothing known', '02022', 'no Multiboot header and no PVH note', { diff: 'stripped' }],
  ['ELF file of an EFI program', REFUSED, 'the ELF file of an EFI program for x86-64'],
  ['object file', '20222', 'object file', { audit: 'an object file' }],
  ['kernel module', REFUSED, 'a kernel module (.ko) for x86-64'],
  ['GRUB module', REFUSED, 'a GRUB module'],
  ['shared object', REFUSED, 'a shared object (.so) for x86-64'],
  ['dynamically linked program', REFUSED, 'a dynamically linked program for x86-64'],
  ['statically linked program', REFUSED, 'a statically linked program for x86-64'],
  ['ELF file for another processor', REFUSED, 'an ELF file for AArch64'],
  ['EFI program', REFUSED, 'an EFI program for x86-64 (it has no Linux setup header and no section .linux)'],
  ['EFI boot manager', REFUSED, 'an EFI program for x86-64 (it has no Linux setup header and no section .linux)'],
  ['stub for unified kernel images', REFUSED, "systemd's stub for unified kernel images, with no kernel in it"],
  ['EFI program for another processor', REFUSED, 'an EFI program for AArch64'],
  ['kernel for another processor, gzip', REFUSED, 'an Image for AArch64'],
  ['initial RAM disk', REFUSED, 'a cpio archive (an initial RAM disk)'],
  ['initial RAM disk, gzip', REFUSED, 'a cpio archive (an initial RAM disk)'],
  ['Debian package', REFUSED, 'a Debian package'],
  ['text', REFUSED, 'no "HdrS" at 0x202, and no ELF, PE or Multiboot header'],
  ['boot sector', REFUSED, 'a boot sector or a disk, but no kernel'],
  ['nothing', REFUSED, 'an empty file'],
];

let folder = '';
const fileOf = (kind: KindName): string => join(folder, Object.keys(KINDS).indexOf(kind).toString());

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firstlight-kinds-'));
  for (const [kind, make] of Object.entries(KINDS)) writeFileSync(fileOf(kind as KindName), make());
});
afterAll(() => rmSync(folder, { recursive: true }));

const ARGUMENTS: Readonly<Record<CommandName, (path: string) => readonly string[]>> = {
  boot: (path) => [path, '--until', 'entry'],
  audit: (path) => [path],
  info: (path) => [path],
  extract: (path) => [path, '--to', `${path}.out`],
  diff: (path) => [path, path],
};

const given = (command: CommandName, kind: KindName): Promise<Said> =>
  firstlight([command, ...ARGUMENTS[command](fileOf(kind))]);

/** Lines as written are broken to fit. */
const unbroken = (text: string): string => text.replace(/\s+/g, ' ');

describe('every kind of file is in the table', () => {
  it('and every row is a kind', () => {
    expect(ROWS.map(([kind]) => kind).sort()).toEqual(Object.keys(KINDS).sort());
  });
});

const pattern = (words: string | RegExp): RegExp =>
  typeof words === 'string' ? new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')) : words;

const ANSWERS = ROWS.flatMap(([kind, codes, words, own = {}]) =>
  COMMANDS.map((command, i) => ({ kind, command, code: Number(codes[i]), words: pattern(own[command] ?? words) })),
);

describe('every kind and every command', () => {
  it.each(ANSWERS)('$command of $kind: exit code $code', async ({ kind, command, code, words }) => {
    const said = await given(command, kind);
    expect(unbroken(said.both)).toMatch(words);
    expect(said.code).toBe(code);
  });

  it.each(ANSWERS.filter(({ code }) => code === 2))(
    '$command of $kind complains in one line',
    async ({ kind, command }) => {
      expect((await given(command, kind)).stderr).toMatch(/^firstlight: [^\n]+\n$/);
    },
  );

  it.each(ROWS.filter(([, codes]) => codes.startsWith('2')).map(([kind]) => kind))(
    'why refuses %s with the words of boot',
    async (kind) => {
      const [boot, why] = [await given('boot', kind), await firstlight(['why', fileOf(kind)])];
      expect(why).toMatchObject({ code: 2, stdout: '', stderr: boot.stderr });
    },
  );
});

describe('a unified kernel image that is booted', () => {
  const boot = async (...more: readonly string[]): Promise<BootJson['machine']> => {
    const { stdout } = await firstlight([
      'boot',
      fileOf('unified kernel image'),
      '--until',
      'entry',
      '--json',
      ...more,
    ]);
    return (JSON.parse(stdout) as BootJson).machine;
  };

  it('brings its command line and its initial RAM disk', async () => {
    const { commandLine, initrdBytes, image } = await boot();
    expect(commandLine.given).toBe(UKI_CMDLINE);
    expect(initrdBytes).toBe(UKI_INITRD.length);
    expect(image.origin).toContain('its command line "root=/dev/vda panic=-1" and its initial RAM disk');
  });

  it('gives way to the options', async () => {
    writeFileSync(join(folder, 'disk'), 'other');
    const { commandLine, initrdBytes, image } = await boot('--append', 'quiet', '--initrd', join(folder, 'disk'));
    expect(commandLine.given).toBe('quiet');
    expect(initrdBytes).toBe(5);
    expect(image.origin).not.toContain('its command line');
  });

  it('is shown with its sections', async () => {
    const { stdout } = await firstlight(['info', fileOf('unified kernel image'), '--json']);
    const { uki, kind } = JSON.parse(stdout) as { kind: string; uki: { sections: { name: string }[]; system: string } };
    expect(kind).toBe('bzImage');
    expect(uki.system).toBe('Test OS 1');
    expect(uki.sections.map(({ name }) => name)).toEqual(['.osrel', '.cmdline', '.initrd', '.linux']);
  });
});

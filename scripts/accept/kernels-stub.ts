// Boot stubs made sick the way users make them sick: compiled or linked again with other flags, from the very commands
// that the kernel build left beside each object, up to the one that makes the image.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../build/apt.mjs';

export interface SickStub {
  readonly name: string;
  /** The healthy variant that it is made of. */
  readonly of: string;
  /** Changes to the commands that compile; only those of the objects named, or all. */
  readonly compile: readonly Edit[];
  /** Changes to the command that links. */
  readonly link: readonly Edit[];
  readonly objects?: readonly string[];
}

type Edit = readonly [was: RegExp, is: string];

/** `make LDFLAGS=-flto` lost it so, when the variable was still called that. */
const WITHOUT_PIE: readonly Edit[] = [
  [/ -pie\b/g, ''],
  [/ --no-dynamic-linker\b/g, ''],
];
/** Later kernels have two guards of their own. */
const WITHOUT_GUARDS: readonly Edit[] = [
  [/ -include \S*\/include\/linux\/hidden\.h/g, ''],
  [/ -Wa,-mrelax-relocations=no/g, ''],
];
const noPie = (model: string): Edit[] => [
  [/ -fPIE\b/g, ' -fno-pie'],
  [/ -fPIC\b/g, ' -fno-pic -fno-pie'],
  [/ -mcmodel=small\b/g, ''],
  [/ -mno-red-zone\b/g, ` -mno-red-zone -mcmodel=${model}`],
];

/** The stub alone by clang and lld, in a kernel by gcc: their flags, where they are not the same. */
const BY_CLANG: readonly Edit[] = [[/^(ccache )?gcc /, '$1clang -Wno-everything ']];
const BY_LLD: readonly Edit[] = [
  [/^ld /, 'ld.lld '],
  [/ --no-ld-generated-unwind-info\b/g, ''],
  [/ --no-warn-rwx-segments\b/g, ''],
];

/** Made like the others, and well. */
export const HEALTHY_STUB = 'clang-stub';

export const SICK_STUBS: readonly SickStub[] = [
  { name: HEALTHY_STUB, of: 'gcc-full', compile: BY_CLANG, link: BY_LLD },
  { name: 'gcc-without-pie', of: 'gcc-full', compile: WITHOUT_GUARDS, link: WITHOUT_PIE },
  {
    ...{ name: 'clang-stub-without-pie', of: 'gcc-full' },
    ...{ compile: [...BY_CLANG, ...WITHOUT_GUARDS], link: [...BY_LLD, ...WITHOUT_PIE] },
  },
  { name: 'gcc-nopie-small', of: 'gcc-full', compile: noPie('small'), link: WITHOUT_PIE },
  { name: 'gcc-nopie-kernel', of: 'gcc-full', compile: noPie('kernel'), link: WITHOUT_PIE },
  {
    ...{ name: 'gcc-nopie-one', of: 'gcc-full', compile: noPie('kernel'), link: WITHOUT_PIE },
    objects: ['ident_map_64.o'],
  },
  {
    ...{ name: 'clang-stub-nopie-small', of: 'gcc-full' },
    ...{ compile: [...BY_CLANG, ...noPie('small')], link: [...BY_LLD, ...WITHOUT_PIE] },
  },
  {
    ...{ name: 'clang-stub-nopie-kernel', of: 'gcc-full' },
    ...{ compile: [...BY_CLANG, ...noPie('kernel')], link: [...BY_LLD, ...WITHOUT_PIE] },
  },
];

const COMPRESSED = 'arch/x86/boot/compressed';
/** What is made of the linked stub, in this order. */
const OF_THE_IMAGE = ['zoffset.h', 'header.o', 'setup.elf', 'setup.bin', 'vmlinux.bin', 'bzImage'].map(
  (name) => `arch/x86/boot/${name}`,
);
const IMAGE = 'arch/x86/boot/bzImage';
const LIBSTUB = 'drivers/firmware/efi/libstub';

/** Beside the stub's ELF file: the same link with its relocations kept, which says where the addresses are. */
const WITH_RELOCATIONS = `${COMPRESSED}/vmlinux.relocations`;

/** Throws Unavailable where a command fails. @param base the healthy build */
export function buildStub({ compile, link: linkEdits, objects }: SickStub, base: string, folder: string): void {
  if (existsSync(join(folder, IMAGE))) return;
  copyStub(base, folder);
  const again = (command: string): void => void run('sh', ['-c', command], { cwd: folder });
  for (const target of objectsOf(folder, COMPRESSED)) {
    if (objects !== undefined && !objects.some((name) => target.endsWith(`/${name}`))) continue;
    again(edited(commandOf(folder, target), compile));
  }
  if (objects === undefined) rebuildLibrary(folder, compile, again);
  const link = edited(commandOf(folder, `${COMPRESSED}/vmlinux`), linkEdits);
  again(link);
  again(link.replace(/ -o \S+/, ` --emit-relocs -o ${WITH_RELOCATIONS}`));
  for (const target of OF_THE_IMAGE) again(commandOf(folder, target));
}

/** What the commands write is copied; what they only read stays where it is. */
function copyStub(base: string, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  for (const part of ['arch/x86/boot', LIBSTUB])
    if (existsSync(join(base, part))) cpSync(join(base, part), join(folder, part), { recursive: true });
  for (const part of ['include', 'scripts', 'arch/x86/include', 'arch/x86/lib', '.config', 'vmlinux'])
    symlinkSync(join(base, part), join(folder, part));
  rmSync(join(folder, IMAGE), { force: true });
}

/** The stub's part of the EFI code: an archive whose objects are changed once more after they were compiled. */
function rebuildLibrary(folder: string, compile: readonly Edit[], again: (command: string) => void): void {
  const library = `${LIBSTUB}/lib.a`;
  if (!existsSync(join(folder, library))) return;
  const targets = objectsOf(folder, LIBSTUB);
  const stubs = targets.filter((target) => target.endsWith('.stub.o'));
  for (const target of targets) if (!stubs.includes(target)) again(edited(commandOf(folder, target), compile));
  for (const target of stubs) again(commandOf(folder, target));
  again(commandOf(folder, library));
}

/** Those of a folder that were compiled from C. */
function objectsOf(folder: string, within: string): string[] {
  const names = readdirSync(join(folder, within)).flatMap((name) => /^\.(.*\.o)\.cmd$/.exec(name)?.[1] ?? []);
  return names.filter((name) => name !== 'piggy.o').map((name) => `${within}/${name}`);
}

/** The command that made a target, as kbuild keeps it: `cmd_TARGET := COMMAND`. */
function commandOf(folder: string, target: string): string {
  const cut = target.lastIndexOf('/') + 1;
  const file = join(folder, target.slice(0, cut), `.${target.slice(cut)}.cmd`);
  const [first = ''] = readFileSync(file, 'utf8').split('\n');
  // As make reads it: `$(pound)` and `$$`.
  return first
    .slice(first.indexOf(':=') + 2)
    .trim()
    .replaceAll('$(pound)', '#')
    .replaceAll('$$', '$');
}

const edited = (command: string, edits: readonly Edit[]): string =>
  edits.reduce((text, [was, is]) => text.replace(was, is), command);

// Boot stubs made sick the way users make them sick: compiled or linked again with other flags, from the very commands
// that the kernel build left beside each object, and put into an image by the kernel's own makefile.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './apt.mjs';

export interface SickStub {
  readonly name: string;
  /** The healthy variant that it is made of. */
  readonly of: string;
  /** Changes to the commands that compile; only those of the objects named, or all. */
  readonly compile: readonly Edit[];
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

export const SICK_STUBS: readonly SickStub[] = [
  { name: 'gcc-without-pie', of: 'gcc-full', compile: WITHOUT_GUARDS },
  { name: 'clang-without-pie', of: 'clang-full', compile: WITHOUT_GUARDS },
  { name: 'gcc-nopie-small', of: 'gcc-full', compile: noPie('small') },
  { name: 'gcc-nopie-kernel', of: 'gcc-full', compile: noPie('kernel') },
  { name: 'gcc-nopie-one', of: 'gcc-full', compile: noPie('kernel'), objects: ['ident_map_64.o'] },
  { name: 'clang-nopie-small', of: 'clang-full', compile: noPie('small') },
  { name: 'clang-nopie-kernel', of: 'clang-full', compile: noPie('kernel') },
];

/** The same source makes the same kernel: no time of build, user or host in it. */
export const BUILD_ENVIRONMENT = {
  ...process.env,
  ...{ LC_ALL: 'C', KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970' },
  ...{ KBUILD_BUILD_USER: 'firstlight', KBUILD_BUILD_HOST: 'firstlight' },
};

const COMPRESSED = 'arch/x86/boot/compressed';
const LIBSTUB = 'drivers/firmware/efi/libstub';

/** Beside the stub's ELF file: the same link with its relocations kept, which says where the addresses are. */
export const WITH_RELOCATIONS = `${COMPRESSED}/vmlinux.relocations`;

/** Throws Unavailable where a command fails. @param base the healthy build */
export function buildStub({ compile, objects }: SickStub, base: string, folder: string, jobs: number): void {
  if (existsSync(join(folder, WITH_RELOCATIONS))) return;
  rmSync(folder, { recursive: true, force: true });
  cpSync(base, folder, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  const again = (command: string): void => void run('sh', ['-c', command], { cwd: folder });
  for (const target of objectsOf(folder, COMPRESSED)) {
    if (objects !== undefined && !objects.some((name) => target.endsWith(`/${name}`))) continue;
    again(edited(commandOf(folder, target), compile));
  }
  if (objects === undefined) rebuildLibrary(folder, compile, again);
  const link = edited(commandOf(folder, `${COMPRESSED}/vmlinux`), WITHOUT_PIE);
  again(link);
  again(link.replaceAll(` -o ${COMPRESSED}/vmlinux `, ` --emit-relocs -o ${WITH_RELOCATIONS} `));
  putIntoImage(folder, jobs);
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
  edits.reduce((text, [was, is]) => text.replaceAll(was, is), command);

/** From the linked stub on, the kernel's makefile does it: it takes the stub as up to date, since its command is the same. */
function putIntoImage(folder: string, jobs: number): void {
  const clang = commandOf(folder, `${COMPRESSED}/misc.o`).includes('clang')
    ? ['LLVM=1', 'CC=ccache clang']
    : ['CC=ccache gcc'];
  run('make', ['-C', folder, ...clang, `-j${jobs}`, 'V=1', 'bzImage'], { env: BUILD_ENVIRONMENT, maxBuffer: 1 << 28 });
}

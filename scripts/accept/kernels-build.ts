// Kernels built from Debian's linux-source-6.1: small ones, by two compilers, in the configurations that change what the
// boot stub and the startup code look like. Each is kept, so that a second run builds what is new only.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LINUX_WORDS } from '../../src/options/defaults.ts';
import { aptOptions, run, Unavailable, unpackPackage } from '../build/apt.mjs';
import { type Check, checkAudit, checkBoot, checkWhy, printChecks } from './kernels-check.ts';
import { buildStub, HEALTHY_STUB, SICK_STUBS } from './kernels-stub.ts';

export interface BuildOptions {
  readonly into: string;
  /** An unpacked kernel source to build from, in place of Debian's. */
  readonly source: string | undefined;
  readonly only: RegExp;
  readonly jobs: number;
  /** Check what was built before, and build nothing. */
  readonly checkOnly: boolean;
}

export interface Variant {
  readonly name: string;
  readonly compiler: 'gcc' | 'clang';
  /** Configuration symbols beyond BASE, and those of BASE left out. */
  readonly on: readonly string[];
  readonly off: readonly string[];
}

const SOURCE_PACKAGE = 'linux-source-6.1';
const PROGRAMS = {
  ...{ make: 'make', gcc: 'gcc', flex: 'flex', bison: 'bison', bc: 'bc', cpio: 'cpio', xz: 'xz-utils' },
  ...{ clang: 'clang', 'ld.lld': 'lld', ccache: 'ccache' },
} as const;
const HEADERS = { '/usr/include/libelf.h': 'libelf-dev', '/usr/include/openssl/opensslv.h': 'libssl-dev' } as const;

/** What makes a tinyconfig kernel boot with a serial console. */
const BASE = [
  ...['64BIT', 'PRINTK', 'TTY', 'SERIAL_8250', 'SERIAL_8250_CONSOLE', 'EARLY_PRINTK', 'BUG', 'KALLSYMS', 'PROC_FS'],
  ...[
    'BLK_DEV_INITRD',
    'RD_GZIP',
    'BINFMT_ELF',
    'BINFMT_SCRIPT',
    'IKCONFIG',
    'IKCONFIG_PROC',
    'KERNEL_GZIP',
    'RELOCATABLE',
  ],
];
const EFI = ['PCI', 'ACPI', 'EFI', 'EFI_STUB'];
const UBSAN = ['UBSAN', 'UBSAN_BOUNDS', 'UBSAN_SHIFT', 'UBSAN_SANITIZE_ALL'];

const CONFIGURATIONS: readonly Omit<Variant, 'compiler'>[] = [
  { name: 'full', on: [...EFI, 'X86_5LEVEL', 'RANDOMIZE_BASE'], off: [] },
  { name: 'plain', on: [], off: [] },
  { name: '5level', on: ['X86_5LEVEL'], off: [] },
  { name: 'fixed', on: [], off: ['RELOCATABLE'] },
  { name: 'fixed-5level', on: ['X86_5LEVEL'], off: ['RELOCATABLE'] },
  { name: 'kaslr', on: ['RANDOMIZE_BASE'], off: [] },
  { name: 'ubsan', on: [...UBSAN, 'X86_5LEVEL'], off: [] },
  {
    name: 'fast',
    on: ['CC_OPTIMIZE_FOR_PERFORMANCE', 'X86_5LEVEL', 'KERNEL_ZSTD'],
    off: ['CC_OPTIMIZE_FOR_SIZE', 'KERNEL_GZIP'],
  },
];

const VARIANTS: readonly Variant[] = CONFIGURATIONS.flatMap((one) =>
  (['gcc', 'clang'] as const).map((compiler) => ({ ...one, name: `${compiler}-${one.name}`, compiler })),
);

/** Where the results of a build lie. */
const filesOf = (folder: string) => ({
  image: join(folder, 'arch/x86/boot/bzImage'),
  stub: join(folder, 'arch/x86/boot/compressed/vmlinux'),
  vmlinux: join(folder, 'vmlinux'),
  config: join(folder, '.config'),
});

/** Builds and checks; @returns the exit status. Throws Unavailable where sources or programs cannot be had. */
export function buildAndCheck(options: BuildOptions): number {
  const wanted = ({ name }: { name: string }): boolean =>
    options.only.test(name) && (!options.checkOnly || existsSync(filesOf(join(options.into, name)).image));
  const variants = VARIANTS.filter(wanted);
  const sick = SICK_STUBS.filter(wanted);
  if (!options.checkOnly) {
    installPrograms();
    mkdirSync(options.into, { recursive: true });
  }
  const source = options.checkOnly ? '' : (options.source ?? unpackedSource(options.into));
  const bad: string[] = [];
  for (const variant of variants) if (!tryVariant(variant, source, options)) bad.push(variant.name);
  for (const stub of sick) {
    const folder = join(options.into, stub.name);
    const base = join(options.into, stub.of);
    if (!options.checkOnly && existsSync(filesOf(base).image)) buildStub(stub, base, folder);
    if (!existsSync(filesOf(folder).image) || !report(stub.name, stubChecks(stub.name, folder))) bad.push(stub.name);
  }
  const all = variants.length + sick.length;
  console.log(`${all - bad.length} of ${all} as they should be${bad.length > 0 ? `; not: ${bad.join(', ')}` : ''}`);
  return bad.length === 0 ? 0 : 1;
}

function tryVariant(variant: Variant, source: string, options: BuildOptions): boolean {
  const folder = join(options.into, variant.name);
  if (!existsSync(filesOf(folder).image)) {
    const started = performance.now();
    try {
      build(variant, source, folder, options);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      console.log(`${variant.name}: not built: ${error.message}; see ${join(folder, 'make.log')}`);
      return false;
    }
    console.log(`${variant.name}: built in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  }
  return report(variant.name, healthyChecks(folder));
}

function report(name: string, checks: readonly Check[]): boolean {
  printChecks(name, checks);
  return checks.every(({ good }) => good);
}

function healthyChecks(folder: string): Check[] {
  const { image, stub, vmlinux, config } = filesOf(folder);
  const built = ['--config', config];
  return [
    checkAudit('audit bzImage', [image], ['--payload', ...built]),
    checkAudit('stub', [stub], built),
    checkAudit('vmlinux', [vmlinux], built),
    checkBoot(image, undefined),
    checkWhy(image),
  ];
}

/** A sick stub is as it should be where the audit of the image or of the stub finds something. */
function stubChecks(name: string, folder: string): Check[] {
  const { image, stub } = filesOf(folder);
  const audits = [checkAudit('audit bzImage', [image], []), checkAudit('stub', [stub], [])];
  if (name === HEALTHY_STUB) return [...audits, checkBoot(image, undefined), checkWhy(image)];
  const seen = audits.map((check) => ({
    ...check,
    good: check.verdict !== '0 findings',
    details: check.details.slice(0, 1),
  }));
  const why = checkWhy(image, ['--append', LINUX_WORDS]);
  return [...seen, { ...why, good: why.details.length > 0 || why.good }];
}

/** With apt, as far as one may; throws Unavailable where something is missing then. */
function installPrograms(): void {
  const missing = [
    ...Object.entries(PROGRAMS).flatMap(([program, name]) => (hasProgram(program) ? [] : [name])),
    ...Object.entries(HEADERS).flatMap(([header, name]) => (existsSync(header) ? [] : [name])),
  ];
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Unavailable(`not installed here: ${missing.join(', ')}`);
  console.error(`kernels: installing ${missing.join(', ')}`);
  run('apt-get', [...aptOptions(), '-q', '-y', '--no-install-recommends', 'install', ...missing]);
}

function hasProgram(name: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, name)));
}

/** Debian's source, unpacked once. */
function unpackedSource(into: string): string {
  const folder = join(into, SOURCE_PACKAGE);
  if (existsSync(join(folder, 'Makefile'))) return folder;
  console.error(`kernels: fetching ${SOURCE_PACKAGE}`);
  const work = join(into, 'fetching');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  unpackPackage(SOURCE_PACKAGE, ['./usr/src/*.tar.xz'], work, aptOptions());
  const tar = readdirSync(join(work, 'usr/src')).find((file) => file.endsWith('.tar.xz'));
  if (tar === undefined) throw new Unavailable(`${SOURCE_PACKAGE} holds no source`);
  run('tar', ['-xf', join(work, 'usr/src', tar), '-C', into]);
  rmSync(work, { recursive: true, force: true });
  return folder;
}

/** The same source makes the same kernel: no time of build, user or host in it. */
const BUILD_ENVIRONMENT = {
  ...process.env,
  ...{ LC_ALL: 'C', KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970' },
  ...{ KBUILD_BUILD_USER: 'firstlight', KBUILD_BUILD_HOST: 'firstlight' },
};

function build({ compiler, on, off }: Variant, source: string, folder: string, { into, jobs }: BuildOptions): void {
  mkdirSync(folder, { recursive: true });
  const env = { ...BUILD_ENVIRONMENT, CCACHE_DIR: join(into, 'ccache') };
  const tools = compiler === 'clang' ? ['LLVM=1', 'CC=ccache clang'] : ['CC=ccache gcc'];
  const make = (...goals: string[]): string =>
    run('nice', ['-n', '10', 'make', '-C', source, `O=${folder}`, ...tools, ...goals], { env, maxBuffer: 1 << 28 });
  make('tinyconfig');
  const enabled = [...BASE, ...on].filter((symbol) => !off.includes(symbol)).flatMap((symbol) => ['-e', symbol]);
  const disabled = ['KERNEL_XZ', 'MODULES', ...off].flatMap((symbol) => ['-d', symbol]);
  run(join(source, 'scripts/config'), ['--file', filesOf(folder).config, ...disabled, ...enabled]);
  make('olddefconfig');
  writeFileSync(join(folder, 'make.log'), make(`-j${jobs}`, 'V=1', 'bzImage'));
}

// Makes test/data/link-matrix.json: what GNU ld, gold, lld and mold make of every kind of reference an object file can
// hold, with and without -pie, with and without --no-relax. Each row of link-matrix-rows.ts is an object of its own; the
// sample stubs (samples/), compiled by gcc and by clang, are linked whole. The data file holds the objects too, so that
// the tests predict from them and need no linker.
//
//   npx tsx scripts/generate/make-link-matrix.ts [FOLDER]       FOLDER keeps what is made on the way; default: a temporary one
//
// Needs gcc, clang, binutils, lld and mold; some 10,000 links, a few minutes.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { sitesOf } from '../../src/audit/objects/site.ts';
import { isPredicted } from '../../src/audit/objects/predict.ts';
import { type ObjectFile, type ObjectRelocation, parseObject, SHF_ALLOC } from '../../src/image/object.ts';
import { DEFINITIONS, ROWS, type Row } from './link-matrix-rows.ts';
import { type Linked, observe, readLinked } from './link-matrix-output.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'test/data/link-matrix.json');
const work = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'link-matrix-'));
mkdirSync(work, { recursive: true });

interface Cell {
  readonly linker: 'bfd' | 'gold' | 'lld' | 'mold';
  readonly pie: boolean;
  readonly relax: boolean;
  /** -z noreloc-overflow, which only GNU ld knows; kernels before 5.10 link their stubs with it. */
  readonly noRelocOverflow: boolean;
  readonly command: readonly string[];
}

const COMMON = ['-m', 'elf_x86_64', '-z', 'noexecstack', '--build-id=none'];
const SCRIPT = ['-T', 'stub.lds'];
/**
 * mold 1.10 knows no SECTIONS of a linker script and lays the file out itself. gold knows no --no-dynamic-linker, and gives
 * up with an internal error where a -pie link discards .dynsym: its script keeps those sections.
 */
const LINKERS = [
  {
    linker: 'bfd',
    command: ['ld.bfd', ...COMMON, '--no-warn-rwx-segments', ...SCRIPT],
    pie: ['-pie', '--no-dynamic-linker'],
  },
  { linker: 'gold', command: ['ld.gold', ...COMMON, '-T', 'gold.lds'], pie: ['-pie'] },
  { linker: 'lld', command: ['ld.lld', ...COMMON, ...SCRIPT], pie: ['-pie', '--no-dynamic-linker'] },
  { linker: 'mold', command: ['mold', ...COMMON], pie: ['-pie', '--no-dynamic-linker'] },
] as const;

const VARIANTS = [
  { relax: true, noRelocOverflow: false, flags: [] },
  { relax: false, noRelocOverflow: false, flags: ['--no-relax'] },
  { relax: true, noRelocOverflow: true, flags: ['-z', 'noreloc-overflow'] },
] as const;

const CELLS: readonly Cell[] = VARIANTS.flatMap(({ relax, noRelocOverflow, flags }) =>
  LINKERS.filter(({ linker }) => linker === 'bfd' || !noRelocOverflow).flatMap(({ linker, command, pie }) =>
    [true, false].map((isPie) => {
      const all = [...command, ...(isPie ? pie : []), ...flags];
      return { linker, pie: isPie, relax, noRelocOverflow, command: all };
    }),
  ),
);

/** For the rows: the stub's sections at 0 and up, nothing else. */
const ROWS_SCRIPT = `OUTPUT_FORMAT("elf64-x86-64")
ENTRY(_start)
SECTIONS
{
  . = 0;
  .text 0x18000 : { *(.text .text.*) }
  .rodata : ALIGN(16) { *(.rodata .rodata.*) }
  .data : ALIGN(16) { *(.data .data.*) }
  .got : ALIGN(8) { *(.got) }
  .got.plt : { *(.got.plt) }
  .rela.dyn : { *(.rela.*) }
  .bss : ALIGN(4096) { *(.bss) *(COMMON) script_symbol = .; . = ALIGN(8); }
  .plt : { *(.plt .plt.*) }
  /DISCARD/ : { *(.dynamic .dynsym .dynstr .hash .gnu.hash .interp .note .note.* .comment .eh_frame) }
}
`;

function writeScript(folder: string, text: string): void {
  writeFileSync(join(folder, 'stub.lds'), text);
  writeFileSync(join(folder, 'gold.lds'), text.replace('.dynamic .dynsym .dynstr .hash .gnu.hash ', ''));
}

function run(cwd: string, command: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(command[0]!, command.slice(1), { cwd, encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
}

function must(cwd: string, command: readonly string[]): string {
  const done = run(cwd, command);
  if (done.status !== 0) throw new Error(`${command.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

const readParsed = (folder: string, name: string): ObjectFile => parseObject(readFileSync(join(folder, name)), name);

/** By the section's name, for objcopy may number sections anew. */
const markOf = (object: string, section: string): string => `mark.${basename(object, '.o')}.${section}`;

/** Gives every loaded section a global symbol at its start, to find it by in the linked file. */
function mark(folder: string, name: string): void {
  const { sections } = readParsed(folder, name);
  const marks = sections
    .filter((s) => (s.flags & SHF_ALLOC) !== 0n && s.size > 0 && !UNMARKED.test(s.name))
    .flatMap((s) => ['--add-symbol', `${markOf(name, s.name)}=${s.name}:0,global`]);
  if (marks.length > 0) must(folder, ['objcopy', ...marks, name]);
}

/** Linkers drop these or rewrite them. */
const UNMARKED = /^\.(?:eh_frame|note)/;

/** The object's relocations that have a prediction, in its order. */
const predictedOf = (object: ObjectFile): ObjectRelocation[] =>
  object.relocations.filter((r) => isPredicted(object, r));

/** "pc-relative 48 8d 05 ..." for each site of each object; or what the linker said. */
function observeLink(folder: string, names: readonly string[], cell: Cell): Record<string, string[]> | string {
  const out = `out.${cell.linker}`;
  rmSync(join(folder, out), { force: true });
  const done = run(folder, [...cell.command, '-o', out, ...names]);
  if (done.status !== 0 || !existsSync(join(folder, out))) return firstError(done);
  const linked = readLinked(readFileSync(join(folder, out)));
  return Object.fromEntries(names.map((name) => [name, observeObject(linked, folder, name)]));
}

/** The first error of a linker, without what differs from row to row. */
const firstError = ({ stderr }: SpawnSyncReturns<string>): string => {
  const lines = stderr.trim().split('\n');
  const line = lines.find((text) => !/in function|warning:/i.test(text)) ?? lines[0] ?? '';
  const general = line.replaceAll(/[\w.-]+\.o\b/g, 'OBJECT').replaceAll(/\b(?:other_\w+|here|nowhere)\b/g, 'SYMBOL');
  return general
    .replaceAll(/OBJECT:\([^)]*\)/g, 'OBJECT')
    .trim()
    .slice(0, 200);
};

function observeObject(linked: Linked, folder: string, name: string): string[] {
  const object = readParsed(folder, name);
  const sites = sitesOf(object);
  return predictedOf(object).map((relocation) => {
    const base = linked.symbols.get(markOf(name, object.sections[relocation.section]!.name));
    if (base === undefined) throw new Error(`${name}: section ${relocation.section} has no mark`);
    const site = sites.get(relocation);
    const before = site?.bits === 64 ? relocation.offset - site.start : undefined;
    const value = valueOf(linked, object, name, relocation.symbol);
    const { type, addend } = relocation;
    const place = {
      address: base + BigInt(relocation.offset),
      type,
      addend,
      ...(value === undefined ? {} : { value }),
      ...(before === undefined ? {} : { before }),
    };
    try {
      const { result, bytes } = observe(linked, place);
      return `${result} ${bytes.replaceAll(' ', '')}`;
    } catch (error) {
      throw new Error(`${name}+${relocation.offset}: ${(error as Error).message}`, { cause: error });
    }
  });
}

const SHF_MERGE = 0x10n;

/** The symbol's value in the linked file; undefined where the linker merged its section with others. */
function valueOf(linked: Linked, object: ObjectFile, name: string, index: number): bigint | undefined {
  const symbol = object.symbols[index]!;
  if (symbol.section === 'absolute') return symbol.value;
  if (typeof symbol.section !== 'number' || symbol.binding === 'weak') return linked.symbols.get(symbol.name) ?? 0n;
  if ((object.sections[symbol.section]!.flags & SHF_MERGE) !== 0n) return undefined;
  const start = linked.symbols.get(markOf(name, object.sections[symbol.section]!.name));
  return start === undefined ? undefined : start + symbol.value;
}

/** What the data file has of one link set: objects, and for each of them and each site what the cells hold. */
interface LinkSet {
  readonly name: string;
  /** Member of `archives`. */
  readonly archive: string;
  /** Further objects of the same archive that were linked with those in `cells`. */
  readonly with: readonly string[];
  /**
   * By object, by command in the order of `commands`: what stands at each of its relocations, between commas; "!0" for a
   * link that failed with `errors[0]`; null where it was not tried.
   */
  readonly cells: Record<string, (string | null)[]>;
}

const errors: string[] = [];

/** A failed link as its number in `errors`. */
function failed(message: string): string {
  if (!errors.includes(message)) errors.push(message);
  return `!${errors.indexOf(message)}`;
}

const cellText = (seen: Record<string, string[]> | string, object: string): string =>
  typeof seen === 'string' ? failed(seen) : seen[object]!.join(',');

const cellName = ({ linker, pie, relax, noRelocOverflow }: Cell): string =>
  `${linker}${pie ? ' -pie' : ''}${relax ? '' : ' --no-relax'}${noRelocOverflow ? ' -z noreloc-overflow' : ''}`;

function rowSet(folder: string, row: Row): LinkSet | undefined {
  const object = `${row.name}.o`;
  const source = `${row.name}.s`;
  writeFileSync(join(folder, source), row.asm);
  must(folder, ['as', '-mx86-used-note=no', '-o', object, source]);
  mark(folder, object);
  if (predictedOf(readParsed(folder, object)).length === 0) return undefined;
  const cells = CELLS.map((cell) => {
    if ((!cell.relax && !row.got) || (row.script && cell.linker === 'mold')) return null;
    return cellText(observeLink(folder, [object, 'definitions.o'], cell), object);
  });
  return { name: row.name, archive: 'rows', with: ['definitions.o'], cells: { [object]: cells } };
}

function makeRows(): { sets: LinkSet[]; archive: string } {
  const folder = join(work, 'rows');
  mkdirSync(folder, { recursive: true });
  writeScript(folder, ROWS_SCRIPT);
  writeFileSync(join(folder, 'definitions.s'), DEFINITIONS);
  must(folder, ['as', '-mx86-used-note=no', '-o', 'definitions.o', 'definitions.s']);
  const sets: LinkSet[] = [];
  for (const row of ROWS) {
    const set = rowSet(folder, row);
    if (set !== undefined) sets.push(set);
    if (sets.length % 50 === 0) console.log(`${sets.length} rows`);
  }
  return { sets, archive: pack(folder, [...sets.map(({ name }) => `${name}.o`), 'definitions.o']) };
}

const pack = (folder: string, names: readonly string[]): string => {
  rmSync(join(folder, 'all.a'), { force: true });
  must(folder, ['ar', 'rcSD', 'all.a', ...names]);
  return gzipSync(readFileSync(join(folder, 'all.a')), { level: 9 }).toString('base64');
};

const CFLAGS =
  `-std=gnu11 -O2 -ffreestanding -fPIE -mcmodel=small -mno-red-zone -mgeneral-regs-only -fno-stack-protector
  -fno-asynchronous-unwind-tables -fno-unwind-tables -fcf-protection=none -fno-ident`.split(/\s+/);

interface Stub {
  readonly name: string;
  readonly compiler: string;
  readonly flags: readonly string[];
  readonly sources: readonly string[];
}

/** Defined by the stub's linker script. */
const SCRIPT_SYMBOLS = ['_bss', '_ebss', '_end', '_got', '_egot'];
const TRAMPOLINE = ['head.S', 'data.S', 'trampoline.S', 'paging.c', 'unpack.c', 'lib.c'];
const STUBS: readonly Stub[] = ['gcc', 'clang'].flatMap((compiler) => [
  { name: `${compiler}-trampoline`, compiler, flags: [], sources: TRAMPOLINE },
  { name: `${compiler}-compare`, compiler, flags: ['-DCOMPARE'], sources: [...TRAMPOLINE, '../compare/settle.S'] },
  { name: `${compiler}-no-relocx`, compiler, flags: ['-Wa,-mrelax-relocations=no'], sources: TRAMPOLINE },
  { name: `${compiler}-no-pie`, compiler, flags: ['-fno-pie'], sources: TRAMPOLINE },
  { name: `${compiler}-no-plt`, compiler, flags: ['-fno-plt'], sources: TRAMPOLINE },
]);

/** A sample stub with its own linker script, for mold without; the payload is some bytes. */
function makeStub(stub: Stub): { set: LinkSet; archive: string } {
  const folder = join(work, stub.name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'payload.bin'), 'payload of sixteen');
  const samples = join(ROOT, 'samples/trampoline');
  const preprocess = ['gcc', '-E', '-P', '-x', 'assembler-with-cpp', '-I', samples, '-DCOMPARE'];
  writeScript(folder, must(folder, [...preprocess, join(samples, 'stub.lds.S')]));
  const names = stub.sources.map((source) => {
    const name = basename(source).replace(/\.\w$/, '.o');
    const compile = [stub.compiler, ...CFLAGS, '-I', samples, '-DPAYLOAD_BIN="payload.bin"', ...stub.flags];
    must(folder, [...compile, '-c', '-o', name, join(samples, source)]);
    mark(folder, name);
    return name;
  });
  const cells: LinkSet['cells'] = Object.fromEntries(names.map((name) => [name, []]));
  for (const cell of CELLS) {
    const symbols = cell.linker === 'mold' ? SCRIPT_SYMBOLS.flatMap((name) => ['--defsym', `${name}=startup_64`]) : [];
    const seen = observeLink(folder, names, { ...cell, command: [...cell.command, ...symbols] });
    for (const name of names) cells[name]!.push(cellText(seen, name));
  }
  const empty = names.filter((name) => cells[name]!.includes(''));
  for (const name of empty) delete cells[name];
  return { set: { name: stub.name, archive: stub.name, with: empty, cells }, archive: pack(folder, names) };
}

const version = (tool: string): string => must(work, [tool, '--version']).split('\n')[0]!.trim();

const stubs = STUBS.map(makeStub);
const rows = makeRows();
const TOOLS = ['as', 'gcc', 'clang', 'ld.bfd', 'ld.gold', 'ld.lld', 'mold'];
const data = {
  how: 'Made by scripts/generate/make-link-matrix.ts: the objects in `archives` (ar, gzip, base64) linked by each of `commands`. `sets` has for each object, in the order of `commands`, what stands at each of its relocations afterwards: a LinkResult and the bytes of the instruction or datum, commas between; "!N" for a link that failed with errors[N]; null where it was not tried. A mark.* symbol is at the start of each section, to find it by.',
  tools: Object.fromEntries(TOOLS.map((tool) => [tool, version(tool)])),
  commands: Object.fromEntries(CELLS.map((cell) => [cellName(cell), cell.command.join(' ')])),
  errors,
  archives: { rows: rows.archive, ...Object.fromEntries(stubs.map(({ set, archive }) => [set.name, archive])) },
  sets: [...stubs.map(({ set }) => set), ...rows.sets],
};
writeFileSync(OUT, `${JSON.stringify(data)}\n`);
const texts = data.sets.flatMap(({ cells }) => Object.values(cells).flat()).filter((text) => text !== null);
const count = texts.reduce((sum, text) => sum + text.split(',').length, 0);
console.log(`${data.sets.length} link sets, ${count} cells, ${errors.length} messages of linkers that refused: ${OUT}`);
if (process.argv[2] === undefined) rmSync(work, { recursive: true });

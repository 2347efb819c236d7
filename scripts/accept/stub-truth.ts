// Holds the audit of a boot stub against the truth that its linker kept: an ELF file linked with -q has a relocation for each
// reference, and those of the absolute types in code, to an address of the stub, are what the audit has to name.
//
//   npm run stub-truth -- STUB.elf [STUB.bzImage]      of the same link; without arguments nothing is held
import { readFileSync } from 'node:fs';
import { auditFile } from '../../src/audit/audit.ts';
import type { Finding } from '../../src/audit/types.ts';
import { readerOf } from '../../src/bits/cursor.ts';
import { hex } from '../../src/bits/hex.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { type ElfSection, readSections, sectionBytes } from '../../src/image/elf.ts';
import { relocationText } from '../../src/image/relocationTypes.ts';

/** R_X86_64_64, _32, _32S */
const ABSOLUTE = new Set([1, 10, 11]);
const SHT_RELA = 4;
const SHT_SYMTAB = 2;
const SHF_ALLOC = 2n;
const SHF_EXECINSTR = 4n;
const SHN_ABS = 0xfff1;
const SHN_LORESERVE = 0xff00;

type Reference = {
  /** Link address of the bytes that hold the address. */
  readonly at: number;
  readonly type: number;
  readonly symbol: string;
};

function truthOf(elf: Uint8Array): Reference[] {
  const file = readerOf(elf, 'the stub');
  const sections = readSections(file);
  const table = sections.find((s) => s.type === SHT_SYMTAB);
  if (table === undefined) throw new Error('the stub has no symbols');
  const symbols = readerOf(sectionBytes(file, table), 'the symbols');
  const names = sectionBytes(file, sections[table.link] as ElfSection);
  const headers = file.size64(40, 'e_shoff');
  const found: Reference[] = [];
  for (const [index, section] of sections.entries()) {
    if (section.type !== SHT_RELA) continue;
    const target = sections[file.u32(headers + index * 64 + 44)];
    if (target === undefined || (target.flags & SHF_ALLOC) === 0n || (target.flags & SHF_EXECINSTR) === 0n) continue;
    const entries = readerOf(sectionBytes(file, section), section.name);
    for (let at = 0; at + 24 <= entries.bytes.length; at += 24) {
      const type = entries.u32(at + 8);
      const symbol = entries.u32(at + 12) * 24;
      const home = symbols.u16(symbol + 6);
      const moves = home !== SHN_ABS && home !== 0 && home < SHN_LORESERVE;
      if (ABSOLUTE.has(type) && moves)
        found.push({ at: Number(entries.u64(at)), type, symbol: nameOf(names, symbols.u32(symbol)) });
    }
  }
  if (!sections.some((s) => s.type === SHT_RELA)) throw new Error('the stub was not linked with -q: no relocations');
  return found;
}

function nameOf(names: Uint8Array, at: number): string {
  return new TextDecoder().decode(names.subarray(at, names.indexOf(0, at)));
}

const isReference = ({ rule }: Finding): boolean => rule === 'position-dependent-reference';

const covers = (finding: Finding, { at }: Reference): boolean => {
  const start = Number(finding.linkAddress ?? -1n);
  return at >= start && at < start + (finding.bytes?.length ?? 0);
};

function compare(name: string, bytes: Uint8Array, truth: readonly Reference[]): boolean {
  const findings = auditFile(bytes, name, {}).findings.filter(isReference);
  const missed = truth.filter((reference) => !findings.some((finding) => covers(finding, reference)));
  const wrong = findings.filter((finding) => !truth.some((reference) => covers(finding, reference)));
  for (const { at, type, symbol } of missed)
    console.log(`  MISSED ${relocationText(type)} at ${hex(at)}, of ${symbol}`);
  for (const finding of wrong) console.log(`  FALSE ${finding.confidence}: ${finding.message}`);
  const named = truth.filter((reference) => findings.some((f) => covers(f, reference)));
  const typed = named.filter((reference) =>
    findings.some((f) => covers(f, reference) && f.relocation?.includes(relocationText(reference.type)) === true),
  );
  const instructions = new Set(truth.map((r) => r.at)).size;
  const share = ((100 * (instructions - missed.length)) / Math.max(1, instructions)).toFixed(1);
  console.log(
    `${name}: ${instructions - missed.length} of ${instructions} instructions named (${share} %), ${wrong.length} others; the relocation named for ${typed.length}`,
  );
  return missed.length * 20 <= instructions && wrong.length === 0;
}

const [elfPath, imagePath] = process.argv.slice(2);
if (elfPath === undefined) {
  console.error('usage: npm run stub-truth -- STUB.elf [STUB.bzImage]');
  process.exit(2);
}
const elf = new Uint8Array(readFileSync(elfPath));
const truth = truthOf(elf);
const held = [compare(elfPath, elf, truth)];
if (imagePath !== undefined) {
  const image = new Uint8Array(readFileSync(imagePath));
  // A stub is linked at 0, where the protected-mode part begins, so link addresses are those of the ELF file.
  parseBzImage(image);
  held.push(compare(imagePath, image, truth));
}
process.exitCode = held.every(Boolean) ? 0 : 1;

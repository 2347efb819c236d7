import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { auditElfLayout } from '../../../src/audit/header/elfLayout.ts';
import { putU16, putU32, putU64 } from '../../../src/bits/cursor.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { concat, makeElf, randomOf } from '../../image/synthetic.ts';

const sample = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../samples/built/${name}.elf`, import.meta.url))));

type SectionParts = {
  readonly name: string;
  readonly type: number;
  /** SHF_ALLOC unless given. */
  readonly flags?: bigint;
  readonly address?: bigint;
  readonly link?: number;
  readonly bytes: Uint8Array;
};

const ET_DYN = 3;

/** A stub linked at 0, with these sections behind its one segment. */
function stub(sections: readonly SectionParts[], type = ET_DYN, flags = 5): Uint8Array {
  const segment = { physAddr: 0n, virtAddr: 0n, memSize: 0x1000n, bytes: new Uint8Array(0x100).fill(0x90) };
  const elf = makeElf({ type, entry: 0n, segments: [segment] });
  putU32(elf, 64 + 4, flags);
  const names = new TextEncoder().encode(['', ...sections.map((s) => s.name), '.shstrtab', ''].join('\0'));
  const all: readonly SectionParts[] = [...sections, { name: '.shstrtab', type: 3, flags: 0n, bytes: names }];
  const table = new Uint8Array(64 * (all.length + 1));
  let offset = elf.length;
  let nameOffset = 1;
  for (const [i, section] of all.entries()) {
    const at = 64 * (i + 1);
    putU32(table, at, nameOffset);
    putU32(table, at + 4, section.type);
    putU64(table, at + 8, section.flags ?? 2n);
    putU64(table, at + 16, section.address ?? 0n);
    putU64(table, at + 24, BigInt(offset));
    putU64(table, at + 32, BigInt(section.bytes.length));
    putU32(table, at + 40, section.link ?? 0);
    offset += section.bytes.length;
    nameOffset += section.name.length + 1;
  }
  const whole = concat([elf, ...all.map((s) => s.bytes), table]);
  putU64(whole, 40, BigInt(offset));
  putU16(whole, 58, 64);
  putU16(whole, 60, all.length + 1);
  putU16(whole, 62, all.length);
  return whole;
}

const words = (...values: readonly bigint[]): Uint8Array => {
  const bytes = new Uint8Array(8 * values.length);
  for (const [i, value] of values.entries()) putU64(bytes, 8 * i, value);
  return bytes;
};

const found = (elf: Uint8Array): string[][] => auditElfLayout(elf).map((f) => [f.severity, f.message]);
const one = (severity: string, text: string): unknown => [[severity, expect.stringContaining(text)]];

describe('how an ELF stub was linked', () => {
  it('is fine with -pie and nothing to relocate', () => {
    expect(found(stub([]))).toEqual([]);
  });

  it('is wrong without -pie', () => {
    const [finding] = auditElfLayout(stub([], 2));
    expect(finding).toMatchObject({
      severity: 'warning',
      rule: 'elf-layout',
      fileOffset: 16,
      text: 'e_type = ET_EXEC',
    });
    expect(finding?.message).toContain('linked without -pie');
  });

  it('tells the bundled pairs apart', () => {
    const warnings = (name: string): number => auditElfLayout(sample(name)).filter((f) => f.severity !== 'note').length;
    expect(['good', 'compare-good', 'bad', 'compare-bad'].map(warnings)).toEqual([0, 0, 1, 1]);
  });

  it('says nothing of a kernel that is linked to the upper half', () => {
    expect(found(makeElf())).toEqual([]);
  });

  it('finds text relocations by either mark', () => {
    const dynamic = (...values: readonly bigint[]) => stub([{ name: '.dynamic', type: 6, bytes: words(...values) }]);
    expect(found(dynamic(22n, 0n))).toEqual(one('warning', 'DT_TEXTREL'));
    expect(found(dynamic(5n, 4n, 30n, 4n))).toEqual(one('warning', 'DF_TEXTREL'));
    expect(found(dynamic(5n, 22n, 30n, 8n))).toEqual([]);
  });

  it('finds run-time relocations outside the GOT', () => {
    const rela = { name: '.rela.dyn', type: 4, bytes: words(0x40n, 8n, 0x50n, 0x80n, 8n, 0x50n) };
    expect(found(stub([rela]))).toEqual(one('warning', '2 run-time relocations outside the GOT'));
    const got = { name: '.got', type: 1, address: 0x80n, bytes: words(0n) };
    expect(found(stub([rela, got]))).toEqual(one('warning', '1 run-time relocation outside the GOT'));
    expect(found(stub([{ ...rela, flags: 0n }]))).toEqual([]);
  });

  it('notes addresses in the GOT, but not what is reserved there', () => {
    expect(found(stub([{ name: '.got', type: 1, bytes: words(0n, 0x1234n, 0x5678n) }]))).toEqual(
      one('note', '.got of the stub holds 2 addresses'),
    );
    expect(found(stub([{ name: '.got.plt', type: 1, bytes: words(0x1234n, 0n, 0n) }]))).toEqual([]);
    expect(found(stub([{ name: '.got.plt', type: 1, bytes: words(0n, 0n, 0n, 1n) }]))).toEqual(
      one('note', '.got.plt of the stub holds 1 address,'),
    );
  });

  it('finds undefined symbols, unless they are weak', () => {
    const names = new TextEncoder().encode('\0memcpy\0optional\0');
    const symbol = (name: number, info: number, section: number): Uint8Array => {
      const bytes = new Uint8Array(24);
      putU32(bytes, 0, name);
      bytes[4] = info;
      putU16(bytes, 6, section);
      return bytes;
    };
    const table = (...symbols: readonly Uint8Array[]) =>
      stub([
        { name: '.symtab', type: 2, link: 2, bytes: concat([new Uint8Array(24), ...symbols]) },
        { name: '.strtab', type: 3, bytes: names },
      ]);
    expect(found(table(symbol(1, 0x10, 0), symbol(8, 0x20, 0)))).toEqual(one('warning', 'Nothing defines memcpy,'));
    expect(found(table(symbol(1, 0x10, 1), symbol(8, 0x20, 0)))).toEqual([]);
  });

  it('notes a segment that is writable and executable', () => {
    expect(found(stub([], ET_DYN, 7))).toEqual(one('note', 'writable and executable'));
  });

  it('refuses what is no ELF image', () => {
    expect(() => auditElfLayout(new Uint8Array(100))).toThrow(InputError);
  });
});

describe('mutilated ELF stubs', () => {
  it('give findings or an InputError, 300 times', () => {
    const random = randomOf(5);
    const original = sample('compare-good');
    const outcomes = { read: 0, refused: 0 };
    for (let round = 0; round < 300; round++) {
      const elf = original.slice();
      const table = elf.length - 64 * 12;
      for (let i = random(4) + 1; i > 0; i--) {
        const at = random(2) === 0 ? random(0x180) : table + random(64 * 12);
        elf[at] = [0, 0xff, random(256)][random(3)] ?? 0;
      }
      try {
        auditElfLayout(elf);
        outcomes.read++;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        outcomes.refused++;
      }
    }
    expect(outcomes.read).toBeGreaterThan(50);
    expect(outcomes.refused).toBeGreaterThan(50);
  });
});

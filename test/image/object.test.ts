// Object files: those of the link matrix, which assemblers and compilers wrote, and the same with one field changed.
import { describe, expect, it } from 'vitest';
import { putU16, putU32, putU64, viewOf } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import { isObject, type ObjectFile, parseObject } from '../../src/image/object.ts';
import { relocationName, relocationText, relocationType } from '../../src/image/relocationTypes.ts';
import { objectBytes } from '../audit/objects/matrix.ts';

const paging = (): Uint8Array => objectBytes('gcc-trampoline', 'paging.o').slice();

const named = (object: ObjectFile, name: string) => object.symbols.find((symbol) => symbol.name === name);

/** Where the header of the first section of a type stands. */
function sectionHeader(bytes: Uint8Array, type: number): number {
  const view = viewOf(bytes);
  const table = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  for (let i = 0; i < count; i++) if (view.getUint32(table + i * 64 + 4, true) === type) return table + i * 64;
  throw new Error(`no section of type ${type}`);
}

const RELA = 4;
const SYMTAB = 2;

/** paging.o after a change. */
function changed(change: (bytes: Uint8Array) => void): () => ObjectFile {
  const bytes = paging();
  change(bytes);
  return () => parseObject(bytes, 'x.o');
}

describe('parseObject', () => {
  it('reads the relocation that the product is about', () => {
    const object = parseObject(paging());
    const found = object.relocations.filter(({ type }) => relocationName(type) === 'REX_GOTPCRELX');
    expect(found).toHaveLength(1);
    const { section, symbol, addend } = found[0]!;
    expect(object.sections[section]?.name).toBe('.text');
    expect(object.symbols[symbol]).toMatchObject({
      name: 'trampoline_32bit_src',
      section: 'undefined',
      binding: 'global',
    });
    expect(addend).toBe(-4n);
  });

  it('reads binding, type, visibility and section of symbols', () => {
    const definitions = parseObject(objectBytes('rows', 'definitions.o'));
    expect(named(definitions, 'other_hidden_object')).toMatchObject({
      binding: 'global',
      type: 'object',
      visibility: 'hidden',
    });
    expect(named(definitions, 'other_protected_function')).toMatchObject({ type: 'func', visibility: 'protected' });
    expect(named(definitions, 'other_weak_function')).toMatchObject({ binding: 'weak', type: 'func' });
    expect(named(definitions, 'other_absolute')).toMatchObject({ section: 'absolute', value: 0x5678n });
    expect(named(definitions, 'other_common')).toMatchObject({ section: 'common', size: 8n });
    expect(named(definitions, 'other_label')).toMatchObject({ type: 'notype', visibility: 'default' });
  });

  it('names a section symbol after its section', () => {
    const { symbols } = parseObject(paging());
    expect(symbols.filter(({ type }) => type === 'section').map(({ name }) => name)).toContain('.bss');
  });

  it('knows object files from other ELF files', () => {
    expect(isObject(paging())).toBe(true);
    expect(isObject(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46))).toBe(false);
  });

  it.each([
    ['no ELF file', (b: Uint8Array) => b.fill(0, 0, 4), /^x\.o is no ELF file$/],
    ['LLVM bitcode', (b: Uint8Array) => b.set([0x42, 0x43, 0xc0, 0xde]), /LLVM bitcode, made with -flto/],
    ['an executable', (b: Uint8Array) => putU16(b, 16, 2), /e_type 2, not ET_REL/],
    ['another processor', (b: Uint8Array) => putU16(b, 18, 183), /AArch64/],
    ['section headers past the end', (b: Uint8Array) => putU64(b, 40, 0x100000n), /the ELF file|x\.o ends at/],
    [
      'symbols without names',
      (b: Uint8Array) => putU32(b, sectionHeader(b, SYMTAB) + 40, 99),
      /names are said to be in section 99/,
    ],
    [
      'symbols of another size',
      (b: Uint8Array) => putU64(b, sectionHeader(b, SYMTAB) + 56, 16n),
      /entries of 16 bytes, not 24/,
    ],
    [
      'relocations of no section',
      (b: Uint8Array) => putU32(b, sectionHeader(b, RELA) + 44, 999),
      /for section 999, which cannot be/,
    ],
    [
      'relocations without addends',
      (b: Uint8Array) => putU32(b, sectionHeader(b, RELA) + 4, 9),
      /without addends \(SHT_REL\)/,
    ],
  ])('refuses %s', (_, change, message) => {
    expect(changed(change)).toThrow(InputError);
    expect(changed(change)).toThrow(message);
  });

  it('refuses a relocation past its section, and one of a symbol that is not there', () => {
    const first = (b: Uint8Array): number => Number(viewOf(b).getBigUint64(sectionHeader(b, RELA) + 24, true));
    expect(changed((b) => putU64(b, first(b), 0x10_0000n))).toThrow(/a relocation at 0x100000, past its section/);
    expect(changed((b) => putU32(b, first(b) + 12, 0xffff))).toThrow(/names symbol 65535 of \d+/);
  });

  it('refuses sections with relocations that share their bytes many times over', () => {
    const bytes = objectBytes('gcc-no-pie', 'unpack.o').slice();
    const text = viewOf(bytes);
    const table = Number(text.getBigUint64(40, true));
    // Section 1 is .text: as large as the whole file.
    putU64(bytes, table + 64 + 24, 0n);
    putU64(bytes, table + 64 + 32, BigInt(bytes.length));
    expect(() => parseObject(bytes, 'x.o')).not.toThrow();
    putU64(bytes, table + 64 + 32, BigInt(bytes.length) + 1n);
    expect(() => parseObject(bytes, 'x.o')).toThrow('sections with relocations are larger than the file');
  });

  it('refuses relocation sections that share their bytes many times over', () => {
    const bytes = paging();
    const header = sectionHeader(bytes, RELA);
    putU64(bytes, header + 24, 0n);
    putU64(bytes, header + 32, BigInt(bytes.length) + 24n);
    expect(() => parseObject(bytes, 'x.o')).toThrow(InputError);
  });
});

describe('relocationText', () => {
  it('names types by their numbers in the psABI', () => {
    expect([1, 2, 4, 9, 10, 11, 41, 42].map(relocationText)).toEqual(
      ['64', 'PC32', 'PLT32', 'GOTPCREL', '32', '32S', 'GOTPCRELX', 'REX_GOTPCRELX'].map((name) => `R_X86_64_${name}`),
    );
    expect(relocationType('REX_GOTPCRELX')).toBe(42);
    expect(relocationText(200)).toBe('relocation type 200');
  });
});

// Archives as GNU and BSD ar write them, put together byte by byte.
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { isArchive, isThinArchive, parseArchive, thinMemberNames } from '../../src/image/archive.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const member = (name: string, body: string, size = String(body.length)): string =>
  `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'644'.padEnd(8)}${size.padEnd(10)}\`\n${body}${body.length % 2 === 1 ? '\n' : ''}`;

const archive = (...members: readonly string[]): Uint8Array => bytesOf(`!<arch>\n${members.join('')}`);

const names = (bytes: Uint8Array): string[] => parseArchive(bytes).map(({ name }) => name);

describe('parseArchive', () => {
  it('gives members with their bytes and places, past odd sizes', () => {
    const bytes = archive(member('a.o/', 'abc'), member('b.o/', 'de'));
    const members = parseArchive(bytes);
    expect(members.map(({ name, fileOffset }) => [name, fileOffset])).toEqual([
      ['a.o', 68],
      ['b.o', 132],
    ]);
    expect(members.map((m) => String.fromCharCode(...m.bytes))).toEqual(['abc', 'de']);
  });

  it('takes long names from the member "//", as GNU ar writes them', () => {
    expect(
      names(archive(member('//', 'a_very_long_name.o/\nother.o/\n'), member('/0', 'x'), member('/20', 'y'))),
    ).toEqual(['a_very_long_name.o', 'other.o']);
  });

  it('takes long names from before the bytes, as BSD ar writes them', () => {
    const [only] = parseArchive(archive(member('#1/12', 'long_name.o\0abc')));
    expect([only?.name, String.fromCharCode(...(only?.bytes ?? []))]).toEqual(['long_name.o', 'abc']);
  });

  it.each(['/', '/SYM64/', '__.SYMDEF'])('leaves out the symbol table %s', (name) => {
    expect(names(archive(member(name, 'xxxx'), member('a.o/', 'a')))).toEqual(['a.o']);
  });

  it('leaves out a BSD symbol table with a long name', () => {
    expect(names(archive(member('#1/16', '__.SYMDEF SORTEDxxxx'), member('a.o/', 'a')))).toEqual(['a.o']);
  });

  it('takes the members of a thin archive from beside it, and their names alone from the archive', () => {
    const table = member('//', 'one.o/\nsub/two.o/\n');
    const header = (name: string, size: string) => member(name, '', size);
    const thin = bytesOf(`!<thin>\n${member('/', 'sym!')}${table}${header('/0', '1000')}${header('/7', '2000')}`);
    expect(isArchive(thin) && isThinArchive(thin)).toBe(true);
    expect(thinMemberNames(thin)).toEqual(['one.o', 'sub/two.o']);
    const files = new Map([
      ['one.o', bytesOf('1')],
      ['sub/two.o', bytesOf('22')],
    ]);
    expect(parseArchive(thin, files).map(({ name, bytes }) => [name, bytes.length])).toEqual([
      ['one.o', 1],
      ['sub/two.o', 2],
    ]);
    files.delete('sub/two.o');
    expect(() => parseArchive(thin, files)).toThrow(/a thin archive, .* there is no sub\/two\.o beside it/);
  });

  it.each([
    ['a header cut off', archive(member('a.o/', 'ab')).subarray(0, 40), /within the member header at 0x8/],
    ['a member beyond the end', archive(member('a.o/', 'ab', '3')), /its member at 0x8 takes 0x3 bytes from 0x44 on/],
    ['a size of letters', archive(member('a.o/', 'ab', 'x')), /the size of the archive member at 0x8 is no number/],
    ['no end of the header', bytesOf(`!<arch>\n${'x'.repeat(60)}`), /no member header at 0x8/],
    ['a long name that is not there', archive(member('/7', 'ab')), /byte 7 of the long names, where none is/],
    ['a BSD name longer than its member', archive(member('#1/9', 'ab')), /name has 9 bytes, the member 2/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseArchive(bytes)).toThrow(InputError);
    expect(() => parseArchive(bytes)).toThrow(message);
  });
});

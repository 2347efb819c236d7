// ar archives of object files: the common header of every variant, GNU and BSD long names (ar(5); System V gABI,
// "Archive File"). Symbol tables are skipped: they only repeat what the members say.
import { inside } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { startsWith } from './payload.ts';

const MAGIC = '!<arch>\n';
const THIN_MAGIC = '!<thin>\n';
const HEADER_SIZE = 60;
const LONGEST_NAME = 4096;
/** GNU long names may be shared, so their sum is bounded apart from the file's size. */
const MOST_MEMBERS = 100_000;

export interface ArchiveMember {
  readonly name: string;
  /** Where its bytes begin in the archive. */
  readonly fileOffset: number;
  /** A view of the archive, not a copy. */
  readonly bytes: Uint8Array;
}

const ascii = (text: string): number[] => Array.from(text, (c) => c.charCodeAt(0));

export const isArchive = (bytes: Uint8Array): boolean =>
  startsWith(bytes, ascii(MAGIC)) || startsWith(bytes, ascii(THIN_MAGIC));

/** A thin archive names its members, which are files by themselves; `ar T` makes it, and all of a kernel build are so. */
export const isThinArchive = (bytes: Uint8Array): boolean => startsWith(bytes, ascii(THIN_MAGIC));

/** The names of a thin archive's members, as paths from the archive's folder. Throws as `parseArchive`. */
export const thinMemberNames = (bytes: Uint8Array): string[] => membersIn(bytes, true).map(({ name }) => name);

/**
 * The members of an archive but its symbol tables, in order. Throws an InputError where a size leaves the file.
 * @param files of a thin archive, by name
 */
export function parseArchive(bytes: Uint8Array, files?: ReadonlyMap<string, Uint8Array>): ArchiveMember[] {
  if (!isThinArchive(bytes)) return membersIn(bytes, false);
  return membersIn(bytes, true).map(({ name }) => {
    const own = files?.get(name);
    if (own === undefined)
      throw new InputError(`this is a thin archive, which only names its members, and there is no ${name} beside it`);
    return { name, fileOffset: 0, bytes: own };
  });
}

function membersIn(bytes: Uint8Array, thin: boolean): ArchiveMember[] {
  if (!thin && !startsWith(bytes, ascii(MAGIC))) throw new InputError('this is no ar archive');
  const members: ArchiveMember[] = [];
  let longNames: Uint8Array = new Uint8Array();
  let at = MAGIC.length;
  while (at < bytes.length) {
    const raw = rawMember(bytes, at, thin);
    if (raw.name === '//') longNames = raw.bytes;
    else members.push(namedMember(raw, longNames));
    if (members.length > MOST_MEMBERS) throw new InputError(`the archive has more than ${MOST_MEMBERS} members`);
    // Members start at even offsets; the byte between is a newline.
    at = raw.fileOffset + raw.bytes.length;
    at += at % 2;
  }
  return members.filter(({ name }) => !isSymbolTable(name));
}

/** @param thin only tables have bytes in the archive, whatever size a member is said to have */
function rawMember(bytes: Uint8Array, at: number, thin: boolean): ArchiveMember {
  if (!inside(at, HEADER_SIZE, bytes.length))
    throw new InputError(`the archive ends at ${hex(bytes.length)}, within the member header at ${hex(at)}`);
  const field = (offset: number, size: number): string => latin1(bytes.subarray(at + offset, at + offset + size));
  if (field(58, 2) !== '`\n') throw new InputError(`the archive has no member header at ${hex(at)}`);
  const name = field(0, 16).trimEnd();
  const said = decimal(field(48, 10).trim(), `the size of the archive member at ${hex(at)}`);
  const size = thin && name !== '//' && !isSymbolTable(name) ? 0 : said;
  const start = at + HEADER_SIZE;
  if (!inside(start, size, bytes.length)) {
    throw new InputError(
      `the archive ends at ${hex(bytes.length)}, but its member at ${hex(at)} takes ${hex(size)} bytes from ${hex(start)} on`,
    );
  }
  return { name, fileOffset: start, bytes: bytes.subarray(start, start + size) };
}

/** '/' and '/SYM64/' of GNU, '__.SYMDEF' of BSD and Darwin. */
const isSymbolTable = (name: string): boolean => name === '/' || name === '/SYM64/' || name.startsWith('__.SYMDEF');

function namedMember(raw: ArchiveMember, longNames: Uint8Array): ArchiveMember {
  if (/^\/\d+$/.test(raw.name)) {
    return { ...raw, name: gnuLongName(longNames, decimal(raw.name.slice(1), 'the name of an archive member')) };
  }
  if (raw.name.startsWith('#1/')) return bsdNamed(raw);
  return isSymbolTable(raw.name) ? raw : { ...raw, name: raw.name.replace(/\/$/, '') };
}

/** GNU: '/N' is the name at byte N of member '//', up to '/' and a newline. */
function gnuLongName(longNames: Uint8Array, offset: number): string {
  const end = longNames.indexOf(0x0a, offset);
  if (offset >= longNames.length || end < 0 || end - offset > LONGEST_NAME)
    throw new InputError(`an archive member's name is said to be at byte ${offset} of the long names, where none is`);
  return latin1(longNames.subarray(offset, end)).replace(/\/$/, '');
}

/** BSD: '#1/N' has its name in the first N bytes of the member. */
function bsdNamed(raw: ArchiveMember): ArchiveMember {
  const length = decimal(raw.name.slice(3), "the length of an archive member's name");
  if (length > raw.bytes.length || length > LONGEST_NAME)
    throw new InputError(`an archive member's name has ${length} bytes, the member ${raw.bytes.length}`);
  const name = latin1(raw.bytes.subarray(0, length)).replace(/\0+$/, '');
  return { name, fileOffset: raw.fileOffset + length, bytes: raw.bytes.subarray(length) };
}

function decimal(text: string, what: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InputError(`${what} is no number`);
  return Number(text);
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

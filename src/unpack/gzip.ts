// gzip members (RFC 1952).
import { crc32 } from '../bits/crc32.ts';
import type { Reader } from '../bits/cursor.ts';
import type { Format } from './format.ts';
import { inflate } from './inflate.ts';
import { damaged, type Output } from './output.ts';

const WHAT = 'the gzip data';
const DEFLATE = 8;
/** FLG (2.3.1). */
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;
const RESERVED_FLAGS = 0xe0;

export const gzip: Format = {
  what: WHAT,
  startsAt: (bytes, at) => bytes[at] === 0x1f && bytes[at + 1] === 0x8b && bytes[at + 2] === DEFLATE,
  unpackAt: unpackMember,
};

function unpackMember(source: Reader, at: number, output: Output): number {
  const start = output.length;
  const end = inflate(source.bytes, endOfHeader(source, at), WHAT, output);
  const member = output.bytes.subarray(start, output.length);
  if (source.u32(end) !== crc32(member)) throw damaged(WHAT, 'its checksum is wrong');
  if (source.u32(end + 4) !== member.length) throw damaged(WHAT, 'its size is not the one it declares');
  return end + 8;
}

function endOfHeader(source: Reader, at: number): number {
  if (source.u16(at) !== 0x8b1f) throw damaged(WHAT, 'it does not start as gzip data does');
  const flags = source.u8(at + 3);
  if (source.u8(at + 2) !== DEFLATE || (flags & RESERVED_FLAGS) !== 0) throw damaged(WHAT, 'its header is unknown');
  let end = at + 10;
  if (flags & FEXTRA) end += 2 + source.u16(end);
  if (flags & FNAME) end = afterText(source, end);
  if (flags & FCOMMENT) end = afterText(source, end);
  return flags & FHCRC ? end + 2 : end;
}

function afterText(source: Reader, at: number): number {
  let end = at;
  while (source.u8(end) !== 0) end++;
  return end + 1;
}

// .lzma files ("LZMA alone"): 13 bytes of header, then LZMA. No checksum, no magic number.
import type { Reader } from '../bits/cursor.ts';
import type { Format } from './format.ts';
import { LzmaDecoder, propertiesOf } from './lzmaDecoder.ts';
import { checkSize, damaged, type Output } from './output.ts';

const WHAT = 'the lzma data';
const SIZE_UNKNOWN = 0xffff_ffff_ffff_ffffn;
const HEADER_SIZE = 13;

export const lzma: Format = { what: WHAT, unpackAt: unpackStream };

function unpackStream(source: Reader, at: number, output: Output): number {
  const properties = propertiesOf(source.u8(at));
  if (properties === undefined) throw damaged(WHAT, 'it does not start as lzma data does');
  const size = source.u64(at + 5) === SIZE_UNKNOWN ? undefined : source.size64(at + 5, 'the size in its header');
  if (size !== undefined) checkSize(output, size);
  const end = size === undefined ? Number.POSITIVE_INFINITY : output.length + size;
  const decoder = new LzmaDecoder(source.bytes, WHAT);
  decoder.dictionaryStart = output.length;
  decoder.reset(properties);
  decoder.range.start(at + HEADER_SIZE, source.bytes.length);
  let marked = decoder.run(output, end);
  if (marked && size !== undefined) throw damaged(WHAT, 'it ends before the size that its header declares');
  // An end marker may come as well as a size. A decoder asked for one byte more meets the marker, or it is wrong.
  if (!decoder.range.drained) marked = decoder.run(output, end + 1);
  if (!decoder.range.drained || (!marked && output.length > end))
    throw damaged(WHAT, 'it does not end where it should');
  return decoder.range.at;
}

// LZMA2: chunks of LZMA or of plain bytes, each with a control byte that says what of the decoder's state starts anew
// (https://en.wikipedia.org/wiki/LZMA#LZMA2_format).
import type { Reader } from '../bits/cursor.ts';
import { LzmaDecoder, propertiesOf } from './lzmaDecoder.ts';
import { append, damaged, type Output } from './output.ts';

/** Control bytes; of those of LZMA chunks the lower five bits belong to the size. */
const END = 0x00;
const PLAIN_NEW_DICTIONARY = 0x01;
const PLAIN = 0x02;
const LZMA = 0x80;
const LZMA_NEW_STATE = 0xa0;
const LZMA_NEW_PROPERTIES = 0xc0;
const LZMA_NEW_DICTIONARY = 0xe0;
const MOST_LITERAL_BITS = 4;

/** Unpacks the LZMA2 stream at `at` and returns the offset of its end. */
export function unpackLzma2(source: Reader, at: number, what: string, output: Output): number {
  const decoder = new LzmaDecoder(source.bytes, what);
  let next = at;
  let has = { dictionary: false, properties: false };
  for (let control = source.u8(next); control !== END; control = source.u8(next)) {
    if (control === PLAIN_NEW_DICTIONARY || control >= LZMA_NEW_DICTIONARY) {
      decoder.dictionaryStart = output.length;
      has = { dictionary: true, properties: false };
    }
    if (control >= LZMA_NEW_PROPERTIES) has.properties = true;
    const possible = control >= LZMA ? has.properties : control <= PLAIN;
    if (!has.dictionary || !possible) throw damaged(what, 'a chunk has an impossible control byte');
    next = control >= LZMA ? lzmaChunk(source, next, decoder, output) : plainChunk(source, next, output);
  }
  return next + 1;
}

const bigEndian16 = (source: Reader, at: number): number => (source.u8(at) << 8) | source.u8(at + 1);

function plainChunk(source: Reader, at: number, output: Output): number {
  const size = bigEndian16(source, at + 1) + 1;
  append(output, source.slice(at + 3, size));
  return at + 3 + size;
}

function lzmaChunk(source: Reader, at: number, decoder: LzmaDecoder, output: Output): number {
  const control = source.u8(at);
  const size = ((control & 0x1f) << 16) + bigEndian16(source, at + 1) + 1;
  const compressed = bigEndian16(source, at + 3) + 1;
  const { what } = decoder.range;
  let start = at + 5;
  if (control >= LZMA_NEW_PROPERTIES) {
    const properties = propertiesOf(source.u8(start++));
    if (properties === undefined || properties.lc + properties.lp > MOST_LITERAL_BITS) {
      throw damaged(what, 'a chunk has impossible properties');
    }
    decoder.reset(properties);
  } else if (control >= LZMA_NEW_STATE) {
    decoder.reset();
  }
  source.slice(start, compressed);
  decoder.range.start(start, start + compressed);
  const marked = decoder.run(output, output.length + size);
  if (marked || !decoder.range.drained || decoder.range.at !== start + compressed)
    throw damaged(what, 'a chunk does not end where it should');
  return start + compressed;
}

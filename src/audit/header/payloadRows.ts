// The payload, and the memory that unpacking it takes. It stays packed: only its frames are walked, never its contents.
import { inside } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import { type PayloadFormat, payloadFormat } from '../../image/payload.ts';
import type { HeaderFacts } from './facts.ts';
import { packedEnd } from './packedEnd.ts';
import { type FieldRow, when } from './row.ts';

/** How far from payload_offset a stream is looked for when none begins there. */
const NEIGHBOURHOOD = 0x10000;
/** Formats whose first bytes are long enough to be recognised anywhere. */
const TELLING: readonly PayloadFormat[] = ['xz', 'zstd', 'lz4', 'lzo', 'elf'];
/** Their first bytes, so that few places are looked at twice. */
const TELLING_STARTS: ReadonlySet<number> = new Set([0xfd, 0x28, 0x02, 0x89, 0x7f]);
const MOST_UNPACKED = 1024 * 1024 * 1024;

/**
 * What the output may run ahead of the input while unpacking in place, as the least that any kernel version reserved:
 * (size >> 12) + 64 KiB + 128 at first, (size >> 8) + 64 KiB later, with 128 KiB in all versions that have zstd.
 */
const leastMargin = (format: PayloadFormat, unpacked: number): number =>
  format === 'zstd' ? Math.floor(unpacked / 256) + 131072 : Math.floor(unpacked / 4096) + 65536 + 128;

/** Sizes in the file are rounded up (paragraphs, file alignment, checksum), so comparisons give way by that much. */
const ROUNDING = 0x1000;

export const PAYLOAD_ROWS: readonly FieldRow[] = [
  {
    field: 'payload_offset',
    rule: 'payload-layout',
    severity: 'error',
    confidence: 'high',
    problem: placeProblem,
    reason:
      'payload_offset counts from the start of the protected-mode part, and the stub unpacks payload_length bytes from there.',
  },
  {
    field: 'payload_offset',
    rule: 'payload-layout',
    severity: 'error',
    confidence: 'high',
    problem: missedProblem,
    reason: 'The payload begins with the magic number of its format. One stands close by, none at payload_offset.',
  },
  {
    field: 'payload_offset',
    rule: 'payload-layout',
    severity: 'note',
    confidence: 'medium',
    problem: (facts) =>
      when(
        facts.payload?.format === 'unknown' && nearbyStream(facts) === undefined,
        'the payload has no known format, so its size once unpacked was not checked',
      ),
    reason: 'Known are gzip, bzip2, lzma, xz, lzo, lz4, zstd, and an ELF file that is not packed.',
  },
  {
    field: 'payload_length',
    rule: 'payload-layout',
    severity: 'error',
    confidence: 'high',
    problem: lengthProblem,
    reason:
      "The stream's own frames tell where it ends; four bytes with its size once unpacked follow, and end the payload.",
  },
  {
    field: 'payload_length',
    rule: 'payload-layout',
    severity: 'warning',
    confidence: 'medium',
    problem: unpackedProblem,
    reason: 'The last four bytes of the payload are its size once unpacked; the stub and loaders go by them.',
  },
  {
    field: 'init_size',
    rule: 'payload-layout',
    severity: 'error',
    confidence: 'high',
    problem: (facts) => {
      const { need, what } = certainNeed(facts);
      const size = facts.header.init_size;
      return when(size < need, `init_size is ${hex(size)}, but ${what} ${hex(need)} bytes`);
    },
    reason:
      'Loaders reserve init_size bytes at the place where the kernel runs. The stub moves itself to the end of them and unpacks from their start on.',
  },
  {
    field: 'init_size',
    rule: 'payload-layout',
    severity: 'warning',
    confidence: 'medium',
    problem: marginProblem,
    reason:
      'The kernel is unpacked over its own packed form, from the start of init_size on. header.S keeps a margin, so that nothing is overwritten that is yet to be read.',
  },
];

function placeProblem({ header, part }: HeaderFacts): string | undefined {
  const { payload_offset: offset, payload_length: length } = header;
  if (length === 0) return undefined;
  return when(
    !inside(offset, length, part.size),
    `the payload (offset ${hex(offset)}, length ${hex(length)}) does not lie within the protected-mode part (${hex(part.size)} bytes)`,
  );
}

function missedProblem(facts: HeaderFacts): string | undefined {
  const found = nearbyStream(facts);
  return when(
    found !== undefined,
    `payload_offset is ${hex(facts.header.payload_offset)}, where no known format begins; ${found?.format} data begins at ${hex(found?.offset ?? 0)}`,
  );
}

/** The nearest stream with a telling magic number, as an offset in the part; none where the payload is fine. */
function nearbyStream({ bytes, part, payload, header }: HeaderFacts) {
  if (payload?.format !== 'unknown') return undefined;
  const first = Math.max(0, header.payload_offset - NEIGHBOURHOOD);
  const last = Math.min(part.size - 8, header.payload_offset + NEIGHBOURHOOD);
  const hits: { offset: number; format: PayloadFormat }[] = [];
  for (let offset = first; offset < last; offset++) {
    if (!TELLING_STARTS.has(bytes[part.fileOffset + offset] as number)) continue;
    const format = payloadFormat(bytes.subarray(part.fileOffset + offset, part.fileOffset + offset + 8));
    if (TELLING.includes(format)) hits.push({ offset, format });
  }
  const away = (hit: { offset: number }): number => Math.abs(hit.offset - header.payload_offset);
  return hits.sort((a, b) => away(a) - away(b))[0];
}

function lengthProblem({ bytes, payload, header }: HeaderFacts): string | undefined {
  const { payload_offset: offset, payload_length: length } = header;
  if (length === 0) return when(offset !== 0, `payload_length is 0, but payload_offset is ${hex(offset)}`);
  if (payload === undefined) return undefined;
  const packed = bytes.subarray(payload.fileOffset, payload.fileOffset + payload.length);
  const end = packedEnd(payload.format, packed);
  if (end === undefined || end === payload.length - 4) return undefined;
  const fact =
    end === 'beyond'
      ? 'but the stream does not end there'
      : `but the stream and the size behind it end after ${hex(end + 4)} bytes`;
  return `payload_length is ${hex(payload.length)}, ${fact} (${payload.format})`;
}

function unpackedProblem(facts: HeaderFacts): string | undefined {
  const { payload, unpackedSize } = facts;
  if (payload === undefined || unpackedSize === undefined || lengthProblem(facts) !== undefined) return undefined;
  const tells = `the payload ends with ${hex(unpackedSize)} as its size once unpacked`;
  if (unpackedSize > MOST_UNPACKED) return `${tells}, more than a kernel can have`;
  return when(unpackedSize < payload.length / 2, `${tells}, but it has ${hex(payload.length)} bytes packed`);
}

/** The unpacked size where nothing speaks against it. */
function soundUnpackedSize(facts: HeaderFacts): number {
  return facts.unpackedSize === undefined || unpackedProblem(facts) !== undefined || lengthProblem(facts) !== undefined
    ? 0
    : facts.unpackedSize;
}

/** Bytes of memory without which the stub cannot work, whatever the kernel version. */
function certainNeed(facts: HeaderFacts): { need: number; what: string } {
  const unpacked = soundUnpackedSize(facts);
  const part = facts.part.size;
  return unpacked > part
    ? { need: unpacked, what: 'the payload unpacks to' }
    : { need: part, what: 'the protected-mode part alone has' };
}

/** header.S: the stub's own size, and what unpacking over the packed payload needs. */
function marginProblem(facts: HeaderFacts): string | undefined {
  const { header, part, payload } = facts;
  const unpacked = soundUnpackedSize(facts);
  if (payload === undefined || unpacked === 0) return undefined;
  const ahead = Math.max(0, unpacked - payload.length) + leastMargin(payload.format, unpacked);
  const need = part.size + ahead - ROUNDING;
  const { init_size: size } = header;
  return when(
    size >= certainNeed(facts).need && size < need,
    `init_size is ${hex(size)}, but to unpack in place takes at least ${hex(need)} bytes`,
  );
}

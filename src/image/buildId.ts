// The build id: a hash that the linker makes of all it wrote (--build-id), kept in a note of type NT_GNU_BUILD_ID by
// the owner "GNU". Notes: gABI, "Note Section". Debug information and crash reports are matched by it.
import { inside, type Reader, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import type { FileRange } from './bzimage.ts';
import { readSections } from './elf.ts';
import { elfHead } from './elfHead.ts';
import { searchFor } from './search.ts';

const PT_NOTE = 4;
const ELFCLASS64 = 2;
const SHT_NOTE = 7;
const NT_GNU_BUILD_ID = 3;
/** namesz 4, descsz (left out here), type 3, "GNU". */
const TYPE_AND_OWNER = Uint8Array.of(NT_GNU_BUILD_ID, 0, 0, 0, 0x47, 0x4e, 0x55, 0);
const search = searchFor(TYPE_AND_OWNER);
/** A hash of 4 to 64 bytes; ld makes 20 (sha1) or 16 (md5, uuid), lld 8 too. */
const LONGEST_ID = 64;

/** The build id of an ELF file, from its note segments, else its note sections; undefined where it has none. */
export function buildId(bytes: Uint8Array): Uint8Array | undefined {
  const file = readerOf(bytes, 'the ELF file');
  for (const { fileOffset, size } of [...noteSegments(file), ...noteSections(file)]) {
    if (!inside(fileOffset, size, bytes.length)) continue;
    const id = buildIdOfNotes(bytes.subarray(fileOffset, fileOffset + size));
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The first build id in a row of notes. */
function buildIdOfNotes(notes: Uint8Array): Uint8Array | undefined {
  const file = readerOf(notes, 'the notes');
  for (let at = search(notes); at >= 0; at = search(notes, at + 1)) {
    if (at < 8 || file.u32(at - 8) !== 4) continue;
    const size = file.u32(at - 4);
    const start = at + TYPE_AND_OWNER.length;
    if (size >= 4 && size <= LONGEST_ID && inside(start, size, notes.length)) return file.slice(start, size);
  }
  return undefined;
}

const noteSegments = (file: Reader): FileRange[] =>
  (elfHead(file.bytes)?.programHeaders ?? [])
    .filter(({ type }) => type === PT_NOTE)
    .map(({ offset, fileSize }) => ({ fileOffset: offset, size: fileSize }));

function noteSections(file: Reader): FileRange[] {
  try {
    if (file.u8(4) !== ELFCLASS64) return [];
    return readSections(file).filter(({ type }) => type === SHT_NOTE);
  } catch (error) {
    // Sections are not needed to load a kernel, so broken ones keep nobody from reading the rest.
    if (error instanceof InputError) return [];
    throw error;
  }
}

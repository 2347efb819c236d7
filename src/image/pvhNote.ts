// The PVH entry point: a note of the name "Xen" and the type XEN_ELFNOTE_PHYS32_ENTRY in a PT_NOTE segment of an ELF file
// (Xen's docs/misc/pvh). A file whose headers or notes make no sense has none.
import { inside, viewOf } from '../bits/cursor.ts';
import { hex } from '../bits/hex.ts';

const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const NOTE_HEADER = 12;
/** Bytes of notes looked at; a Linux kernel has some hundred. Every header of a hostile file can claim the whole file. */
const NOTES_LIMIT = 2 ** 20;
const ELFCLASS64 = 2;

interface NoteSegment {
  readonly offset: number;
  readonly size: number;
  readonly align: number;
}

/** The physical address of the PVH entry, where an ELF file of either class names one below 4 GiB. */
export function pvhEntryOf(bytes: Uint8Array): number | undefined {
  let left = NOTES_LIMIT;
  for (const segment of noteSegments(bytes)) {
    const size = Math.min(segment.size, left);
    left -= size;
    const entry = entryIn(bytes, { ...segment, size });
    if (entry !== undefined) return entry;
    if (left < NOTE_HEADER) break;
  }
  return undefined;
}

/** A note by "Xen" that is near to be a PVH entry and is none: of what keeps loaders from it. For a file that has no entry. */
export function pvhTrouble(bytes: Uint8Array): string | undefined {
  const view = viewOf(bytes);
  let other: number | undefined;
  const end = Math.min(bytes.length, NOTES_LIMIT) - NOTE_HEADER - 8;
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== 4 || !isXen(bytes, at + NOTE_HEADER, 4)) continue;
    const [size, type] = [view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
    if (type === XEN_ELFNOTE_PHYS32_ENTRY && addressSized(size)) {
      return `a note with a PVH entry stands at ${hex(at)}, in no PT_NOTE segment, where loaders look`;
    }
    if (addressSized(size)) other ??= type;
  }
  return other === undefined ? undefined : `it has a note by "Xen" of type ${other}; a PVH entry has type 18`;
}

const addressSized = (size: number): boolean => size === 4 || size === 8;

function* noteSegments(bytes: Uint8Array): Generator<NoteSegment> {
  if (bytes.length < 64) return;
  const view = viewOf(bytes);
  const wide = view.getUint8(4) === ELFCLASS64;
  const word = (at: number): number => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
  const table = wide ? word(32) : word(28);
  const count = view.getUint16(wide ? 56 : 44, true);
  const entrySize = wide ? 56 : 32;
  if (!inside(table, count * entrySize, bytes.length)) return;
  for (let at = table; at < table + count * entrySize; at += entrySize) {
    if (view.getUint32(at, true) !== PT_NOTE) continue;
    const [offset, size, align] = wide
      ? [word(at + 8), word(at + 32), word(at + 48)]
      : [word(at + 4), word(at + 16), word(at + 28)];
    if (inside(offset, size, bytes.length)) yield { offset, size, align: align === 8 ? 8 : 4 };
  }
}

function entryIn(bytes: Uint8Array, { offset, size, align }: NoteSegment): number | undefined {
  const view = viewOf(bytes);
  const padded = (length: number): number => Math.ceil(length / align) * align;
  for (let at = offset; at + NOTE_HEADER <= offset + size; ) {
    const [nameSize, descSize] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    const name = at + NOTE_HEADER;
    const desc = at + padded(NOTE_HEADER + nameSize);
    const next = at + padded(padded(NOTE_HEADER + nameSize) + descSize);
    if (desc + descSize > offset + size) return undefined;
    if (view.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY && isXen(bytes, name, nameSize)) {
      return addressAt(view, desc, descSize);
    }
    at = next;
  }
  return undefined;
}

const isXen = (bytes: Uint8Array, at: number, size: number): boolean =>
  size === 4 && [0x58, 0x65, 0x6e, 0].every((byte, i) => bytes[at + i] === byte);

/** Linux writes it with the word size of the kernel. */
function addressAt(view: DataView, at: number, size: number): number | undefined {
  if (size === 4) return view.getUint32(at, true);
  if (size !== 8) return undefined;
  const address = view.getBigUint64(at, true);
  return address < 2n ** 32n ? Number(address) : undefined;
}

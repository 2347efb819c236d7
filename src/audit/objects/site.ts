// The instruction a relocation stands in. Object files do not tell code from data inside a section, nor 16-, 32- and 64-bit
// code, so an instruction is believed only where the relocated field is exactly one of its constants.
import { type ConstantOffsets, Decoder, DecoderOptions, Instruction, Register } from 'iced-x86';
import { attText, type Bits } from '../../code/disassembly.ts';
import type { ElfSection } from '../../image/elf.ts';
import { type ObjectFile, type ObjectRelocation, objectSectionBytes, SHF_EXECINSTR } from '../../image/object.ts';

/** The instruction around a relocated field. */
export interface Site {
  /** Offset of the instruction in its section. */
  readonly start: number;
  readonly bytes: Uint8Array;
  /** AT&T text with what the object file holds in the field, mostly 0. */
  readonly text: string;
  readonly bits: Extract<Bits, 32 | 64>;
  /** The field is a displacement that a base register other than RIP is added to. */
  readonly based: boolean;
}

/** The instructions of an object's relocations; none for data and for what could not be told from data. */
export type Sites = ReadonlyMap<ObjectRelocation, Site>;

export function sitesOf(object: ObjectFile): Sites {
  const sites = new Map<ObjectRelocation, Site>();
  const labels = labelsBySection(object);
  for (const [index, relocations] of bySection(object)) {
    const section = object.sections[index];
    if (section === undefined || (section.flags & SHF_EXECINSTR) === 0n) continue;
    const starts = labels.get(index) ?? [];
    sweep(object, section, 64, starts, relocations, sites);
    const open = relocations.filter((relocation) => !sites.has(relocation));
    if (open.length > 0) sweep(object, section, 32, starts, open, sites);
  }
  return sites;
}

function bySection(object: ObjectFile): Map<number, ObjectRelocation[]> {
  const groups = new Map<number, ObjectRelocation[]>();
  for (const relocation of object.relocations) {
    const group = groups.get(relocation.section);
    if (group === undefined) groups.set(relocation.section, [relocation]);
    else group.push(relocation);
  }
  return groups;
}

/** Offsets of the symbols in each section, ascending: an instruction starts at each of them. */
function labelsBySection({ symbols }: ObjectFile): Map<number, number[]> {
  const labels = new Map<number, number[]>();
  for (const { section, value } of symbols) {
    if (typeof section !== 'number' || value > 0xffffffffn) continue;
    const list = labels.get(section);
    if (list === undefined) labels.set(section, [Number(value)]);
    else list.push(Number(value));
  }
  for (const list of labels.values()) list.sort((a, b) => a - b);
  return labels;
}

/** Decodes a section from its start, taking up anew at every label, and enters the instructions that hold a field. */
function sweep(
  object: ObjectFile,
  section: ElfSection,
  bits: Site['bits'],
  labels: readonly number[],
  relocations: readonly ObjectRelocation[],
  sites: Map<ObjectRelocation, Site>,
): void {
  const bytes = objectSectionBytes(object, section);
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  const insn = new Instruction();
  let label = 0;
  let next = 0;
  let at = 0;
  while (at < bytes.length && next < relocations.length) {
    decoder.position = at;
    decoder.ip = BigInt(at);
    decoder.decodeOut(insn);
    while ((labels[label] ?? Infinity) <= at) label++;
    const end = Math.min(at + insn.length, labels[label] ?? Infinity);
    for (; next < relocations.length && relocations[next]!.offset < end; next++) {
      const relocation = relocations[next]!;
      if (!insn.isInvalid && end === at + insn.length && holdsField(decoder, insn, relocation.offset - at))
        sites.set(relocation, {
          start: at,
          bytes: bytes.subarray(at, end),
          text: attText(insn),
          bits,
          based: isBased(insn),
        });
    }
    at = end;
  }
  insn.free();
  decoder.free();
}

const isBased = (insn: Instruction): boolean =>
  insn.memoryDisplSize >= 4 && insn.memoryBase !== Register.None && !insn.isIpRelMemoryOperand;

/** Whether one of the instruction's constants of 4 or 8 bytes starts at `offset`. */
function holdsField(decoder: Decoder, insn: Instruction, offset: number): boolean {
  const constants: ConstantOffsets = decoder.getConstantOffsets(insn);
  const { displacementOffset, displacementSize, immediateOffset, immediateSize } = constants;
  constants.free();
  return (displacementSize >= 4 && displacementOffset === offset) || (immediateSize >= 4 && immediateOffset === offset);
}

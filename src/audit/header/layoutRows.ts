// Where things are: the rows that everything else rests on. If one of the first list holds, what lies where in the file
// is not known, and nothing that depends on it is looked at.
import { inside } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import { fittingSetupSects, protocolText, setupSectsText } from '../../image/bzimage.ts';
import {
  BOOT_FLAG,
  definedHeaderEnd,
  JUMP_BASE,
  JUMP_OPCODE,
  KERNEL_INFO_MAGIC,
  LOADED_HIGH,
} from '../../image/setup-header.ts';
import type { PeSection } from '../../image/pe.ts';
import type { HeaderFacts } from './facts.ts';
import { type FieldRow, when } from './row.ts';

const OLDEST_PROTOCOL = 0x206;
const NEWEST_PROTOCOL = 0x20f;
const PARAGRAPH = 16;
/** SETUP_TYPE_MAX always has SETUP_INDIRECT in it (bootparam.h). */
const SETUP_INDIRECT = 0x8000_0000;

export const GROUND_ROWS: readonly FieldRow[] = [
  {
    field: 'boot_flag',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: ({ header }) => when(header.boot_flag !== BOOT_FLAG, `boot_flag is ${hex(header.boot_flag)}, not 0xaa55`),
    reason: 'The protocol fixes the value; loaders refuse an image without it.',
  },
  {
    field: 'version',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: ({ header: { version } }) =>
      when(
        version >> 8 !== 2 || version < OLDEST_PROTOCOL,
        `version says boot protocol ${protocolText(version)}; known here are ${protocolText(OLDEST_PROTOCOL)} to ${protocolText(NEWEST_PROTOCOL)}`,
      ),
    reason: 'Which fields there are follows from the version, so the other fields of this header were not checked.',
  },
  {
    field: 'loadflags',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: ({ header }) =>
      when((header.loadflags & LOADED_HIGH) === 0, 'loadflags lacks LOADED_HIGH, which makes this a zImage'),
    reason: 'Without bit 0 a loader puts the protected-mode part at 0x10000, below 640 KiB, and enters it there.',
  },
  {
    field: 'jump',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: jumpProblem,
    reason: 'The jump at 0x200 enters the setup code, and its operand tells loaders where the header ends.',
  },
  {
    field: 'setup_sects',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: setupProblem,
    reason:
      'The setup part is setup_sects + 1 sectors of 512 bytes; the protected-mode part follows it at once, and the PE section .text is that part.',
  },
  {
    field: 'syssize',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: sizeProblem,
    reason:
      'A loader reads syssize paragraphs of 16 bytes after the setup part. A file that ends earlier is truncated, or one of syssize and setup_sects is wrong.',
  },
];

function jumpProblem({ header, setupSize }: HeaderFacts): string | undefined {
  const opcode = header.jump & 0xff;
  const distance = header.jump >> 8;
  if (opcode !== JUMP_OPCODE) return `the setup header begins with ${hex(opcode, 2)}, not with a short jump (0xeb)`;
  if (distance > 0x7f) return 'the jump at 0x200 goes backwards, so the setup header has no end';
  const end = JUMP_BASE + distance;
  const defined = definedHeaderEnd(header.version);
  if (end < defined) {
    return `the setup header ends at ${hex(end)}, but protocol ${protocolText(header.version)} has fields up to ${hex(defined)}`;
  }
  return when(end > setupSize, `the setup header ends at ${hex(end)}, beyond the setup part (${hex(setupSize)})`);
}

function setupProblem({ header, setupSize, bytes, pe, file }: HeaderFacts): string | undefined {
  if (setupSize >= bytes.length) {
    return `setup_sects is ${header.setup_sects}, so the setup part would end at ${hex(setupSize)}, where the file (${hex(bytes.length)} bytes) has already ended`;
  }
  const text = pe?.sections.find((s) => s.name === '.text');
  if (text !== undefined && text.rawOffset !== setupSize) {
    return `setup_sects is ${header.setup_sects}, so the protected-mode part begins at ${hex(setupSize)}, but the PE section .text at ${hex(text.rawOffset)}`;
  }
  const fitting = fittingSetupSects(file, header);
  return fitting === undefined ? undefined : setupSectsText(header, fitting);
}

/** Where setup_sects is wrong already, syssize cannot be judged. */
function sizeProblem(facts: HeaderFacts): string | undefined {
  const { bytes, promised, isKernel } = facts;
  // Other programs keep sections for firmware alone behind what BIOS loaders read.
  const pe = isKernel ? facts.pe : undefined;
  if (setupProblem(facts) !== undefined) return undefined;
  if (promised.size === 0) return 'syssize is 0: the protected-mode part would be empty';
  const end = promised.fileOffset + promised.size;
  if (end - bytes.length >= PARAGRAPH) {
    return `syssize promises a protected-mode part up to ${hex(end)}, but the file ends at ${hex(bytes.length)}`;
  }
  // One that leaves the file is the PE header's own fault.
  const beyond = ({ rawOffset, rawSize }: PeSection): boolean =>
    rawSize > 0 && rawOffset + rawSize > end && rawOffset + rawSize <= bytes.length;
  const last = pe?.sections.find(beyond);
  return (
    last &&
    `the PE section ${last.name} goes on to ${hex(last.rawOffset + last.rawSize)}, but by syssize the protected-mode part ends at ${hex(end)}`
  );
}

export const LAYOUT_ROWS: readonly FieldRow[] = [
  {
    field: 'version',
    everyImage: true,
    severity: 'note',
    confidence: 'high',
    problem: ({ header: { version } }) =>
      when(version > NEWEST_PROTOCOL, `boot protocol ${protocolText(version)} is newer than what is known here`),
    reason: `Fields that came after protocol ${protocolText(NEWEST_PROTOCOL)} were not checked.`,
  },
  {
    field: 'syssize',
    everyImage: true,
    severity: 'note',
    confidence: 'high',
    problem: unclaimedProblem,
    reason:
      'Loaders read no further than syssize says, and neither a PE section nor a certificate table of the PE header covers these bytes.',
  },
  {
    field: 'kernel_info_offset',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: kernelInfoProblem,
    reason: 'kernel_info has four fixed words: "LToP", its size, its size with all it points to, and setup_type_max.',
  },
];

function unclaimedProblem({ bytes, part, pe }: HeaderFacts): string | undefined {
  const claims = [
    part.fileOffset + part.size,
    ...(pe?.sections.map((s) => s.rawOffset + s.rawSize) ?? []),
    ...(pe?.directories.slice(4, 5).map((d) => d.address + d.size) ?? []),
  ];
  const rest = bytes.subarray(Math.max(...claims));
  return when(
    rest.some((byte) => byte !== 0),
    `${rest.length} bytes lie behind everything that the headers name; they are not loaded`,
  );
}

function kernelInfoProblem({ file, header, part }: HeaderFacts): string | undefined {
  const offset = header.kernel_info_offset;
  if (offset === 0) return undefined;
  if (!inside(offset, 16, part.size)) {
    return `kernel_info_offset is ${hex(offset)}, beyond the protected-mode part (${hex(part.size)} bytes)`;
  }
  const at = part.fileOffset + offset;
  if (file.u32(at) !== KERNEL_INFO_MAGIC) {
    return `kernel_info_offset is ${hex(offset)}, but no kernel_info ("LToP") stands there`;
  }
  const size = file.u32(at + 4);
  const total = file.u32(at + 8);
  if (size < 12 || total < size || !inside(offset, total, part.size)) {
    return `kernel_info says that it has ${hex(size)} bytes, and ${hex(total)} with what it points to, which cannot both be right`;
  }
  const typeMax = file.u32(at + 12);
  return when(
    size >= 16 && typeMax < SETUP_INDIRECT,
    `setup_type_max in kernel_info is ${hex(typeMax)}, without the SETUP_INDIRECT bit every kernel has there`,
  );
}

// The answer of `firstlight info` as the one object that `--json` prints. docs/json.md describes every field.

import type { BzImageInfo, ElfInfo, FieldInfo, ImageInfo, KernelInfo } from '../audit/info.ts';
import { keySymbols } from '../audit/infoSymbols.ts';
import { hex } from '../bits/hex.ts';
import { protocolText } from '../image/bzimage.ts';
import type { PeImage } from '../image/pe.ts';
import { hexDigits } from './info.ts';
import { fieldMeaning } from './infoFields.ts';

/** The object for one file, ready for JSON.stringify. */
export function infoJson(name: string, info: ImageInfo) {
  const { kind, what, size, origin, uki, entries, bzImage, elf, payload, kernel, problems } = info;
  return {
    name,
    kind,
    what,
    size,
    origin: origin ?? null,
    uki: uki === undefined ? null : ukiJson(uki),
    entries,
    bzImage: bzImage === undefined ? null : bzImageJson(bzImage),
    payload: payload === undefined ? null : { ...payload, unpackedSize: payload.unpackedSize ?? null },
    elf: elf === undefined ? null : kernelJson(elf),
    kernel: kernel === undefined ? null : kernelJson(kernel),
    problems,
  };
}

const ukiJson = ({ sections, cmdline, system, release }: NonNullable<ImageInfo['uki']>) => ({
  ...{ system: system ?? null, release: release ?? null, cmdline: cmdline ?? null },
  sections: sections.map(({ name, fileOffset, bytes }) => ({ name, fileOffset, size: bytes.length })),
});

const bzImageJson = (info: BzImageInfo) => ({
  protocol: protocolText(info.protocol),
  version: info.version ?? null,
  header: info.fields.map(fieldJson),
  headerEnd: info.headerEnd,
  setupSize: info.setupSize,
  protectedMode: info.protectedMode,
  behind: info.behind,
  pe: info.pe === undefined ? null : peJson(info.pe, info),
  peProblem: info.peProblem ?? null,
});

const fieldJson = ({ name, offset, size, value, flags }: FieldInfo) => ({
  name,
  offset,
  size,
  value: hex(value),
  flags: flags ?? null,
  meaning: fieldMeaning(name, value),
});

const peJson = (pe: PeImage, { nxCompat, certificates }: BzImageInfo) => ({
  headerOffset: pe.headerOffset,
  format: pe.plus ? 'PE32+' : 'PE32',
  imageBase: hex(pe.imageBase),
  fields: Object.fromEntries(Object.entries(pe.fields).map(([name, value]) => [name, hex(value)])),
  nxCompat,
  certificates: certificates ?? null,
  sections: pe.sections.map(({ name, virtualAddress, virtualSize, rawOffset, rawSize, characteristics }) => ({
    ...{ name, virtualAddress, virtualSize, rawOffset, rawSize },
    characteristics: hex(characteristics),
  })),
});

const kernelJson = ({ size, elf, banner, buildId, config, symbols }: KernelInfo) => ({
  size,
  elf: elf === undefined ? null : elfJson(elf),
  banner: banner ?? null,
  buildId: buildId === undefined ? null : hexDigits(buildId),
  config: config === undefined ? null : { version: config.version ?? null, options: config.options },
  symbols: symbols.map(({ from, form, list }) => ({
    ...{ from, form: form ?? null, count: list.length },
    key: keySymbols(list).map(({ address, letter, name }) => ({ address: hex(address), letter, name })),
  })),
});

const elfJson = ({ type, bits, entry, entryPhysical, segments, sections, relocations }: ElfInfo) => ({
  type: `ET_${type}`,
  bits,
  entry: hex(entry),
  entryPhysical: hex(entryPhysical),
  segments: segments.map((s) => ({
    ...{ virtAddr: hex(s.virtAddr), physAddr: hex(s.physAddr) },
    ...{ fileOffset: s.fileOffset, fileSize: s.fileSize, memSize: s.memSize, flags: s.flags },
  })),
  sections: sections ?? null,
  relocations: relocations ?? null,
});

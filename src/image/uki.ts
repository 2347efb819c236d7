// A unified kernel image (UAPI group, "Unified Kernel Image"): an EFI stub, as systemd-boot's, with kernel, initial RAM disk
// and command line as sections of its PE file. The stub is code for firmware; what it would hand over is read here.
import { inside } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { parsePe, type PeSection } from './pe.ts';

export interface UkiSection {
  readonly name: string;
  readonly fileOffset: number;
  /** Without what pads it to the file's alignment. */
  readonly bytes: Uint8Array;
}

export interface UnifiedImage {
  readonly kernel: UkiSection;
  /** What the stub hands over: .ucode before .initrd. */
  readonly initrd: Uint8Array | undefined;
  /** Text of .cmdline, without what ends it. */
  readonly cmdline: string | undefined;
  /** PRETTY_NAME of .osrel, a copy of os-release; else its NAME. */
  readonly system: string | undefined;
  /** Text of .uname: the kernel's release. */
  readonly release: string | undefined;
  /** Of every section the specification names, in the order of the file. */
  readonly sections: readonly UkiSection[];
}

/** Section names of the specification; others belong to the stub. */
const NAMES = new Set(
  '.linux .osrel .cmdline .initrd .ucode .splash .dtb .dtbauto .hwids .uname .sbat .pcrsig .pcrpkey .profile .efifw'.split(
    ' ',
  ),
);

/** Whether PE sections are those of a unified kernel image. */
export const isUki = (sections: readonly Pick<PeSection, 'name'>[]): boolean =>
  sections.some(({ name }) => name === '.linux');

/** Throws an InputError where the PE headers or the section of the kernel leave the file. */
export function parseUki(bytes: Uint8Array): UnifiedImage {
  const all = (parsePe(bytes)?.sections ?? []).filter(({ name }) => NAMES.has(name));
  const sections = all.map((section) => contents(bytes, section));
  const kernel = sections.find(({ name }) => name === '.linux');
  if (kernel === undefined) throw new InputError('this EFI program has no section .linux');
  const find = (name: string): Uint8Array | undefined => sections.find((s) => s.name === name)?.bytes;
  return {
    kernel,
    initrd: joined(find('.ucode'), find('.initrd')),
    cmdline: textOf(find('.cmdline')),
    system: systemName(textOf(find('.osrel'))),
    release: textOf(find('.uname')),
    sections,
  };
}

function contents(bytes: Uint8Array, { name, rawOffset, rawSize, virtualSize }: PeSection): UkiSection {
  const size = virtualSize === 0 ? rawSize : Math.min(rawSize, virtualSize);
  if (!inside(rawOffset, size, bytes.length)) {
    throw new InputError(
      `the section ${name} of this unified kernel image takes ${hex(size)} bytes from ${hex(rawOffset)} on, but the file ends at ${hex(bytes.length)}`,
    );
  }
  return { name, fileOffset: rawOffset, bytes: bytes.subarray(rawOffset, rawOffset + size) };
}

/** Each part of a concatenated initial RAM disk starts at a multiple of 4 bytes. */
function joined(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const start = Math.ceil(first.length / 4) * 4;
  const all = new Uint8Array(start + second.length);
  all.set(first);
  all.set(second, start);
  return all;
}

const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && new TextDecoder().decode(bytes).replace(/[\0\s]+$/, '');

function systemName(osrel: string | undefined): string | undefined {
  const value = (key: string): string | undefined =>
    new RegExp(`^${key}=(?:"([^"]*)"|'([^']*)'|(.*))$`, 'm')
      .exec(osrel ?? '')
      ?.slice(1)
      .find(Boolean);
  return value('PRETTY_NAME') ?? value('NAME');
}

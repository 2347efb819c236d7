// Reads what a linker made of one relocation: the bytes at its place in the linked file, its GOT slot, the run-time
// relocations left. Says it in the words of LinkResult, and complains where the numbers do not add up.
import { Decoder, DecoderOptions, type Instruction, Mnemonic, OpKind } from 'iced-x86';
import type { LinkResult } from '../../src/audit/types.ts';
import { readerOf, viewOf } from '../../src/bits/cursor.ts';
import { hexBytes } from '../../src/bits/hex.ts';
import { cString } from '../../src/bits/text.ts';
import { type ElfSection, readSections, SHT_NOBITS, SHT_SYMTAB, sectionBytes } from '../../src/image/elf.ts';
import { relocationName } from '../../src/image/relocationTypes.ts';

export interface Linked {
  readonly sections: readonly { readonly header: ElfSection; readonly bytes: Uint8Array }[];
  readonly symbols: ReadonlyMap<string, bigint>;
  /** Type and addend of run-time relocations, by address. */
  readonly dynamic: ReadonlyMap<bigint, { readonly type: number; readonly addend: bigint }>;
}

/** A relocation's place in the linked file. */
export interface Place {
  /** Address of the relocated field. */
  readonly address: bigint;
  /** Bytes of the instruction before the field, undefined in data. */
  readonly before?: number;
  readonly type: number;
  readonly addend: bigint;
  /** The symbol's value in the linked file, where it is known. */
  readonly value?: bigint;
}

export interface Observed {
  readonly result: LinkResult;
  readonly bytes: string;
}

const SHT_RELA = 4;
const SHF_ALLOC = 2n;

export function readLinked(bytes: Uint8Array): Linked {
  const file = readerOf(bytes, 'the linked file');
  const headers = readSections(file);
  const sections = headers.map((header) => ({ header, bytes: sectionBytes(file, header) }));
  const symbols = new Map<string, bigint>();
  const dynamic = new Map<bigint, { type: number; addend: bigint }>();
  for (const { header, bytes } of sections) {
    const entries = viewOf(bytes);
    if (header.type === SHT_SYMTAB) {
      const strings = sections[header.link]!.bytes;
      for (let at = 0; at < bytes.length; at += 24) {
        const name = cString(strings, entries.getUint32(at, true), 4096) ?? '';
        symbols.set(name, entries.getBigUint64(at + 8, true));
      }
    }
    if (header.type === SHT_RELA && (header.flags & SHF_ALLOC) !== 0n) {
      for (let at = 0; at < bytes.length; at += 24) {
        const [type, addend] = [entries.getUint32(at + 8, true), entries.getBigInt64(at + 16, true)];
        dynamic.set(entries.getBigUint64(at, true), { type, addend });
      }
    }
  }
  return { sections, symbols, dynamic };
}

/** Bytes at an address of an allocated section. */
function bytesAt(linked: Linked, address: bigint, size: number): Uint8Array {
  for (const { header, bytes } of linked.sections) {
    if ((header.flags & SHF_ALLOC) === 0n || header.type === SHT_NOBITS) continue;
    const offset = Number(address - header.address);
    if (offset >= 0 && offset < bytes.length) return bytes.subarray(offset, offset + size);
  }
  throw new Error(`nothing at ${address.toString(16)}`);
}

export function observe(linked: Linked, place: Place): Observed {
  return place.before === undefined ? observeData(linked, place) : observeCode(linked, place, place.before);
}

function observeData(linked: Linked, place: Place): Observed {
  const name = relocationName(place.type) ?? '';
  const size = name === '64' ? 8 : 4;
  const bytes = bytesAt(linked, place.address, size);
  const found = size === 8 ? viewOf(bytes).getBigInt64(0, true) : BigInt(viewOf(bytes).getInt32(0, true));
  const text = hexBytes(bytes);
  if (linked.dynamic.has(place.address)) return { result: 'absolute-relative', bytes: text };
  if (name.startsWith('GOT'))
    return { result: gotSlot(linked, place, place.address + found - place.addend), bytes: text };
  if (name.startsWith('P')) {
    if (!isInPlt(linked, place.address + found)) check(place, place.address + found, 'data, PC-relative');
    return { result: 'pc-relative', bytes: text };
  }
  check(place, found, 'data, absolute');
  return { result: 'absolute', bytes: text };
}

/** The value that a reference comes to is the symbol's, plus the addend. */
function check(place: Place, found: bigint, what: string, addend = place.addend): void {
  if (place.value === undefined || BigInt.asIntN(32, found - place.value - addend) === 0n) return;
  throw new Error(`${what}: ${found.toString(16)} is not ${place.value.toString(16)} + ${addend}`);
}

function gotSlot(linked: Linked, place: Place, slot: bigint): LinkResult {
  if (linked.dynamic.has(slot)) return 'got-relative';
  const value = viewOf(bytesAt(linked, slot, 8)).getBigUint64(0, true);
  if (place.value !== undefined && value !== place.value)
    throw new Error(`GOT slot ${slot.toString(16)} holds ${value.toString(16)}`);
  return 'got';
}

function observeCode(linked: Linked, place: Place, before: number): Observed {
  const start = place.address - BigInt(before);
  const bytes = bytesAt(linked, start, 15);
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = start;
  let insn = decoder.decode();
  // mold makes `nop; call` of a call through the GOT.
  if (insn.mnemonic === Mnemonic.Nop && relocationName(place.type)?.includes('GOTPCREL')) insn = decoder.decode();
  const text = hexBytes(bytes.subarray(0, decoder.position));
  const result = linked.dynamic.has(place.address) ? 'absolute-relative' : codeResult(linked, place, insn, before);
  insn.free();
  decoder.free();
  return { result, bytes: text };
}

function codeResult(linked: Linked, place: Place, insn: Instruction, before: number): LinkResult {
  const name = relocationName(place.type) ?? '';
  const isGot = name.includes('GOTPCREL');
  // Addends of PC-relative forms count from the field; here everything counts from the end of the instruction.
  const addend = isGot || name.startsWith('P') ? place.addend + BigInt(insn.length - before) : place.addend;
  if (insn.op0Kind === OpKind.NearBranch64) {
    if (isInPlt(linked, insn.nearBranch64)) return 'pc-relative';
    // A relaxed jmp is one byte shorter, its NOP stands behind it.
    check(place, insn.nearBranch64, 'branch', isGot ? 0n : addend);
    return 'pc-relative';
  }
  if (insn.isIpRelMemoryOperand) return ipRelativeResult(linked, place, insn.ipRelMemoryAddress, isGot, addend);
  // 32-bit code that counts from a label of its own: `leal (gdt - startup_32)(%ebp)`.
  if (name.startsWith('P')) return 'pc-relative';
  const immediate = Array.from({ length: insn.opCount }, (_, i) => i).find((i) => isImmediate(insn.opKind(i)));
  check(
    place,
    immediate === undefined ? insn.memoryDisplacement : insn.immediate(immediate),
    'absolute',
    isGot ? 0n : addend,
  );
  return 'absolute';
}

/** GNU ld goes through a PLT entry to a weak symbol that nobody defines. */
const isInPlt = ({ sections }: Linked, address: bigint): boolean =>
  sections.some(
    ({ header: { name, address: start, size } }) =>
      name === '.plt' && address >= start && address < start + BigInt(size),
  );

const isImmediate = (kind: OpKind): boolean => OpKind[kind].startsWith('Immediate');

function ipRelativeResult(linked: Linked, place: Place, reached: bigint, isGot: boolean, addend: bigint): LinkResult {
  if (isGot && place.value === undefined) throw new Error('a GOT reference to a symbol whose value is not known');
  if (isGot && BigInt.asIntN(64, reached - addend) !== place.value) return gotSlot(linked, place, reached - addend);
  check(place, reached, 'RIP-relative', addend);
  return 'pc-relative';
}

// One-instruction faults of a boot stub that is good: none of them puts an address there that was fixed at link time, so
// whoever blames a position-dependent reference for what follows has guessed.
import { Decoder, DecoderOptions, type Instruction, OpKind } from 'iced-x86';
import { bytesOfHex, hexBytes } from '../../src/bits/hex.ts';
import { DEFAULT_MEMORY, LINUX_WORDS } from '../../src/options/defaults.ts';
import { drive } from '../../src/run/drive.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { type CodeInstruction, type CodeMap, findCode } from '../../src/code/codeMap.ts';
import { attText, type Bits, decodeOne } from '../../src/code/disassembly.ts';
import { programOfBzImage } from '../../src/code/program.ts';
import { absoluteReference } from '../../src/code/references.ts';
import { type BzImage, parseBzImage } from '../../src/image/bzimage.ts';
import { locateInMemory } from '../../src/record/location.ts';
import type { Stage } from '../../src/run/stages.ts';
import type { Random } from './random.ts';

/** Twice what the slowest of Debian's kernels takes to unpack. */
const MOST_INSTRUCTIONS = 9_000_000_000n;

/** The boot that a fault is tried in. */
export const bootConfig = (image: Uint8Array, entry: 32 | 64, until: Stage): RunConfig => ({
  ...{ image, entry, cpu: 'max', cmdline: LINUX_WORDS, seed: 0 },
  ...{ memoryBytes: DEFAULT_MEMORY, until, maxInstructions: MOST_INSTRUCTIONS },
});

export const FAULT_KINDS = ['nop', 'five-nops', 'inverted-jump', 'constant-bit', 'register-bit'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Bytes of the file put in place of others. */
export interface Fault {
  readonly kind: FaultKind | 'given';
  readonly fileOffset: number;
  /** Hexadecimal bytes, as many of each. */
  readonly before: string;
  readonly after: string;
  /** AT&T text of the instruction, before and after. */
  readonly text: string;
}

/** Where faults are made: code that control flow reaches and a good boot decodes. */
export interface Sites {
  readonly image: BzImage;
  readonly code: CodeMap;
  /** Before the payload is first read; a death there is soon reached. */
  readonly early: readonly CodeInstruction[];
  readonly late: readonly CodeInstruction[];
}

/** Instructions of unpacking that are enough to see its code. */
const LATE_ENOUGH = 100_000_000n;
const STRETCH = 1_000_000n;
const FIVE = 5;
const NOP = 0x90;
const TRIES = 2000;

/** Boots the image as it is, to see which code of its stub is decoded. Throws InputError. */
export function sitesOf(config: RunConfig): Sites {
  const image = parseBzImage(config.image);
  const decoded = decodedCode(config, image);
  const code = findCode(programOfBzImage(image));
  const when = ({ at }: CodeInstruction) => decoded.get(image.protectedMode.fileOffset + at);
  return {
    ...{ image, code },
    early: code.instructions.filter((place) => when(place) === 'early'),
    late: code.instructions.filter((place) => when(place) === 'late'),
  };
}

function decodedCode(config: RunConfig, image: BzImage): Map<number, 'early' | 'late'> {
  const run = new BootRun(config, image);
  const decoded = new Map<number, 'early' | 'late'>();
  run.observe({
    choose: ({ ip }) => {
      const place = locateInMemory(run, image, ip);
      const unpacking = run.stages.has('decompress');
      if (place !== undefined && !decoded.has(place.fileOffset))
        decoded.set(place.fileOffset, unpacking ? 'late' : 'early');
      return false;
    },
  });
  let end = config.maxInstructions;
  for (const { instructions } of drive(run, { piece: () => STRETCH })) {
    const began = run.stages.reached.find((stage) => stage.name === 'decompress');
    if (began !== undefined) end = began.instructions + LATE_ENOUGH;
    if (instructions >= end) break;
  }
  return decoded;
}

/** A fault of a kind, or undefined where none of that kind was found. @param late in code that unpacks */
export function makeFault(sites: Sites, kind: FaultKind, late: boolean, random: Random): Fault | undefined {
  const places = late ? sites.late : sites.early;
  for (let tries = 0; places.length > 0 && tries < TRIES; tries++) {
    const fault = faultAt(sites, random.pick(places), kind, random);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultAt({ image, code }: Sites, place: CodeInstruction, kind: FaultKind, random: Random): Fault | undefined {
  const fileOffset = image.protectedMode.fileOffset + place.at;
  const length = kind === 'five-nops' ? Math.max(FIVE, place.length) : place.length;
  const before = image.bytes.slice(fileOffset, fileOffset + length);
  if (before.length < length) return undefined;
  const after = CHANGES[kind](before, place, random);
  if (after === undefined || after.every((byte, i) => byte === before[i])) return undefined;
  if (makesAnAddress(code, before, after, place)) return undefined;
  const fault = faultOf(kind, fileOffset, before, after, place);
  return isSame(fault) ? undefined : fault;
}

/** Bits that no instruction of its kind looks at. */
const isSame = ({ text }: Fault): boolean => {
  const [before, after] = text.split(ARROW);
  return before === after;
};

const ARROW = '  ->  ';

function faultOf(
  kind: Fault['kind'],
  fileOffset: number,
  before: Uint8Array,
  after: Uint8Array,
  { at, bits }: Pick<CodeInstruction, 'at' | 'bits'>,
): Fault {
  const text = (bytes: Uint8Array): string => withDecoded(bytes, at, bits, attText);
  const texts = [text(before), text(after)].join(ARROW);
  return { kind, fileOffset, before: hexBytes(before), after: hexBytes(after), text: texts };
}

/** The fault that `--only` names. Throws RangeError where it lies outside the code. */
export function givenFault({ image, code }: Sites, fileOffset: number, bytes: string): Fault {
  const after = bytesOfHex(bytes);
  const before = image.bytes.slice(fileOffset, fileOffset + after.length);
  const at = fileOffset - image.protectedMode.fileOffset;
  if (before.length < after.length || at < 0) throw new RangeError(`there is no code at ${fileOffset}`);
  const bits = code.instructions.find((one) => one.at === at)?.bits ?? 64;
  return faultOf('given', fileOffset, before, after, { at, bits });
}

/** The image with the fault in it. */
export function withFault(bytes: Uint8Array, { fileOffset, after }: Fault): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy.set(bytesOfHex(after), fileOffset);
  return copy;
}

type Change = (before: Uint8Array, place: CodeInstruction, random: Random) => Uint8Array | undefined;

const nops: Change = (before) => new Uint8Array(before.length).fill(NOP);

const CHANGES: Readonly<Record<FaultKind, Change>> = {
  nop: nops,
  // Whatever they cut: what follows is decoded from the middle of an instruction.
  'five-nops': (before) => Uint8Array.from(before, (byte, i) => (i < FIVE ? NOP : byte)),
  'inverted-jump': inverted,
  'constant-bit': constantBit,
  'register-bit': registerBit,
};

/** Jcc: 70+cc rel8, 0F 80+cc rel32; bit 0 of the condition negates it. */
function inverted(before: Uint8Array): Uint8Array | undefined {
  const [first = 0, second = 0] = before;
  if ((first & 0xf0) === 0x70) return flipped(before, 0, 0);
  return first === 0x0f && (second & 0xf0) === 0x80 ? flipped(before, 1, 0) : undefined;
}

function constantBit(before: Uint8Array, { at, bits }: CodeInstruction, random: Random): Uint8Array | undefined {
  const bytes = constantBytes(before, at, bits);
  return bytes.length === 0 ? undefined : flipped(before, random.pick(bytes), random.below(8));
}

/** One bit that names a register, in ModRM, SIB, REX or the opcode: what comes out is the same instruction of others. */
function registerBit(before: Uint8Array, { at, bits }: CodeInstruction, random: Random): Uint8Array | undefined {
  const constants = constantBytes(before, at, bits);
  const others = [...before.keys()].filter((byte) => !constants.includes(byte));
  const shape = withDecoded(before, at, bits, shapeOf);
  const flips = others
    .flatMap((byte) => [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => flipped(before, byte, bit)))
    .filter((after) => withDecoded(after, at, bits, shapeOf) === shape);
  return flips.length === 0 ? undefined : random.pick(flips);
}

/** All that says what an instruction does, without its registers. */
const shapeOf = (insn: Instruction): string =>
  [
    insn.code,
    insn.length,
    insn.hasLockPrefix,
    insn.isIpRelMemoryOperand,
    insn.memoryDisplSize,
    ...kindsOf(insn),
  ].join();

const kindsOf = (insn: Instruction): OpKind[] => Array.from({ length: insn.opCount }, (_, i) => insn.opKind(i));

/** Where the bytes of immediates and displacements stand, distances of jumps included. */
function constantBytes(bytes: Uint8Array, at: number, bits: Bits): number[] {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  decoder.ip = BigInt(at);
  const insn = decoder.decode();
  const found = decoder.getConstantOffsets(insn);
  const { immediateOffset, immediateSize, displacementOffset, displacementSize } = found;
  const range = (start: number, size: number): number[] => Array.from({ length: size }, (_, i) => start + i);
  const list = [...range(displacementOffset, displacementSize), ...range(immediateOffset, immediateSize)];
  found.free();
  insn.free();
  decoder.free();
  return list;
}

function flipped(bytes: Uint8Array, byte: number, bit: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy[byte] = (copy[byte] as number) ^ (1 << bit);
  return copy;
}

/**
 * Does the change put an address there that nothing corrects? Memory named relative to RIP that becomes absolute does,
 * and so does a number that becomes the address of something the stub's own code leads to.
 */
export function makesAnAddress(
  code: CodeMap,
  before: Uint8Array,
  after: Uint8Array,
  { at, bits }: CodeInstruction,
): boolean {
  const was = withDecoded(before, at, bits, addressOf);
  const is = withDecoded(after, at, bits, addressOf);
  if (is.absolute === undefined || is.absolute === was.absolute) return false;
  return was.relative || code.functions.has(is.absolute) || code.ripTargets.has(is.absolute);
}

function addressOf(insn: Instruction): { relative: boolean; absolute: number | undefined } {
  const reference = absoluteReference(insn);
  return {
    relative: insn.isIpRelMemoryOperand,
    absolute: reference === undefined ? undefined : Number(reference.constant),
  };
}

function withDecoded<T>(bytes: Uint8Array, at: number, bits: Bits, take: (insn: Instruction) => T): T {
  const insn = decodeOne(bytes, BigInt(at), bits);
  const taken = take(insn);
  insn.free();
  return taken;
}

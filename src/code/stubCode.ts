// Finds the code of a bzImage's stub by following it. The stub is the protected-mode part outside the payload; it is
// linked at 0, so a link address is an offset in that part. Sections are gone, and code and data lie side by side, so
// nothing is taken for code unless something proven to be code leads there:
//  1. roots: the 32-bit and 64-bit entries, the EFI entries (PE header, handover);
//  2. whatever their jumps and calls reach, each in the mode (32 or 64 bits) of what reaches it;
//  3. addresses that proven code computes (lea), where they do not lie beyond the last proven code of
//     their window (the linker puts .text in one piece) and decode into sensible code up to a return.
import { Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import { readerOf } from '../bits/cursor.ts';
import type { BzImage } from '../image/bzimage.ts';
import { ENTRY_64_OFFSET, XLF_EFI_HANDOVER_32, XLF_EFI_HANDOVER_64 } from '../image/setup-header.ts';

export type Bits = 32 | 64;

/** One proven instruction. */
export interface StubInstruction {
  /** Offset in the protected-mode part. */
  readonly linkAddress: number;
  readonly length: number;
  readonly bits: Bits;
}

/** A stretch of the protected-mode part without payload bytes. */
interface Window {
  readonly start: number;
  readonly end: number;
  readonly decoders: Readonly<Record<Bits, Decoder>>;
  /** End of the highest proven instruction; candidates above it are not believed. */
  provenEnd: number;
}

interface Walk {
  readonly windows: readonly Window[];
  /** By link address. */
  readonly proven: Map<number, StubInstruction>;
  /** For every byte of a proven instruction but its first, so that nothing is decoded across it. */
  readonly inner: Set<number>;
  /** Constants met in proven 64-bit code. */
  readonly candidates: Set<number>;
}

interface Start {
  readonly at: number;
  readonly bits: Bits;
}

/** What one instruction leads to. */
interface Step extends StubInstruction {
  readonly next: boolean;
  readonly call: boolean;
  readonly branch: number | undefined;
  readonly constants: readonly number[];
  /** Nothing a compiled or hand-written stub would hold. */
  readonly odd: boolean;
}

/** All instructions proven to be stub code, by link address. */
export function stubInstructions(image: BzImage): StubInstruction[] {
  const walk = newWalk(image);
  try {
    follow(walk, roots(image));
    while (acceptCandidates(walk)) {
      // Each accepted function may prove more code, and so more candidates.
    }
    return [...walk.proven.values()].sort((a, b) => a.linkAddress - b.linkAddress);
  } finally {
    for (const window of walk.windows) freeWindow(window);
  }
}

function newWalk(image: BzImage): Walk {
  const { fileOffset, size } = image.protectedMode;
  const hole = image.payload;
  const holeStart = hole === undefined ? size : hole.fileOffset - fileOffset;
  const holeEnd = hole === undefined ? size : holeStart + hole.length;
  const code = image.bytes.subarray(fileOffset, fileOffset + size);
  const windows = [newWindow(code, 0, holeStart), newWindow(code, holeEnd, size)];
  return { windows, proven: new Map(), inner: new Set(), candidates: new Set() };
}

function newWindow(code: Uint8Array, start: number, end: number): Window {
  const bytes = code.subarray(start, end);
  const decoder = (bits: Bits): Decoder => new Decoder(bits, bytes, DecoderOptions.None);
  return { start, end, decoders: { 32: decoder(32), 64: decoder(64) }, provenEnd: start };
}

function freeWindow(window: Window): void {
  window.decoders[32].free();
  window.decoders[64].free();
}

function roots(image: BzImage): Start[] {
  const { xloadflags, handover_offset } = image.header;
  const list: Start[] = [{ at: 0, bits: 32 }];
  if (image.has64BitEntry) list.push({ at: ENTRY_64_OFFSET, bits: 64 });
  if (handover_offset !== 0 && (xloadflags & XLF_EFI_HANDOVER_32) !== 0) list.push({ at: handover_offset, bits: 32 });
  // The 64-bit handover entry stands 0x200 after the offset given ("EFI HANDOVER PROTOCOL").
  if (handover_offset !== 0 && (xloadflags & XLF_EFI_HANDOVER_64) !== 0)
    list.push({ at: handover_offset + 0x200, bits: 64 });
  const pe = peEntry(image);
  if (pe !== undefined) list.push({ at: pe, bits: 64 });
  return list;
}

/** AddressOfEntryPoint of an x86-64 PE header; in a bzImage an RVA is a file offset. */
function peEntry(image: BzImage): number | undefined {
  const setup = readerOf(image.bytes.subarray(0, image.setupSize), 'the setup part');
  const header = setup.u32(0x3c);
  if (setup.u16(0) !== 0x5a4d || header + 0x2c > image.setupSize) return undefined;
  if (setup.u32(header) !== 0x4550 || setup.u16(header + 4) !== 0x8664) return undefined;
  return setup.u32(header + 0x28) - image.setupSize;
}

/** Proves everything reachable from `starts`. */
function follow(walk: Walk, starts: readonly Start[]): void {
  const open = [...starts];
  const instruction = new Instruction();
  for (let start = open.pop(); start !== undefined; start = open.pop()) followOne(walk, start, open, instruction);
  instruction.free();
}

function followOne(walk: Walk, start: Start, open: Start[], scratch: Instruction): void {
  let at: number | undefined = start.at;
  while (at !== undefined && !walk.proven.has(at)) {
    const step: Step | undefined = decodeAt(walk, at, start.bits, scratch);
    if (step === undefined || step.odd || overlaps(walk, step)) return;
    prove(walk, step);
    if (step.branch !== undefined) open.push({ at: step.branch, bits: start.bits });
    at = step.next ? at + step.length : undefined;
  }
}

function prove(walk: Walk, step: Step): void {
  const { linkAddress, length, bits } = step;
  walk.proven.set(linkAddress, { linkAddress, length, bits });
  for (let i = 1; i < length; i++) walk.inner.add(linkAddress + i);
  const window = windowOf(walk, linkAddress);
  if (window !== undefined) window.provenEnd = Math.max(window.provenEnd, linkAddress + length);
  if (bits === 64) for (const constant of step.constants) walk.candidates.add(constant);
}

/** Whether a step shares bytes with proven code without being the same instruction. */
function overlaps(walk: Walk, step: StubInstruction): boolean {
  if (walk.inner.has(step.linkAddress)) return true;
  for (let i = 1; i < step.length; i++) if (walk.proven.has(step.linkAddress + i)) return true;
  return false;
}

const windowOf = (walk: Walk, at: number): Window | undefined => walk.windows.find((w) => at >= w.start && at < w.end);

/** Proves the functions whose addresses proven code computes. True where it found one. */
function acceptCandidates(walk: Walk): boolean {
  const candidates = [...walk.candidates];
  walk.candidates.clear();
  const scratch = new Instruction();
  const kept = candidates.filter((at) => isUnprovenBelowEnd(walk, at));
  const accepted = kept.filter((at) => looksLikeCode(walk, at, scratch));
  scratch.free();
  const before = walk.proven.size;
  follow(
    walk,
    accepted.map((at) => ({ at, bits: 64 })),
  );
  // One that was beyond the last proven code may be below it now.
  for (const at of candidates) if (!walk.proven.has(at)) walk.candidates.add(at);
  return walk.proven.size > before;
}

function isUnprovenBelowEnd(walk: Walk, at: number): boolean {
  const window = windowOf(walk, at);
  return window !== undefined && at <= window.provenEnd && !walk.proven.has(at) && !walk.inner.has(at);
}

/** More than any function of a stub; a longer run is data that happens to decode. */
const LONGEST_TRIAL = 20_000;

interface Trial {
  readonly at: number;
  /** Reached by falling through a call: where that one does not return, anything may follow. */
  readonly afterCall: boolean;
}

/** Follows an address on trial: every path must decode, stay apart from proven code, and hold nothing odd. */
function looksLikeCode(walk: Walk, start: number, scratch: Instruction): boolean {
  const seen = new Set<number>();
  const open: Trial[] = [{ at: start, afterCall: false }];
  for (let trial = open.pop(); trial !== undefined; trial = open.pop()) {
    const { at, afterCall } = trial;
    if (seen.has(at) || walk.proven.has(at)) continue;
    const step = decodeAt(walk, at, 64, scratch);
    const bad = step === undefined || step.odd || overlaps(walk, step);
    if (bad && afterCall) continue;
    if (bad || seen.size > LONGEST_TRIAL) return false;
    seen.add(at);
    if (step.branch !== undefined) open.push({ at: step.branch, afterCall: false });
    if (step.next) open.push({ at: at + step.length, afterCall: step.call });
  }
  return true;
}

/** Decodes one instruction; undefined outside the windows and where the bytes are no instruction. */
function decodeAt(walk: Walk, at: number, bits: Bits, instruction: Instruction): Step | undefined {
  const window = windowOf(walk, at);
  if (window === undefined) return undefined;
  const decoder = window.decoders[bits];
  decoder.position = at - window.start;
  decoder.ip = BigInt(at);
  decoder.decodeOut(instruction);
  if (instruction.isInvalid) return undefined;
  return {
    linkAddress: at,
    length: instruction.length,
    bits,
    ...flowOf(instruction),
    constants: constantsOf(instruction),
    odd: isOdd(instruction),
  };
}

function flowOf(instruction: Instruction): Pick<Step, 'next' | 'call' | 'branch'> {
  const flow = instruction.flowControl;
  const call = flow === FlowControl.Call || flow === FlowControl.IndirectCall;
  const interrupt = flow === FlowControl.Interrupt && instruction.mnemonic !== Mnemonic.Int3;
  const next = call || interrupt || flow === FlowControl.Next || flow === FlowControl.ConditionalBranch;
  return { next, call, branch: nearTarget(instruction) };
}

const NEAR_BRANCHES: ReadonlySet<OpKind> = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

function nearTarget(instruction: Instruction): number | undefined {
  return NEAR_BRANCHES.has(instruction.op0Kind) ? Number(instruction.nearBranchTarget) : undefined;
}

/**
 * Link addresses an instruction may compute: RIP-relative, or a displacement on a register that holds the load address.
 * Below the 64-bit entry lies 32-bit code only, and displacements that small are fields of structures.
 */
function constantsOf(instruction: Instruction): number[] {
  if (instruction.mnemonic !== Mnemonic.Lea) return [];
  if (instruction.isIpRelMemoryOperand) return [Number(instruction.ipRelMemoryAddress)];
  if (instruction.memoryBase === Register.None) return [];
  const displacement = Number(BigInt.asIntN(64, instruction.memoryDisplacement));
  return displacement > ENTRY_64_OFFSET ? [displacement] : [];
}

const ODD_MNEMONICS: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Insb,
  Mnemonic.Insd,
  Mnemonic.Outsb,
  Mnemonic.Outsd,
  Mnemonic.Xlatb,
  Mnemonic.Enter,
  Mnemonic.Loop,
  Mnemonic.Loope,
  Mnemonic.Loopne,
  Mnemonic.Jrcxz,
]);

/** Text and tables decode too, but into instructions like these: string I/O, x87, `add %al,(%rax)` (two zero bytes). */
function isOdd(instruction: Instruction): boolean {
  if (ODD_MNEMONICS.has(instruction.mnemonic) || instruction.fpuWritesTop) return true;
  return (
    instruction.mnemonic === Mnemonic.Add &&
    instruction.length === 2 &&
    instruction.op1Register === Register.AL &&
    instruction.memoryBase === Register.RAX
  );
}

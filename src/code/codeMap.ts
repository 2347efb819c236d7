// Finds the code of a program by following it. In a bzImage sections are gone, and code and data lie side by side, so
// nothing is taken for code unless something proven to be code leads there:
//  1. starts: the entry points;
//  2. whatever their jumps and calls reach, each in the mode (16, 32 or 64 bits) of what reaches it;
//  3. addresses that proven code computes (lea), where they do not lie beyond the last proven code of
//     their stretch (the linker puts .text in one piece) and decode into sensible code up to a return.
import { Decoder, DecoderOptions, Instruction, type Register } from 'iced-x86';
import { viewOf } from '../bits/cursor.ts';
import type { Bits } from './disassembly.ts';
import type { Program, Start, Stretch } from './program.ts';
import { type Step, stepOf } from './step.ts';

/** One proven instruction. */
export interface CodeInstruction {
  /** Offset from the program's base. */
  readonly at: number;
  readonly length: number;
  readonly bits: Bits;
}

export interface CodeMap {
  /** By offset. */
  readonly instructions: readonly CodeInstruction[];
  /** Whether an instruction starts there, or a byte lies within one. */
  kindAt(at: number): 'start' | 'inner' | 'none';
  /** Offsets where functions start: entry points, targets of calls, computed addresses of code. */
  readonly functions: ReadonlySet<number>;
  /** Offsets that proven code computes or reads relative to RIP, with how often. */
  readonly ripTargets: ReadonlyMap<number, number>;
}

/** A stretch that may hold code. */
interface Window {
  readonly start: number;
  readonly end: number;
  readonly decoders: Readonly<Record<Bits, Decoder>>;
  /** For every byte: 0, or FIRST | mode and length of the proven instruction it starts, or INNER. */
  readonly marks: Uint8Array;
  /** End of the highest proven instruction; candidates above it are not believed. */
  provenEnd: number;
}

const INNER = 0xff;
const MODE_SHIFT = 4;
const LENGTH_MASK = 0xf;
const MODES = [16, 32, 64] as const;

/** A lea relative to RIP. */
interface Table {
  readonly at: number;
  readonly base: Register;
  readonly address: number;
}

interface Walk {
  readonly tables: Table[];
  readonly program: Program;
  readonly windows: readonly Window[];
  proven: number;
  /** Instructions that may still be decoded on trial, and rows of tables looked at. */
  trials: number;
  readonly functions: Set<number>;
  readonly ripTargets: Map<number, number>;
  /** Constants met in proven 64-bit code. */
  readonly candidates: Set<number>;
}

/** Everything proven to be code. @param extra starts that are tried last and need to look like code */
export function findCode(program: Program, extra: readonly number[] = []): CodeMap {
  const walk = newWalk(program);
  try {
    follow(walk, program.starts);
    for (const start of program.starts) walk.functions.add(start.at);
    while (acceptCandidates(walk)) {
      // Each accepted function may prove more code, and so more candidates.
    }
    for (const at of extra) walk.candidates.add(at);
    while (acceptCandidates(walk)) {
      // As above.
    }
    return mapOf(walk);
  } finally {
    for (const window of walk.windows) freeWindow(window);
  }
}

function newWalk(program: Program): Walk {
  const windows = program.stretches.filter((s) => s.holds !== 'data').map((s) => newWindow(program.bytes, s));
  return {
    ...{ program, windows, proven: 0, trials: TRIALS, tables: [] },
    ...{ functions: new Set(), ripTargets: new Map(), candidates: new Set() },
  };
}

function newWindow(file: Uint8Array, { at, size, fileOffset, holds }: Stretch): Window {
  const bytes = file.subarray(fileOffset, fileOffset + size);
  const decoder = (bits: Bits): Decoder => {
    const made = new Decoder(bits, bytes, DecoderOptions.None);
    made.ip = BigInt(at);
    return made;
  };
  const decoders = { 16: decoder(16), 32: decoder(32), 64: decoder(64) };
  // A section that says it is code is code to its end.
  const provenEnd = holds === 'code' ? at + size : at;
  return { start: at, end: at + size, decoders, marks: new Uint8Array(size), provenEnd };
}

function freeWindow(window: Window): void {
  for (const mode of MODES) window.decoders[mode].free();
}

function mapOf(walk: Walk): CodeMap {
  const instructions: CodeInstruction[] = [];
  for (const window of walk.windows) collect(window, instructions);
  const markAt = (at: number): number => {
    const window = windowOf(walk, at);
    return window === undefined ? 0 : (window.marks[at - window.start] ?? 0);
  };
  return {
    instructions,
    kindAt: (at) => (markAt(at) === 0 ? 'none' : markAt(at) === INNER ? 'inner' : 'start'),
    functions: walk.functions,
    ripTargets: walk.ripTargets,
  };
}

function collect({ marks, start }: Window, list: CodeInstruction[]): void {
  for (let i = 0; i < marks.length; ) {
    const mark = marks[i] as number;
    const bits = MODES[mark >> MODE_SHIFT];
    if (mark === 0 || mark === INNER || bits === undefined) {
      i++;
      continue;
    }
    list.push({ at: start + i, length: mark & LENGTH_MASK, bits });
    i += mark & LENGTH_MASK;
  }
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
  let pushed: number | undefined;
  let seen: SwitchClues = NO_CLUES;
  while (at !== undefined && !isStart(walk, at)) {
    const step: Step | undefined = decodeAt(walk, at, start.bits, scratch);
    if (step === undefined || step.odd || overlaps(walk, step)) return;
    prove(walk, step);
    if (step.branch !== undefined) open.push(step.branch);
    if (step.clues.farReturn === true && pushed !== undefined) open.push({ at: pushed, bits: step.bits });
    pushed = step.clues.pushed;
    if (step.switches) open.push(...jumpTable(walk, at, seen, scratch));
    if (step.clues.table !== undefined) walk.tables.push({ ...step.clues.table, at });
    if (step.clues.base !== undefined || step.clues.last !== undefined)
      seen = { base: step.clues.base ?? seen.base, last: step.clues.last ?? seen.last };
    if (step.call && step.branch !== undefined) walk.functions.add(step.branch.at);
    at = step.next ? at + step.length : undefined;
  }
}

function prove(walk: Walk, step: Step): void {
  const { at, length, bits } = step;
  const window = windowOf(walk, at);
  if (window === undefined) return;
  const first = at - window.start;
  window.marks[first] = (MODES.indexOf(bits) << MODE_SHIFT) | length;
  window.marks.fill(INNER, first + 1, first + length);
  window.provenEnd = Math.max(window.provenEnd, at + length);
  walk.proven++;
  if (bits !== 64) return;
  if (step.clues.constant !== undefined) walk.candidates.add(step.clues.constant);
  if (step.ripTarget !== undefined) walk.ripTargets.set(step.ripTarget, (walk.ripTargets.get(step.ripTarget) ?? 0) + 1);
}

function isStart(walk: Walk, at: number): boolean {
  const mark = markOf(walk, at);
  return mark !== 0 && mark !== INNER;
}

function markOf(walk: Walk, at: number): number {
  const window = windowOf(walk, at);
  return window === undefined ? 0 : (window.marks[at - window.start] ?? 0);
}

/** Whether a step shares bytes with proven code without being the same instruction. */
function overlaps(walk: Walk, { at, length }: CodeInstruction): boolean {
  const window = windowOf(walk, at);
  if (window === undefined) return true;
  const first = at - window.start;
  if (window.marks[first] === INNER) return true;
  for (let i = 1; i < length; i++) if (window.marks[first + i] !== 0) return true;
  return false;
}

const windowOf = (walk: Walk, at: number): Window | undefined => walk.windows.find((w) => at >= w.start && at < w.end);

/** Proves the functions whose addresses proven code computes. True where it found one. */
function acceptCandidates(walk: Walk): boolean {
  const candidates = [...walk.candidates];
  walk.candidates.clear();
  walk.trials -= candidates.length >> 6;
  const scratch = new Instruction();
  const kept = candidates.filter((at) => isUnprovenBelowEnd(walk, at));
  const accepted = kept.filter((at) => walk.trials > 0 && looksLikeCode(walk, at, scratch));
  scratch.free();
  const before = walk.proven;
  follow(
    walk,
    accepted.map((at) => ({ at, bits: 64 })),
  );
  for (const at of candidates) if (isStart(walk, at)) walk.functions.add(at);
  // One that was beyond the last proven code may be below it now.
  for (const at of candidates) if (!isStart(walk, at)) walk.candidates.add(at);
  return walk.proven > before;
}

function isUnprovenBelowEnd(walk: Walk, at: number): boolean {
  const window = windowOf(walk, at);
  return window !== undefined && at <= window.provenEnd && window.marks[at - window.start] === 0;
}

/** Real stubs take some 15,000; a file made to cost time has no more to give. */
const TRIALS = 500_000;

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
    if (seen.has(at) || isStart(walk, at)) continue;
    walk.trials--;
    const step = decodeAt(walk, at, 64, scratch);
    const bad = step === undefined || step.odd || overlaps(walk, step);
    if (bad && afterCall) continue;
    if (bad || seen.size > LONGEST_TRIAL) return false;
    seen.add(at);
    if (step.branch !== undefined) open.push({ at: step.branch.at, afterCall: false });
    if (step.next) open.push({ at: at + step.length, afterCall: step.call });
  }
  return true;
}

/** Decodes one instruction; undefined outside the windows and where the bytes are no instruction. */
function decodeAt(walk: Walk, at: number, bits: Bits, instruction: Instruction): Step | undefined {
  const window = windowOf(walk, at);
  if (window === undefined) return undefined;
  const decoder = window.decoders[bits];
  const position = at - window.start;
  // Straight on from the last one, the decoder stands right already.
  if (decoder.position !== position) {
    decoder.position = position;
    decoder.ip = BigInt(at);
  }
  decoder.decodeOut(instruction);
  return stepOf(instruction, at, bits);
}

/** What the instructions before a jump say of the table it takes its target from. */
interface SwitchClues {
  readonly base: Register | undefined;
  readonly last: number | undefined;
}

const NO_CLUES: SwitchClues = { base: undefined, last: undefined };
/** The lea of a table may stand before a loop: no farther back than this. */
const LEA_REACH = 0x4000;

/**
 * The cases of a switch as -fPIC compiles it: `cmp $last; ja; lea table(%rip),base; movslq (base,index,4); add; jmp *`,
 * a table of signed distances from itself. Believed where each leads to code.
 */
function jumpTable(walk: Walk, jump: number, { base, last }: SwitchClues, scratch: Instruction): Start[] {
  const table = tableBefore(walk, jump, base);
  if (table === undefined || last === undefined || walk.trials <= 0) return [];
  walk.trials -= last;
  const cases: Start[] = [];
  for (let index = 0; index <= last; index++) {
    const distance = wordAt(walk, table + 4 * index);
    if (distance === undefined) return [];
    const at = table + distance;
    const step = isStart(walk, at) ? undefined : decodeAt(walk, at, 64, scratch);
    if (!isStart(walk, at) && (step === undefined || step.odd || overlaps(walk, step))) return [];
    cases.push({ at, bits: 64 });
  }
  return cases;
}

/** The address that the nearest lea before a jump puts into `base`. */
function tableBefore(walk: Walk, jump: number, base: Register | undefined): number | undefined {
  let nearest: Table | undefined;
  walk.trials -= walk.tables.length >> 4;
  if (walk.trials <= 0) return undefined;
  for (const table of walk.tables) {
    if (table.base !== base || table.at > jump || table.at < jump - LEA_REACH) continue;
    if (nearest === undefined || table.at > nearest.at) nearest = table;
  }
  return nearest?.address;
}

/** A signed 32-bit word of data. */
function wordAt(walk: Walk, at: number): number | undefined {
  const stretch = walk.program.stretches.find((s) => at >= s.at && at + 4 <= s.at + s.size);
  if (stretch === undefined) return undefined;
  return viewOf(walk.program.bytes).getInt32(stretch.fileOffset + at - stretch.at, true);
}

// Reads the recorded vectors of test/vectors/data. The format is described in README.md beside this file.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import {
  BACKGROUND_RFLAGS,
  backgroundAvx,
  backgroundBlock,
  backgroundFpu,
  backgroundRegister,
  BLOCK_BYTES,
  codeAddress,
  type FpuState,
  GS_BASE,
  initialSegments,
  REGIONS,
  type RegionName,
  REGISTER_NAMES,
  SEGMENT_NAMES,
  type SegmentName,
  type Segments,
  type VectorMode,
} from './layout.ts';

export interface MemoryBlock {
  /** Linear address. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** What the CPU has before the instruction. Everything not said here is in `layout.ts`. */
export interface VectorInput {
  readonly code: Uint8Array;
  readonly mode: VectorMode;
  /** Linear address of the instruction (all code segments have base 0). */
  readonly rip: bigint;
  /** rax rcx rdx rbx rsp rbp rsi rdi r8..r15; outside 64-bit mode 32 bits each, and 0 from r8 on. */
  readonly regs: readonly bigint[];
  /** The whole register: bit 1, IF, arithmetic flags, DF. */
  readonly rflags: number;
  readonly segments: Segments;
  readonly gsBase: bigint;
  /** The 256-byte blocks the instruction may touch; the rest of their pages is 0. */
  readonly memory: readonly MemoryBlock[];
  /** Vector and x87 state, in the families that show it; in the others it does not matter. */
  readonly fpu?: FpuState;
}

/** What the CPU has after the instruction, or at the exception's delivery. */
export interface VectorOutput {
  readonly regs: readonly bigint[];
  readonly rflags: number;
  /** Where the next instruction would be taken from; for a fault that of the instruction, for a trap the one behind it. */
  readonly rip: bigint;
  readonly segments: Segments;
  /** The same blocks as in the input, in the same order. */
  readonly memory: readonly MemoryBlock[];
  /** There if the input has it. What an empty x87 register holds is only what this one CPU did. */
  readonly fpu?: FpuState;
  /** Exception vector; undefined when the instruction ran to its end. */
  readonly vector?: number;
  /** Only with vectors that push one. */
  readonly errorCode?: number;
  /** Only with vector 14. */
  readonly cr2?: bigint;
}

export interface Vector extends VectorInput {
  readonly out: VectorOutput;
  /** RFLAGS bits that the manual defines here; the others of `out.rflags` are what this one CPU happened to do. */
  readonly flagsMask: number;
  /** Bits of the x87 status word that the manual defines here. */
  readonly statusMask: number;
  /** AT&T text. */
  readonly text: string;
  /** iced's Code by name, or a word for what the bytes are ("undefined", "too-long", ...). */
  readonly iced: string;
  readonly family: string;
  /** Line in the family's (unpacked) file. */
  readonly line: number;
}

interface InstructionLine {
  mode: VectorMode;
  code: Uint8Array;
  flagsMask: number;
  /** The vectors show vector and x87 state. */
  showsFpu: boolean;
  /** And the upper halves of YMM registers. */
  showsUpper: boolean;
  statusMask: number;
  regions: RegionName[];
  iced: string;
  text: string;
}

interface State {
  regs: bigint[];
  rflags: number;
  rip: bigint;
  segments: Record<SegmentName, number>;
  blocks: { region: RegionName; bytes: Uint8Array }[];
  flagsMask: number;
  fpu?: FpuState;
  statusMask: number;
  vector?: number;
  errorCode?: number;
  cr2?: bigint;
}

const DATA = fileURLToPath(new URL('data/', import.meta.url));
const SUFFIX = '.vec.gz';

/** The families there are, one file each. */
export function vectorFamilies(): string[] {
  const files = readdirSync(DATA).filter((name) => name.endsWith(SUFFIX));
  return files.map((name) => name.slice(0, -SUFFIX.length)).sort();
}

const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const REGISTER_INDEX = new Map(REGISTER_NAMES.map((name, index) => [name, index]));
const BACKGROUND = new Map<VectorMode, readonly bigint[]>(
  ([64, 32, 16] as const).map((mode) => [mode, REGISTER_NAMES.map((_, index) => backgroundRegister(mode, index))]),
);
const BLOCK = backgroundBlock();
const FPU = backgroundFpu();
const AVX = backgroundAvx();

function parseInstruction(line: string): InstructionLine {
  const bar = line.indexOf(' | ');
  const [letter, mode, code, masks, regions, iced] = line.slice(0, bar).split(' ');
  const [mask, statusMask] = (masks ?? '').split('/');
  return {
    mode: Number(mode) as VectorMode,
    code: fromHex(code ?? ''),
    flagsMask: Number.parseInt(mask ?? '', 16),
    showsFpu: letter === 'x' || letter === 'y',
    showsUpper: letter === 'y',
    statusMask: Number.parseInt(statusMask ?? '0', 16),
    regions: regions === '-' ? [] : ((regions ?? '').split('') as RegionName[]),
    iced: iced ?? '',
    text: line.slice(bar + 3),
  };
}

function setException(state: State, token: string): void {
  const [vector, errorCode] = token.slice(1).split(':');
  state.vector = Number(vector);
  if (errorCode !== undefined) state.errorCode = Number.parseInt(errorCode, 16);
}

// "D+40=0011": bytes of a block from an offset on.
function setMemory(state: State, token: string): void {
  const equals = token.indexOf('=');
  const block = state.blocks.find(({ region }) => region === token[0]);
  const offset = Number.parseInt(token.slice(2, equals), 16);
  const bytes = fromHex(token.slice(equals + 1));
  if (!block || offset + bytes.length > BLOCK_BYTES) throw new Error(`bad vector token ${token}`);
  block.bytes.set(bytes, offset);
}

const FPU_WORDS: Record<string, 'mxcsr' | 'fcw' | 'fsw' | 'ftw'> = { mx: 'mxcsr', cw: 'fcw', sw: 'fsw', tw: 'ftw' };

/** Takes "x3=", "h3=", "p3=", "mx=" and the like; false if the token is none of these. */
function setFpu(state: State, name: string, value: string): boolean {
  const { fpu } = state;
  if (!fpu) return false;
  const word = FPU_WORDS[name];
  const index = Number(name.slice(1));
  if (word) fpu[word] = Number.parseInt(value, 16);
  else if (name[0] === 'x' && index < 16) fpu.xmm[index] = BigInt(`0x${value}`);
  else if (name[0] === 'h' && index < 16 && fpu.upper) fpu.upper[index] = BigInt(`0x${value}`);
  else if (name[0] === 'p' && index < 8) fpu.physical[index] = BigInt(`0x${value}`);
  else return false;
  return true;
}

function applyToken(state: State, token: string): void {
  if (token.startsWith('!')) return setException(state, token);
  if (token[1] === '+') return setMemory(state, token);
  const equals = token.indexOf('=');
  const name = token.slice(0, equals);
  const value = token.slice(equals + 1);
  const register = REGISTER_INDEX.get(name);
  if (register !== undefined) state.regs[register] = BigInt(`0x${value}`);
  else if (name === 'f') state.rflags = Number.parseInt(value, 16);
  else if (name === 'm') state.flagsMask = Number.parseInt(value, 16);
  else if (name === 'n') state.statusMask = Number.parseInt(value, 16);
  else if (name === 'rip') state.rip = BigInt(`0x${value}`);
  else if (name === 'cr2') state.cr2 = BigInt(`0x${value}`);
  else if ((SEGMENT_NAMES as readonly string[]).includes(name))
    state.segments[name as SegmentName] = Number.parseInt(value, 16);
  else if (!setFpu(state, name, value)) throw new Error(`bad vector token ${token}`);
}

const copyFpu = (fpu: FpuState): FpuState => ({
  ...fpu,
  xmm: [...fpu.xmm],
  physical: [...fpu.physical],
  ...(fpu.upper && { upper: [...fpu.upper] }),
});

const memoryOf = (state: State): MemoryBlock[] =>
  state.blocks.map(({ region, bytes }) => ({ address: REGIONS[region].block, bytes }));

function inputState(head: InstructionLine, tokens: string): State {
  const state: State = {
    regs: [...(BACKGROUND.get(head.mode) ?? [])],
    rflags: BACKGROUND_RFLAGS,
    rip: codeAddress(head.mode),
    segments: initialSegments(head.mode),
    blocks: head.regions.map((region) => ({ region, bytes: Uint8Array.from(BLOCK) })),
    flagsMask: head.flagsMask,
    statusMask: head.statusMask,
    ...(head.showsFpu && { fpu: copyFpu(head.showsUpper ? AVX : FPU) }),
  };
  for (const token of tokens.split(' ')) if (token !== '') applyToken(state, token);
  return state;
}

function outputState(head: InstructionLine, input: State, tokens: string): State {
  const state: State = {
    ...input,
    regs: [...input.regs],
    segments: { ...input.segments },
    blocks: input.blocks.map(({ region, bytes }) => ({ region, bytes: Uint8Array.from(bytes) })),
    ...(input.fpu && { fpu: copyFpu(input.fpu) }),
  };
  // Not said where: at the next instruction, or at this one if there is an exception.
  state.rip = input.rip + (tokens.includes('!') ? 0n : BigInt(head.code.length));
  for (const token of tokens.split(' ')) if (token !== '') applyToken(state, token);
  return state;
}

function parseVector(head: InstructionLine, line: string, family: string, number: number): Vector {
  const arrow = line.indexOf('>');
  if (arrow < 0) throw new Error(`${family}:${number}: no ">" in a vector`);
  const input = inputState(head, line.slice(0, arrow));
  const output = outputState(head, input, line.slice(arrow + 1));
  const { regs, rflags, rip, segments, fpu, vector, errorCode, cr2, flagsMask, statusMask } = output;
  return {
    code: head.code,
    mode: head.mode,
    rip: input.rip,
    regs: input.regs,
    rflags: input.rflags,
    segments: input.segments,
    gsBase: head.mode === 64 ? GS_BASE : 0n,
    memory: memoryOf(input),
    ...(input.fpu && { fpu: input.fpu }),
    out: {
      regs,
      rflags,
      rip,
      segments,
      memory: memoryOf(output),
      ...(fpu && { fpu }),
      ...(vector !== undefined && { vector }),
      ...(errorCode !== undefined && { errorCode }),
      ...(cr2 !== undefined && { cr2 }),
    },
    flagsMask,
    statusMask,
    text: head.text,
    iced: head.iced,
    family,
    line: number,
  };
}

/** The vectors in a family's text. Throws on a line that is none. @param most of each instruction, the first ones */
export function* parseVectors(text: string, family: string, most = Number.POSITIVE_INFINITY): Iterable<Vector> {
  let head: InstructionLine | undefined;
  let number = 0;
  let seen = 0;
  for (const line of text.split('\n')) {
    number++;
    if (line === '' || line.startsWith('#')) continue;
    if (/^[ixy] /.test(line)) [head, seen] = [parseInstruction(line), 0];
    else if (head && seen++ < most) yield parseVector(head, line, family, number);
    else if (!head) throw new Error(`${family}:${number}: a vector before any instruction`);
  }
}

/** The vectors of one family, in the order of its file. @param most of each instruction, the first ones */
export function loadVectors(family: string, most?: number): Iterable<Vector> {
  return parseVectors(gunzipSync(readFileSync(`${DATA}${family}${SUFFIX}`)).toString('latin1'), family, most);
}

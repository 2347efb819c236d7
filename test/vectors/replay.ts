// Runs recorded vectors on anything that can run one instruction, and says in words what came out differently.
import { describeFpu, differencesOfFpu } from './replayFpu.ts';
import { type FpuState, REGISTER_NAMES, RFLAGS_BITS, SEGMENT_NAMES, type SegmentName } from './layout.ts';
import { loadVectors, type MemoryBlock, type Vector, type VectorInput } from './load.ts';

/** What a run gives back; the fields mean what they mean in VectorOutput. */
export interface RunOutput {
  readonly regs: readonly bigint[];
  readonly rflags: number | bigint;
  readonly rip: bigint;
  /** The input's blocks afterwards, in the same order. */
  readonly memory: readonly MemoryBlock[];
  /** Asked for where the input has it. */
  readonly fpu?: FpuState | undefined;
  /** What the processor says it does not know; the output is then no answer. */
  readonly unimplemented?: string | undefined;
  readonly vector?: number | undefined;
  readonly errorCode?: number | undefined;
  readonly cr2?: bigint | undefined;
  /** Left out, selectors are not compared. */
  readonly segments?: Readonly<Partial<Record<SegmentName, number>>> | undefined;
}

/** Runs exactly one instruction (a REP instruction to its end) from `input`. Must not change `input`. */
export type Run = (input: VectorInput) => RunOutput;

export interface Mismatch {
  readonly vector: Vector;
  /** One line a difference: "rax: 0x1, should be 0x2". */
  readonly differences: readonly string[];
  /** The processor said that it does not know the instruction. */
  readonly unimplemented: boolean;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const differs = (what: string, got: string, want: string): string => `${what}: ${got}, should be ${want}`;

const LEGACY_NAMES = 'eax ecx edx ebx esp ebp esi edi'.split(' ');

function registerDifferences({ mode, out }: Vector, got: RunOutput): string[] {
  const names = mode === 64 ? REGISTER_NAMES : LEGACY_NAMES;
  const bits = mode === 64 ? 64 : 32;
  return names.flatMap((name, index) => {
    const value = BigInt.asUintN(bits, got.regs[index] ?? 0n);
    const want = out.regs[index] ?? 0n;
    return value === want ? [] : [differs(name, hex(value), hex(want))];
  });
}

// IOPL has two bits and is named once.
function flagDifferences({ out, flagsMask }: Vector, got: RunOutput): string[] {
  const rflags = Number(got.rflags);
  return Object.entries(RFLAGS_BITS).flatMap(([name, bits]) => {
    const compared = bits & flagsMask;
    const [value, want] = [rflags & compared, out.rflags & compared];
    return value === want ? [] : [differs(name, value === 0 ? 'clear' : 'set', want === 0 ? 'clear' : 'set')];
  });
}

// The first byte that differs, with up to 15 that follow.
function memoryDifferences({ out }: Vector, got: RunOutput): string[] {
  return out.memory.flatMap(({ address, bytes }, index) => {
    const block = got.memory[index];
    if (!block || block.address !== address || block.bytes.length !== bytes.length) {
      return [`memory: no block of ${bytes.length} bytes at ${hex(address)}`];
    }
    const at = bytes.findIndex((byte, offset) => byte !== block.bytes[offset]);
    if (at < 0) return [];
    const show = (from: Uint8Array): string => Buffer.from(from.subarray(at, at + 16)).toString('hex');
    return [differs(`memory at ${hex(address + BigInt(at))}`, show(block.bytes), show(bytes))];
  });
}

function exceptionDifferences({ out }: Vector, got: RunOutput): string[] {
  const name = (vector: number | undefined): string => (vector === undefined ? 'none' : String(vector));
  if (got.vector !== out.vector) return [differs('exception vector', name(got.vector), name(out.vector))];
  const differences: string[] = [];
  if (out.errorCode !== undefined && got.errorCode !== out.errorCode) {
    differences.push(differs('error code', hex(got.errorCode ?? -1), hex(out.errorCode)));
  }
  if (out.cr2 !== undefined && got.cr2 !== out.cr2) differences.push(differs('cr2', hex(got.cr2 ?? -1n), hex(out.cr2)));
  return differences;
}

function segmentDifferences({ out }: Vector, got: RunOutput): string[] {
  return SEGMENT_NAMES.flatMap((name) => {
    const value = got.segments?.[name];
    return value === undefined || value === out.segments[name]
      ? []
      : [differs(name, hex(value), hex(out.segments[name]))];
  });
}

/** Every difference between an output and what the vector recorded; empty when there is none. */
export function compareOutput(vector: Vector, got: RunOutput): string[] {
  const rip = got.rip === vector.out.rip ? [] : [differs('rip', hex(got.rip), hex(vector.out.rip))];
  return [
    ...exceptionDifferences(vector, got),
    ...rip,
    ...registerDifferences(vector, got),
    ...flagDifferences(vector, got),
    ...memoryDifferences(vector, got),
    ...segmentDifferences(vector, got),
    ...differencesOfFpu(vector, got.fpu),
  ];
}

/** Runs one vector; undefined when everything defined came out as recorded. An exception of `run` is a difference too. */
export function replay(vector: Vector, run: Run): Mismatch | undefined {
  let differences: string[];
  let unimplemented = false;
  try {
    const got = run(vector);
    unimplemented = got.unimplemented !== undefined;
    differences = unimplemented ? [`unimplemented: ${got.unimplemented}`] : compareOutput(vector, got);
  } catch (error) {
    differences = [`threw ${error instanceof Error ? error.message : String(error)}`];
  }
  return differences.length === 0 ? undefined : { vector, differences, unimplemented };
}

export interface FamilyResult {
  readonly count: number;
  /** All that did not come out as recorded. */
  readonly mismatches: readonly Mismatch[];
}

/** Runs a whole family, or those of its vectors that `wanted` accepts. */
export function replayFamily(family: string, run: Run, wanted: (vector: Vector) => boolean = () => true): FamilyResult {
  let count = 0;
  const mismatches: Mismatch[] = [];
  for (const vector of loadVectors(family)) {
    if (!wanted(vector)) continue;
    count++;
    const mismatch = replay(vector, run);
    if (mismatch) mismatches.push(mismatch);
  }
  return { count, mismatches };
}

/** A mismatch for a person: the instruction, the inputs that matter, and each difference. */
export function describeMismatch({ vector, differences }: Mismatch): string {
  const bytes = Buffer.from(vector.code).toString('hex');
  const names = vector.mode === 64 ? REGISTER_NAMES : LEGACY_NAMES;
  const regs = names.map((name, index) => `${name}=${(vector.regs[index] ?? 0n).toString(16)}`).join(' ');
  return [
    `${vector.family}:${vector.line} ${vector.mode}-bit ${vector.text}  [${bytes}, ${vector.iced}]`,
    `  before: rflags=${vector.rflags.toString(16)} ${regs}`,
    ...describeFpu(vector),
    ...differences.map((difference) => `  ${difference}`),
  ].join('\n');
}

/** The first mismatches of a result as text, one example for each instruction first, with the number of all. */
export function describeMismatches({ count, mismatches }: FamilyResult, limit = 10): string {
  const seen = new Set<string>();
  const examples = mismatches.filter(({ vector }) => {
    const key = `${vector.mode} ${vector.iced}`;
    return !seen.has(key) && seen.add(key);
  });
  const shown = examples.slice(0, limit).map(describeMismatch);
  return [`${mismatches.length} of ${count} vectors differ, ${examples.length} kinds of instruction`, ...shown].join(
    '\n',
  );
}

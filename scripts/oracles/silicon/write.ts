// The text of a family's file; test/vectors/README.md documents it, test/vectors/load.ts reads it.
import { gzipSync } from 'node:zlib';
import {
  ARITHMETIC_FLAGS,
  backgroundAvx,
  backgroundBlock,
  backgroundFpu,
  BACKGROUND_RFLAGS,
  backgroundRegister,
  codeAddress,
  type FpuState,
  initialSegments,
  type RegionName,
  REGISTER_NAMES,
  RFLAGS_BITS,
  SEGMENT_NAMES,
} from '../../../test/vectors/layout.ts';
import type { Case } from './cases.ts';
import { definedStatus } from './defined-status.ts';
import { definedAfterFault } from './defined-flags.ts';
import type { Observation } from './silicon.ts';

const hex = (value: bigint | number): string => value.toString(16);
const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function registerTokens(regs: readonly bigint[], before: (index: number) => bigint): string[] {
  return regs.flatMap((value, index) => (value === before(index) ? [] : [`${REGISTER_NAMES[index]}=${hex(value)}`]));
}

/** Runs of bytes that differ; runs closer than 4 bytes are written as one. */
function memoryTokens(region: RegionName, block: Uint8Array, before: Uint8Array): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < block.length; at++) {
    if (block[at] === before[at]) continue;
    let end = at + 1;
    for (let next = end; next < Math.min(block.length, end + 4); next++)
      if (block[next] !== before[next]) end = next + 1;
    tokens.push(`${region}+${hex(at)}=${hexBytes(block.subarray(at, end))}`);
    at = end;
  }
  return tokens;
}

/** What differs from `before`. XMM registers that the mode can't name are left out. */
function fpuTokens(fpu: FpuState | undefined, before: FpuState | undefined, mode: number): string[] {
  if (!fpu || !before) return [];
  const words = [
    ['mx', fpu.mxcsr, before.mxcsr],
    ['cw', fpu.fcw, before.fcw],
    ['sw', fpu.fsw, before.fsw],
    ['tw', fpu.ftw, before.ftw],
  ] as const;
  const wide = (letter: string, values: readonly bigint[], old: readonly bigint[]): string[] =>
    values.flatMap((value, index) => (value === old[index] ? [] : [`${letter}${index}=${hex(value)}`]));
  return [
    ...wide('x', fpu.xmm.slice(0, mode === 64 ? 16 : 8), before.xmm),
    ...wide('h', before.upper ? (fpu.upper ?? []).slice(0, mode === 64 ? 16 : 8) : [], before.upper ?? []),
    ...wide('p', fpu.physical, before.physical),
    ...words.flatMap(([name, value, old]) => (value === old ? [] : [`${name}=${hex(value)}`])),
  ];
}

function inputTokens({ state }: Case): string[] {
  const memory = [...state.blocks].flatMap(([region, block]) => memoryTokens(region, block, backgroundBlock()));
  const flags = state.rflags === BACKGROUND_RFLAGS ? [] : [`f=${hex(state.rflags)}`];
  const fpu = fpuTokens(state.fpu, state.fpu?.upper ? backgroundAvx() : backgroundFpu(), state.mode);
  return [...registerTokens(state.regs, (index) => backgroundRegister(state.mode, index)), ...flags, ...fpu, ...memory];
}

export interface Outcome {
  vector: number | undefined;
  rip: bigint;
}

const PAGE_FAULT = 14;
/** Vectors with an error code (Intel SDM vol. 3, table 6-1). */
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, PAGE_FAULT, 17]);

/** An INT3 outside the instruction means that it ran to its end. */
export function outcomeOf({ state, bytes }: Case, seen: Observation): Outcome {
  const start = codeAddress(state.mode);
  const landed = seen.rip - 1n;
  const inside = landed >= start && landed < start + BigInt(bytes.length);
  return seen.trapno === 3 && !inside ? { vector: undefined, rip: landed } : { vector: seen.trapno, rip: seen.rip };
}

function outputTokens(item: Case, seen: Observation, flagsMask: number, statusMask: number): string[] {
  const { state, bytes } = item;
  const { vector, rip } = outcomeOf(item, seen);
  const rflags = seen.rflags & ~RFLAGS_BITS.RF;
  const tokens = registerTokens(seen.regs.slice(0, state.mode === 64 ? 16 : 8), (index) => state.regs[index] ?? 0n);
  if (rflags !== state.rflags) tokens.push(`f=${hex(rflags)}`);
  for (const [region, block] of seen.blocks) {
    tokens.push(...memoryTokens(region, block, state.blocks.get(region) ?? backgroundBlock()));
  }
  const selectors = initialSegments(state.mode);
  for (const name of SEGMENT_NAMES)
    if (seen.segments[name] !== selectors[name]) tokens.push(`${name}=${hex(seen.segments[name])}`);
  const start = codeAddress(state.mode);
  if (rip !== (vector === undefined ? start + BigInt(bytes.length) : start)) tokens.push(`rip=${hex(rip)}`);
  if (vector !== undefined) tokens.push(HAS_ERROR_CODE.has(vector) ? `!${vector}:${hex(seen.error)}` : `!${vector}`);
  if (vector === PAGE_FAULT) tokens.push(`cr2=${hex(seen.cr2)}`);
  const compared = vector === undefined ? flagsMaskOf(item, seen) : definedAfterFault(item.form, vector);
  if (compared !== flagsMask) tokens.push(`m=${hex(compared)}`);
  if (state.fpu) {
    tokens.push(...fpuTokens(seen.fpu, state.fpu, state.mode));
    const status = statusMaskOf(item, seen);
    if (status !== statusMask) tokens.push(`n=${hex(status)}`);
  }
  return tokens;
}

/** FCOMI with an unmasked invalid operand: AMD sets the flags, Intel leaves them alone. */
const COMPARES_TO_FLAGS = /^Fu?comip?$/;
const flagsMaskOf = (item: Case, seen: Observation): number =>
  COMPARES_TO_FLAGS.test(item.form?.mnemonic ?? '') && seen.fpu.fsw & 0x80
    ? item.flagsMask & ~ARITHMETIC_FLAGS
    : item.flagsMask;

const statusMaskOf = (item: Case, seen: Observation): number =>
  item.form ? definedStatus(item.form, item.state, seen, outcomeOf(item, seen).vector !== undefined) : 0xffff;

const groupKey = ({ state, bytes }: Case): string =>
  `${state.mode} ${hexBytes(bytes)} ${[...state.blocks.keys()].join('')}`;

function mostFrequent(masks: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const mask of masks) counts.set(mask, (counts.get(mask) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

function groupText(group: readonly { item: Case; seen: Observation }[]): string {
  const first = group[0]?.item;
  if (!first) return '';
  const mask = mostFrequent(group.map(({ item }) => item.flagsMask));
  const regions = [...first.state.blocks.keys()].join('') || '-';
  const status = first.state.fpu ? mostFrequent(group.map(({ item, seen }) => statusMaskOf(item, seen))) : 0;
  const { fpu } = first.state;
  const [letter, masks] = fpu ? [fpu.upper ? 'y' : 'x', `${hex(mask)}/${hex(status)}`] : ['i', hex(mask)];
  const head = `${letter} ${first.state.mode} ${hexBytes(first.bytes)} ${masks} ${regions} ${first.name} | ${first.text}`;
  const lines = group.map(
    ({ item, seen }) => `${inputTokens(item).join(' ')} > ${outputTokens(item, seen, mask, status).join(' ')}`,
  );
  return [head, ...new Set(lines)].join('\n');
}

/** A family as text: comment lines, then instructions each followed by its vectors. Equal vectors are written once. */
export function familyText(comments: readonly string[], cases: readonly Case[], seen: readonly Observation[]): string {
  const groups = new Map<string, { item: Case; seen: Observation }[]>();
  cases.forEach((item, index) => {
    const observation = seen[index];
    if (!observation) throw new Error('fewer replies than requests');
    const key = groupKey(item);
    const group = groups.get(key) ?? [];
    group.push({ item, seen: observation });
    groups.set(key, group);
  });
  return `${[...comments.map((line) => `# ${line}`), ...[...groups.values()].map(groupText)].join('\n')}\n`;
}

export const compress = (text: string): Buffer => gzipSync(text, { level: 9 });

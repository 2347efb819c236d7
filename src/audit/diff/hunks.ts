// Comparisons as rows of text: the instructions that differ, in order, with equal ones around them.
import type { AddressMap } from './addresses.ts';
import type { Comparison, FunctionComparison } from './compare.ts';
import { type Functions, functionAt, lengthOf, nameOf, symbolTextAt } from './functions.ts';
import { attText } from '../../code/disassembly.ts';
import { fileOffsetOf } from '../../code/program.ts';
import { hex } from '../../bits/hex.ts';
import { isPositionDependent } from './judge.ts';
import { bytesAt, type Claim, decodeAt, linkAddressOf, meaningOf, type Way } from './meaning.ts';
import { type Hunk, type Instruction, rankOf, type Row } from './types.ts';

/** Most suspicious first. @param context equal rows before and after a differing one; @param most rows in all */
export function hunksOf(map: AddressMap, comparison: FunctionComparison, context: number, most: number): Hunk[] {
  const rows = rowsOf(map, comparison);
  const ranges = rangesOf(rows, context).sort((x, y) => worst(rows, x) - worst(rows, y) || x.from - y.from);
  let left = most;
  return ranges.flatMap((range) => {
    const shown = rows.slice(range.from, Math.min(range.to, range.from + left));
    left -= shown.length;
    return shown.length === 0 ? [] : [shown.map((row) => rowOf(map, comparison, row))];
  });
}

type Range = { readonly from: number; to: number };

/** Differing rows with their context; contexts that touch are one. */
function rangesOf(rows: readonly Comparison[], context: number): Range[] {
  const ranges: Range[] = [];
  for (const [at, row] of rows.entries()) {
    if (row.kind === 'equal') continue;
    const last = ranges.at(-1);
    const from = Math.max(0, at - context);
    const to = Math.min(rows.length, at + context + 1);
    if (last !== undefined && from <= last.to) last.to = to;
    else ranges.push({ from, to });
  }
  return ranges;
}

function worst(rows: readonly Comparison[], { from, to }: Range): number {
  return rows
    .slice(from, to)
    .reduce((least, { kind }) => (kind === 'equal' ? least : Math.min(least, rankOf(kind))), Number.POSITIVE_INFINITY);
}

/** Every pair of both functions in order, equal ones too: between differences one stands beside one. */
function rowsOf({ matching }: AddressMap, { good, bad, differences }: FunctionComparison): Comparison[] {
  const rows: Comparison[] = [];
  let [a, b] = [0, 0];
  const equalTo = (isThere: () => boolean): void => {
    while (!isThere()) rows.push({ kind: 'equal', goodIndex: a++, badIndex: b++ });
  };
  for (const difference of differences) {
    const { goodIndex, badIndex } = difference;
    equalTo(() => (goodIndex < 0 ? b >= badIndex : a >= goodIndex));
    rows.push(difference);
    if (goodIndex >= 0) a++;
    if (badIndex >= 0) b++;
  }
  const [n, m] = [lengthOf(matching.good, good), lengthOf(matching.bad, bad)];
  equalTo(() => a >= n || b >= m);
  return rows;
}

function rowOf({ matching }: AddressMap, pair: FunctionComparison, row: Comparison): Row {
  const good = row.goodIndex < 0 ? undefined : instructionOf(matching.good, pair.good, row.goodIndex);
  const bad = row.badIndex < 0 ? undefined : instructionOf(matching.bad, pair.bad, row.badIndex);
  const note = noteOf(row, matching.good, matching.bad);
  return {
    kind: row.kind,
    ...(good === undefined ? {} : { good }),
    ...(bad === undefined ? {} : { bad }),
    ...(note === undefined ? {} : { note }),
  };
}

function instructionOf(functions: Functions, fn: number, index: number): Instruction {
  const { listing, side, first } = functions;
  const at = (first[fn] as number) + index;
  const offset = listing.at[at] as number;
  const insn = decodeAt(functions, at);
  const target = meaningOf(insn, side.program)
    .claims.map((claim) => targetText(functions, claim))
    .find((t) => t !== undefined);
  const instruction = {
    fileOffset: fileOffsetOf(side.program, offset) ?? 0,
    linkAddress: linkAddressOf(side.program, offset),
    bytes: bytesAt(side.program, offset, listing.length[at] as number).slice(),
    text: attText(insn),
    ...(target === undefined ? {} : { target }),
  };
  insn.free();
  return instruction;
}

/** What lies at an address, as far as it has a name; of a number only what begins there. */
function targetText(functions: Functions, { at, way }: Claim): string | undefined {
  const { side, start } = functions;
  const name = symbolTextAt(functions, at);
  const isNumber = way === 'immediate' || way === 'got';
  if (name !== undefined && (!isNumber || side.kernel || !/\+0x[0-9a-f]+$/.test(name))) return name;
  const fn = functionAt(functions, at);
  if (fn >= 0 && start[fn] === at && nameOf(functions, fn) === undefined && at > 0)
    return `function ${hexAt(functions, at)}`;
  return way === 'rip' ? hexAt(functions, at) : undefined;
}

const hexAt = ({ side }: Functions, at: number): string => hex(linkAddressOf(side.program, at));

/** What GOOD and BAD do with an address, by the way they come to it. */
const DEEDS: Readonly<Record<Way, string>> = {
  rip: 'counts it from RIP',
  got: 'loads it from a word of data',
  immediate: 'has it as a number',
  absolute: 'reads memory at it as a fixed address',
  branch: 'goes there directly',
};

function noteOf({ good, bad }: Comparison, one: Functions, two: Functions): string | undefined {
  if (good === undefined || bad === undefined) return undefined;
  const what =
    targetText(two, { ...bad, way: 'rip' }) ?? targetText(one, { ...good, way: 'rip' }) ?? hexAt(two, bad.at);
  const address = hexAt(two, bad.at);
  const named = what === address ? address : `${what} (${address})`;
  return `Both mean ${named}: GOOD ${DEEDS[good.way]}, BAD ${DEEDS[bad.way]}${consequence(good.way, bad.way, two.side.kernel)}.`;
}

function consequence(good: Way, bad: Way, kernel: boolean): string {
  const [one, two] = [isPositionDependent(good), isPositionDependent(bad)];
  if (one === two) return '';
  const unless = kernel ? ' unless a relocation adjusts it' : '';
  return `, so that ${two ? 'BAD' : 'GOOD'} is right only where it runs at its link address${unless}`;
}

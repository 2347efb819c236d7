// Records test/vectors/data: tsx scripts/oracles/silicon/record.ts RECORDER [FAMILY...]. scripts/oracles/silicon/record.sh builds the
// recorder and calls this. Prints a line a family, and the Codes that are not covered with the reason.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Code } from 'iced-x86';
import type { VectorMode } from '../../../test/vectors/layout.ts';
import { avxCasesOfCode, illegalVexCases } from './avx-cases.ts';
import { AVX_FAMILIES, avxCodes, type AvxFamily } from '../../../test/vectors/avxFamilies.ts';
import { type Case, casesOfCode } from './cases.ts';
import { disassemble } from './forms.ts';
import type { Universe } from '../../../test/vectors/codes.ts';
import { generalPurposeCodes } from './families.ts';
import { type Random, seededRandom } from './random.ts';
import { type Observation, observe } from './silicon.ts';
import {
  faultCases,
  illegalCases,
  illegalLocks,
  nopSpaceCases,
  prefixCases,
  stackFaultCases,
  stringFaultCases,
  undefinedVectorCases,
} from './special-cases.ts';
import { vectorCasesOfCode } from './vector-cases.ts';
import { VECTOR_FAMILIES, vectorCodes, type VectorFamily } from './vector-families.ts';
import { compress, familyText, outcomeOf } from './write.ts';

const SEED = 'firstlight';
const MODES: readonly VectorMode[] = [64, 32, 16];
const DATA = fileURLToPath(new URL('../../../test/vectors/data/', import.meta.url));
const ILLEGAL_VECTOR = 'illegal-vector';
const ILLEGAL_VEX = 'illegal-vex';
const LOCK_FAMILIES = ['arithmetic', 'logic', 'shift', 'move', 'atomic', 'bits', 'flags', 'hint'];

function specialCases(family: string, mode: VectorMode, universe: Universe, random: Random): Case[] {
  if (family === 'illegal') {
    const codes = LOCK_FAMILIES.flatMap((name) => universe.byFamily.get(name) ?? []);
    return [...illegalCases(mode), ...illegalLocks(codes, mode, random)];
  }
  if (family === ILLEGAL_VECTOR) {
    if (mode !== 64) return [];
    const codes = VECTOR_FAMILIES.flatMap((name) => universe.byFamily.get(name) ?? []);
    return [...undefinedVectorCases(mode), ...illegalLocks(codes, mode, random)];
  }
  if (family === ILLEGAL_VEX) {
    const codes = AVX_FAMILIES.flatMap((name) => universe.byFamily.get(name) ?? []);
    return illegalVexCases(codes, mode, random);
  }
  if (family === 'hint') return nopSpaceCases(mode);
  if (family === 'prefix') return prefixCases(mode, random);
  if (family === 'fault') {
    return [...faultCases(mode, random), ...stackFaultCases(mode, random), ...stringFaultCases(mode, random)];
  }
  return [];
}

/** Codes of other families that get every address shape, in the family "address". */
const ADDRESSED = [
  Code.Mov_r64_rm64,
  Code.Mov_rm32_r32,
  Code.Mov_r16_rm16,
  Code.Mov_rm8_r8,
  Code.Add_rm32_imm8,
  Code.Cmp_r8_rm8,
];

function codesOf(family: string, universe: Universe): Code[] {
  return [...(universe.byFamily.get(family) ?? []), ...(family === 'address' ? ADDRESSED : [])];
}

const isAvxFamily = (family: string): family is AvxFamily => (AVX_FAMILIES as readonly string[]).includes(family);
const isVectorFamily = (family: string): family is VectorFamily =>
  (VECTOR_FAMILIES as readonly string[]).includes(family);

function familyCases(family: string, universe: Universe): Case[] {
  return MODES.flatMap((mode) => {
    const random = seededRandom(`${SEED} ${family} ${mode}`);
    const walked = codesOf(family, universe).flatMap((code) =>
      isAvxFamily(family)
        ? avxCasesOfCode(code, mode, family, random)
        : isVectorFamily(family)
          ? vectorCasesOfCode(code, mode, family, random)
          : casesOfCode(code, mode, family, random),
    );
    return [...walked, ...specialCases(family, mode, universe, random)];
  });
}

/** A vector must not depend on what it does not show, and must end where we can tell that it did. */
function check(cases: readonly Case[], seen: readonly Observation[]): void {
  cases.forEach((item, index) => {
    const observation = seen[index];
    if (!observation) throw new Error('fewer replies than requests');
    const { vector, rip } = outcomeOf(item, observation);
    const what = `${item.state.mode}-bit ${item.text} (${item.name}) rip=${rip.toString(16)} vector=${vector}`;
    if (vector === undefined && disassemble(item.bytes, item.state.mode).instruction.length !== item.bytes.length) {
      throw new Error(`more than one instruction ran: ${what}`);
    }
    if (observation.stray) throw new Error(`writes outside its blocks: ${what}`);
    const inCode = (rip >= 0x4000n && rip < 0x10000n) || (rip >= 0x11000000n && rip < 0x11010000n);
    if (!inCode) throw new Error(`ends outside the code: ${what}`);
  });
}

function processor(): string {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? '?';
  return `${field('vendor_id')} family ${field('cpu family')} model ${field('model')} stepping ${field('stepping')} (${field('model name')})`;
}

function comments(family: string): string[] {
  return [
    `Firstlight instruction vectors, family "${family}". Format: test/vectors/README.md`,
    `Recorded on ${processor()} by scripts/silicon, seed "${SEED}"`,
  ];
}

function recordFamily(family: string, recorder: string, universe: Universe, covered: Set<string>): void {
  const cases = familyCases(family, universe);
  const seen = observe(recorder, cases);
  check(cases, seen);
  for (const { name } of cases) covered.add(name);
  const text = familyText(comments(family), cases, seen);
  const data = compress(text);
  writeFileSync(join(DATA, `${family}.vec.gz`), data);
  const vectors = text.split('\n').filter((line) => line.includes(' > ') || line.startsWith('> ')).length;
  console.log(`${family.padEnd(12)} ${String(vectors).padStart(6)} vectors ${String(data.length).padStart(8)} bytes`);
}

function reportMissing(universe: Universe, covered: ReadonlySet<string>): void {
  for (const [name, reason] of universe.leftOut) console.log(`left out: ${name} (${reason})`);
  for (const codes of universe.byFamily.values()) {
    for (const code of codes) if (!covered.has(Code[code] ?? '')) console.log(`not covered: ${Code[code]}`);
  }
}

function everyCode(): Universe {
  const [general, vector, avx] = [generalPurposeCodes(), vectorCodes(), avxCodes()];
  const codes = new Set([...vector.byFamily.values(), ...avx.byFamily.values()].flat().map((code) => Code[code] ?? ''));
  const leftOut = [...general.leftOut, ...vector.leftOut].filter(([name]) => !codes.has(name));
  return { byFamily: new Map([...general.byFamily, ...vector.byFamily, ...avx.byFamily]), leftOut: new Map(leftOut) };
}

function main([recorder, ...wanted]: string[]): void {
  if (!recorder) throw new Error('usage: record.ts RECORDER [FAMILY...]');
  const universe = everyCode();
  const covered = new Set<string>();
  const families =
    wanted.length > 0 ? wanted : [...universe.byFamily.keys(), 'prefix', 'fault', ILLEGAL_VECTOR, ILLEGAL_VEX];
  mkdirSync(DATA, { recursive: true });
  for (const family of families) recordFamily(family, recorder, universe, covered);
  if (wanted.length === 0) reportMissing(universe, covered);
}

main(process.argv.slice(2));

// A guest that goes round in a loop, and runs with one thing changed in it.
import { readFileSync } from 'node:fs';
import { bytesOfHex } from '../../../src/bits/hex.ts';
import type { BootRun, RunConfig } from '../../../src/run/run.ts';
import { parseIntervention } from '../../../src/run/interventions/table.ts';
import { makeElf } from '../../image/synthetic.ts';

export const ENTRY = 0x1001000;
/** What it reads in each turn. */
export const READ = 0x1070000;

/**
 * 64-bit code, interrupts off, for ever: inc %rax; rep movsb of 9000 bytes from 0x1050000 to 0x1060000; %rax added to %r8; the
 * byte at READ into %bl; %rbx added to %r9; CPUID leaf 7 and its ECX added to %r10.
 */
const CODE = `
  48c7c000000000
  48ffc0
  48c7c600000501
  48c7c700000601
  b928230000
  f3a4
  4901c0
  8a1c2500000701
  4901d9
  50b80700000031c90fa24901ca58
  ebcb`;
/** Of instructions, behind ENTRY. */
export const AT = { inc: 0x7, rep: 0x1d, add: 0x1f, read: 0x22 } as const;
/** Instructions up to the loop, and about so many in a turn, the pieces of the repeated move included. */
export const SETUP = 1;
export const TURN = 18;

export const hexOf = (offset: number): string => `0x${(ENTRY + offset).toString(16)}`;

export function loopGuest(changes: readonly string[] = [], more: Partial<RunConfig> = {}): RunConfig {
  const bytes = bytesOfHex(CODE);
  const start = BigInt(ENTRY);
  const segments = [{ physAddr: start, virtAddr: start, memSize: BigInt(bytes.length), bytes }];
  return configOf(makeElf({ segments, entry: start }), changes, more);
}

const built = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../samples/built/${name}.bzImage`, import.meta.url)));

export const sampleGuest = (name: string, changes: readonly string[] = [], more: Partial<RunConfig> = {}): RunConfig =>
  configOf(built(name), changes, more);

const configOf = (image: Uint8Array, changes: readonly string[], more: Partial<RunConfig>): RunConfig => ({
  image,
  cpu: 'max',
  memoryBytes: 64 << 20,
  cmdline: '',
  until: 'end',
  maxInstructions: 100_000n,
  seed: 7,
  interventions: changes.map(parseIntervention),
  ...more,
});

/** Runs on up to a count of instructions. */
export function advanced(run: BootRun, to: bigint): BootRun {
  const { engine } = run.machine;
  if (to > engine.retired) run.advance(to - engine.retired);
  return run;
}

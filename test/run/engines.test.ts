// Whole runs in every engine: the same outcome after the same instructions in the same state, also where a run was saved in
// one engine and goes on in another.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { VARIANT_NAMES, type VariantName } from '../../src/cpu/binding/variants.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import { makeElf } from '../image/synthetic.ts';

const LIMIT = 400_000_000n;
const ENTRY = 0x1000000n;

function configOf(image: Uint8Array): RunConfig {
  const cmdline = 'earlyprintk=serial,ttyS0,115200 console=ttyS0';
  return { image, cpu: 'max', memoryBytes: 64 << 20, cmdline, until: 'end', maxInstructions: LIMIT, seed: 0 };
}

function guestOf(code: string): Uint8Array {
  const bytes = bytesOfHex(code);
  return makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x3000n, bytes }], entry: ENTRY });
}

const sample = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../samples/built/${name}.bzImage`, import.meta.url)));

const runIn = (config: RunConfig, variant: VariantName): BootRun => new BootRun(config, undefined, true, variant);

function ended(run: BootRun) {
  while (!run.advance(1_000_000_000n));
  const { outcome, stages, stateHash } = run.result();
  return { outcome, stages, stateHash };
}

/** The run as it stands, in another engine. */
function movedTo(run: BootRun, variant: VariantName): BootRun {
  const { until, maxInstructions } = run.config;
  const reader = new SnapshotReader({ until, maxInstructions }, variant);
  for (const piece of snapshotOf(run)) reader.push(piece);
  return reader.finish();
}

const OTHERS = VARIANT_NAMES.filter((name) => name !== 'plain');

describe('a guest that hangs', () => {
  it.each([
    ['where it is', 'ebfe'],
    // mov $0x1000800,%edi; mov $4,%ecx; rep stosb: each byte of that page, which holds code, is an instruction;
    // mov $1000,%ecx; 1: dec %ecx; jnz 1b; jmp
    ['and stores beside its code', 'bf00080001b904000000f3aab9e8030000ffc975fcebe9'],
    // mov $0x3000000,%eax; mov $0x2000000,%ecx; jmp *%rcx
    ['in zeros', 'b800000003b900000002ffe1'],
  ])('%s is found to after the same instructions', (_what, code) => {
    const config = configOf(guestOf(code));
    const plain = ended(runIn(config, 'plain'));
    expect(plain.outcome.kind).toBe('hang');
    for (const variant of OTHERS) expect({ variant, ...ended(runIn(config, variant)) }).toEqual({ variant, ...plain });
  });
});

describe.each(['good', 'bad', 'compare-bad'])('the sample %s', (name) => {
  const config = configOf(sample(name));
  const plain = ended(runIn(config, 'plain'));

  it.each(VARIANT_NAMES)('comes to the same end in the %s engine', (variant) => {
    expect(ended(runIn(config, variant))).toEqual(plain);
  });

  it('comes to the same end where it changes the engine wherever it stands', () => {
    const { instructions } = plain.outcome;
    for (const [i, variant] of OTHERS.entries()) {
      const run = runIn(config, 'plain');
      run.advance((instructions * BigInt(i + 1)) / 4n);
      const other = movedTo(run, variant);
      expect(other.machine.stateHash()).toBe(run.machine.stateHash());
      other.advance(instructions / 3n);
      const end = ended(other.outcome ? other : movedTo(other, 'plain'));
      expect({ variant, ...end }).toEqual({ variant, ...plain });
    }
  });
});

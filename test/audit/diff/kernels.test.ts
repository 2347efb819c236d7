// Real stubs, where they are at hand: other payloads around the same code, and mutants.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { listRipRelativeLeas, mutateLea } from '../../../src/code/mutant.ts';
import { kernel } from '../../support/kernels.ts';

const read = (name: string): Uint8Array => new Uint8Array(readFileSync(kernel(name)?.path ?? ''));
const MUTANTS = 20;

/** What the mutant of one lea shows against `good`. */
function shown(good: Uint8Array, origin: Uint8Array, fileOffset: number) {
  const report = diffImages(good, mutateLea(origin, fileOffset), { context: 0 });
  const [first] = report.differing;
  return {
    suspicious: report.differing.filter(({ kind }) => kind === 'addressing-mode-of-same-target').length,
    differing: report.functions.differing,
    only: report.onlyGood.length + report.onlyBad.length,
    rows: first?.hunks
      .flat()
      .map((row) => [row.kind, row.good?.text.slice(0, 3), row.bad?.text.slice(0, 3), row.bad?.fileOffset]),
  };
}

const mutantsOf = (bytes: Uint8Array) => {
  const leas = listRipRelativeLeas(bytes);
  return Array.from({ length: MUTANTS }, (_, n) => leas[Math.floor((n * leas.length) / MUTANTS)]?.fileOffset ?? 0);
};

const theOne = (fileOffset: number, differing: number) => ({
  ...{ suspicious: 1, differing, only: 0 },
  rows: [['addressing-mode-of-same-target', 'lea', 'mov', fileOffset]],
});

describe.skipIf(!kernel('debian-6.1'))('the stub of Debian 6.1', () => {
  it(`differs from each of ${MUTANTS} mutants in the one instruction`, () => {
    const good = read('debian-6.1');
    for (const at of mutantsOf(good)) expect(shown(good, good, at)).toEqual(theOne(at, 1));
  });
});

describe.skipIf(!kernel('debian-6.12') || !kernel('debian-6.12-cloud'))('the stubs of Debian 6.12', () => {
  it('differ, generic and cloud, in the length of a text', () => {
    const { functions, differing, onlyGood, onlyBad } = diffImages(read('debian-6.12'), read('debian-6.12-cloud'));
    expect(functions.differing).toBeLessThanOrEqual(1);
    expect(differing.every(({ counts }) => (counts['different-immediate'] ?? 0) === 1)).toBe(true);
    expect([onlyGood.length, onlyBad.length]).toEqual([0, 0]);
    expect(functions.moved).toBeGreaterThan(200);
  });

  it('show a mutant of the one beside the other, first', () => {
    const [good, cloud] = [read('debian-6.12'), read('debian-6.12-cloud')];
    const [, , at = 0] = mutantsOf(cloud);
    expect(shown(good, cloud, at)).toEqual(theOne(at, 2));
  });
});

describe.skipIf(!kernel('debian-6.1') || !kernel('debian-6.12'))('the stubs of Debian 6.1 and 6.12', () => {
  it('have functions in common, and no changed addressing mode', () => {
    const { functions, differing } = diffImages(read('debian-6.1'), read('debian-6.12'));
    expect(functions.equal).toBeGreaterThan(80);
    expect(differing.map(({ kind }) => kind)).not.toContain('addressing-mode-of-same-target');
  });
});

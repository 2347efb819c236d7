// The audit of Debian's kernels, and of a part of their mutants (all of them: npm run audit-mutants).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { auditFile } from '../../src/audit/audit.ts';
import { listRipRelativeLeas, mutateLea } from '../../src/code/mutant.ts';
import { parseKernelConfig } from '../../src/image/kernelConfig.ts';
import { kernel } from '../support/kernels.ts';

const NAMES = ['debian-6.1', 'debian-6.12', 'debian-6.12-cloud'];
const EVERY = 40;

describe.each(NAMES)('the audit of %s', (name) => {
  const file = kernel(name);

  it.skipIf(file === undefined)('finds nothing in it, with its configuration beside it', () => {
    const image = new Uint8Array(readFileSync(file?.path ?? ''));
    const config = parseKernelConfig(readFileSync(file?.config ?? '', 'utf8'));
    const { findings, coverage } = auditFile(image, name, { config });
    expect(findings).toEqual([]);
    expect(coverage?.followed[64]).toBeGreaterThan(10_000);
  });

  it.skipIf(file === undefined)(`names the instruction, and nothing else, in one of ${EVERY} of its mutants`, () => {
    const image = new Uint8Array(readFileSync(file?.path ?? ''));
    const leas = listRipRelativeLeas(image).filter((_, i) => i % EVERY === 0);
    const named = leas.map(({ fileOffset }) => {
      const { findings } = auditFile(mutateLea(image, fileOffset), name, {});
      return findings.map((finding) => `${finding.rule} at ${finding.fileOffset}`);
    });
    expect(named).toEqual(leas.map(({ fileOffset }) => [`position-dependent-reference at ${fileOffset}`]));
  });
});

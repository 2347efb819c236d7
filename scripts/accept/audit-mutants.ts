// Audits every mutant of a kernel: each RIP-relative lea in the reachable code of its stub turned, alone, into the mov that
// ld makes of it without -pie. Says how many there are, how many are named, and what else was reported.
//
//   npm run audit-mutants [-- IMAGE...]     default: the kernels of scripts/build/fetch-kernels.mjs
import { readFileSync } from 'node:fs';
import { auditFile } from '../../src/audit/audit.ts';
import type { Finding } from '../../src/audit/types.ts';
import { hex } from '../../src/bits/hex.ts';
import { listRipRelativeLeas, mutateLea, type RipRelativeLea } from '../../src/code/mutant.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { kernels } from '../../test/support/kernels.ts';

/** Targets as the audit sees them: behind the payload, or so small that they look like numbers. */
type Where = 'behind the payload' | 'in the first pages';

interface Tally {
  readonly named: Map<string, number>;
  mutants: number;
  missed: number;
  falseFindings: number;
}

function whereOf(image: Uint8Array, target: number): Where {
  const { payload, protectedMode } = parseBzImage(image);
  const end = payload === undefined ? 0 : payload.fileOffset - protectedMode.fileOffset + payload.length;
  return target >= end ? 'behind the payload' : 'in the first pages';
}

function auditMutant(image: Uint8Array, lea: RipRelativeLea, tally: Tally): void {
  const { findings } = auditFile(mutateLea(image, lea.fileOffset), 'mutant', {});
  const named = findings.filter((f) => f.rule === 'position-dependent-reference' && f.fileOffset === lea.fileOffset);
  const others = findings.filter((f) => !named.includes(f));
  tally.mutants++;
  tally.falseFindings += others.length;
  for (const other of others) console.log(`  FALSE with the lea at ${hex(lea.linkAddress)}: ${other.message}`);
  const [first] = named;
  if (first === undefined) {
    tally.missed++;
    console.log(`  MISSED the lea at ${hex(lea.linkAddress)} to ${hex(lea.target)}`);
  } else count(tally, image, lea, first);
}

function count(tally: Tally, image: Uint8Array, { target }: RipRelativeLea, { confidence }: Finding): void {
  const key = `${whereOf(image, target)}, confidence ${confidence}`;
  tally.named.set(key, (tally.named.get(key) ?? 0) + 1);
}

function auditMutants(name: string, path: string): boolean {
  const image = new Uint8Array(readFileSync(path));
  const healthy = auditFile(image, name, {}).findings;
  const leas = listRipRelativeLeas(image);
  console.log(`${name}: ${leas.length} leas; ${healthy.length} findings in the kernel as it is`);
  const tally: Tally = { named: new Map(), mutants: 0, missed: 0, falseFindings: 0 };
  for (const lea of leas) auditMutant(image, lea, tally);
  for (const [key, number] of [...tally.named].sort(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`  named ${number}: ${key}`);
  const { mutants, missed, falseFindings } = tally;
  const recall = ((100 * (mutants - missed)) / Math.max(1, mutants)).toFixed(2);
  console.log(`  recall ${mutants - missed} of ${mutants} (${recall} %), false findings ${falseFindings}`);
  return missed === 0 && falseFindings === 0 && healthy.length === 0;
}

const given = process.argv.slice(2);
const images = given.length > 0 ? given.map((path) => ({ name: path, path })) : kernels().files;
if (images.length === 0) console.log(`no kernels: ${kernels().reason}`);
const results = images.map(({ name, path }) => auditMutants(name, path));
process.exitCode = results.length > 0 && results.every(Boolean) ? 0 : 1;

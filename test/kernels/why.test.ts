// Real kernels made sick in one instruction, and healthy ones. Which instructions is decided by rule in whatever build is here:
// each RIP-relative lea of the stub, in the order of addresses, alone turned into the mov that ld makes of it without -pie,
// until some have died soon. What is wrong with each is known, because it was put there; `npm run why-mutants` tries those that
// QEMU has judged (test/data/mutants.json, of one build of each kernel).
import { describe, expect, it } from 'vitest';
import { judgedMutants, mutantConfig, type Way } from '../support/mutants.ts';
import { hexBytes } from '../../src/bits/hex.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { listRipRelativeLeas } from '../../src/code/mutant.ts';
import type { Diagnosis } from '../../src/diagnose/types.ts';
import { referenceCauses } from '../../src/diagnose/classes/executedReferences.ts';
import { diagnose } from '../../src/diagnose/why.ts';
import { imageOf, wanted } from './support.ts';

const list = judgedMutants();
const CLOUD = 'debian-6.12-cloud';
/** What a mutant that dies soon dies within. */
const SOON = 1_000_000n;
/** Leas that are tried, the first of the stub: its head, the copy of itself, what it does behind that. */
const TRIED = 8;
/** So many of them at least die soon. */
const DYING = 3;

/** Does it come to a triple fault soon? */
function dies(config: RunConfig): boolean {
  const run = new BootRun({ ...config, until: 'decompress', maxInstructions: SOON });
  while (!run.advance(SOON));
  return run.outcome?.kind === 'triple-fault';
}

/** File offsets of mutants that die soon, in the order of addresses. */
function dyingMutants(image: Uint8Array, way: Way): number[] {
  const offsets = listRipRelativeLeas(image).map(({ fileOffset }) => fileOffset);
  return offsets.slice(0, TRIED).filter((offset) => dies(mutantConfig(list, image, offset, way)));
}

function diagnosed(config: RunConfig): Diagnosis {
  const work = diagnose(config);
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

describe('a kernel with one sick instruction', () => {
  // Each way has another of the dying ones, so that all have their turn.
  it.for([
    [CLOUD, 0, 0],
    [CLOUD, 1, 1],
    [CLOUD, 2, 2],
    ['debian-6.1', 1, 2],
  ] as const)('%s, way %i, death %i: the instruction is found and proved', ([name, index, death], context) => {
    const image = imageOf(wanted(name, context));
    const way = list.ways[index] as Way;
    const offsets = dyingMutants(image, way);
    expect(offsets.length).toBeGreaterThanOrEqual(DYING);
    const fileOffset = offsets[death] as number;
    const config = mutantConfig(list, image, fileOffset, way);
    const { first, causes, suspicions, unexplained, last } = diagnosed({ ...config, until: 'decompress' });
    expect({ dies: first.outcome.kind, said: first.console }).toEqual({ dies: 'triple-fault', said: '' });
    expect(referenceCauses(causes).map(({ instruction, proof }) => [instruction.fileOffset, proof.held])).toEqual([
      [fileOffset, true],
    ]);
    expect({ suspicions, unexplained }).toEqual({ suspicions: [], unexplained: undefined });
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'decompress' });
  });
});

/** lea disp32(%rbx),%rax; jmp *%rax: how the stub goes on in the copy of itself, whose address is in %rbx. */
const TO_COPY = /48 8d 83 .. .. .. 00 ff e0/;
/** Bytes of the file in which the stub's head lies. */
const HEAD = 0x8000;
/** mov $imm32,%rax, as long as the lea. */
const MOV = [0x48, 0xc7, 0xc0];

describe('a kernel whose stub jumps into its copy by a fixed address', () => {
  it('is repaired with where the copy lies, and not with where it was loaded', (context) => {
    const image = new Uint8Array(imageOf(wanted(CLOUD, context)));
    const at = hexBytes(image.subarray(0, HEAD)).search(TO_COPY) / 3;
    expect(at).toBeGreaterThan(0);
    image.set(MOV, at);
    const way = list.ways[0] as Way;
    const { causes, last } = diagnosed({
      ...mutantConfig(list, image, undefined, way),
      // The constant alone is a place in the payload then, where it dies at once.
      loadAt: 2 ** 20,
      until: 'decompress',
    });
    expect(referenceCauses(causes).map(({ instruction, proof }) => [instruction.fileOffset, proof.held])).toEqual([
      [at, true],
    ]);
    const address = Number(/0x[0-9a-f]+/.exec(referenceCauses(causes)[0]?.repair.text ?? '')?.[0]);
    const loaded = Number(referenceCauses(causes)[0]?.instruction.constant) + last.boot.loadAddress;
    expect(address).toBeGreaterThan(loaded);
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'decompress' });
  });
});

describe('a kernel as it is', () => {
  it('boots, without a finding', (context) => {
    const config = mutantConfig(list, imageOf(wanted(CLOUD, context)), undefined, list.ways[1] as Way);
    const { causes, suspicions, unexplained, last } = diagnosed(config);
    expect({ causes, suspicions, unexplained }).toEqual({ causes: [], suspicions: [], unexplained: undefined });
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner' });
  });
});

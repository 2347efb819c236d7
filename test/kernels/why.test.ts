// Real kernels made sick in one instruction, and healthy ones. The mutants are a few of test/data/mutants.json, where QEMU
// has judged that they die: ones that die soon, in each way and by each kind of death. `npm run why-mutants` tries all.
// The list holds for one build of each kernel, by its checksum; with another build these tests are skipped.
import { describe, expect, it, type TestContext } from 'vitest';
import { type JudgedEnding, judgedMutants, mutantConfig } from '../../scripts/mutants.ts';
import type { RunConfig } from '../../src/boot/run.ts';
import type { Stage } from '../../src/boot/stages.ts';
import type { Diagnosis } from '../../src/diagnose/types.ts';
import { diagnose } from '../../src/diagnose/why.ts';
import { imageOf, wanted } from './support.ts';

const list = judgedMutants();

interface Case {
  readonly kernel: string;
  readonly fileOffset: number;
  /** Index into the list's ways: 32-bit at 1 MiB, 64-bit at 16 MiB, 64-bit at 5 GiB with 5-level paging. */
  readonly way: number;
  readonly dies: JudgedEnding['verdict'];
  /** What it says before it stops by itself; '' where nothing. */
  readonly lastWords: string;
  /** The repaired image is booted as far as this. */
  readonly until: Stage;
}

const CLOUD = 'debian-6.12-cloud';
const died = (kernel: string, fileOffset: number, way: number): Case => ({
  kernel,
  fileOffset,
  way,
  dies: 'triple-fault',
  lastWords: '',
  until: 'decompress',
});
const stopped = (kernel: string, fileOffset: number, way: number, lastWords: string, until: Stage): Case => ({
  kernel,
  fileOffset,
  way,
  dies: 'halt',
  lastWords,
  until,
});

const CASES: readonly Case[] = [
  // startup_64: its GDT, the far return into it, the copy of the stub.
  died(CLOUD, 21068, 0),
  died(CLOUD, 21084, 1),
  died(CLOUD, 21139, 2),
  // After the copy: .bss to be cleared, page tables, the trampoline.
  died(CLOUD, 11431042, 1),
  died(CLOUD, 11433222, 0),
  died(CLOUD, 11433222, 2),
  died(CLOUD, 11556927, 0),
  died(CLOUD, 11559103, 1),
  // A jump into memory that nobody has written: zeros for gigabytes.
  { ...died(CLOUD, 11544992, 2), dies: 'hang' },
  // The data is fine, an address is not.
  stopped(CLOUD, 11526552, 1, 'ZSTD-compressed data is corrupt', 'handoff'),
  stopped(CLOUD, 11544050, 2, 'Input is not in the ZSTD format (wrong magic bytes)', 'decompress'),
  died('debian-6.1', 21068, 1),
  died('debian-6.1', 21139, 2),
  died('debian-6.1', 8145302, 0),
];

/** The configuration of a mutant, or with no file offset of the kernel as it is. */
function configOf({ kernel, way }: Pick<Case, 'kernel' | 'way'>, fileOffset: number | undefined, context: TestContext) {
  const file = wanted(kernel, context);
  const judged = list.kernels.find((one) => one.name === kernel);
  if (file.sha256 !== judged?.sha256) {
    context.skip(`the mutants were judged with ${judged?.version}, and here is ${file.version}: make-mutants.ts`);
  }
  const chosen = list.ways[way];
  if (!chosen) throw new Error(`there is no way ${way}`);
  return mutantConfig(list, imageOf(file), fileOffset, chosen);
}

function diagnosed(config: RunConfig): Diagnosis {
  const work = diagnose(config);
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

describe('a kernel with one sick instruction', () => {
  it.for(CASES)('$kernel, $fileOffset, way $way: dies by $dies $lastWords', (one, context) => {
    const config = configOf(one, one.fileOffset, context);
    const { first, causes, suspicions, unexplained, last } = diagnosed({ ...config, until: one.until });
    expect({ dies: first.outcome.kind, silent: first.console === '' }).toEqual({
      dies: one.dies,
      silent: one.lastWords === '',
    });
    expect(first.console).toContain(one.lastWords);
    expect(causes.map(({ instruction, proof }) => [instruction.fileOffset, proof.held])).toEqual([
      [one.fileOffset, true],
    ]);
    expect({ suspicions, unexplained }).toEqual({ suspicions: [], unexplained: undefined });
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: one.until });
  });
});

describe('the choice of mutants', () => {
  it('is what the judge has seen to end so', () => {
    const judged = CASES.map(({ kernel, fileOffset, way }) => {
      const mutant = list.mutants.find((one) => one.kernel === kernel && one.fileOffset === fileOffset);
      return [mutant?.endings[way]?.verdict, mutant?.endings[way]?.lastWords];
    });
    expect(judged).toEqual(CASES.map(({ dies, lastWords }) => [dies, lastWords]));
  });
});

describe('a kernel as it is', () => {
  it('boots, without a finding', (context) => {
    const config = configOf({ kernel: CLOUD, way: 1 }, undefined, context);
    const { causes, suspicions, unexplained, last } = diagnosed(config);
    expect({ causes, suspicions, unexplained }).toEqual({ causes: [], suspicions: [], unexplained: undefined });
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner' });
  });
});

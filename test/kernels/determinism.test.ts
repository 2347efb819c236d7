// The same boot is the same everywhere: twice in a process, in slices of any size, in two processes at once.
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import type { BootJson } from '../../src/report/json.ts';
import { CMDLINE, configOf, imageOf, wanted } from './support.ts';

const NAME = 'debian-6.12-cloud';
/** In the midst of decompression, at an instruction that is no end of anything. */
const MIDWAY = 234_567_891n;
const ODD_SLICE = 7_777_777n;

interface Trace {
  readonly midway: string;
  readonly end: string;
  readonly instructions: number;
}

function advanceTo(run: BootRun, target: bigint, slice: bigint): void {
  const { engine } = run.machine;
  while (!run.outcome && engine.retired < target) {
    const left = target - engine.retired;
    run.advance(left < slice ? left : slice);
  }
}

function traced(image: Uint8Array, slice: bigint): Trace {
  const run = new BootRun(configOf(image));
  advanceTo(run, MIDWAY, slice);
  const midway = run.machine.stateHash();
  while (!run.advance(slice));
  const { outcome, stateHash } = run.result();
  return { midway, end: stateHash, instructions: Number(outcome.instructions) };
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** `firstlight boot IMAGE --json` in a process of its own. */
function inProcess(image: string): Promise<BootJson> {
  const args = ['dist/cli/main.js', 'boot', image, '--json', '--append', CMDLINE];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', () => {
      try {
        done(JSON.parse(output) as BootJson);
      } catch {
        failed(new Error(`no JSON: ${output.slice(0, 200)}`));
      }
    });
  });
}

describe('a boot with KASLR on', () => {
  let reference: Trace | undefined;
  const referenceOf = (image: Uint8Array): Trace => (reference ??= traced(image, 1_000_000_000n));

  // Builds where the sources are newer than the last build.
  beforeAll(() => void spawnSync(process.execPath, ['scripts/build/build.mjs'], { cwd: root }));

  it('passes the same state when it is run again in other slices', (context) => {
    const image = imageOf(wanted(NAME, context));
    expect(traced(image, ODD_SLICE)).toEqual(referenceOf(image));
  });

  it('ends in the same state in two processes at once', async (context) => {
    const file = wanted(NAME, context);
    const { end, instructions } = referenceOf(imageOf(file));
    const both = await Promise.all([inProcess(file.path), inProcess(file.path)]);
    const ends = both.map(({ outcome, stateHash }) => ({ instructions: outcome.instructions, end: stateHash }));
    expect(ends).toEqual([
      { instructions, end },
      { instructions, end },
    ]);
  });

  it('passes the same state where it is saved in one engine and goes on in another', (context) => {
    const image = imageOf(wanted(NAME, context));
    const config = configOf(image, { until: 'decompress' });
    const plain = new BootRun(config);
    const { outcome, stateHash } = runToEnd(plain);
    for (const [first, second] of [
      ['plain', 'exact'],
      ['exact', 'plain'],
      ['unfused', 'exact'],
    ] as const) {
      const run = new BootRun(config, undefined, true, first);
      run.advance(outcome.instructions / 2n);
      const reader = new SnapshotReader({ until: 'decompress', maxInstructions: config.maxInstructions }, second);
      for (const piece of snapshotOf(run)) reader.push(piece);
      expect(runToEnd(reader.finish()), `${first}, then ${second}`).toMatchObject({ outcome, stateHash });
    }
  });

  it('puts the kernel elsewhere with another seed', (context) => {
    const image = imageOf(wanted(NAME, context));
    const handoff = (seed: number) => {
      const run = new BootRun(configOf(image, { seed, until: 'handoff' }));
      while (!run.advance(1_000_000_000n));
      return { rip: run.machine.engine.state.rip, hash: run.result().stateHash };
    };
    const [one, other] = [handoff(0), handoff(1)];
    expect(other.rip).not.toBe(one.rip);
    expect(other.hash).not.toBe(one.hash);
  });
});

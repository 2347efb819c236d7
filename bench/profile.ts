// Which handlers a boot spends its instructions in: the measurement behind hotKeys (src/cpu/binding/handlers.ts) and the fused
// pairs. A development tool, not part of the benchmark.
//
//   npx tsx bench/profile.ts [--from STAGE] [--until STAGE] [--stride N] [--pairs] [--shapes] [IMAGE | KERNEL-NAME]...
//
// Samples rather than hooks: the plain engine is stopped after every N or so instructions, exactly, and the record it
// stands on is counted. Strides vary, so that no loop of the guest keeps step with them.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { drive, finish } from '../src/run/drive.ts';
import { BootRun } from '../src/run/run.ts';
import type { Stage } from '../src/run/stages.ts';
import { setV8Flags } from '../src/cli/v8Flags.ts';
import { buildEngine } from '../src/cpu/binding/module.ts';
import { allHandlers, hotKeys } from '../src/cpu/binding/handlers.ts';
import * as at from '../src/cpu/state/layout.ts';
import * as rec from '../src/cpu/binding/recordLayout.ts';
import { kernel } from '../test/support/kernels.ts';
import { CMDLINE } from './kernels.ts';

const DEFAULT_KERNELS = ['debian-6.1', 'debian-6.12-cloud'];

type Counts = Map<string, number>;
type Profile = { readonly single: Counts; readonly pairs: Counts; readonly shapes: Counts; samples: number };

const add = (counts: Counts, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};

/** Keys by number: the engine numbers its handlers the same way each time it is built. */
function keyNames(): string[] {
  const names: string[] = [];
  for (const [key, number] of buildEngine(allHandlers(), hotKeys).numbers) names[number] = key;
  return names;
}

/** The next stride, about `mean`: a linear congruential generator, so that two profiles are the same. */
function strides(mean: number): () => bigint {
  let seed = 1;
  return () => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return BigInt(mean - (mean >> 2) + (seed % (mean >> 1)));
  };
}

function sample(run: BootRun, names: readonly string[], profile: Profile): void {
  const view = new DataView(run.machine.memory.wasm.buffer);
  const pc = view.getUint32(at.PC, true);
  const key = (record: number): string => names[view.getUint16(record + rec.REC_HANDLER, true)] ?? '?';
  const first = key(pc);
  profile.samples++;
  add(profile.single, first);
  add(profile.pairs, `${first} + ${key(pc + rec.RECORD_BYTES)}`);
  if (!first.includes('m')) return;
  const has = (field: number): boolean => view.getUint16(pc + field, true) !== at.ZERO;
  add(profile.shapes, `${has(rec.REC_BASE) ? 'base ' : ''}${has(rec.REC_INDEX) ? 'index ' : ''}`);
}

function profileBoot(image: Uint8Array, from: Stage, until: Stage, mean: number): Profile {
  const names = keyNames();
  const profile: Profile = { single: new Map(), pairs: new Map(), shapes: new Map(), samples: 0 };
  const run = new BootRun({
    image,
    cpu: 'max',
    memoryBytes: 512 * 2 ** 20,
    cmdline: CMDLINE,
    until,
    maxInstructions: 10_000_000_000n,
    seed: 0,
  });
  const stride = strides(mean);
  finish(drive(run, { piece: stride }), () => {
    if (run.stages.has(from)) sample(run, names, profile);
  });
  return profile;
}

function print(title: string, counts: Counts, samples: number, limit: number): void {
  console.log(`\n${title}`);
  let sum = 0;
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  for (const [key, count] of sorted.slice(0, limit)) {
    sum += count;
    const share = (value: number): string => `${((100 * value) / samples).toFixed(2)} %`.padStart(8);
    console.log(`${share(count)} ${share(sum)}  ${key}`);
  }
  if (sorted.length > limit) console.log(`${' '.repeat(19)} and ${sorted.length - limit} more`);
}

function main(): void {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = { from: text, until: text, stride: text, limit: text, pairs: flag, shapes: flag };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  setV8Flags();
  for (const name of positionals.length ? positionals : DEFAULT_KERNELS) {
    const image = new Uint8Array(readFileSync(kernel(name)?.path ?? name));
    const from = (values.from ?? 'decompress') as Stage;
    const profile = profileBoot(image, from, (values.until ?? 'banner') as Stage, Number(values.stride ?? 20_000));
    const { samples } = profile;
    const limit = Number(values.limit ?? 200);
    console.log(`\n== ${name}: ${samples} samples`);
    print('handlers', profile.single, samples, limit);
    if (values.pairs) print('followed by', profile.pairs, samples, limit);
    if (values.shapes) print('memory operands', profile.shapes, samples, limit);
  }
}

main();

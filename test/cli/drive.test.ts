import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { drive, nextSlice } from '../../src/cli/drive.ts';
import { exitCodeOf } from '../../src/cli/exit.ts';
import { Screen } from '../../src/cli/screen.ts';
import { BAD, endlessImage, type FakeOptions, fakeIo, GOOD } from './fakeIo.ts';

const config = (path: string, more: Partial<RunConfig> = {}): RunConfig => ({
  image: readFileSync(path),
  cpu: 'max',
  memoryBytes: 64 << 20,
  cmdline: '',
  until: 'banner',
  maxInstructions: 1_000_000n,
  seed: 0,
  ...more,
});

describe('the length of a slice', () => {
  it.each([
    ['grows towards 60 ms', 1_000_000, 30, 2_000_000],
    ['stays at 60 ms', 5_000_000, 60, 5_000_000],
    ['shrinks when a slice took too long', 5_000_000, 600, 500_000],
    ['grows by no more than four times', 1_000_000, 0, 4_000_000],
    ['is never too short to get on', 10_000, 5000, 10_000],
    ['has a bound', 900_000_000, 1, 1_000_000_000],
  ])('%s', (_name, slice, elapsed, next) => {
    expect(nextSlice(slice, elapsed)).toBe(next);
  });
});

describe('a run', () => {
  const driven = async (run: BootRun, options: FakeOptions = {}) => {
    const io = fakeIo(options);
    const ended = await drive(run, io, new Screen(io), true);
    return { ended, listeners: io.listeners(), ...io.written };
  };

  it('goes on to its outcome', async () => {
    const run = new BootRun(config(GOOD));
    expect(await driven(run)).toMatchObject({ ended: 'outcome', listeners: 0 });
    expect(run.outcome?.kind).toBe('stage-reached');
  });

  const endless = (): BootRun => new BootRun(config(GOOD, { image: endlessImage(), maxInstructions: 100_000_000n }));

  it('stops at Ctrl-C, with the processor between two instructions', async () => {
    const run = endless();
    expect(await driven(run, { interrupt: true })).toMatchObject({ ended: 'interrupted', listeners: 0 });
    expect(run.machine.engine.retired).toBe(1_000_000n);
  });

  it('stops when nobody reads its output any more', async () => {
    expect(await driven(endless(), { outputClosed: true })).toMatchObject({ ended: 'output-closed', listeners: 0 });
  });

  it('shows how it gets on, and takes that away again', async () => {
    const { stderr } = await driven(endless(), { terminal: true, interrupt: true, env: { NO_COLOR: '1' } });
    const [, shown, cleared] = stderr.split('\r');
    expect(shown).toMatch(/^1,000,000 instructions, \d+ M\/s, stage entry$/);
    expect(cleared).toBe(' '.repeat(shown?.length ?? 0));
  });

  it('says how it gets on every few seconds where there is no terminal, and not more often', async () => {
    const { stderr, stdout } = await driven(endless(), { clockStep: 30 });
    const lines = stderr.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.length).toBeLessThan(20);
    for (const line of lines) expect(line).toMatch(/^firstlight: [\d,]+ instructions, \d+ M\/s, stage entry$/);
    expect(stdout).toBe('');
  });

  it('looks up after a second where a slice takes much longer than it was meant to', async () => {
    const run = endless();
    await driven(run, { clockStep: 2000, interrupt: true });
    expect(run.machine.engine.retired).toBe(500_000n);
  });

  it.each([
    ['good', GOOD],
    ['bad', BAD],
  ])('ends in the same state however it is cut: %s', (_name, path) => {
    const hashWith = (slice: bigint): string => {
      const run = new BootRun(config(path));
      while (!run.advance(slice));
      return `${run.result().stateHash} after ${run.result().outcome.instructions}`;
    };
    const whole = hashWith(1_000_000n);
    expect([hashWith(1n), hashWith(7n), hashWith(100n)]).toEqual([whole, whole, whole]);
  });
});

describe('the exit code', () => {
  it.each([
    ['stage-reached', 0],
    ['triple-fault', 1],
    ['reset', 1],
    ['halt', 1],
    ['hang', 1],
    ['panic', 1],
    ['instruction-limit', 3],
  ] as const)('of %s is %d', (kind, code) => {
    expect(exitCodeOf({ outcome: { kind } })).toBe(code);
  });
});

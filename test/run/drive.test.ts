// One driver: it stops where it is told to, may be left at any piece, and does not show in the run.
import { describe, expect, it } from 'vitest';
import { drive, finish, type Going, runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { restlessGuest } from './snapshotGuest.ts';

const start = (): BootRun => new BootRun(restlessGuest({ maxInstructions: 4_000n }));

describe('a driven run', () => {
  const whole = runToEnd(start());

  it('goes on to its outcome, and tells of each piece before', () => {
    const run = start();
    const seen: Going[] = [];
    const outcome = finish(drive(run, { piece: () => 1_500n }), (going) => seen.push(going));
    expect(outcome).toEqual(whole.outcome);
    expect(seen.map(({ instructions }) => instructions)).toEqual([1_500n, 3_000n]);
    expect(seen[0]?.stage).toBe('handoff');
    expect(run.result().stateHash).toBe(whole.stateHash);
  });

  it('stops at a count, whatever its pieces are, and goes on from there', () => {
    const run = start();
    expect(finish(drive(run, { until: 1_001n, piece: () => 300n }))).toBeUndefined();
    expect(run.machine.engine.retired).toBe(1_001n);
    expect(finish(drive(run, { until: 1_001n }))).toBeUndefined();
    expect(run.machine.engine.retired).toBe(1_001n);
    expect(runToEnd(run).stateHash).toBe(whole.stateHash);
  });

  it('may be left behind any piece', () => {
    const run = start();
    for (const { instructions } of drive(run, { piece: () => 100n })) if (instructions >= 700n) break;
    expect(run.machine.engine.retired).toBe(700n);
    expect(runToEnd(run).stateHash).toBe(whole.stateHash);
  });

  it('has pieces as long as they are asked for each time', () => {
    let next = 0n;
    const run = start();
    const seen: bigint[] = [];
    const work = drive(run, { until: 10n, piece: () => ++next });
    finish(work, ({ instructions }) => seen.push(instructions));
    expect(seen).toEqual([1n, 3n, 6n, 10n]);
  });
});

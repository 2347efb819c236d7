import { describe, expect, it } from 'vitest';
import { roomFor, Work } from '../../src/diagnose/trials.ts';

describe('the room of a changed boot', () => {
  it('is ten times a short death, and the way to the next stage', () => {
    expect(roomFor({ kind: 'triple-fault', instructions: 1000n, stage: 'entry' })).toBe(300_010_000n);
  });

  it('of a death that took long is not many times as much', () => {
    expect(roomFor({ kind: 'hang', instructions: 2_000_000_000n, stage: 'entry' })).toBe(2_800_000_000n);
  });

  it('does not count how long was waited where nothing died', () => {
    expect(roomFor({ kind: 'no-progress', instructions: 5_000_000_000n, stage: 'entry' })).toBe(300_000_000n);
  });
});

describe('the work of all trials', () => {
  it('is over when its boots have taken too long together', () => {
    const work = new Work({ stage: 'entry' });
    work.add({ instructions: 23_999_999_999n });
    expect(work.isOver).toBe(false);
    work.add({ instructions: 1n });
    expect(work.isOver).toBe(true);
  });

  it('is less for a kernel that has spoken', () => {
    const work = new Work({ stage: 'banner' });
    work.add({ instructions: 8_000_000_000n });
    expect(work.isOver).toBe(true);
  });
});

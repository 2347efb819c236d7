import { describe, expect, it } from 'vitest';
import { complaints } from '../../src/diagnose/complaints.ts';

describe('what a guest says of its death itself', () => {
  it('begins with the first grave line, not with the last one', () => {
    const said = [
      '[    0.000000] Linux version 6.1.0',
      '[    0.100000] pci 0000:00:01.0: BAR 1: failed to assign',
      '[    0.200000] BUG: kernel NULL pointer dereference, address: 0000000000000010',
      '[    0.200001] #PF: supervisor read access in kernel mode',
      '[    0.200002] Oops: 0000 [#1] PREEMPT SMP',
      '[    0.300000] Kernel panic - not syncing: Fatal exception',
      '[    0.300001] ---[ end Kernel panic - not syncing: Fatal exception ]---',
    ].join('\r\n');
    expect(complaints(said)).toEqual([
      'pci 0000:00:01.0: BAR 1: failed to assign',
      'BUG: kernel NULL pointer dereference, address: 0000000000000010',
      'Oops: 0000 [#1] PREEMPT SMP',
      'Kernel panic - not syncing: Fatal exception',
      '---[ end Kernel panic - not syncing: Fatal exception ]---',
    ]);
  });

  it('is nothing where no line is grave, whatever was warned of', () => {
    expect(complaints('WARNING: an old BIOS\nready\n')).toEqual([]);
  });

  it('says each line once, and no more than eight', () => {
    const panics = Array.from({ length: 20 }, (_, n) => `panic ${n}`);
    expect(complaints(['panic 0', ...panics].join('\n'))).toEqual(panics.slice(0, 8));
  });

  it('of warnings before it only the last three', () => {
    const warned = Array.from({ length: 9 }, (_, n) => `warning ${n}`);
    expect(complaints([...warned, 'PANIC'].join('\n'))).toEqual(['warning 6', 'warning 7', 'warning 8', 'PANIC']);
  });
});

// The debug-exit port from the guest's side: what a run makes of it.

import { describe, expect, it } from 'vitest';
import { endedAsAsked } from '../../src/run/run.ts';
import { createDebugExit } from '../../src/devices/debugPorts.ts';
import { recorded } from './support.ts';

describe('the debug-exit port', () => {
  it('reads as 0, and that is no exit', () => {
    const exits = recorded<number>();
    const chip = createDebugExit({ exit: exits.call });
    expect([chip.read(0, 1), chip.read(0, 4), exits.heard]).toEqual([0, 0, []]);
  });

  it.each([
    [1, true],
    [3, false],
    [0x101, false],
  ])('exit code %i is success: %s', (code, success) => {
    expect(endedAsAsked({ kind: 'debug-exit', code }, 'banner')).toBe(success);
    expect(endedAsAsked({ kind: 'debug-exit', code }, 'end')).toBe(success);
  });
});

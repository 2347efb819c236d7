import { describe, expect, it } from 'vitest';
import { hintLines } from '../../src/report/hints.ts';
import { CONFIG, outcomeOf } from './result.ts';

const HALT = outcomeOf({ kind: 'halt', rip: 1n, interruptsEnabled: false });

describe('what a guest says it lacks', () => {
  it.each([
    ['Xen', '(XEN) Xen dom0 kernel not specified. Check bootloader configuration', /no kernel for Xen's first domain/],
    ['Mach', 'panic ../kern/bootstrap.c:181: No bootstrap code loaded with the kernel!', /programs that Mach starts/],
  ])('%s: its modules, where none was given', (_, console, hint) => {
    expect(hintLines(CONFIG, HALT, { console })).toEqual([expect.stringMatching(hint)]);
    const modules = [{ bytes: new Uint8Array(1), text: '' }];
    expect(hintLines({ ...CONFIG, modules }, HALT, { console })).toEqual([]);
    expect(hintLines(CONFIG, HALT, { console: 'all is well' })).toEqual([]);
  });
});

// The call trace that belongs to a panic, as kernels print it.
import { describe, expect, it } from 'vitest';
import { callTrace } from '../../src/run/panic.ts';

const PANIC = '[    1.163997] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
const TRACE = [
  '[    1.164370] Call Trace:',
  '[    1.164412]  <TASK>',
  '[    1.164449]  panic+0x344/0x3a0',
  '[    1.164728]  ? __pfx_kernel_init+0x10/0x10 [a_module]',
  '[    1.164797]  kernel_init.cold+0x1a/0x1c0',
  '[    1.165057]  </TASK>',
];
const FRAMES = ['panic+0x344/0x3a0', '? __pfx_kernel_init+0x10/0x10 [a_module]', 'kernel_init.cold+0x1a/0x1c0'];
const END = '[    1.165098] Kernel Offset: disabled';
const printed = (...lines: string[]): string => `${lines.join('\r\n')}\r\n`;

describe('the call trace of a panic', () => {
  it('has the frames behind the message, without what printk puts before them', () => {
    expect(callTrace(printed('[    0.0] Call Trace:', ' warned+0x1/0x2', PANIC, ...TRACE, END))).toEqual(FRAMES);
  });

  it('is that of the oops before, where the kernel prints no other', () => {
    expect(callTrace(printed(...TRACE, '[    1.2] RIP: 0010:f+0x1/0x2', PANIC, END))).toEqual(FRAMES);
  });

  it('may be cut short, or have names of speakers', () => {
    const spoken = printed(PANIC, '[    1.1][    T1] Call Trace:', '[    1.1][    T1]  panic+0x344/0x3a0');
    expect(callTrace(spoken)).toEqual(FRAMES.slice(0, 1));
  });

  it('is bounded', () => {
    expect(callTrace(printed(PANIC, 'Call Trace:', ...Array<string>(1000).fill(' f+0x1/0x2')))).toHaveLength(100);
  });

  it('is empty without a panic, and of a panic without one', () => {
    expect([callTrace(''), callTrace(printed(...TRACE)), callTrace(printed(PANIC, END))]).toEqual([[], [], []]);
  });
});

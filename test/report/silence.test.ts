// A run of which nothing was heard: what it wrote to, as far as that was seen.
import { describe, expect, it } from 'vitest';
import { BootRun } from '../../src/run/run.ts';
import { silenceLines } from '../../src/report/silence.ts';
import { configOf } from '../diagnose/support.ts';
import { makeElf } from '../image/synthetic.ts';

const ENTRY = 0x1000000n;
/** cli; hlt */
const HALT = [0xfa, 0xf4];

/** What is said of a guest that runs these instructions and halts. */
function said(...code: readonly number[]): string {
  const bytes = Uint8Array.from([...code, ...HALT]);
  const image = makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
  const run = new BootRun(configOf(image, { until: 'end', maxInstructions: 1_000_000n }));
  while (!run.advance(1_000_000n));
  return silenceLines(run.result()).join('\n');
}

/** mov $port,%dx; mov $'x',%al; out %al,(%dx) */
const puts = (port: number): number[] => [0x66, 0xba, port & 0xff, port >> 8, 0xb0, 0x78, 0xee];

describe('where a silent guest wrote to', () => {
  it.each([
    [0x2f8, 'COM2 (ttyS1)'],
    [0x3e8, 'COM3 (ttyS2)'],
    [0x2e8, 'COM4 (ttyS3)'],
    [0x378, 'the printer port LPT1'],
    [0x402, "the firmware's debug port 0x402"],
  ])('port %i: %s', (port, name) => {
    expect(said(...puts(port), ...puts(port))).toBe(
      `it wrote 2 times to ${name}, where nobody listens: what is read is COM1 (ttyS0) and port 0xe9`,
    );
  });

  it.each([0x3f8, 0xe9])('is not asked where it was heard, at port %i', (port) => {
    expect(said(...puts(0x2f8), ...puts(port))).toBe('');
  });

  it('is nothing where it only looked', () => {
    // mov $0x2f8,%dx; in (%dx),%al
    expect(said(0x66, 0xba, 0xf8, 0x02, 0xec)).toBe('');
  });

  it('the text screen, with what stands there', () => {
    // movl $0x074b074f,0xb8000
    expect(said(0xc7, 0x04, 0x25, 0, 0x80, 0x0b, 0, 0x4f, 0x07, 0x4b, 0x07)).toMatch(
      /^it wrote on the text screen.*:\n {2}OK$/,
    );
  });

  it('a frame buffer: memory where nothing answers', () => {
    // mov $0xfd000000,%edi; mov $200,%ecx; rep stosl
    expect(said(0xbf, 0, 0, 0, 0xfd, 0xb9, 200, 0, 0, 0, 0xf3, 0xab)).toMatch(
      /^it accessed memory from 0xfd000000 on 200 times/,
    );
  });
});

import { describe, expect, it } from 'vitest';
import { chainLines } from '../../src/run/chain.ts';
import { outcomeDetails, outcomeText, stageText } from '../../src/report/outcome.ts';
import { unimplementedLines } from '../../src/report/unimplemented.ts';
import { outcomeOf, resultOf } from './result.ts';

const CHAIN = [
  { vector: 6, rip: 0x9e000n, reason: 'IDT limit 0x0: no gate 6', met: { vector: 13, error: 0x33 } },
  { vector: 13, error: 0x33, rip: 0x9e000n, reason: 'IDT limit 0x0: no gate 13', met: { vector: 13, error: 0x6b } },
  { vector: 8, error: 0, rip: 0x9e000n, reason: 'gate 8 not present', met: { vector: 11, error: 0x43 } },
];
const WHEN = 'after 1,234,567 instructions (1.234 ms of guest time), last stage: decompress';

describe('an outcome in one line', () => {
  it.each([
    [{ kind: 'triple-fault', chain: CHAIN }, `triple fault: #UD at 0x9e000; ${WHEN}`],
    [{ kind: 'triple-fault', chain: [] }, `triple fault: no exception on record; ${WHEN}`],
    [
      { kind: 'reset', source: '8042' },
      `the guest reset the machine through the keyboard controller (port 0x64); ${WHEN}`,
    ],
    [
      { kind: 'reset', source: 'port92' },
      `the guest reset the machine through system control port A (port 0x92); ${WHEN}`,
    ],
    [
      { kind: 'reset', source: 'cf9' },
      `the guest reset the machine through the chipset's reset control register (port 0xcf9); ${WHEN}`,
    ],
    [
      { kind: 'halt', rip: 0x9e043n, interruptsEnabled: false },
      `halted for ever: HLT before 0x9e043, with interrupts off; ${WHEN}`,
    ],
    [{ kind: 'hang', rip: 0x9e000n, rule: 'nothing moved' }, `hang at 0x9e000: nothing moved; ${WHEN}`],
    [
      { kind: 'panic', message: 'Kernel panic - not syncing: \x1b[2JVFS', callTrace: [] },
      `the kernel gave up: Kernel panic - not syncing: \\x1b[2JVFS; ${WHEN}`,
    ],
    [
      { kind: 'instruction-limit', rip: 0xffffffff81000000n },
      `instruction limit reached, at 0xffffffff81000000; ${WHEN}`,
    ],
    [{ kind: 'powered-off' }, `powered off; ${WHEN}`],
    [{ kind: 'text-seen', text: 'Pass:  1' }, `the guest said "Pass:  1"; ${WHEN}`],
    [{ kind: 'stage-reached' }, 'reached decompress after 1,234,567 instructions (1.234 ms of guest time)'],
  ] as const)('$kind', (ending, text) => {
    expect(outcomeText(outcomeOf(ending))).toBe(text);
  });

  it('is like the line of a stage', () => {
    expect(stageText({ name: 'handoff', instructions: 1n, guestTime: 1n })).toBe(
      'stage handoff after 1 instruction (1 ns of guest time)',
    );
  });
});

describe('the chain of a triple fault', () => {
  it('goes from the first exception to the shutdown', () => {
    expect(chainLines(CHAIN)).toEqual([
      '#UD at 0x9e000',
      '-> #GP(0x33) while that was delivered: IDT limit 0x0: no gate 6',
      '-> #GP(0x6b) while that was delivered: IDT limit 0x0: no gate 13',
      '-> #DF(0x0), the double fault',
      '-> #NP(0x43) while that was delivered: gate 8 not present',
      '-> shutdown; a PC resets',
    ]);
  });

  it('has the addresses of page faults', () => {
    const met = { vector: 14, error: 0, cr2: 0xfffffe0000000000n };
    const lines = chainLines([{ vector: 14, error: 2, cr2: 0xdead000n, rip: 0x1000n, reason: 'reading gate 14', met }]);
    expect(lines.slice(0, 2)).toEqual([
      '#PF(0x2) on address 0xdead000 at 0x1000',
      '-> #PF(0x0) on address 0xfffffe0000000000 while that was delivered: reading gate 14',
    ]);
  });
});

describe('the details of an outcome', () => {
  it('say that nothing was printed', () => {
    expect(outcomeDetails(resultOf({ kind: 'halt', rip: 1n, interruptsEnabled: false }), 'banner')).toEqual([
      'nothing was printed on the console',
    ]);
  });

  it('give the last words', () => {
    const console = 'one\r\n\r\n -- System halted\x07\r\n\n';
    expect(
      outcomeDetails(resultOf({ kind: 'halt', rip: 1n, interruptsEnabled: false }, { console }), 'banner'),
    ).toEqual(['28 bytes were printed on the console; the last line: "-- System halted\\x07"']);
  });

  it('bound the last words', () => {
    const console = 'x'.repeat(1000);
    const [line] = outcomeDetails(resultOf({ kind: 'halt', rip: 1n, interruptsEnabled: false }, { console }), 'banner');
    expect(line).toBe(`1,000 bytes were printed on the console; the last line: "${'x'.repeat(200)}..."`);
  });

  it('know blank words', () => {
    const of = (console: string) =>
      outcomeDetails(resultOf({ kind: 'halt', rip: 1n, interruptsEnabled: false }, { console }), 'banner');
    expect([of('\n'), of(' \r\n')]).toEqual([
      ['1 byte was printed on the console, all of it blank'],
      ['3 bytes were printed on the console, all of it blank'],
    ]);
  });

  it('are silent about the console when all went well', () => {
    expect(outcomeDetails(resultOf({ kind: 'stage-reached' }, { console: 'Linux version' }), 'banner')).toEqual([]);
    expect(outcomeDetails(resultOf({ kind: 'powered-off' }, { console: 'Power down' }), 'end')).toEqual([]);
  });

  it('have the call trace of a panic, of a long one the beginning', () => {
    const callTrace = Array.from({ length: 22 }, (_, i) => `frame${i}+0x1/0x2`);
    const lines = outcomeDetails(resultOf({ kind: 'panic', message: 'Kernel panic', callTrace }), 'end');
    expect(lines.slice(0, 2)).toEqual(["the kernel's call trace:", '  frame0+0x1/0x2']);
    expect(lines.slice(20, 22)).toEqual(['  frame19+0x1/0x2', '  and 2 more']);
  });

  it('name devices that a PC may lack after a death, and after a good end only what else was missing', () => {
    const unimplemented = [
      { what: 'port 0x2f9: read', device: 'COM2', count: 1 },
      { what: 'wrmsr 0x10', count: 1 },
    ];
    const heading = 'the guest asked for what this machine does not have:';
    const off = resultOf({ kind: 'powered-off' }, { unimplemented });
    expect(outcomeDetails(off, 'end')).toEqual([heading, '  wrmsr 0x10']);
    expect(outcomeDetails(off, 'banner').slice(-3)).toEqual([heading, '  port 0x2f9: read (COM2)', '  wrmsr 0x10']);
  });

  it('indent the chain', () => {
    expect(outcomeDetails(resultOf({ kind: 'triple-fault', chain: CHAIN }), 'banner')[0]).toBe('  #UD at 0x9e000');
  });
});

describe('what is not implemented', () => {
  const wishes = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ what: `port ${i}`, count: i === 0 ? 1 : 1000 * i }));

  it('is listed in the order it was asked for', () => {
    expect(unimplementedLines(wishes(2))).toEqual([
      'the guest asked for what this machine does not have:',
      '  port 0',
      '  port 1 (1,000 times)',
    ]);
  });

  it('is nothing where there is nothing', () => {
    expect(unimplementedLines([])).toEqual([]);
  });

  it('is counted beyond ten lines', () => {
    expect(unimplementedLines(wishes(10))).toHaveLength(11);
    expect(unimplementedLines(wishes(13)).slice(10)).toEqual(['  port 9 (9,000 times)', '  and 3 more']);
  });
});

// How a guest ends a run itself, and the stage init, on small guests of a few instructions.
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, endedAsAsked, type Goal, type RunConfig } from '../../src/run/run.ts';
import { makeElf } from '../image/synthetic.ts';

const ENTRY = 0x1000000n;
/** mov $port,%dx; mov $value,%ax; out %ax,(%dx) */
const outWord = (port: number, value: number): number[] => [
  ...[0x66, 0xba, port & 0xff, port >> 8],
  ...[0x66, 0xb8, value & 0xff, value >> 8],
  ...[0x66, 0xef],
];
/** mov $msr,%ecx; mov $high,%edx; mov $low,%eax; wrmsr */
const wrmsr = (msr: number, high: number, low: number): number[] =>
  [[0xb9, msr] as const, [0xba, high] as const, [0xb8, low] as const]
    .flatMap(([opcode, value]) => [opcode, ...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)])
    .concat([0x0f, 0x30]);
const SLP_EN_S5 = 0x3400;
const POWER_OFF = outWord(0x604, SLP_EN_S5);
/** cli; hlt */
const HALT = [0xfa, 0xf4];
const EFER = 0xc0000080;
const EFER_SCE_LME_LMA = 0x501;
const STAR = 0xc0000081;
/** Six instructions up to SYSRET's end: STAR and EFER.SCE set, RCX to what follows, R11 to flags. */
const TO_USER_MODE = [
  ...wrmsr(EFER, 0, EFER_SCE_LME_LMA),
  ...wrmsr(STAR, 0x00100008, 0),
  ...[0x48, 0x8d, 0x0d, 0x09, 0x00, 0x00, 0x00], // lea 9(%rip),%rcx
  ...[0x41, 0xbb, 0x02, 0x00, 0x00, 0x00], // mov $2,%r11d
  ...[0x48, 0x0f, 0x07], // sysretq
];

function run(code: readonly number[], until: Goal = 'end', more: Partial<RunConfig> = {}) {
  const bytes = Uint8Array.from(code);
  const image = makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
  const boot = new BootRun({
    image,
    cpu: 'max',
    memoryBytes: 64 << 20,
    cmdline: '',
    until,
    maxInstructions: 1000n,
    seed: 0,
    ...more,
  });
  return { ...runToEnd(boot), boot };
}

describe('a guest that powers off', () => {
  it('ends the run with the instruction that does it', () => {
    const { outcome, unimplemented } = run([...POWER_OFF, ...HALT]);
    expect({ outcome, unimplemented }).toMatchObject({ outcome: { kind: 'powered-off', instructions: 3n } });
  });

  it('has reached no stage that was asked for', () => {
    const { outcome } = run(POWER_OFF, 'banner');
    expect([outcome.kind, endedAsAsked(outcome, 'banner')]).toEqual(['powered-off', false]);
  });
});

describe('a text that is waited for', () => {
  /** mov $letter,%al; mov $0x3f8,%dx; out %al,(%dx) */
  const print = (letter: string): number[] => [0xb0, letter.charCodeAt(0), 0x66, 0xba, 0xf8, 0x03, 0xee];

  it('ends the run at its last byte on the console', () => {
    const { outcome, console } = run('ready'.split('').flatMap(print), 'end', { untilText: 'ead' });
    expect(console).toBe('read');
    expect(outcome).toMatchObject({ kind: 'text-seen', text: 'ead', instructions: 12n });
    expect(endedAsAsked(outcome, 'end')).toBe(true);
  });

  it('ends the run when the text screen shows it, at the next look', () => {
    // movl $0x074b074f,0xb8000 in 64-bit code ("OK" in grey); jmp .
    const code = [0xc7, 0x04, 0x25, 0x00, 0x80, 0x0b, 0x00, 0x4f, 0x07, 0x4b, 0x07, 0xeb, 0xfe];
    const { outcome, screen } = run(code, 'end', { untilText: 'OK', maxInstructions: 50_000_000n });
    expect(outcome).toMatchObject({ kind: 'text-seen', instructions: 10_000_000n });
    expect(screen).toEqual(['OK']);
  });
});

describe('the stage init', () => {
  it('is the first instruction in user mode', () => {
    const { outcome, stages, boot } = run(TO_USER_MODE, 'init');
    expect(outcome).toMatchObject({ kind: 'stage-reached', stage: 'init', instructions: 11n });
    expect(stages.at(-1)).toMatchObject({ name: 'init', instructions: 11n });
    const { state } = boot.machine.engine;
    expect([state.cpl, state.rip]).toEqual([3, ENTRY + BigInt(TO_USER_MODE.length)]);
  });

  it('is passed on the way to the end', () => {
    // Nothing is mapped for user mode: the fetch faults, and there is no IDT.
    const { outcome, stages } = run(TO_USER_MODE);
    expect([outcome.kind, outcome.stage]).toEqual(['triple-fault', 'init']);
    expect(stages.map(({ name }) => name)).toEqual(['entry', 'handoff', 'init']);
  });
});

describe('an end', () => {
  it.each([
    ['powered-off', 'init', 'end', true],
    ['powered-off', 'banner', 'end', true],
    ['powered-off', 'banner', 'init', false],
    ['reset', 'init', 'end', true],
    ['reset', 'banner', 'end', false],
    ['reset', 'init', 'banner', false],
    ['panic', 'init', 'end', false],
    ['triple-fault', 'init', 'end', false],
    ['stage-reached', 'handoff', 'handoff', true],
  ] as const)('by %s at %s, where %s was asked for: %s', (kind, stage, until, asked) => {
    expect(endedAsAsked({ kind, stage }, until)).toBe(asked);
  });
});

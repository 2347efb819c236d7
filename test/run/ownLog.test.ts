// Kernels that say nothing on the console, only in a log of their own: small guests, 64-bit code at 16 MiB with a text
// behind it, which they copy elsewhere as printk does.
import { describe, expect, it } from 'vitest';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { LOG_GRACE, LOG_LOOK } from '../../src/run/ownLog.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import { concat, makeElf } from '../image/synthetic.ts';

const ENTRY = 0x1000000n;
const LOG = 0x1200000;
const CHUNK = 0x10000;
const BANNER = 'Linux version 9.9 (somebody@somewhere)';
const PANIC = 'Kernel panic - not syncing: all is lost';
const HALT = 'faf4'; // cli; hlt
const UD2 = '0f0b';
const OFF = '66ba040666b8003466ef'; // mov $0x604,%dx; mov $0x3400,%ax; out %ax,(%dx)
/** cld; 1: lodsb; test %al,%al; jz 2f; mov $0x3f8,%dx; out %al,(%dx); jmp 1b; 2: */
const PRINTS = 'fcac84c0740766baf803eeebf4';

const le32 = (value: number): string => Buffer.from(Int32Array.of(value).buffer).toString('hex');

/** mov $turns,%ecx; 1: dec %ecx; jnz 1b: two instructions a turn */
const wait = (instructions: bigint): string => `b9${le32(Number(instructions) / 2)}ffc975fc`;

type Kernel = {
  /** What stands in its image, and is logged unless `logs` says less. */
  readonly texts: readonly string[];
  readonly logs?: number;
  readonly logAt?: number;
  /** Printed on the console. */
  readonly prints?: string;
  readonly ends: string;
};

function imageOf({ texts, logs = texts.length, logAt = LOG, prints, ends }: Kernel): Uint8Array {
  const all = texts.map((text) => `${text}\0`);
  const logged = all.slice(0, logs).join('').length;
  const head = 7 + 5 + 5 + 2;
  const printing = prints === undefined ? 0 : 7 + PRINTS.length / 2;
  const body = head + printing + ends.length / 2;
  const code = [
    `488d35${le32(body - 7)}bf${le32(logAt)}b9${le32(logged)}f3a4`, // lea; mov; mov; rep movsb
    ...(prints === undefined ? [] : [`488d35${le32(body - head - 7 + all.join('').length)}${PRINTS}`]),
    ends,
  ];
  const text = new TextEncoder().encode(`${all.join('')}${prints ?? ''}\0`);
  const bytes = concat([bytesOfHex(code.join('')), text]);
  return makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
}

const start = (kernel: Kernel, more: Partial<RunConfig> = {}): BootRun =>
  new BootRun({
    ...{ image: imageOf(kernel), cpu: 'max', memoryBytes: 64 << 20, cmdline: '', until: 'end', seed: 0 },
    maxInstructions: 3_000_000_000n,
    ...more,
  });
const boot = (kernel: Kernel, more: Partial<RunConfig> = {}) => runToEnd(start(kernel, more)).outcome;

describe('a kernel that says its first line only in its log', () => {
  it('has come to banner, where it ends', () => {
    expect(boot({ texts: [BANNER], ends: UD2 })).toMatchObject({ kind: 'triple-fault', stage: 'banner' });
  });

  it('has not, where that line only stands in its image', () => {
    expect(boot({ texts: [BANNER], logs: 0, ends: UD2 })).toMatchObject({ kind: 'triple-fault', stage: 'handoff' });
  });

  it('has come to banner when no console has shown it for a while', () => {
    const outcome = boot({ texts: [BANNER], ends: wait(2_000_000_000n) + OFF }, { until: 'banner' });
    expect(outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner', instructions: LOG_LOOK + LOG_GRACE });
  });

  it('goes on as if it had been heard, and may give up later', () => {
    const logsMore = `b9${le32(PANIC.length)}f3a4`; // mov; rep movsb, from where the first ended
    const outcome = boot({ texts: [BANNER, PANIC], logs: 1, ends: wait(800_000_000n) + logsMore + HALT });
    expect(outcome).toMatchObject({ kind: 'panic', message: PANIC, stage: 'banner' });
    expect(outcome.instructions).toBeLessThan(800_100_000n);
  });

  it('is found where the text lies in two chunks of memory', () => {
    const kernel: Kernel = { texts: [BANNER], logAt: LOG + CHUNK - 5, ends: UD2 };
    expect(boot(kernel)).toMatchObject({ stage: 'banner' });
  });

  it('comes to the same from a snapshot', () => {
    const kernel: Kernel = { texts: [BANNER], ends: wait(2_000_000_000n) + OFF };
    const run = start(kernel, { until: 'banner' });
    while (run.machine.engine.retired < 300_000_000n && run.advance(10_000_000n) === undefined);
    const reader = new SnapshotReader({ until: 'banner', maxInstructions: run.config.maxInstructions });
    for (const piece of snapshotOf(run)) reader.push(piece);
    expect(runToEnd(reader.finish()).outcome).toMatchObject({
      kind: 'stage-reached',
      instructions: LOG_LOOK + LOG_GRACE,
    });
  });
});

describe('a kernel that gives up and says so only in its log', () => {
  it('has panicked, where it halts', () => {
    expect(boot({ texts: [BANNER, PANIC], ends: HALT })).toMatchObject({
      kind: 'panic',
      message: PANIC,
      stage: 'banner',
    });
  });

  it('has panicked, where it waits for ever', () => {
    const outcome = boot({ texts: [BANNER, PANIC], ends: wait(2_000_000_000n) + HALT });
    expect(outcome).toMatchObject({ kind: 'panic', message: PANIC, instructions: 2n * LOG_LOOK });
  });

  it('is told of by the line that says so first', () => {
    const texts = [`---[ end ${PANIC} ]---`, PANIC];
    expect(boot({ texts, ends: HALT })).toMatchObject({ kind: 'panic', message: PANIC });
  });

  it('has not, where only the form of such a line was copied', () => {
    const form = 'Kernel panic - not syncing: %s';
    expect(boot({ texts: [BANNER, form], ends: HALT })).toMatchObject({ kind: 'halt', stage: 'banner' });
  });

  it('has not, where its image alone has such a line', () => {
    expect(boot({ texts: [BANNER, PANIC], logs: 1, ends: HALT })).toMatchObject({ kind: 'halt', stage: 'banner' });
  });

  it('dies of what it dies of: an exception is no way to give up', () => {
    expect(boot({ texts: [BANNER, PANIC], ends: UD2 })).toMatchObject({ kind: 'triple-fault', stage: 'banner' });
  });

  it('is believed on the console, where it speaks there', () => {
    const outcome = boot({ texts: [PANIC], prints: `${BANNER}\n`, ends: HALT });
    expect(outcome).toMatchObject({ kind: 'halt', stage: 'banner' });
  });
});

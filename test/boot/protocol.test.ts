// A boot protocol is one file and one row: here one of a test's own, for a flat binary at a fixed address, in all that
// the product asks of a protocol.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bootImage, entries, protocolOf, readImage } from '../../src/boot/boot.ts';
import { entryState, gdtBytes } from '../../src/boot/entry-state.ts';
import { e820Table } from '../../src/boot/layout.ts';
import type { BootProtocol } from '../../src/boot/protocol.ts';
import { PROTOCOLS } from '../../src/boot/protocols/table.ts';
import { withOurWords } from '../../src/run/cmdline.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import { firstlight } from '../cli/fakeIo.ts';
import { makeBzImage } from '../image/synthetic.ts';
import { testMemory } from './memory.ts';
import { makeElf32, multibootHeader } from './programs.ts';

const AT = 0x20000;
const GDT = 0x1000;
const LINE = 0x3000;

/** Loads a file as it stands and begins with its first byte, in 32-bit mode, the command line in ESI; no firmware was there. */
const flat: BootProtocol = {
  name: 'flat',
  title: 'no protocol',
  entries: ['flat'],
  accepts: ['flat'],
  isUsual: () => false,
  read: (bytes) => ({ kind: 'flat', bytes }),
  plan: ({ memoryBytes, cmdline = '' }, { bytes }) => {
    if (bytes.length > 0x1000) throw new InputError('the flat binary has more than a page');
    const line = new TextEncoder().encode(`${cmdline}\0`);
    const gdt = gdtBytes(32);
    return {
      state: entryState({ entry: 32, rip: AT, bootParams: LINE, stackTop: 0x8000, gdt: GDT, cr3: 0, levels: 4 }),
      entry: 32,
      loadAddress: AT,
      runtime: { start: AT, size: bytes.length },
      e820: e820Table(memoryBytes, false),
      parts: [
        { name: 'image', start: AT, size: bytes.length, bytes },
        { name: 'cmdline', start: LINE, size: line.length, bytes: line },
        { name: 'gdt', start: GDT, size: gdt.length, bytes: gdt },
      ],
    };
  },
  firmware: [],
  stages: () => ({ stub: undefined, isKernel: false, goal: 'end' }),
  guest: () => ({ name: 'Echo', words: [{ text: 'loud', settledBy: ['loud'] }] }),
  cmdlineRoom: () => 20,
  testDevice: false,
  entryText: () => 'entered flat',
};

/** mov $0x3f8,%dx; next: lodsb; test %al,%al; jz done; out %al,(%dx); jmp next; done: cli; hlt */
const ECHO = Uint8Array.of(0x66, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0xfa, 0xf4);

const configOf = (image: Uint8Array): RunConfig => ({
  image,
  entry: 'flat',
  cpu: 'max',
  memoryBytes: 16 << 20,
  cmdline: 'hello',
  until: 'end',
  maxInstructions: 1000n,
  seed: 0,
});

const refusalOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return 'not refused';
};

describe('without its row', () => {
  it('the entry of a protocol is refused by the entries that there are', () => {
    expect(refusalOf(() => new BootRun(configOf(ECHO)))).toBe("there is no entry 'flat', only 32, 64, multiboot, pvh");
  });
});

describe('with a row of its own, a boot protocol', () => {
  beforeEach(() => void PROTOCOLS.push(flat));
  afterEach(() => void PROTOCOLS.splice(PROTOCOLS.indexOf(flat), 1));

  it('boots a file that says nothing of itself, from where it puts it to its end', () => {
    const run = new BootRun(configOf(ECHO));
    expect(run.machine.engine.state.rip).toBe(BigInt(AT));
    expect(run.image.kind).toBe('flat');
    const { outcome, console, stages, boot } = runToEnd(run);
    expect(outcome).toMatchObject({ kind: 'halt', interruptsEnabled: false, rip: BigInt(AT + ECHO.length) });
    expect(console).toBe('hello');
    expect(stages.map(({ name }) => name)).toEqual(['entry', 'handoff']);
    expect(boot.protocol).toBe('flat');
  });

  it('has in memory what it placed, and of firmware what it wants: nothing', () => {
    const memory = testMemory();
    const boot = bootImage({ entry: 'flat', memoryBytes: 16 << 20 }, readImage(ECHO, 'flat'), memory);
    expect(boot.placement.map(({ name }) => name)).toEqual(['gdt', 'cmdline', 'image']);
    expect(memory.writes.map(({ start }) => start).sort((a, b) => a - b)).toEqual([GDT, LINE, AT]);
    const { machine } = new BootRun(configOf(ECHO));
    expect(machine.nextEvents.every((event) => event === undefined)).toBe(true);
  });

  it('refuses before memory is touched', () => {
    const memory = testMemory();
    const image = readImage(new Uint8Array(0x1001), 'flat');
    const load = (): unknown => bootImage({ entry: 'flat', memoryBytes: 16 << 20 }, image, memory);
    expect(refusalOf(load)).toBe('the flat binary has more than a page');
    expect(memory.writes).toEqual([]);
  });

  it('is not asked for images of other kinds, and others not for its', () => {
    const bz = (): unknown =>
      bootImage({ entry: 'flat', memoryBytes: 16 << 20 }, readImage(makeBzImage()), testMemory());
    expect(refusalOf(bz)).toBe('a bzImage is entered by the Linux boot protocol, not by flat');
    const image = readImage(ECHO, 'flat');
    expect(refusalOf(() => bootImage({ memoryBytes: 16 << 20 }, image, testMemory()))).toBe(
      'nothing says how this image is entered',
    );
  });

  it('says which words its guest understands, and how many', () => {
    const image = readImage(ECHO, 'flat');
    const lineOf = (given: string) => withOurWords({ image, entry: 'flat', given });
    expect(lineOf('hello')).toMatchObject({ cmdline: 'loud hello', cmdlineAdded: 'loud' });
    expect(lineOf('a line of 18 bytes')).toMatchObject({ cmdline: 'a line of 18 bytes', leftOut: 'loud' });
  });

  it('comes back from a snapshot', () => {
    const whole = runToEnd(new BootRun(configOf(ECHO)));
    const run = new BootRun(configOf(ECHO));
    run.advance(9n);
    const reader = new SnapshotReader({ until: 'end', maxInstructions: 1000n });
    for (const piece of snapshotOf(run)) reader.push(Uint8Array.from(piece));
    const restored = runToEnd(reader.finish());
    expect(restored.stateHash).toBe(whole.stateHash);
    expect(restored.console).toBe('hello');
  });

  it('is an entry of the command line, with a goal and a text of its own', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'firstlight-flat-'));
    try {
      const file = join(folder, 'echo.bin');
      writeFileSync(file, ECHO);
      const { code, stdout, stderr } = await firstlight(['boot', file, '--entry', 'flat', '--append', 'hi']);
      expect(stdout).toContain('loud hi');
      expect(stderr).toContain('loaded at 0x20000, entered flat, CPU max');
      expect(stderr).toMatch(/halted/);
      expect(code).toBe(1);
      const json = await firstlight(['boot', file, '--entry', 'flat', '--json']);
      expect(JSON.parse(json.stdout)).toMatchObject({ machine: { bootProtocol: 'flat', image: { kind: 'flat' } } });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is entered unasked where it is the first to call an image usual', () => {
    const bare = readImage(makeElf32({ bytes: multibootHeader(0) }));
    expect(protocolOf(undefined, bare).name).toBe('multiboot');
    PROTOCOLS.unshift({ ...flat, entries: [], isUsual: () => true });
    expect(protocolOf(undefined, bare).name).toBe('flat');
    PROTOCOLS.shift();
  });

  it('shares its entry with no other', () => {
    expect(new Set(entries()).size).toBe(entries().length);
  });
});

// Any number may watch a run: each is told of what it asked for itself, in the order in which they came, until it goes; and
// whether anybody watches shows nowhere in the run.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import type { Observation } from '../../src/cpu/interpret/observing.ts';
import * as at from '../../src/cpu/state/layout.ts';
import type { Reference } from '../../src/code/references.ts';
import type { BzImage } from '../../src/image/bzimage.ts';
import { ReferenceRecorder } from '../../src/record/references.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type RunConfig, type RunObserver } from '../../src/run/run.ts';
import { interruptedGuest, restlessGuest } from './snapshotGuest.ts';

const sample = (name: string, changes: Partial<RunConfig> = {}): RunConfig => ({
  image: new Uint8Array(readFileSync(new URL(`../../samples/built/${name}.bzImage`, import.meta.url))),
  cpu: 'max',
  memoryBytes: 64 << 20,
  cmdline: '',
  until: 'end',
  maxInstructions: 20_000_000n,
  seed: 0,
  ...changes,
});

/** All by which two runs could be told apart. */
const facts = ({ machine, stages, outcome }: BootRun) => ({
  hash: machine.stateHash(),
  retired: machine.engine.retired,
  lines: machine.engine.code.lines,
  console: machine.console.text,
  stages: [...stages.reached],
  outcome: outcome?.kind,
});

describe('executed references', () => {
  const isAddress = ({ form }: Reference): boolean => form !== 'base-disp32';
  const recorderOf = (run: BootRun): ReferenceRecorder => new ReferenceRecorder(run, run.image as BzImage, isAddress);
  const seenBy = (recorder: ReferenceRecorder): string[] => [...recorder.executed.keys()];

  it('are seen by two recorders as by one', () => {
    const alone = new BootRun(sample('bad'));
    const one = recorderOf(alone);
    runToEnd(alone);
    expect(one.executed.size).toBe(18);
    const run = new BootRun(sample('bad'));
    const both = [recorderOf(run), recorderOf(run)];
    runToEnd(run);
    expect(both.map(seenBy)).toEqual([seenBy(one), seenBy(one)]);
    expect(facts(run)).toEqual(facts(alone));
  });
});

/** One kind of event: how to have one's own list of them, and in which guest there are some. */
type Kind = {
  readonly guest: () => RunConfig;
  readonly observer: (note: (text: string) => void, run: BootRun) => RunObserver;
  readonly prepare?: (run: BootRun) => void;
  readonly ask?: (observation: Observation) => void;
};

const restless = (): RunConfig => restlessGuest({ maxInstructions: 12_000n });

/** The restless guest's first instruction of its loop. */
const LOOP = 0x1000fcfn;

/** A stub that has copied itself, and goes on in the copy. */
function elsewhere({ machine: { memory, engine }, boot }: BootRun): void {
  const DISTANCE = 0x80_0000;
  memory.write(physAddr(boot.loadAddress + DISTANCE), memory.read(physAddr(boot.loadAddress), 0x20_0000));
  engine.state.rip += BigInt(DISTANCE);
}

const KINDS: Readonly<Record<string, Kind>> = {
  access: {
    guest: () => sample('good'),
    observer: (note) => ({ access: ({ address, size, write, at: when }) => note([address, size, write, when].join()) }),
    ask: (observation) => observation.watch(physAddr(0x100_0000), 64 * 4096, at.PAGE_WATCHES),
  },
  fault: { guest: () => sample('bad'), observer: (note) => ({ fault: ({ vector }) => note(`${vector}`) }) },
  instruction: {
    guest: restless,
    observer: (note) => ({ instruction: ({ linear, at: when }) => note(`${linear} ${when}`) }),
    ask: (observation) => observation.probe({ linear: LOOP }),
  },
  'instruction by choice': {
    guest: restless,
    observer: (note) => ({
      choose: (insn) => insn.length === 2,
      instruction: ({ linear, at: when }) => note(`${linear} ${when}`),
    }),
  },
  code: { guest: () => sample('good'), observer: (note) => ({ code: ({ ip }) => note(`${ip}`) }) },
  step: {
    guest: () => restlessGuest({ maxInstructions: 3_000n }),
    observer: (note, { machine }) => ({ step: () => note(`${machine.engine.state.rip}`) }),
  },
  userMode: {
    guest: () => ({ ...interruptedGuest(), maxInstructions: 35_000n }),
    observer: (note, { machine }) => ({ userMode: () => note(`${machine.engine.retired}`) }),
  },
  byte: { guest: restless, observer: (note) => ({ byte: (byte, from) => note(`${byte} ${from}`) }) },
  port: {
    guest: restless,
    observer: (note) => ({ port: ({ port, size, value, write }) => note([port, size, value, write].join()) }),
  },
  chip: { guest: restless, observer: (note) => ({ chip: (name, write) => note(`${name} ${write}`) }) },
  interrupt: { guest: restless, observer: (note) => ({ interrupt: (vector) => note(`${vector}`) }) },
  line: { guest: () => sample('good'), observer: (note) => ({ line: (line) => note(line) }) },
  stage: { guest: () => sample('good'), observer: (note) => ({ stage: ({ name }) => note(name) }) },
  copy: { guest: () => sample('good'), observer: (note) => ({ copy: (copy) => note(`${copy}`) }), prepare: elsewhere },
};

const STEP = 5_000n;

describe.each(Object.entries(KINDS))('two observers of %s', (_name, { guest, observer, ask, prepare }) => {
  const begun = (): { run: BootRun; watch: (told: (text: string) => void) => Observation } => {
    const run = new BootRun(guest());
    prepare?.(run);
    const watch = (told: (text: string) => void): Observation => {
      const observation = run.observe(observer(told, run));
      ask?.(observation);
      return observation;
    };
    return { run, watch };
  };
  const goOn = (run: BootRun): void => {
    while (!run.advance(STEP));
  };
  /** What one alone is told, and what the run comes to. */
  const told = (): { all: readonly string[]; end: ReturnType<typeof facts> } => {
    const { run, watch } = begun();
    const all: string[] = [];
    watch((text) => all.push(text));
    goOn(run);
    return { all, end: facts(run) };
  };
  let alone: ReturnType<typeof told>;
  beforeAll(() => {
    alone = told();
  });

  it('see everything, and the one that is left goes on seeing everything; none of it shows in the run', () => {
    const plain = begun();
    goOn(plain.run);
    const { all, end } = alone;
    expect(all.length).toBeGreaterThan(0);
    const { run, watch } = begun();
    const [first, second]: [string[], string[]] = [[], []];
    let leaves = Number.POSITIVE_INFINITY;
    const one = watch((text) => {
      first.push(text);
      if (first.length >= leaves) one.dispose();
    });
    leaves = Math.ceil(all.length / 2);
    watch((text) => second.push(text));
    goOn(run);
    expect(second).toEqual(all);
    expect(first).toEqual(all.slice(0, leaves));
    expect(facts(run)).toEqual(facts(plain.run));
    expect(end).toEqual(facts(plain.run));
  });

  it('that come in the middle see what is left', () => {
    const { all } = alone;
    const { run, watch } = begun();
    const [first, second]: [string[], string[]] = [[], []];
    watch((text) => {
      if (first.push(text) === 1) watch((later) => second.push(later));
    });
    goOn(run);
    expect(first).toEqual(all);
    expect(second).toEqual(all.slice(1));
  });
});

// A made-up result of a run, to be reported.
import type { Boot } from '../../src/boot/protocol.ts';
import { DEFAULT_MEMORY, DEFAULT_MAX_INSTRUCTIONS } from '../../src/options/defaults.ts';
import type { Outcome, RunConfig, RunResult } from '../../src/run/run.ts';

type Ending = Outcome extends infer O
  ? O extends Outcome
    ? Omit<O, 'stage' | 'instructions' | 'guestTime'>
    : never
  : never;

export const outcomeOf = (ending: Ending): Outcome => ({
  ...ending,
  stage: 'decompress',
  instructions: 1_234_567n,
  guestTime: 1_234_569n,
});

export const CONFIG: RunConfig = {
  image: new Uint8Array(3),
  cpu: 'max',
  memoryBytes: DEFAULT_MEMORY,
  cmdline: 'console=ttyS0',
  until: 'banner',
  maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
  seed: 5,
};

export const BOOT = {
  protocol: 'linux',
  entry: 64,
  loadAddress: 0x1000000,
  placement: [{ name: 'image', start: 0x1000000, size: 3 }],
  e820: [
    { start: 0, size: 0x9fc00, type: 1 },
    { start: 0x9fc00, size: 0x400, type: 2 },
  ],
} as unknown as Boot;

export const resultOf = (ending: Ending, more: Partial<RunResult> = {}): RunResult => ({
  outcome: outcomeOf(ending),
  stages: [{ name: 'entry', instructions: 0n, guestTime: 0n }],
  stateHash: '0123456789abcdef',
  boot: BOOT,
  unimplemented: [],
  console: '',
  command: undefined,
  screen: [],
  ...more,
});

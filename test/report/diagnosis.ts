// A made-up diagnosis, to be reported: the sample's, in short.
import * as at from '../../src/cpu/state/layout.ts';
import { CpuState } from '../../src/cpu/state/state.ts';
import { registersOf } from '../../src/diagnose/registers.ts';
import type { ReferenceCause, Culprit, Diagnosis, Evidence, Proof, ProofBoot } from '../../src/diagnose/types.ts';
import type { KernelImage } from '../../src/image/image.ts';
import { CONFIG, outcomeOf, resultOf } from './result.ts';

export const IMAGE = {
  kind: 'bzImage',
  bytes: new Uint8Array(3),
  protocol: 0x20f,
  version: '6.1',
  protectedMode: { fileOffset: 0x2000, size: 0x19000 },
} as unknown as KernelImage;

export const CULPRIT: Culprit = {
  runtimeAddress: 0x1018280n,
  linkAddress: 0x18280n,
  fileOffset: 0x1a280,
  bytes: Uint8Array.of(0x48, 0xc7, 0xc6, 0x40, 0x80, 0x01, 0x00),
  text: 'mov    $0x18040,%rsi',
  form: 'mov-imm32-rex',
  bits: 64,
  constant: 0x18040n,
  bias: 0x1000000n,
  symbol: 'paging_prepare+0x140',
  target: 'trampoline_32bit_src',
};

export const MEMCPY = {
  runtimeAddress: 0x1018516n,
  linkAddress: 0x18516n,
  fileOffset: 0x1a516,
  bytes: Uint8Array.of(0xf3, 0xa4),
  text: 'rep movsb (%rsi),(%rdi)',
};

const CHAIN = [
  { vector: 14, error: 2, cr2: 0xdead000n, rip: 0x9e000n, reason: 'no gate', met: { vector: 13, error: 0x73 } },
];
export const DEATH = outcomeOf({ kind: 'triple-fault', chain: CHAIN });
export const BOOTS = outcomeOf({ kind: 'stage-reached' });

export const EVIDENCE: Evidence = {
  outcome: DEATH,
  at: { runtimeAddress: 0x9e000n, bytes: Uint8Array.of(0, 0), text: 'add    %al,(%eax)' },
  registers: registersOf(new CpuState(new WebAssembly.Memory({ initial: at.RAM_BASE >>> 16 }))),
  silent: true,
  lastWords: '',
  complaints: [],
  lastWordsOn: 'console',
  writer: { instruction: MEMCPY, instructions: 151n, source: 0x18040n },
  jump: { instruction: MEMCPY, instructions: 150n, target: 0x9e000n },
};

export const PROOF_BOOT: ProofBoot = {
  loadAddress: 0x1000000,
  entry: 64,
  paging: 4,
  cpu: 'max',
  variant: 'repaired',
  plainRam: false,
  alias: undefined,
  passed: true,
  outcome: 'alive',
  stage: 'decompress',
  instructions: 5_000_000n,
};

const BOOTS_OF_PROOF: readonly ProofBoot[] = [
  PROOF_BOOT,
  { ...PROOF_BOOT, paging: 5 },
  { ...PROOF_BOOT, loadAddress: 0x100000, entry: 32 },
];

const GIVEN: ProofBoot = { ...PROOF_BOOT, variant: 'as-given', plainRam: true };
export const DIES: ProofBoot = { ...GIVEN, passed: false, outcome: 'triple-fault', stage: 'entry' };

export const PROOF: Proof = {
  held: true,
  boots: BOOTS_OF_PROOF,
  controls: [
    { kind: 'same-kind', text: 'mov    $0x19040,%rsi', boot: { ...DIES, variant: 'wrong-value', plainRam: false } },
  ],
  counterCheck: { verdict: 'held', by: 'bias-zero', withBias: DIES, without: { ...GIVEN, loadAddress: 0 } },
};

export const CAUSE: ReferenceCause = {
  class: 'position-dependent-reference',
  instruction: CULPRIT,
  repair: {
    bytes: Uint8Array.of(0x48, 0x8d, 0x35, 0xb9, 0xfd, 0xff, 0xff),
    text: 'lea    -0x247(%rip),%rsi',
    everywhere: true,
  },
  others: [],
  evidence: EVIDENCE,
  steps: [
    { what: 'uses the constant', instruction: CULPRIT },
    { what: 'copies 0x100 bytes', instruction: MEMCPY },
    { what: 'is where the boot ends', ...(EVIDENCE.at ? { instruction: EVIDENCE.at } : {}) },
  ],
  explanation: 'One reason.\nAnother reason.',
  advice: 'Link it with -pie.',
  proof: PROOF,
};

export const DIAGNOSIS: Diagnosis = {
  config: CONFIG,
  first: { ...resultOf({ kind: 'stage-reached' }), outcome: DEATH },
  causes: [CAUSE],
  suspicions: [],
  last: resultOf({ kind: 'stage-reached' }),
  unexplained: undefined,
  entries: [],
};

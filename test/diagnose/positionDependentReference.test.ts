// Position-dependent references on the bundled samples, where all that can be known is known (samples/README.md).
import { beforeAll, describe, expect, it } from 'vitest';
import { hexBytes } from '../../src/bits/hex.ts';
import type { ReferenceCause, Diagnosis } from '../../src/diagnose/types.ts';
import { referenceCauses } from '../../src/diagnose/classes/executedReferences.ts';
import { mutateLea } from '../../src/code/mutant.ts';
import { diagnosed, fileOffsetOf, placeOf, sample, symbolsOf, withBytes } from './support.ts';

const CULPRIT = 0x18280;
const COPY = 0x18516;
const LOADED = 0x1000000;

const onlyCause = (diagnosis: Diagnosis): ReferenceCause => {
  expect(diagnosis.causes).toHaveLength(1);
  return diagnosis.causes[0] as ReferenceCause;
};

describe('the bad sample', () => {
  let diagnosis: Diagnosis;
  let cause: ReferenceCause;
  beforeAll(() => {
    diagnosis = diagnosed(sample('bad'));
    cause = onlyCause(diagnosis);
  });

  it('has one cause, and boots when that is repaired', () => {
    const { first, last, suspicions, unexplained } = diagnosis;
    expect([first.outcome.kind, last.outcome.kind, last.outcome.stage]).toEqual([
      'triple-fault',
      'stage-reached',
      'banner',
    ]);
    expect({ suspicions, unexplained }).toEqual({ suspicions: [], unexplained: undefined });
  });

  it('is blamed on the instruction that takes the address', () => {
    const { bytes, ...rest } = cause.instruction;
    expect(cause.class).toBe('position-dependent-reference');
    expect(hexBytes(bytes)).toBe('48 c7 c6 40 80 01 00');
    expect(rest).toEqual({
      fileOffset: fileOffsetOf(CULPRIT),
      linkAddress: BigInt(CULPRIT),
      runtimeAddress: BigInt(LOADED + CULPRIT),
      text: 'mov    $0x18040,%rsi',
      form: 'mov-imm32-rex',
      bits: 64,
      constant: 0x18040n,
      bias: BigInt(LOADED),
    });
  });

  it('is repaired to what the good link has there', () => {
    const good = sample('good').subarray(fileOffsetOf(CULPRIT), fileOffsetOf(CULPRIT) + 7);
    expect(hexBytes(cause.repair.bytes)).toBe(hexBytes(good));
  });

  it('died silently in the trampoline, whose bytes a string move had copied from a place where nothing is', () => {
    const { outcome, at, silent, lastWords, writer } = cause.evidence;
    expect({ kind: outcome.kind, silent, lastWords }).toEqual({ kind: 'triple-fault', silent: true, lastWords: '' });
    expect({ address: at?.runtimeAddress, text: at?.text }).toEqual({ address: 0x9e000n, text: 'add    %al,(%eax)' });
    expect(writer).toMatchObject({ instruction: { linkAddress: BigInt(COPY) }, source: 0x18040n });
  });

  it('is followed from the constant over the copy to the death', () => {
    expect(cause.steps.map((step) => step.instruction?.runtimeAddress)).toEqual([
      BigInt(LOADED + CULPRIT),
      BigInt(LOADED + COPY),
      0x9e000n,
    ]);
    expect(cause.steps[1]?.what).toContain('copies 0x100 bytes from 0x18040 to 0x9e000');
  });

  it('is proved at three addresses, with 4 and 5 levels, with la57 and without', () => {
    const { held, boots } = cause.proof;
    const modes = ['max paging 4', 'max paging 5', 'x86-64-v1 paging 4'];
    const expected = ['0x1000000', '0x100000', '0x4000000'].flatMap((place) => modes.map((mode) => `${place} ${mode}`));
    expect(held).toBe(true);
    expect(boots.map(placeOf)).toEqual(expected);
    expect(boots.every((boot) => boot.passed && !boot.plainRam && boot.variant === 'repaired')).toBe(true);
  });

  it('boots unrepaired at its link address, where there is RAM', () => {
    expect(cause.proof.counterCheck).toMatchObject({
      verdict: 'held',
      by: 'bias-zero',
      withBias: { loadAddress: LOADED, plainRam: true, passed: false, outcome: 'triple-fault' },
      without: { loadAddress: 0, plainRam: true, passed: true, stage: 'banner' },
    });
  });

  it('dies with another wrong address in its place', () => {
    expect(cause.proof.controls).toMatchObject([
      { kind: 'same-kind', text: 'mov    $0x19040,%rsi', boot: { passed: false, outcome: 'triple-fault' } },
    ]);
  });

  it('names no symbols where none were given', () => {
    expect(cause.instruction).not.toHaveProperty('symbol');
    expect(cause.instruction).not.toHaveProperty('target');
  });

  it('names symbols where they were given', () => {
    const { instruction, steps } = onlyCause(diagnosed(sample('bad'), {}, { symbols: symbolsOf('bad') }));
    expect(instruction).toMatchObject({ symbol: 'paging_prepare+0x140', target: 'trampoline_32bit_src' });
    expect(steps[0]?.what).toContain('trampoline_32bit_src');
    expect(steps[1]?.instruction?.symbol).toMatch(/^memcpy/);
  });

  it('says what makes such an instruction, and what to do', () => {
    expect(cause.explanation).toContain('R_X86_64_REX_GOTPCRELX');
    expect(cause.advice).toContain('-pie');
  });

  it.each([
    ['the 32-bit entry', { entry: 32 }],
    ['1 MiB', { loadAt: 0x100000 }],
    ['5 GiB with 5-level paging', { loadAt: 5 * 2 ** 30, memoryBytes: 6 * 2 ** 30, paging: 5 }],
    ['a CPU without la57', { cpu: 'x86-64-v1' }],
  ] as const)('has the same cause by way of %s', (_name, more) => {
    const { instruction, proof } = onlyCause(diagnosed(sample('bad'), more));
    expect({ fileOffset: instruction.fileOffset, held: proof.held }).toEqual({
      fileOffset: fileOffsetOf(CULPRIT),
      held: true,
    });
  });
});

describe('the compare sample', () => {
  it('has a cause that no lea can repair: the immediate gets the bias of each load address', () => {
    const { instruction, repair, proof, evidence } = onlyCause(diagnosed(sample('compare-bad'), { entry: 32 }));
    expect(instruction).toMatchObject({
      fileOffset: fileOffsetOf(0x18025),
      form: 'alu-imm32',
      constant: 0x1e000n,
      text: 'cmp    $0x1e000,%rax',
    });
    expect(hexBytes(repair.bytes)).toBe('48 81 f8 00 e0 01 01');
    expect(evidence.outcome).toMatchObject({ kind: 'triple-fault', chain: [{ vector: 14 }, { vector: 8 }] });
    const addresses = proof.boots.map((boot) => boot.loadAddress);
    expect(proof.held).toBe(true);
    expect(new Set(addresses).size).toBe(3);
  });

  it('has none by the 64-bit entry, where it boots', () => {
    const { causes, suspicions, last } = diagnosed(sample('compare-bad'));
    expect({ causes, suspicions, stage: last.outcome.stage }).toEqual({ causes: [], suspicions: [], stage: 'banner' });
  });
});

describe('32-bit code', () => {
  it('is read, blamed and repaired as such: no operand is relative to its address', () => {
    // lea gdt(%ebp),%eax without its base register
    const image = withBytes(sample('good'), 0x11, [0x8d, 0x05, 0x40, 0x87, 0x01, 0x00]);
    const { instruction, repair, proof } = onlyCause(diagnosed(image, { entry: 32 }));
    expect(instruction).toMatchObject({ bits: 32, linkAddress: 0x11n, text: 'lea    0x18740,%eax', form: 'disp32' });
    expect(repair).toMatchObject({ text: 'lea    0x1018740,%eax', everywhere: false });
    expect(proof.held).toBe(true);
  });
});

describe('a healthy image', () => {
  it.each([
    ['good', {}],
    ['good', { entry: 32 }],
    ['compare-good', { entry: 32 }],
  ] as const)('%s %o boots, without a finding', (name, more) => {
    const { causes, suspicions, unexplained, last } = diagnosed(sample(name), more);
    expect({ causes, suspicions, unexplained }).toEqual({ causes: [], suspicions: [], unexplained: undefined });
    expect(last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner' });
  });
});

describe('an image with two sick instructions', () => {
  const PAYLOAD = 0x18449;

  it('dies again when the first is repaired; both are found, in the order of their deaths', () => {
    const image = mutateLea(sample('bad'), fileOffsetOf(PAYLOAD));
    const { causes, unexplained, last } = diagnosed(image);
    expect(referenceCauses(causes).map((cause) => cause.instruction.fileOffset)).toEqual([
      fileOffsetOf(CULPRIT),
      fileOffsetOf(PAYLOAD),
    ]);
    expect(causes.map((cause) => cause.proof.held)).toEqual([true, true]);
    expect(causes.map((cause) => cause.evidence.outcome.stage)).toEqual(['entry', 'handoff']);
    expect({ unexplained, end: last.outcome.kind }).toEqual({ unexplained: undefined, end: 'stage-reached' });
  });

  it('finds both where they die at the same stage: the first repair moves the death on', () => {
    const EARLIER = 0x215;
    const image = mutateLea(sample('bad'), fileOffsetOf(EARLIER));
    const { causes, suspicions, unexplained, last } = diagnosed(image);
    expect(referenceCauses(causes).map((cause) => cause.instruction.fileOffset)).toEqual([
      fileOffsetOf(EARLIER),
      fileOffsetOf(CULPRIT),
    ]);
    expect(causes.map((cause) => cause.evidence.outcome.stage)).toEqual(['entry', 'entry']);
    expect({ suspicions, unexplained, end: last.outcome.kind }).toEqual({
      suspicions: [],
      unexplained: undefined,
      end: 'stage-reached',
    });
  });

  it('tells of each cause as soon as it is proved', () => {
    const told: number[] = [];
    const image = mutateLea(sample('bad'), fileOffsetOf(PAYLOAD));
    diagnosed(image, {}, { onCause: (cause) => told.push((cause as ReferenceCause).instruction.fileOffset) });
    expect(told).toEqual([fileOffsetOf(CULPRIT), fileOffsetOf(PAYLOAD)]);
  });
});

describe('a stub compiled without -fPIE', () => {
  it('has one cause: what holds an address is repaired together, and no size or limit beside it', () => {
    const diagnosis = diagnosed(sample('absolute-bad'));
    const { instruction, others, proof } = onlyCause(diagnosis);
    const blamed = [instruction, ...others.map((other) => other.instruction)];
    expect(blamed.map(({ linkAddress }) => linkAddress)).toEqual(expect.arrayContaining([0x18277n, 0x184e1n]));
    expect(blamed.map(({ text }) => text).filter((text) => /0x9f000|0x1ffff|0x200000/.test(text))).toEqual([]);
    expect(proof).toMatchObject({ held: true, counterCheck: { verdict: 'held' } });
    expect(proof.boots.map(({ stage }) => stage)).toEqual(proof.boots.map(() => 'banner'));
    expect(diagnosis.last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner' });
    expect(diagnosis.suspicions).toEqual([]);
  });
});

describe('a fault that is no fixed address', () => {
  // Five NOPs in place of the jump that ends a loop: another limit for the loop would dodge it.
  const JUMP = 0x182c3;

  it('has no cause and no suspicion', () => {
    const { first, causes, suspicions } = diagnosed(withBytes(sample('good'), JUMP, [0x90, 0x90, 0x90, 0x90, 0x90]));
    expect(first.outcome.kind).not.toBe('stage-reached');
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
  });

  // A wrong base, read from beside its place: 0x1000 and the load address lead into the payload, where it dies later.
  it('has none where a number and the load address lead to another death only', () => {
    const image = withBytes(sample('good'), 0x182a1, [0x48, 0x8b, 0x05, 0x18, 0x4d, 0x00, 0x00]);
    const { causes, suspicions } = diagnosed(image, { until: 'decompress' });
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
  });

  // The same, and the offset on that base is the link address of a function: with the load address it is run, and dies too.
  it('has none where the other death is in a function of the stub', () => {
    const wrongBase = withBytes(sample('good'), 0x182a1, [0x48, 0x8b, 0x05, 0x18, 0x4d, 0x00, 0x00]);
    const image = withBytes(wrongBase, 0x18020, [0x48, 0x8d, 0x81, 0x80, 0x84, 0x01, 0x00]);
    const { causes, suspicions } = diagnosed(image, { until: 'decompress' });
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
  });
});

describe('a cause that is shown at one load address only', () => {
  it('is a suspicion', () => {
    const { causes, suspicions } = diagnosed(sample('bad'), {}, { addresses: 1 });
    expect(causes).toEqual([]);
    expect(suspicions).toMatchObject([{ instruction: { fileOffset: fileOffsetOf(CULPRIT) }, proof: { held: false } }]);
  });
});

describe('a stub in which two instructions fail together', () => {
  // The ends of its GOT, to whose entries it adds its load address: with one of them wrong the loop does not run, or runs wild.
  const FROM = 0x18000;
  const TO = 0x18007;

  it('has one cause, in which each is named, and boots with both repaired', () => {
    const sick = [FROM, TO].reduce((image, link) => mutateLea(image, fileOffsetOf(link)), sample('compare-good'));
    const diagnosis = diagnosed(sick, { entry: 32 });
    const { instruction, others, proof } = onlyCause(diagnosis);
    const blamed = [instruction, ...others.map((other) => other.instruction)].map(({ linkAddress }) => linkAddress);
    expect(blamed.sort((a, b) => Number(a - b))).toEqual([BigInt(FROM), BigInt(TO)]);
    expect(proof.held).toBe(true);
    expect(diagnosis.last.outcome).toMatchObject({ kind: 'stage-reached', stage: 'banner' });
    expect(diagnosis.suspicions).toEqual([]);
  });
});

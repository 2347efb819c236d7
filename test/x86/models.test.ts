import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { CR4_LA57, CR4_OSXSAVE, CR4_PAE, CR4_PCE, CR4_SMEP, cr4Allowed } from '../../src/x86/control.ts';
import { CPU_MODELS, cpuModel, findModel, withApic } from '../../src/x86/models.ts';
import { xcr0Supported, xsaveBytes } from '../../src/x86/xstate.ts';

const NO_STATE = { cr4: 0n };
const max = cpuModel('max');
const v1 = cpuModel('x86-64-v1');
const v2 = cpuModel('x86-64-v2');

const text = (registers: readonly number[]): string => {
  const bytes = Buffer.alloc(4 * registers.length);
  for (const [n, value] of registers.entries()) bytes.writeUInt32LE(value, 4 * n);
  return bytes.toString('latin1').replaceAll('\0', '');
};

describe('CPU models', () => {
  it.each(CPU_MODELS.map((model) => [model.name, model] as const))('%s gives its vendor and brand', (_, model) => {
    const zero = model.cpuid(0, 0, NO_STATE);
    expect(text([zero.ebx, zero.edx, zero.ecx])).toBe('GenuineIntel');
    const brand = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((leaf) => {
      const { eax, ebx, ecx, edx } = model.cpuid(leaf, 0, NO_STATE);
      return [eax, ebx, ecx, edx];
    });
    expect(text(brand)).toBe(model.brand);
  });

  // What a 64-bit Linux refuses to start without: arch/x86/include/asm/required-features.h.
  it.each(CPU_MODELS.map((model) => [model.name, model] as const))('%s has what x86-64 kernels require', (_, model) => {
    const edx = model.cpuid(1, 0, NO_STATE).edx;
    for (const bit of [0, 3, 5, 6, 8, 13, 15, 24, 25, 26])
      expect(edx & (1 << bit), `leaf 1 edx bit ${bit}`).not.toBe(0);
    expect(model.cpuid(0x8000_0001, 0, NO_STATE).edx & (1 << 29)).not.toBe(0);
  });

  it.each(CPU_MODELS.map((model) => [model.name, model] as const))('%s hides what is not there', (_, model) => {
    const one = model.cpuid(1, 0, NO_STATE);
    expect(one.edx & (1 << 9), 'APIC').toBe(0);
    expect(one.ecx & (1 << 21), 'x2APIC').toBe(0);
    if (model.features.has('AVX')) return;
    expect(one.ecx & ((1 << 12) | (1 << 28) | (1 << 29)), 'FMA, AVX, F16C').toBe(0);
    expect(model.cpuid(7, 0, NO_STATE).ebx & (1 << 5), 'AVX2').toBe(0);
    expect(model.cpuid(0xd, 0, NO_STATE).eax & 4, 'AVX in XCR0').toBe(0);
  });

  it('have a local APIC where the machine gives them one, and hide it while software has switched it off', () => {
    const [withIt, older] = [withApic(max), withApic(v1)];
    expect(withIt.cpuid(1, 0, NO_STATE).edx & (1 << 9)).not.toBe(0);
    expect(withIt.cpuid(1, 0, { cr4: 0n, apicEnabled: false }).edx & (1 << 9)).toBe(0);
    expect(withIt.cpuid(1, 0, NO_STATE).ecx & ((1 << 21) | (1 << 24)), 'x2APIC, TSC deadline').toBe(
      (1 << 21) | (1 << 24),
    );
    expect(older.cpuid(1, 0, NO_STATE).ecx & ((1 << 21) | (1 << 24))).toBe(0);
    expect(withIt.cpuid(6, 0, NO_STATE).eax, 'the timer always runs').toBe(4);
  });

  it('max has 5-level paging, x86-64-v1 has not', () => {
    expect(max.cpuid(7, 0, NO_STATE).ecx & (1 << 16)).not.toBe(0);
    expect(v1.cpuid(7, 0, NO_STATE).ecx).toBe(0);
    expect(max.cpuid(0x8000_0008, 0, NO_STATE).eax).toBe(40 | (57 << 8));
    expect(v1.cpuid(0x8000_0008, 0, NO_STATE).eax).toBe(40 | (48 << 8));
  });

  it('x86-64-v2 has what the psABI names beyond the first level, and nothing else', () => {
    const added = [...v2.features].filter((feature) => !v1.features.has(feature)).sort();
    expect(added).toEqual(['CX16', 'LAHF_LM', 'POPCNT', 'SSE3', 'SSE4_1', 'SSE4_2', 'SSSE3']);
    expect([...v1.features].filter((feature) => !v2.features.has(feature))).toEqual([]);
    const bits = [0, 9, 13, 19, 20, 23].map((bit) => 1 << bit);
    expect(bits.filter((bit) => (v2.cpuid(1, 0, NO_STATE).ecx & bit) === 0)).toEqual([]);
    expect(v2.cpuid(0x8000_0001, 0, NO_STATE).ecx & 1, 'LAHF').toBe(1);
    expect(v2.linearBits).toBe(48);
    expect([...v2.features].filter((feature) => !max.features.has(feature))).toEqual([]);
  });

  it.each(CPU_MODELS.map((model) => [model.name, model] as const))('%s says that FCS and FDS are zero', (_, model) => {
    expect(model.cpuid(7, 0, NO_STATE).ebx & (1 << 13)).not.toBe(0);
  });

  it('answers leaves beyond the highest as the highest basic one', () => {
    const highest = max.cpuid(0x16, 0, NO_STATE);
    expect(max.cpuid(0x17, 0, NO_STATE)).toEqual(highest);
    expect(max.cpuid(0x4000_0000, 0, NO_STATE)).toEqual(highest);
    expect(max.cpuid(0x8000_001f, 0, NO_STATE)).toEqual(highest);
  });

  it('tells a time stamp counter of 1 GHz', () => {
    const { eax, ebx, ecx } = max.cpuid(0x15, 0, NO_STATE);
    expect((ecx * ebx) / eax).toBe(1e9);
  });

  it('ends the list of caches', () => {
    expect(max.cpuid(4, 0, NO_STATE).eax & 31).toBe(1);
    expect(max.cpuid(4, 3, NO_STATE).eax & 31).toBe(0);
  });

  it('tells the size of the XSAVE area by XCR0, and what it would be at most', () => {
    const sizes = (xcr0: bigint): unknown => {
      const { ebx, ecx } = max.cpuid(0xd, 0, { ...NO_STATE, xcr0 });
      return [ebx, max.cpuid(0xd, 1, { ...NO_STATE, xcr0 }).ebx, ecx];
    };
    const most = xsaveBytes(xcr0Supported(max.features));
    expect(sizes(1n)).toEqual([576, 576, most]);
    expect(sizes(xcr0Supported(max.features))).toEqual([most, most, most]);
    expect(v1.cpuid(0xd, 0, NO_STATE)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
  });

  it('shows OSXSAVE as CR4 has it', () => {
    expect(max.cpuid(1, 0, { cr4: CR4_OSXSAVE }).ecx & (1 << 27)).not.toBe(0);
    expect(max.cpuid(1, 0, NO_STATE).ecx & (1 << 27)).toBe(0);
  });

  it('lose with a feature what is nothing without it, and get with one what it needs', () => {
    const has = (name: string): boolean[] =>
      (['XSAVE', 'AVX', 'AVX2', 'FMA'] as const).map((feature) => cpuModel(name).features.has(feature));
    expect(has('max,-avx')).toEqual([true, false, false, false]);
    expect(has('x86-64-v3,-xsave')).toEqual([false, false, false, false]);
    expect(has('x86-64-v1,+fma')).toEqual([true, true, false, true]);
  });

  it('x86-64-v3 has what the psABI asks of that level', () => {
    const model = cpuModel('x86-64-v3');
    const seven = model.cpuid(7, 0, NO_STATE).ebx;
    const one = model.cpuid(1, 0, { cr4: CR4_OSXSAVE }).ecx;
    // BMI1, AVX2, BMI2; FMA, MOVBE, OSXSAVE, AVX, F16C; LZCNT.
    for (const bit of [3, 5, 8]) expect(seven & (1 << bit)).not.toBe(0);
    for (const bit of [12, 22, 27, 28, 29]) expect(one & (1 << bit)).not.toBe(0);
    expect(model.cpuid(0x8000_0001, 0, NO_STATE).ecx & (1 << 5)).not.toBe(0);
    expect(model.cpuid(0xd, 0, NO_STATE).eax).toBe(7);
    expect(model.cpuid(0xd, 2, NO_STATE)).toEqual({ eax: 256, ebx: 576, ecx: 0, edx: 0 });
  });

  it('are found by name, and a wrong name is an input error', () => {
    expect(findModel('max')).toBe(max);
    expect(findModel('max,-nothing')).toBeUndefined();
    expect(findModel('nehalem')).toBeUndefined();
    expect(() => cpuModel('nehalem')).toThrow(InputError);
    expect(() => cpuModel('max,-nothing')).toThrow('"-nothing" changes no CPU feature');
    expect(() => cpuModel('max,pcid')).toThrow('"pcid" changes no CPU feature');
    expect(() => cpuModel('nehalem')).toThrow(
      'unknown CPU model "nehalem": known are x86-64-v1, x86-64-v2, x86-64-v3, max',
    );
  });
});

describe('CR4 bits by feature', () => {
  it('without features leave PCE alone', () => {
    expect(cr4Allowed(new Set())).toBe(CR4_PCE);
  });

  it('follow the model', () => {
    const bits = CR4_LA57 | CR4_SMEP | CR4_OSXSAVE;
    expect(cr4Allowed(max.features) & bits).toBe(bits);
    expect(cr4Allowed(v1.features) & (bits | CR4_PAE)).toBe(CR4_PAE);
  });

  it('has features more and less as they are asked for, and its CPUID says so', () => {
    const model = cpuModel('x86-64-v1,+la57,+SSE4.1,-pge');
    expect(model.cpuid(7, 0, { cr4: 0n }).ecx & (1 << 16)).not.toBe(0);
    expect(model.cpuid(1, 0, { cr4: 0n }).ecx & (1 << 19)).not.toBe(0);
    expect(model.cpuid(1, 0, { cr4: 0n }).edx & (1 << 13)).toBe(0);
    expect(model.linearBits).toBe(57);
    expect(model.name).toBe('x86-64-v1,+la57,+SSE4.1,-pge');
  });

  it('is given no feature with the local APIC that it was to do without', () => {
    expect(withApic(cpuModel('max,-x2apic')).features.has('X2APIC')).toBe(false);
    expect(withApic(cpuModel('max')).features.has('X2APIC')).toBe(true);
  });
});

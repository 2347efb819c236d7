import { describe, expect, it } from 'vitest';
import { decodeDescriptor, decodeGate, encodeDescriptor, encodeGate, TYPE } from '../../src/x86/descriptors.ts';

describe('segment descriptors', () => {
  it("decodes the kernel's flat 64-bit code segment", () => {
    expect(decodeDescriptor(0x00af_9a00_0000_ffffn)).toMatchObject({
      isCode: true,
      long: true,
      big: false,
      present: true,
      dpl: 0,
      base: 0n,
      limit: 0xffff_ffff,
      attributes: 0xa09a,
    });
  });

  it('puts base and limit together from their parts', () => {
    const found = decodeDescriptor(0x12c3_92ab_cdef_4567n);
    expect(found.base).toBe(0x12ab_cdefn);
    expect(found.limit).toBe(0x3456_7fff);
  });

  it('counts the limit in bytes without G', () => {
    expect(decodeDescriptor(0x0043_9200_0000_4567n).limit).toBe(0x3_4567);
  });

  it('encodes what it decodes', () => {
    for (const value of [0x00af_9a00_0000_ffffn, 0x12c3_92ab_cdef_4567n, 0x0043_9200_0000_4567n]) {
      const { base, limit, attributes } = decodeDescriptor(value);
      expect(encodeDescriptor(Number(base), limit, attributes)).toBe(value);
    }
  });

  it('takes the upper half of a 64-bit TSS base from the second quadword', () => {
    expect(decodeDescriptor(0x0000_8b00_3000_0067n, 0xffff_fe00n).base).toBe(0xffff_fe00_0000_3000n);
  });

  it('tells readable, writable and conforming apart', () => {
    const of = (attributes: number) => decodeDescriptor(encodeDescriptor(0, 0, attributes));
    expect(of(0x90)).toMatchObject({ isReadable: true, isWritableData: false });
    expect(of(0x92)).toMatchObject({ isReadable: true, isWritableData: true });
    expect(of(0x98)).toMatchObject({ isReadable: false, isConforming: false });
    expect(of(0x9e)).toMatchObject({ isReadable: true, isWritableData: false, isConforming: true });
    expect(of(0x96)).toMatchObject({ isConforming: false });
  });
});

describe('gates', () => {
  it('decode a 64-bit interrupt gate', () => {
    expect(decodeGate(0x8180_8e03_0010_1234n, 0xffff_ffffn)).toEqual({
      type: TYPE.INTERRUPT_GATE32,
      isSegment: false,
      dpl: 0,
      present: true,
      selector: 0x10,
      offset: 0xffff_ffff_8180_1234n,
      ist: 3,
      parameters: 3,
    });
  });

  it('have 16-bit offsets in their 16-bit kinds', () => {
    expect(decodeGate(0xffff_8600_0008_1234n).offset).toBe(0x1234n);
  });

  it('go round', () => {
    const [low = 0n, high] = encodeGate({ type: 15, dpl: 3, selector: 0x33, offset: 0x1234_5678_9abcn, ist: 2 }, true);
    expect(decodeGate(low, high)).toMatchObject({ dpl: 3, selector: 0x33, offset: 0x1234_5678_9abcn, ist: 2 });
  });
});

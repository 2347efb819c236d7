import { describe, expect, it } from 'vitest';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { putU16, putU32, putU64 } from '../../../src/bits/cursor.ts';
import { systemMapSymbols } from '../../../src/image/symbols.ts';
import { concat } from '../../image/synthetic.ts';

const BASE = 0xffffffff81000000n;
const FUNCTIONS = 60;
const SIZE = 48;

type Change = {
  /** Bytes of int3 in front of this function. */
  readonly gapAt?: number;
  /** This function calls another one. */
  readonly callsOther?: number;
  /** This function takes its datum's address by mov $imm32 instead of lea. */
  readonly absolute?: number;
};

const addressOf = (n: number, { gapAt = FUNCTIONS }: Change): number => n * SIZE + (n >= gapAt ? 64 : 0);

/** Functions that differ from each other, call each other and refer to data. */
function textOf(change: Change): Uint8Array {
  const text = new Uint8Array(FUNCTIONS * SIZE + 64).fill(0xcc);
  const data = 0x10000;
  for (let n = 0; n < FUNCTIONS; n++) {
    const at = addressOf(n, change);
    const callee = addressOf((n * 7 + (n === change.callsOther ? 11 : 5)) % FUNCTIONS, change);
    const datum = data + 8 * (n % 20);
    // push %rbx; mov $n,%eax; add $n^3,%ebx; call; <address>,%rsi; pop %rbx; ret
    text.set([0x53, 0xb8, n, 1, 0, 0, 0x83, 0xc3, n ^ 3, 0xe8], at);
    putU32(text, at + 10, (callee - at - 14) >>> 0);
    if (n === change.absolute) {
      text.set([0x48, 0xc7, 0xc6], at + 14);
      putU32(text, at + 17, Number((BASE + BigInt(datum)) & 0xffffffffn));
    } else {
      text.set([0x48, 0x8d, 0x35], at + 14);
      putU32(text, at + 17, (datum - at - 21) >>> 0);
    }
    text.set([0x5b, 0xc3], at + 21);
  }
  return text;
}

/** An ELF kernel of .text and .data, as ld leaves it, without symbols. */
function vmlinux(change: Change = {}): Uint8Array {
  const text = textOf(change);
  const data = new Uint8Array(0x100).map((_, i) => (i * 37) & 0xff);
  const names = new TextEncoder().encode('\0.text\0.data\0.shstrtab\0');
  const header = new Uint8Array(64 + 56);
  const [textAt, dataAt] = [header.length, header.length + text.length];
  const [namesAt, sectionsAt] = [dataAt + data.length, dataAt + data.length + names.length];
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [
    [16, 2],
    [18, 62],
    [52, 64],
    [54, 56],
    [56, 1],
    [58, 64],
    [60, 4],
    [62, 3],
  ] as const) {
    putU16(header, at, value);
  }
  putU64(header, 24, 0x1000000n);
  putU64(header, 32, 64n);
  putU64(header, 40, BigInt(sectionsAt));
  putU32(header, 64, 1);
  putU32(header, 68, 5);
  for (const [at, value] of [
    [72, BigInt(textAt)],
    [80, BASE],
    [88, 0x1000000n],
    [96, BigInt(text.length)],
    [104, 0x20000n],
  ] as const) {
    putU64(header, at, value);
  }
  const sections = new Uint8Array(64 * 4);
  const section = (
    n: number,
    name: number,
    type: number,
    flags: bigint,
    address: bigint,
    at: number,
    size: number,
  ): void => {
    putU32(sections, n * 64, name);
    putU32(sections, n * 64 + 4, type);
    for (const [offset, value] of [
      [8, flags],
      [16, address],
      [24, BigInt(at)],
      [32, BigInt(size)],
    ] as const) {
      putU64(sections, n * 64 + offset, value);
    }
  };
  section(1, 1, 1, 6n, BASE, textAt, text.length);
  section(2, 7, 1, 3n, BASE + 0x10000n, dataAt, data.length);
  section(3, 13, 3, 0n, 0n, namesAt, names.length);
  return concat([header, text, data, names, sections]);
}

const symbolsOf = (change: Change) =>
  systemMapSymbols(
    Array.from({ length: FUNCTIONS }, (_, n) => `${(BASE + BigInt(addressOf(n, change))).toString(16)} T fn_${n}`).join(
      '\n',
    ),
  );

describe('two kernels', () => {
  it('are equal where one was linked with a gap', () => {
    expect(diffImages(vmlinux(), vmlinux({ gapAt: 20 }))).toMatchObject({
      functions: { matched: FUNCTIONS, equal: FUNCTIONS, moved: FUNCTIONS - 20, differing: 0 },
      onlyGood: [],
      onlyBad: [],
    });
  });

  it('differ in the call that goes elsewhere, by content', () => {
    const { differing } = diffImages(vmlinux(), vmlinux({ gapAt: 20, callsOther: 33 }));
    expect(differing).toMatchObject([{ kind: 'different-target', counts: { 'different-target': 1 } }]);
    expect(differing[0]?.good.linkAddress).toBe(BASE + BigInt(addressOf(33, {})));
  });

  it('differ in the call that goes elsewhere, by name', () => {
    const change = { gapAt: 20, callsOther: 33 };
    const report = diffImages(vmlinux(), vmlinux(change), {
      goodSymbols: symbolsOf({}),
      badSymbols: symbolsOf(change),
    });
    expect(report.differing).toMatchObject([
      { good: { name: 'fn_33' }, bad: { name: 'fn_33' }, matchedBy: 'name', counts: { 'different-target': 1 } },
    ]);
    const row = report.differing[0]?.hunks.flat().find(({ kind }) => kind === 'different-target');
    expect([row?.good?.target, row?.bad?.target]).toEqual(['fn_56', 'fn_2']);
  });

  it('differ in the address that became a number', () => {
    const { differing } = diffImages(vmlinux(), vmlinux({ gapAt: 20, absolute: 41 }));
    expect(differing).toMatchObject([{ counts: { 'addressing-mode-of-same-target': 1 } }]);
    const note = differing[0]?.hunks.flat().find((row) => row.note)?.note;
    expect(note).toMatch(/BAD is right only where it runs at its link address unless a relocation adjusts it\.$/);
  });
});

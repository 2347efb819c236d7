// Images made to cost time or memory: what is looked at is bounded, and that shows in the answer.
import { describe, expect, it } from 'vitest';
import { auditFile } from '../../../src/audit/audit.ts';
import { bytesOfHex } from '../../../src/bits/hex.ts';
import { MIB } from '../../../src/bits/sizes.ts';
import { concat, makeBzImage } from '../../image/synthetic.ts';
import { le32 } from './stubs.ts';

const START = 0x1000;

/** A stub whose 64-bit entry jumps into `code`, which stands behind the payload. */
function imageOf(code: Uint8Array): Uint8Array {
  const head = new Uint8Array(0x800);
  head.set(bytesOfHex('eb fe'), 0);
  head.set(bytesOfHex(`e9 ${le32(START - 0x205)}`), 0x200);
  const payload = new Uint8Array(START - head.length).fill(0x11);
  return makeBzImage({ code: head, payload, tail: code, fields: { init_size: 0x10000000 } });
}

/** `times` copies of an instruction, then an endless loop. */
const repeated = (instruction: (index: number) => string, length: number, times: number): Uint8Array => {
  const bytes = new Uint8Array(length * times + 2);
  for (let i = 0; i < times; i++) bytes.set(bytesOfHex(instruction(i)), i * length);
  bytes.set([0xeb, 0xfe], length * times);
  return bytes;
};

describe('an image made to cost', () => {
  it('with a hundred thousand addresses: 5,000 findings, and a note of the rest', () => {
    const code = repeated((i) => `48 c7 c6 ${le32(START + 7 * i)}`, 7, 100_000);
    const { findings, notes } = auditFile(imageOf(code), 'hostile', {});
    expect(findings.filter(({ rule }) => rule === 'position-dependent-reference')).toHaveLength(5000);
    expect(notes.map(({ message }) => message)).toContain(
      '95000 further constants were not looked at, after 5000 findings.',
    );
  });

  it('with a million computed addresses of a long sled: they are tried no more than so often', () => {
    const sled = concat([new Uint8Array(MIB).fill(0x90), bytesOfHex('f1 0f ff')]);
    const leas = repeated((i) => `48 8d 05 ${le32(7 * (500_000 - i) + 2 + (i % MIB))}`, 7, 500_000);
    const { coverage } = auditFile(imageOf(concat([leas, sled])), 'hostile', {});
    expect(coverage?.followed[64]).toBeGreaterThan(500_000);
  });

  it('with a switch on every instruction: tables are read no more than so often', () => {
    const code = repeated(() => '3d ff 03 00 00 48 63 04 83 ff e0', 11, 1);
    const leas = repeated((i) => `48 8d 1d ${le32(-7 * i)}`, 7, 100_000).subarray(0, 700_000);
    const jumps = repeated(() => '48 8d 1d 00 00 00 00 3d ff 03 00 00 48 63 04 83 74 02 ff e0', 20, 50_000);
    expect(auditFile(imageOf(concat([leas, jumps, code])), 'hostile', {}).kind).toBe('bzImage');
  });

  it('with data that is nothing but pointers: no more of them are told of', () => {
    const words = new Uint8Array(8 * 200_000);
    const view = new DataView(words.buffer);
    for (let i = 0; i < 200_000; i++) view.setUint32(8 * i, START + 16, true);
    const code = concat([bytesOfHex(`48 8d 05 ${le32(16 - 7)} eb fe`), new Uint8Array(7), words]);
    const { findings } = auditFile(imageOf(code), 'hostile', {});
    expect(findings.filter(({ rule }) => rule === 'position-dependent-pointer')).toHaveLength(5000);
  });
});

// The faults of `npm run never-guess` have to be what it counts on: one instruction changed, and no fixed address made.
import { readFileSync } from 'node:fs';
import { Mnemonic } from 'iced-x86';
import { beforeAll, describe, expect, it } from 'vitest';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { decodeOne } from '../../src/code/disassembly.ts';
import {
  FAULT_KINDS,
  type Fault,
  bootConfig,
  type FaultKind,
  makeFault,
  makesAnAddress,
  type Sites,
  sitesOf,
  withFault,
} from '../support/faults.ts';
import { random } from '../support/random.ts';

const image = new Uint8Array(readFileSync('samples/built/good.bzImage'));
const MANY = 40;
/** `lea 0x2345(%rip),%rsi`, and what a linker makes of it where the address is fixed. */
const LEA = '48 8d 35 45 23 00 00';

let sites: Sites;
beforeAll(() => {
  sites = sitesOf(bootConfig(image, 64, 'banner'));
});

function many(kind: FaultKind): Fault[] {
  const source = random(7n);
  return Array.from({ length: MANY }, () => makeFault(sites, kind, false, source)).filter(
    (fault) => fault !== undefined,
  );
}

const mnemonicOf = (bytes: string): Mnemonic => {
  const insn = decodeOne(bytesOfHex(bytes), 0n, 64);
  const { mnemonic } = insn;
  insn.free();
  return mnemonic;
};

const bitsChanged = ({ before, after }: Fault): number => {
  const other = bytesOfHex(after);
  return bytesOfHex(before).reduce((sum, byte, i) => {
    const difference = byte ^ (other[i] as number);
    return sum + difference.toString(2).replaceAll('0', '').length;
  }, 0);
};

describe('faults of a good stub', () => {
  it('are made of every kind, in bytes of the file that a boot decodes', () => {
    expect(sites.early.length).toBeGreaterThan(300);
    for (const kind of FAULT_KINDS) {
      const faults = many(kind);
      expect(faults).toHaveLength(MANY);
      for (const { fileOffset, before } of faults)
        expect(image.subarray(fileOffset, fileOffset + bytesOfHex(before).length)).toEqual(bytesOfHex(before));
    }
  });

  it('change the bytes they name and no others', () => {
    for (const fault of many('nop').slice(0, 4)) {
      const changed = withFault(image, fault);
      const differing = [...changed.keys()].filter((at) => changed[at] !== image[at]);
      const end = fault.fileOffset + bytesOfHex(fault.after).length;
      expect(differing.every((at) => at >= fault.fileOffset && at < end)).toBe(true);
      expect(differing).not.toEqual([]);
    }
  });

  it('invert a condition, flip a bit of a number, or name another register, and nothing else', () => {
    for (const kind of ['inverted-jump', 'constant-bit', 'register-bit'] as const)
      for (const fault of many(kind)) expect(bitsChanged(fault)).toBe(1);
    for (const { before, after } of many('register-bit')) expect(mnemonicOf(after)).toBe(mnemonicOf(before));
    for (const { before, after } of many('inverted-jump')) expect(mnemonicOf(after)).not.toBe(mnemonicOf(before));
  });

  it('never put an address there that was fixed at link time', () => {
    const place = { at: 0x18100, length: 7, bits: 64 } as const;
    const makes = (after: string): boolean => makesAnAddress(sites.code, bytesOfHex(LEA), bytesOfHex(after), place);
    const [target] = sites.code.functions;
    const known = (target as number).toString(16).padStart(8, '0').match(/../g)?.reverse().join(' ');
    expect(makes('48 8d 35 45 23 00 01'), 'another distance').toBe(false);
    expect(makes('48 8d 34 25 45 23 00 00'), 'no longer relative to RIP').toBe(true);
    const wasNumber = bytesOfHex('48 c7 c6 01 00 00 00');
    expect(makesAnAddress(sites.code, wasNumber, bytesOfHex('48 c7 c6 00 00 00 40'), place), 'a number').toBe(false);
    expect(makesAnAddress(sites.code, wasNumber, bytesOfHex(`48 c7 c6 ${known}`), place), 'a function').toBe(true);
  });
});

// Kernels of a few instructions that speak only where their command line begins with our words, and then end as wanted.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { concat, makeElf } from '../image/synthetic.ts';

const ENTRY = 0x1000000n;
const END_AT = 0x1e;
const TEXT_AT = 0x2e;

/**
 * mov 0x228(%rsi),%edi      the command line
 * cmpb $'e',(%rdi); jne 3f  earlyprintk=...
 * lea text(%rip),%rsi
 * 1: lodsb; test %al,%al; jz 3f; mov $0x3f8,%dx; out %al,(%dx); jmp 1b
 * 3:
 */
const SPEAKS = '8bbe28020000 803f65 7513 488d351c000000 ac 84c0 7407 66baf803 ee ebf4';

/** mov $0x604,%dx; mov $0x3400,%ax; out %ax,(%dx) */
export const OFF = '66ba0406 66b80034 66ef';
export const UD2 = '0f0b';
/** cli; hlt */
export const HALTS = 'fa f4';

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** @param end the instructions behind what it says, 16 bytes at most  @param says what it prints; the banner of a kernel is in it too */
export function guest(end: string, says: string): Uint8Array {
  const code = new Uint8Array(TEXT_AT).fill(0x90);
  code.set(bytesOf(SPEAKS));
  code.set(bytesOf(end), END_AT);
  const bytes = concat([code, new TextEncoder().encode(`${says}\0${BANNER}\0`)]);
  return makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
}

export const BANNER = 'Linux version 9.9';
export const NO_ROOT = `${BANNER}\nKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n`;

/** A folder for them. */
export function guestFolder(): { file(name: string, bytes: Uint8Array): string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-guests-'));
  return {
    file: (name, bytes) => {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      return path;
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

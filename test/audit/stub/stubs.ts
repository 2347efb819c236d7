// Small stubs for tests, assembled by hand: head, payload, text, data, with the link addresses below.
import { bytesOfHex } from '../../../src/bits/hex.ts';
import { programOfBzImage } from '../../../src/code/program.ts';
import { auditStub, type StubAudit } from '../../../src/audit/stub/audit.ts';
import { parseBzImage } from '../../../src/image/bzimage.ts';
import { concat, makeBzImage } from '../../image/synthetic.ts';

/** Where the payload starts, 4 KiB long; what is below is the head. */
export const PAYLOAD = 0x400;
export const TEXT = 0x1400;
/** A function that does nothing, called by the text. */
export const FUNCTION = TEXT + 0x200;
export const DATA = TEXT + 0x400;
/** "hello, world", in the data. */
export const STRING = DATA + 0x40;
/** Data that the text refers to relative to RIP. */
export const VARIABLE = DATA + 0x80;
export const END = DATA + 0x100;

const le32 = (value: number): string =>
  [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')).join(' ');
const le64 = (value: number): string => `${le32(value)} ${le32(Math.floor(value / 2 ** 32))}`;
export { le32, le64 };

export interface Parts {
  /** Hexadecimal bytes at the start of the text, in 64-bit mode; a return follows. */
  readonly text?: string;
  /** At the 32-bit entry; an endless loop follows. */
  readonly entry32?: string;
  /** In the head, reached from the 64-bit entry before the text is. */
  readonly head?: string;
  /** Between two functions, where nothing leads. */
  readonly unreached?: string;
  readonly data?: Readonly<Record<number, string>>;
  readonly preferred?: bigint;
}

/** The image: the 64-bit entry runs `head`, calls the text, and stops. */
export function stubImage(parts: Parts): Uint8Array {
  const code = new Uint8Array(PAYLOAD);
  code.set(bytesOfHex(`${parts.entry32 ?? ''} eb fe`), 0);
  const head = bytesOfHex(parts.head ?? '');
  code.set(head, 0x200);
  const call = 0x200 + head.length;
  code.set(bytesOfHex(`e8 ${le32(TEXT - (call + 5))} f4`), call);
  const tail = new Uint8Array(END - TEXT);
  const body = bytesOfHex(parts.text ?? '');
  tail.set(body, 0);
  const at = TEXT + body.length;
  // Refers to the variable as it should, calls the function, returns.
  tail.set(bytesOfHex(`48 8d 05 ${le32(VARIABLE - (at + 7))} e8 ${le32(FUNCTION - (at + 12))} c3`), body.length);
  tail.set(bytesOfHex(parts.unreached ?? ''), 0x100);
  tail.set(bytesOfHex('90 90 90 c3'), FUNCTION - TEXT);
  tail.set(new TextEncoder().encode('hello, world\0'), STRING - TEXT);
  for (const [place, bytes] of Object.entries(parts.data ?? {})) tail.set(bytesOfHex(bytes), Number(place) - TEXT);
  return makeBzImage({
    code,
    payload: concat([bytesOfHex('28 b5 2f fd'), new Uint8Array(TEXT - PAYLOAD - 4).fill(0xa5)]),
    tail,
    ...(parts.preferred === undefined ? {} : { fields: { pref_address: parts.preferred } }),
  });
}

export function auditOf(parts: Parts): StubAudit {
  const image = parseBzImage(stubImage(parts));
  return auditStub(programOfBzImage(image), image.header.pref_address);
}

/** Texts of the instructions found, without the columns of a listing, with their confidence. */
export const found = (parts: Parts): string[] =>
  auditOf(parts).findings.map(({ text, confidence }) => `${(text ?? '').replace(/\s+/g, ' ')}: ${confidence}`);

// Encodings that a SARIF log needs, in plain ECMAScript: the core knows neither Buffer nor btoa.

import type { Finding } from '../audit/types.ts';
import { instructionText } from '../diagnose/instructionText.ts';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 4648, section 4, with padding. */
export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = bytes.subarray(i, i + 3);
    const group = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    const digits = [18, 12, 6, 0].map((shift) => DIGITS.charAt((group >> shift) & 63));
    if (c === undefined) digits[3] = '=';
    if (b === undefined) digits[2] = '=';
    text += digits.join('');
  }
  return text;
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** FNV-1a, 64 bits, of the text in UTF-8; 16 hexadecimal digits. It tells texts apart; it protects nothing. */
export function fnv1a64(text: string): string {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash.toString(16).padStart(16, '0');
}

/** Drive letter, "C:\\" or "C:/". */
const DRIVE = /^[A-Za-z]:[\\/]/;

/** A path as a URI reference (RFC 3986): relative stays relative, absolute becomes file:. */
export function uriOf(path: string): string {
  const windows = DRIVE.test(path);
  const slashes = windows ? `/${path.replaceAll('\\', '/')}` : path;
  const encoded = slashes
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .split('/')
    .map(encodeURIComponent)
    .join('/');
  if (windows) return `file://${encoded.replace('%3A', ':')}`;
  return path.startsWith('/') ? `file://${encoded}` : encoded.replace(/^(?:\.\/+)+/, '');
}

/** What of a finding outlives a new build: its rule, its function, its text without numbers, its target's name. */
export function fingerprintText({ rule, place, text, target, message }: Finding): string {
  const words = text === undefined ? message : instructionText({ text });
  const inside = place?.replace(/\+0x[0-9a-f]+$/, '') ?? '';
  return [rule, inside, words.replace(NUMBERS, '#'), target?.symbol?.replace(/\+0x[0-9a-f]+$/, '') ?? ''].join('\0');
}

/** Not those in the names of registers. */
const NUMBERS = /(?<![\w%])-?(?:0x[0-9a-f]+|\d[\d,]*)(?!\w)/g;

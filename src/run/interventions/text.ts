// The pieces that interventions are written in: numbers, bytes, addresses.

import { InputError } from '../../bits/errors.ts';
import { bytesOfHex, hex } from '../../bits/hex.ts';
import { visible } from '../../bits/visible.ts';

const UNITS: Readonly<Record<string, bigint>> = { k: 1n << 10n, m: 1n << 20n, g: 1n << 30n };
const NUMBER = /^(?<number>0x[0-9a-f]{1,16}|\d{1,20})(?<unit>[kmg])?$/i;
const LARGEST = (1n << 64n) - 1n;
/** Bytes that one intervention holds at most. */
const MOST_BYTES = 65536;

/** A number of 64 bits, hexadecimal with 0x or decimal, K, M or G behind it. Throws InputError. */
export function numberOf(text: string, most = LARGEST): bigint {
  const { number, unit } = NUMBER.exec(text)?.groups ?? {};
  if (number === undefined) throw new InputError(`'${shown(text)}' is no number; write it as in 0x1000, 4096 or 4K`);
  const value = BigInt(number) * (unit === undefined ? 1n : (UNITS[unit.toLowerCase()] ?? 1n));
  if (value > most) throw new InputError(`${hex(value)} is too large; ${hex(most)} is the most there can be`);
  return value;
}

/** The same where it is one that JavaScript counts with. */
export const smallNumberOf = (text: string, most = Number.MAX_SAFE_INTEGER): number =>
  Number(numberOf(text, BigInt(most)));

/** Bytes in hexadecimal: one at least. Throws InputError. */
export function bytesOf(text: string): Uint8Array {
  const whole = text.length > 0 && text.length % 2 === 0 && /^[0-9a-f]*$/i.test(text);
  if (!whole) throw new InputError(`'${shown(text)}' are no bytes; write them as in 48c7c0`);
  if (text.length > 2 * MOST_BYTES) throw new InputError(`more than ${MOST_BYTES} bytes are too many for one change`);
  return bytesOfHex(text);
}

export const bytesText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Both sides of the first sign in a text. Throws InputError that says what the text is to look like. */
export function split(text: string, sign: string, form: string): [string, string] {
  const at = text.indexOf(sign);
  if (at < 0) throw new InputError(`'${shown(text)}' is not of the form ${form}`);
  return [text.slice(0, at), text.slice(at + sign.length)];
}

/** One of a few names. Throws InputError. */
export function oneOf<const T extends string>(text: string, names: readonly T[]): T {
  const found = names.find((name) => name === text);
  if (found !== undefined) return found;
  throw new InputError(`'${shown(text)}' is none of ${names.join(', ')}`);
}

/** What somebody wrote, fit for a message of one line. */
export const shown = (text: string): string => visible(text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text);

const LONGEST = 40;

/** Where in memory: a linear address, or with "phys:" before it a physical one. */
export type Place = { readonly space: 'linear' | 'physical'; readonly address: bigint };

const PHYSICAL = 'phys:';
const MOST_PHYSICAL = (1n << 52n) - 1n;

/** Throws InputError. */
export function placeOf(text: string): Place {
  if (!text.startsWith(PHYSICAL)) return { space: 'linear', address: numberOf(text) };
  return { space: 'physical', address: numberOf(text.slice(PHYSICAL.length), MOST_PHYSICAL) };
}

export const placeText = ({ space, address }: Place): string => (space === 'physical' ? PHYSICAL : '') + hex(address);

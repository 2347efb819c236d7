// From the text of an option to its value. Every refusal names the option, the text and what would be right.

import { UsageError } from './usageError.ts';

const BINARY: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
const DECIMAL: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** Hexadecimal with 0x, or decimal; K, M, G or T for powers of 1024, "iB" behind it or not. */
const SIZE = /^(?<number>0x[0-9a-f]+|\d[\d_]*)(?:(?<unit>[kmgt])(?:ib)?)?$/i;
/** Decimal, possibly with an exponent; K, M, G or T for powers of 1000. */
const COUNT = /^(?<number>\d[\d_]*(?:\.\d+)?(?:e\d{1,2})?)(?<unit>[kmgt])?$/i;

function read(text: string, form: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const { number, unit } = form.exec(text.trim())?.groups ?? {};
  if (number === undefined) return undefined;
  const factor = unit === undefined ? 1 : (units[unit.toLowerCase()] ?? 1);
  const value = Number(number.replaceAll('_', '')) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Bytes: "512M", "6G", "0x20000000". */
export function sizeValue(option: string, text: string): number {
  const value = read(text, SIZE, BINARY);
  if (value !== undefined) return value;
  throw new UsageError(`--${option}: '${text}' is no size; write it as in 512M, 6G or 0x20000000`);
}

/** A guest-physical address: "0x1000000", "16M", "4G". */
export function addressValue(option: string, text: string): number {
  const value = read(text, SIZE, BINARY);
  if (value !== undefined) return value;
  throw new UsageError(`--${option}: '${text}' is no address; write it as in 0x1000000, 16M or 4G`);
}

/** A count of at least 1 and below 2^53: "5e9", "2G", "1_000_000". */
export function countValue(option: string, text: string): bigint {
  const value = read(text, COUNT, DECIMAL);
  if (value !== undefined && value >= 1) return BigInt(value);
  throw new UsageError(`--${option}: '${text}' is no count from 1 to 2^53-1; write it as in 5e9, 2G or 1_000_000`);
}

/** A whole number from 0 to 2^53-1, decimal or hexadecimal. */
export function seedValue(option: string, text: string): number {
  const value = read(text, SIZE, {});
  if (value !== undefined && !/[kmgt]/i.test(text)) return value;
  throw new UsageError(`--${option}: '${text}' is no whole number from 0 to 2^53-1`);
}

/** Any text but none. */
export function textValue(option: string, text: string): string {
  if (text !== '') return text;
  throw new UsageError(`--${option}: there is no text to wait for`);
}

/** One of a few words or numbers. */
export function choiceValue<T extends string | number>(option: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => String(choice) === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${option}: '${text}' is none of ${choices.join(', ')}`);
}

/** The same as the meaning of an option. */
export const choiceOf =
  <T extends string | number>(choices: readonly T[]) =>
  (option: string, text: string): T =>
    choiceValue(option, text, choices);

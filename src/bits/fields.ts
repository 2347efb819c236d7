// Checked reading of plain data that came from outside: each field is asked for by its name, kind and range, and what does
// not fit is an InputError that names it.

import { InputError } from './errors.ts';
import type { Plain } from './plain.ts';

export class Fields {
  readonly #values: { readonly [key: string]: Plain };
  readonly #what: string;

  /** @param what the thing read, as messages name it */
  constructor(value: Plain, what: string) {
    this.#what = what;
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw new InputError(`${what} cannot be right`);
    }
    this.#values = value as { readonly [key: string]: Plain };
  }

  wrong(name: string): InputError {
    return new InputError(`${this.#what}: '${name}' cannot be right`);
  }

  has(name: string): boolean {
    return this.any(name) !== undefined;
  }

  any(name: string): Plain {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  /** A whole number from `least` to `most`. */
  number(name: string, least: number, most: number): number {
    const value = this.any(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw this.wrong(name);
  }

  bigint(name: string, least: bigint, most: bigint): bigint {
    const value = this.any(name);
    if (typeof value === 'bigint' && value >= least && value <= most) return value;
    throw this.wrong(name);
  }

  flag(name: string): boolean {
    const value = this.any(name);
    if (typeof value === 'boolean') return value;
    throw this.wrong(name);
  }

  /** @param longest UTF-16 units */
  text(name: string, longest: number): string {
    const value = this.any(name);
    if (typeof value === 'string' && value.length <= longest) return value;
    throw this.wrong(name);
  }

  choice<const T extends string | number>(name: string, choices: readonly T[]): T {
    const value = this.any(name);
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw this.wrong(name);
  }

  /** @param longest bytes  @param unit they are a multiple of so many */
  bytes(name: string, longest: number, unit = 1): Uint8Array {
    const value = this.any(name);
    if (value instanceof Uint8Array && value.length <= longest && value.length % unit === 0) return value;
    throw this.wrong(name);
  }

  list(name: string, longest: number): readonly Plain[] {
    const value = this.any(name);
    if (Array.isArray(value) && value.length <= longest) return value as readonly Plain[];
    throw this.wrong(name);
  }

  numbers(name: string, longest: number, least: number, most: number): number[] {
    return this.list(name, longest).map((value) => {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
      throw this.wrong(name);
    });
  }

  object(name: string): Fields {
    return new Fields(this.any(name), `${this.#what}: '${name}'`);
  }

  objects(name: string, longest: number): Fields[] {
    return this.list(name, longest).map((value) => new Fields(value, `${this.#what}: '${name}'`));
  }
}

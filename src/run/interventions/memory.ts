// Memory changed: given bytes put somewhere, or a range filled with one byte.

import { PAGE_SIZE, physAddr } from '../../bits/address.ts';
import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { isFault } from '../../cpu/state/cpu.ts';
import * as at from '../../cpu/state/layout.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Kind } from './kind.ts';
import { bytesOf, bytesText, numberOf, type Place, placeOf, placeText, smallNumberOf, split } from './text.ts';

export type MemoryBytes = { readonly kind: 'memory'; readonly place: Place; readonly bytes: Uint8Array };
export type Fill = { readonly kind: 'fill'; readonly place: Place; readonly size: number; readonly byte: number };

const LARGEST_FILL = 2 ** 30;

export const memory: Kind<MemoryBytes> = {
  form: 'ADDRESS=BYTES',
  help: 'puts bytes (hexadecimal) into memory',
  parse(text) {
    const [place, bytes] = split(text, '=', this.form);
    return { kind: 'memory', place: placeOf(place), bytes: bytesOf(bytes) };
  },
  text: ({ place, bytes }) => `${placeText(place)}=${bytesText(bytes)}`,
  make({ place, bytes }, { machine }) {
    let done = 0;
    for (const { start, size } of piecesOf(machine, place, bytes.length)) {
      putBytes(machine, start, bytes.subarray(done, done + size));
      done += size;
    }
  },
};

export const fill: Kind<Fill> = {
  form: 'ADDRESS+SIZE=BYTE',
  help: 'fills a range of memory with one byte',
  parse(text) {
    const [range, byte] = split(text, '=', this.form);
    const [place, size] = split(range, '+', this.form);
    const bytes = smallNumberOf(size, LARGEST_FILL);
    if (bytes === 0) throw new InputError('a range of 0 bytes has nothing to fill');
    return { kind: 'fill', place: placeOf(place), size: bytes, byte: Number(numberOf(byte, 0xffn)) };
  },
  text: ({ place, size, byte }) => `${placeText(place)}+${hex(size)}=${hex(byte, 2)}`,
  make({ place, size: whole, byte }, { machine }) {
    for (const { start, size } of piecesOf(machine, place, whole)) {
      putBytes(machine, start, new Uint8Array(size).fill(byte));
    }
  },
};

type Piece = { readonly start: number; readonly size: number };

/** Physical pieces that lie in one page each. All of it has to be there before any is written. Throws InputError. */
function piecesOf(machine: Machine, { space, address }: Place, length: number): Piece[] {
  const pieces: Piece[] = [];
  for (let done = 0; done < length; ) {
    const here = BigInt.asUintN(64, address + BigInt(done));
    const size = Math.min(length - done, PAGE_SIZE - Number(here % BigInt(PAGE_SIZE)));
    const start = space === 'physical' ? Number(here) : physicalOf(machine, here);
    if (!machine.memory.isRam(start, size)) throw new InputError(`at ${hex(start)} there is no RAM to change`);
    pieces.push({ start, size });
    done += size;
  }
  return pieces;
}

/** By the page tables in force, whoever may access it. */
function physicalOf({ engine }: Machine, linear: bigint): number {
  const found = engine.translate(linear, { implicit: true });
  if (isFault(found)) throw new InputError(`nothing is mapped at ${hex(linear)}`);
  return found;
}

/**
 * Writes bytes that lie in one page, and marks it as a store would, for whoever keeps an eye on what changes. Throws
 * InputError where the host has no room for it.
 */
export function putBytes({ memory: ram }: Machine, address: number, bytes: Uint8Array): void {
  ram.write(physAddr(address), bytes);
  const flags = at.PAGE_FLAGS + ((ram.hostOf(address) as number) >>> 12);
  ram.bytes[flags] = (ram.bytes[flags] as number) | at.PAGE_WRITTEN;
}

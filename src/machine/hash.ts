// The state hash: one number for everything the guest could tell apart. Two machines with equal hashes at the same
// instruction behave alike from there on. Pages of zeros do not count, so touching memory without changing it does not
// show. Not cryptographic; two lanes of 32 bits with the multipliers of MurmurHash3 (public domain constants).

import * as at from '../cpu/state/layout.ts';
import type { GuestMemory } from '../cpu/state/memory.ts';
import type { CpuState } from '../cpu/state/state.ts';
import type { Device } from '../devices/device.ts';

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;
const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

export class StateHash {
  #a = 0x9e3779b9 | 0;
  #b = 0x7f4a7c15 | 0;

  word(value: number): void {
    this.#a = (Math.imul(rotl(this.#a ^ Math.imul(value, C1), 13), 5) + 0xe6546b64) | 0;
    this.#b = (Math.imul(rotl(this.#b ^ Math.imul(value, C2), 15), 9) + 0x38495ab5) | 0;
  }

  /** @param bytes length a multiple of 4, aligned to 4 */
  words(bytes: Uint8Array): void {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    let a = this.#a;
    let b = this.#b;
    for (let i = 0; i < words.length; i++) {
      const value = words[i] as number;
      a = (Math.imul(rotl(a ^ Math.imul(value, C1), 13), 5) + 0xe6546b64) | 0;
      b = (Math.imul(rotl(b ^ Math.imul(value, C2), 15), 9) + 0x38495ab5) | 0;
    }
    this.#a = a;
    this.#b = b;
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i++) this.word(value.charCodeAt(i));
    this.word(value.length);
  }

  /** 16 hexadecimal digits. */
  digest(): string {
    const mix = (x: number): number => {
      let h = x ^ (x >>> 16);
      h = Math.imul(h, 0x85ebca6b);
      h ^= h >>> 13;
      h = Math.imul(h, 0xc2b2ae35);
      return (h ^ (h >>> 16)) >>> 0;
    };
    const first = mix(this.#a ^ rotl(this.#b, 7));
    const second = mix(this.#b + first);
    return [first, second].map((half) => half.toString(16).padStart(8, '0')).join('');
  }
}

/** Registers and hidden state; of the arithmetic flags their value, not how it is kept. @param bytes the state block's memory */
function hashProcessor(hash: StateHash, state: CpuState, bytes: Uint8Array): void {
  const block = (start: number, end: number): Uint8Array => bytes.subarray(state.block + start, state.block + end);
  hash.words(block(at.REGS, at.FLAG_ZR));
  hash.word(state.rflags);
  hash.words(block(at.SEGMENTS, at.MODE64));
  hash.words(block(at.INTERRUPT_SHADOW, at.TSC_START));
  hash.words(block(at.PDPTE0, at.RESERVED_PHYS_MASK));
  hash.words(block(at.MSRS, at.STATE_END));
}

function hashMemory(hash: StateHash, memory: GuestMemory): void {
  for (const { address, bytes } of memory.touched()) {
    for (let page = 0; page < bytes.length; page += 4096) {
      const part = bytes.subarray(page, page + 4096);
      if (isZero(part)) continue;
      hash.text((address + page).toString());
      hash.words(part);
    }
  }
}

/** By their names: where on the board they are is nothing that the guest can tell. */
function hashChips(hash: StateHash, chips: readonly Device[]): void {
  for (const chip of [...chips].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.text(chip.name);
    hash.text(JSON.stringify(chip.state()));
    for (const { at: place, bytes } of chip.bulk?.pieces() ?? []) {
      hash.text(place.toString());
      hash.words(bytes);
    }
  }
}

/** All that a state hash is about. */
export type Hashed = {
  /** Guest time in ns, and instructions retired. */
  readonly now: bigint;
  readonly retired: bigint;
  /** By number. */
  readonly processors: readonly CpuState[];
  readonly memory: GuestMemory;
  /** Video memory: storage like RAM. */
  readonly vga: Uint8Array;
  /** Of the generator that RDRAND and RDSEED draw from. */
  readonly random: bigint;
  readonly chips: readonly Device[];
};

/** What of the state each part is about, in the order in which the state hash takes them. */
const PARTS = {
  time: (hash: StateHash, { now, retired }: Hashed): void => {
    hash.text(now.toString());
    hash.text(retired.toString());
  },
  processors: (hash: StateHash, { processors, memory }: Hashed): void => {
    for (const state of processors) hashProcessor(hash, state, memory.bytes);
  },
  memory: (hash: StateHash, { memory, vga }: Hashed): void => {
    hashMemory(hash, memory);
    hash.words(vga);
  },
  random: (hash: StateHash, { random }: Hashed): void => hash.text(random.toString()),
  chips: (hash: StateHash, { chips }: Hashed): void => hashChips(hash, chips),
} as const;

export type StatePart = keyof typeof PARTS;
const NAMES = Object.keys(PARTS) as StatePart[];

/** A hash of each part by itself: where two states differ, it tells in what. */
export const partsOf = (machine: Hashed): Readonly<Record<StatePart, string>> =>
  Object.fromEntries(
    NAMES.map((name) => {
      const hash = new StateHash();
      PARTS[name](hash, machine);
      return [name, hash.digest()];
    }),
  ) as Record<StatePart, string>;

/** Of all parts, one behind the other. */
export function hashOf(machine: Hashed): string {
  const hash = new StateHash();
  for (const name of NAMES) PARTS[name](hash, machine);
  return hash.digest();
}

export function isZero(bytes: Uint8Array): boolean {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  for (let i = 0; i < words.length; i++) if (words[i]) return false;
  return true;
}

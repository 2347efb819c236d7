// A page mapped in the page tables in force (SDM 3A 4.3 to 4.5): tables that are missing on the way are made, pages that are
// larger are taken apart, and nothing else is seen otherwise than before.

import { PAGE_SIZE, physAddr } from '../../bits/address.ts';
import { viewOf } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import * as at from '../../cpu/state/layout.ts';
import type { Machine } from '../../machine/machine.ts';
import { EFER_NXE } from '../../x86/control.ts';
import {
  PDE_PAT,
  PTE_A,
  PTE_ADDRESS,
  PTE_D,
  PTE_G,
  PTE_NX,
  PTE_P,
  PTE_PAT,
  PTE_PCD,
  PTE_PS,
  PTE_PWT,
  PTE_RW,
  PTE_US,
} from '../../x86/paging.ts';
import type { Kind } from './kind.ts';
import { putBytes } from './memory.ts';
import { numberOf, oneOf, split } from './text.ts';

/** Without any: supervisor's, to read, write and run. */
const FLAGS = { user: PTE_US, global: PTE_G, uncached: PTE_PCD | PTE_PWT, ro: 0n, nx: PTE_NX } as const;
type Flag = keyof typeof FLAGS;
const FLAG_NAMES = Object.keys(FLAGS) as readonly Flag[];

export type Mapping = {
  readonly kind: 'map';
  /** Addresses of pages. */
  readonly linear: bigint;
  readonly physical: bigint;
  readonly flags: readonly Flag[];
};

const PAGE = BigInt(PAGE_SIZE);

export const mapping: Kind<Mapping> = {
  form: `LINEAR=PHYSICAL[,FLAG]..., with FLAG one of ${FLAG_NAMES.join(', ')}`,
  help: 'maps a page of 4 KiB in the page tables in force',
  parse(text) {
    const [linear, rest] = split(text, '=', this.form);
    const [physical = '', ...flags] = rest.split(',');
    const [from, to] = [numberOf(linear), numberOf(physical, PTE_ADDRESS)];
    if (from % PAGE || to % PAGE) throw new InputError(`${hex(from)} and ${hex(to)} have to be addresses of pages`);
    return { kind: 'map', linear: from, physical: to, flags: flags.map((flag) => oneOf(flag, FLAG_NAMES)) };
  },
  text: ({ linear, physical, flags }) => [`${hex(linear)}=${hex(physical)}`, ...flags].join(),
  make(what, { machine }) {
    for (const { address, bytes } of editsOf(what, machine)) putBytes(machine, address, bytes);
    keepPdpte(what, machine);
    machine.engine.flushTlb(true);
  },
};

/** What is to be written, each piece in one page: nothing is before all of it is known. */
type Edit = { readonly address: number; readonly bytes: Uint8Array };

/** How entries lie in tables: of 8 bytes, 512 a table; or, with 32-bit paging, of 4 bytes. */
type Shape = { readonly levels: number; readonly size: 4 | 8; readonly indexBits: bigint };

function shapeOf({ engine }: Machine): Shape {
  const levels = engine.state.u32(at.PAGING_LEVELS);
  if (levels === 0) throw new InputError('paging is off: there are no page tables to map a page in');
  return levels === 2 ? { levels, size: 4, indexBits: 10n } : { levels, size: 8, indexBits: 9n };
}

function editsOf(what: Mapping, machine: Machine): Edit[] {
  const { linear, physical } = what;
  const shape = shapeOf(machine);
  const canonical = BigInt.asUintN(64, BigInt.asIntN(shape.levels === 5 ? 57 : 48, linear));
  if (shape.levels < 4 ? linear >> 32n : canonical !== linear) {
    throw new InputError(`${hex(linear)} is no address that the page tables in force reach`);
  }
  const { state } = machine.engine;
  if (what.flags.includes('nx') && !(state.u64(at.EFER) & EFER_NXE)) {
    throw new InputError('execute-disable is off (EFER.NXE)');
  }
  const builder = new Builder(machine, shape);
  let table = rootOf(machine, shape);
  for (let level = shape.levels; level > 1; level--) table = builder.below(table, level, what);
  builder.put(table, indexAt(linear, 1, shape), physical | leafBits(what, shape));
  return builder.edits();
}

const indexAt = (linear: bigint, level: number, { indexBits }: Shape): number =>
  Number((linear >> (12n + BigInt(level - 1) * indexBits)) & ((1n << indexBits) - 1n));

function rootOf({ engine }: Machine, { levels }: Shape): number {
  const cr3 = engine.state.u64(at.CR3);
  return Number(levels === 3 ? cr3 & 0xffff_ffe0n : cr3 & PTE_ADDRESS);
}

function leafBits({ flags, physical }: Mapping, { size }: Shape): bigint {
  if (size === 4 && (flags.includes('nx') || physical >> 32n)) {
    throw new InputError('32-bit paging knows no execute-disable and no address above 4 GiB');
  }
  const writable = flags.includes('ro') ? 0n : PTE_RW;
  return flags.reduce((value, flag) => value | FLAGS[flag], PTE_P | writable);
}

/** Entries as they will be. */
class Builder {
  readonly #machine: Machine;
  readonly #shape: Shape;
  /** By the address of the table. */
  readonly #tables = new Map<number, Uint8Array>();
  #nextFree: number;

  constructor(machine: Machine, shape: Shape) {
    this.#machine = machine;
    this.#shape = shape;
    this.#nextFree = topOfRam(machine);
  }

  /** The table below an entry. Throws InputError where there is no room for it. */
  below(table: number, level: number, { linear, flags }: Mapping): number {
    const index = indexAt(linear, level, this.#shape);
    const entry = this.#get(table, index);
    // The four entries of PAE's top table have no such bits.
    const isTop = this.#shape.levels === 3 && level === 3;
    const opened = isTop ? 0n : PTE_RW | (flags.includes('user') ? PTE_US : 0n);
    const isLarge = (entry & PTE_PS) !== 0n && level < 4 && !isTop;
    if (entry & PTE_P && !isLarge) {
      const nx = flags.includes('nx') ? 0n : PTE_NX;
      this.put(table, index, (entry | opened) & ~nx);
      return Number(entry & this.#addressMask);
    }
    const made = this.#newTable();
    if (entry & PTE_P) this.#fillFrom(made, entry, level);
    this.put(table, index, BigInt(made) | PTE_P | opened | (isTop ? 0n : entry & PTE_US));
    return made;
  }

  get #addressMask(): bigint {
    return this.#shape.size === 4 ? 0xffff_f000n : PTE_ADDRESS;
  }

  /** What a large page mapped, in pages of the next size. */
  #fillFrom(table: number, entry: bigint, level: number): void {
    const { size, indexBits } = this.#shape;
    const toLeaf = level === 2;
    const pageBits = 12n + BigInt(level - 2) * indexBits;
    const pat = entry & PDE_PAT ? (toLeaf ? PTE_PAT : PDE_PAT) : 0n;
    const kept = entry & (PTE_P | PTE_RW | PTE_US | PTE_PWT | PTE_PCD | PTE_A | PTE_D | PTE_G | PTE_NX);
    const large = toLeaf ? 0n : PTE_PS;
    for (let i = 0n; i < 1n << indexBits; i++) {
      const address = largeAddress(entry, level, size) + (i << pageBits);
      this.put(table, Number(i), address | kept | large | pat);
    }
  }

  #get(table: number, index: number): bigint {
    const view = viewOf(this.#bytes(table));
    const { size } = this.#shape;
    const place = (table % PAGE_SIZE) + index * size;
    return size === 4 ? BigInt(view.getUint32(place, true)) : view.getBigUint64(place, true);
  }

  put(table: number, index: number, value: bigint): void {
    const view = viewOf(this.#bytes(table));
    const { size } = this.#shape;
    const place = (table % PAGE_SIZE) + index * size;
    if (size === 4) view.setUint32(place, Number(value), true);
    else view.setBigUint64(place, value, true);
  }

  /** The page that a table lies in: PAE's first table has 32 bytes somewhere in one. */
  #bytes(table: number): Uint8Array {
    const page = table - (table % PAGE_SIZE);
    const known = this.#tables.get(page);
    if (known) return known;
    const { memory } = this.#machine;
    if (!memory.isRam(page, PAGE_SIZE)) throw new InputError(`the page table at ${hex(table)} lies in no RAM`);
    const bytes = memory.read(physAddr(page), PAGE_SIZE);
    this.#tables.set(page, bytes);
    return bytes;
  }

  /** From the top of RAM below 4 GiB down: the first page that holds nothing. */
  #newTable(): number {
    const { memory } = this.#machine;
    const last = this.#nextFree - MOST_PAGES_TRIED * PAGE_SIZE;
    for (let page = this.#nextFree; page > last && page > 0; page -= PAGE_SIZE) {
      const isFree = memory.isRam(page, PAGE_SIZE) && !this.#tables.has(page);
      if (!isFree || memory.read(physAddr(page), PAGE_SIZE).some((byte) => byte !== 0)) continue;
      this.#nextFree = page - PAGE_SIZE;
      this.#tables.set(page, new Uint8Array(PAGE_SIZE));
      return page;
    }
    throw new InputError('there is no free page at the top of RAM for another page table');
  }

  /** Only what differs. */
  edits(): Edit[] {
    const { memory } = this.#machine;
    return [...this.#tables]
      .filter(([page, bytes]) => {
        const before = memory.read(physAddr(page), PAGE_SIZE);
        return bytes.some((byte, i) => byte !== before[i]);
      })
      .map(([address, bytes]) => ({ address, bytes }));
  }
}

const MOST_PAGES_TRIED = 4096;

function topOfRam({ memory }: Machine): number {
  const ends = memory.ranges.map(({ end }) => end).filter((end) => end < 2 ** 32);
  return Math.max(...ends) - PAGE_SIZE;
}

/** Of a page of 4 MiB (32-bit paging, with bits 32 to 39 of the address in 13 to 20), 2 MiB or 1 GiB. */
function largeAddress(entry: bigint, level: number, size: 4 | 8): bigint {
  if (size === 4) {
    const high = (entry >> 13n) & 0xffn;
    if (high) throw new InputError('a page of 4 MiB above 4 GiB cannot be taken apart');
    return entry & 0xffc0_0000n;
  }
  const bits = level === 3 ? 30n : 21n;
  return entry & PTE_ADDRESS & ~((1n << bits) - 1n);
}

/** With PAE paging the processor holds the four top entries itself, since CR3 was loaded (SDM 3A 4.4.1). */
function keepPdpte({ linear }: Mapping, { engine, memory }: Machine): void {
  const { state } = engine;
  if (state.u32(at.PAGING_LEVELS) !== 3) return;
  const offset = 8 * Number(linear >> 30n);
  const table = Number(state.u64(at.CR3) & 0xffff_ffe0n);
  state.setU64(at.PDPTE0 + offset, viewOf(memory.read(physAddr(table + offset), 8)).getBigUint64(0, true));
}

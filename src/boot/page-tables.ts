// 1:1 page tables for the 64-bit entry (Intel SDM volume 3, 5.5 "4-Level Paging and 5-Level Paging"): 2 MiB pages, or
// 1 GiB pages where the CPU has them.
import { PAGE_SIZE } from '../bits/address.ts';
import { putU64 } from '../bits/cursor.ts';
import { GIB, MIB } from '../bits/sizes.ts';
import { PTE_P, PTE_PS, PTE_RW } from '../x86/paging.ts';

const ENTRIES = 512;

export interface IdentityMap {
  /** Physical address the tables are made for; page-aligned. The root is the first page. */
  readonly at: number;
  /** Which GiB are mapped, by number (1 is 0x40000000 and on). */
  readonly gigabytes: Iterable<number>;
  readonly levels: 4 | 5;
  /** CPUID.80000001H:EDX.Page1GB */
  readonly gigabytePages: boolean;
}

/** A table under construction: the index of its page, and the tables below it. */
interface Table {
  readonly page: number;
  readonly below: Map<number, Table>;
}

interface Builder {
  readonly map: IdentityMap;
  readonly pages: Uint8Array[];
}

/** The bytes of the tables, a whole number of pages; CR3 is `map.at`. */
export function identityTables(map: IdentityMap): Uint8Array {
  const builder: Builder = { map, pages: [] };
  const root = newTable(builder);
  for (const gigabyte of map.gigabytes) mapGigabyte(builder, root, gigabyte);
  const bytes = new Uint8Array(builder.pages.length * PAGE_SIZE);
  for (const [index, page] of builder.pages.entries()) bytes.set(page, index * PAGE_SIZE);
  return bytes;
}

function newTable(builder: Builder): Table {
  builder.pages.push(new Uint8Array(PAGE_SIZE));
  return { page: builder.pages.length - 1, below: new Map() };
}

function mapGigabyte(builder: Builder, root: Table, gigabyte: number): void {
  const pml4 = builder.map.levels === 5 ? tableBelow(builder, root, Math.floor(gigabyte / ENTRIES ** 2)) : root;
  const pdpt = tableBelow(builder, pml4, Math.floor(gigabyte / ENTRIES) % ENTRIES);
  const base = BigInt(gigabyte) * BigInt(GIB);
  if (builder.map.gigabytePages) {
    putEntry(builder, pdpt, gigabyte % ENTRIES, base | PTE_PS);
    return;
  }
  const directory = tableBelow(builder, pdpt, gigabyte % ENTRIES);
  for (let i = 0; i < ENTRIES; i++) putEntry(builder, directory, i, (base + BigInt(i * 2 * MIB)) | PTE_PS);
}

function tableBelow(builder: Builder, table: Table, index: number): Table {
  const known = table.below.get(index);
  if (known !== undefined) return known;
  const created = newTable(builder);
  table.below.set(index, created);
  putEntry(builder, table, index, BigInt(builder.map.at + created.page * PAGE_SIZE));
  return created;
}

function putEntry(builder: Builder, table: Table, index: number, value: bigint): void {
  const page = builder.pages[table.page];
  if (page === undefined) throw new RangeError(`no page ${table.page}`);
  putU64(page, index * 8, value | PTE_P | PTE_RW);
}

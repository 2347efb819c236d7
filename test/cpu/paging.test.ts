// Address translation against the manual's tables (SDM 3A chapter 4), restated here in their own words: for every paging
// mode, page size and level, each bit of an entry meets each kind of access under each setting of the bits that rule it.

import { describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import { type Fault, isFault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { FLAGS } from '../../src/cpu/state/state.ts';
import { makeGuest } from './guest.ts';

const P = 1n;
const RW = 2n;
const US = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const G = 0x100n;
const NX = 1n << 63n;
const bit = (n: number): bigint => 1n << BigInt(n);
const bits = (from: number, to: number): bigint[] => Array.from({ length: to - from + 1 }, (_, n) => bit(from + n));

const MAXPHYADDR = 40;
const guest = makeGuest();
const { engine } = guest;
const { state } = engine;

// Modes -------------------------------------------------------------------------------------------------------------------

/** What the bits of an entry mean at one level of one mode, by the manual's tables 4-4 to 4-20. */
type Level = {
  readonly name: string;
  /** Lowest linear-address bit that selects in this table. */
  readonly shift: number;
  /** The last one: it maps a page whatever PS says. */
  readonly last?: boolean;
  /** With PS set it maps a page. */
  readonly large?: boolean;
  /** PS must be 0. */
  readonly psReserved?: boolean;
};

type Mode = {
  readonly name: string;
  readonly cr4: bigint;
  readonly long: boolean;
  readonly entryBytes: 4 | 8;
  /** Linear-address bits that select in one table. */
  readonly indexBits: number;
  readonly levels: readonly Level[];
  readonly kind: '32-bit' | 'PAE' | 'IA-32e';
};

const CR4_PSE = 0x10n;
const CR4_PAE = 0x20n;
const CR4_LA57 = 0x1000n;
const CR4_SMEP = 0x10_0000n;
const CR4_SMAP = 0x20_0000n;

const PTE: Level = { name: 'PTE', shift: 12, last: true };
const PDE: Level = { name: 'PDE', shift: 21, large: true };
const PDPTE: Level = { name: 'PDPTE', shift: 30, large: true };
const PML4E: Level = { name: 'PML4E', shift: 39, psReserved: true };
const PML5E: Level = { name: 'PML5E', shift: 48, psReserved: true };

const LEGACY = { long: false, entryBytes: 4, indexBits: 10, kind: '32-bit' } as const;
const WIDE = { entryBytes: 8, indexBits: 9 } as const;
const MODES: readonly Mode[] = [
  { ...LEGACY, name: '32-bit paging without PSE', cr4: 0n, levels: [{ name: 'PDE', shift: 22 }, PTE] },
  { ...LEGACY, name: '32-bit paging with PSE', cr4: CR4_PSE, levels: [{ name: 'PDE', shift: 22, large: true }, PTE] },
  // The four PDPTEs are registers; what the walk reads from memory begins with the PDE.
  { ...WIDE, name: 'PAE paging', kind: 'PAE', cr4: CR4_PAE, long: false, levels: [PDE, PTE] },
  { ...WIDE, name: '4-level paging', kind: 'IA-32e', cr4: CR4_PAE, long: true, levels: [PML4E, PDPTE, PDE, PTE] },
  {
    ...WIDE,
    ...{ name: '5-level paging', kind: 'IA-32e', cr4: CR4_PAE | CR4_LA57, long: true },
    levels: [PML5E, PML4E, PDPTE, PDE, PTE],
  },
];

// The expectation ---------------------------------------------------------------------------------------------------------

type Controls = {
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
  readonly nxe: boolean;
};
type Kind = { readonly what: 'read' | 'write' | 'fetch'; readonly who: 'user' | 'supervisor' | 'implicit' };

type Expected =
  | { readonly physical: bigint; readonly error?: undefined }
  | { readonly error: number; readonly physical?: undefined };

const isLarge = (level: Level, entry: bigint): boolean => level.large === true && (entry & PS) !== 0n;

/** Reserved bits of a present entry that are set. */
function reservedBits(mode: Mode, level: Level, entry: bigint, nxe: boolean): boolean {
  const must0: bigint[] = [];
  if (mode.kind === '32-bit') {
    // PSE-36: with 40 physical bits, 20:13 hold bits 39:32 of the address and 21 is reserved (table 4-4).
    if (isLarge(level, entry)) must0.push(bit(21));
  } else {
    must0.push(...bits(MAXPHYADDR, 51));
    if (mode.kind === 'PAE') must0.push(...bits(52, 62));
    if (!nxe) must0.push(NX);
    if (level.psReserved) must0.push(PS);
    if (isLarge(level, entry)) must0.push(...bits(13, level.shift - 1));
  }
  return must0.some((one) => (entry & one) !== 0n);
}

/** May this access be made by these rights? (SDM 3A 4.6.1) */
function allowed({ what, who }: Kind, c: Controls, page: { user: boolean; writable: boolean; nx: boolean }): boolean {
  if (who === 'user') {
    if (!page.user) return false;
    return what === 'read' || (what === 'write' ? page.writable : !page.nx);
  }
  if (what === 'fetch') return page.user && c.smep ? false : !page.nx;
  if (page.user && c.smap && (who === 'implicit' || !c.ac)) return false;
  return what === 'read' || !c.wp || page.writable;
}

function expected(mode: Mode, entries: readonly bigint[], linear: bigint, kind: Kind, c: Controls): Expected {
  const nxe = c.nxe && mode.kind !== '32-bit';
  // Figure 4-12: I/D needs a feature that makes fetches special.
  const base =
    (kind.what === 'write' ? 2 : 0) |
    (kind.who === 'user' ? 4 : 0) |
    (kind.what === 'fetch' && (nxe || c.smep) ? 0x10 : 0);
  const used: bigint[] = [];
  for (const [n, level] of mode.levels.entries()) {
    const entry = entries[n] as bigint;
    if (!(entry & P)) return { error: base };
    if (reservedBits(mode, level, entry, nxe)) return { error: base | 9 };
    used.push(entry);
    if (!level.last && !isLarge(level, entry)) continue;
    const every = (flag: bigint): boolean => used.every((one) => (one & flag) !== 0n);
    const page = { user: every(US), writable: every(RW), nx: nxe && used.some((one) => (one & NX) !== 0n) };
    return allowed(kind, c, page) ? { physical: physicalOf(mode, level, entry, linear) } : { error: base | 1 };
  }
  throw new Error('the last level maps a page');
}

function physicalOf(mode: Mode, level: Level, entry: bigint, linear: bigint): bigint {
  const size = bit(level.shift);
  const offset = linear & (size - 1n);
  if (mode.kind === '32-bit' && level.shift === 22) {
    return (entry & 0xffc0_0000n) | (((entry >> 13n) & 0xffn) << 32n) | offset;
  }
  return (entry & (bit(52) - 1n) & ~(size - 1n)) | offset;
}

// The guest ---------------------------------------------------------------------------------------------------------------

const TABLES = 0x20_0000;
/** A different index at every level, and an offset in every page size. */
const LINEAR_32 = 0xc12a_5678n;
const LINEAR_48 = 0x5a3c_c12a_5678n;
const LINEAR_57 = 0x00a5_5a3c_c12a_5678n;
const FRAME = 0x12_3456_7000n;

const linearOf = (mode: Mode): bigint => (mode.levels.length === 5 ? LINEAR_57 : mode.long ? LINEAR_48 : LINEAR_32);

function setControls(mode: Mode, c: Controls): void {
  state.setU64(at.CR0, 0x8000_0033n | (c.wp ? 0x1_0000n : 0n));
  state.setU64(at.CR4, mode.cr4 | (c.smep ? CR4_SMEP : 0n) | (c.smap ? CR4_SMAP : 0n));
  state.setU64(at.EFER, (mode.long ? 0x500n : 0n) | (c.nxe ? 0x800n : 0n));
  state.rflags = 2 | (c.ac ? FLAGS.AC : 0);
}

const addressOf = (mode: Mode, n: number): number => {
  const level = mode.levels[n] as Level;
  const index = Number((linearOf(mode) >> BigInt(level.shift)) & ((1n << BigInt(mode.indexBits)) - 1n));
  return TABLES + 0x1000 * n + mode.entryBytes * index;
};

/** Host addresses of the entries, in walking order. */
const hostsOf = (mode: Mode): number[] => mode.levels.map((_, n) => engine.memory.hostOf(addressOf(mode, n)) as number);

function rootTable(mode: Mode): void {
  state.setU64(at.CR3, BigInt(TABLES));
  if (mode.kind !== 'PAE') return;
  const pointers = [0, 1, 2, 3];
  for (const n of pointers)
    state.setU64(at.PDPTE0 + 8 * n, n === Number(linearOf(mode) >> 30n) ? BigInt(TABLES) | P : 0n);
}

/** An entry that permits everything: to the next table, or to a page of the level's size. */
function permissive(mode: Mode, n: number, large: boolean): bigint {
  const level = mode.levels[n] as Level;
  const all = P | RW | US;
  if (level.last) return all | (mode.entryBytes === 4 ? 0x3456_7000n : FRAME);
  if (!large) return all | BigInt(TABLES + 0x1000 * (n + 1));
  if (mode.kind === '32-bit') return all | PS | 0x3440_0000n | (0x12n << 13n);
  return all | PS | (FRAME & ~(bit(level.shift) - 1n));
}

const ACCESSES: readonly Kind[] = (['user', 'supervisor', 'implicit'] as const).flatMap((who) =>
  (who === 'implicit' ? (['read', 'write'] as const) : (['read', 'write', 'fetch'] as const)).map((what) => ({
    what,
    who,
  })),
);
const BOOLEANS = [false, true] as const;
const CONTROLS: readonly Controls[] = BOOLEANS.flatMap((wp) =>
  BOOLEANS.flatMap((smep) =>
    BOOLEANS.flatMap((smap) => BOOLEANS.flatMap((ac) => BOOLEANS.map((nxe) => ({ wp, smep, smap, ac, nxe })))),
  ),
);

type Case = { mode: Mode; entries: readonly bigint[]; kind: Kind; controls: Controls };

/** What went wrong with one translation, in words; undefined when nothing did. The controls are already set. */
function tryOne({ mode, entries, kind, controls }: Case, hosts: readonly number[]): string | undefined {
  const { view } = engine.memory;
  const linear = linearOf(mode);
  const put = (n: number, value: bigint): void =>
    mode.entryBytes === 8
      ? view.setBigUint64(hosts[n] as number, value, true)
      : view.setUint32(hosts[n] as number, Number(value), true);
  const got = (n: number): bigint =>
    mode.entryBytes === 8
      ? view.getBigUint64(hosts[n] as number, true)
      : BigInt(view.getUint32(hosts[n] as number, true));
  entries.forEach((entry, n) => {
    put(n, entry);
  });
  state.cpl = kind.who === 'supervisor' ? 0 : 3;
  const access = { write: kind.what === 'write', fetch: kind.what === 'fetch', implicit: kind.who === 'implicit' };
  const result = engine.translate(linear, access);
  const want = expected(mode, entries, linear, kind, controls);
  const after = entries.map((_, n) => got(n));
  const wrong = describeResult(result, want, linear) ?? describeFlags({ mode, entries, kind, controls }, after, want);
  if (wrong === undefined) return undefined;
  const shown = entries.map((entry, n) => `${mode.levels[n]?.name}=${entry.toString(16)}`).join(' ');
  return `${mode.name}: ${kind.who} ${kind.what}, ${JSON.stringify(controls)}, ${shown}: ${wrong}`;
}

function describeResult(result: number | Fault, want: Expected, linear: bigint): string | undefined {
  if (!isFault(result)) {
    return BigInt(result) === want.physical ? undefined : `got ${result.toString(16)}, want ${show(want)}`;
  }
  const right = result.vector === 14 && result.error === want.error && result.address === linear;
  return right ? undefined : `got fault ${result.vector} code ${result.error}, want ${show(want)}`;
}

const show = ({ physical, error }: Expected): string =>
  physical === undefined ? `#PF code ${error?.toString(16)}` : physical.toString(16);

/** Accessed and dirty flags (SDM 3A 4.8): all that were used, and the page's; after a fault no page's flag has changed. */
function describeFlags({ mode, entries, kind }: Case, after: readonly bigint[], want: Expected): string | undefined {
  const leaf = entries.findIndex((entry, n) => mode.levels[n]?.last || isLarge(mode.levels[n] as Level, entry));
  for (const [n, entry] of entries.entries()) {
    const value = after[n] as bigint;
    const changed = value ^ entry;
    const upper = n < leaf;
    const set = n > leaf ? 0n : upper || kind.what !== 'write' ? A : A | D;
    const right = want.physical === undefined ? (changed & ~(upper ? A : 0n)) === 0n : value === (entry | set);
    if (!right) return `${mode.levels[n]?.name} became ${value.toString(16)}`;
  }
  return undefined;
}

/** Runs cases for every access under every setting; collects what went wrong. */
function tryAll(mode: Mode, lists: readonly (readonly bigint[])[]): { count: number; wrong: string[] } {
  const wrong: string[] = [];
  let count = 0;
  rootTable(mode);
  const hosts = hostsOf(mode);
  for (const controls of CONTROLS) {
    setControls(mode, controls);
    engine.modeChanged();
    for (const entries of lists) {
      for (const kind of ACCESSES) {
        count++;
        const message = tryOne({ mode, entries, kind, controls }, hosts);
        if (message && wrong.length < 5) wrong.push(message);
      }
    }
  }
  return { count, wrong };
}

/** Number of the level that maps the page, for each page size of the mode. */
const leavesOf = (mode: Mode): number[] => mode.levels.flatMap((level, n) => (level.last || level.large ? [n] : []));
const baseEntries = (mode: Mode, leaf: number): bigint[] => mode.levels.map((_, n) => permissive(mode, n, n === leaf));

const FORMS = MODES.flatMap((mode) =>
  leavesOf(mode).map((leaf) => ({ mode, leaf, name: `${mode.name}, page by ${mode.levels[leaf]?.name}` })),
);

describe.each(FORMS)('$name', ({ mode, leaf }) => {
  const rights = [P, RW, US, ...(mode.entryBytes === 8 ? [NX] : [])];

  it('obeys P, RW, US and NX of each level, under every setting and kind of access', () => {
    const lists = mode.levels.slice(0, leaf + 1).flatMap((_, n) =>
      Array.from({ length: 1 << rights.length }, (__, pattern) => {
        const cleared = rights.reduce((sum, right, i) => sum | (pattern & (1 << i) ? right : 0n), 0n);
        return baseEntries(mode, leaf).map((entry, other) => (other === n ? entry ^ cleared : entry));
      }),
    );
    const { count, wrong } = tryAll(mode, lists);
    expect(count).toBe((leaf + 1) * 2 ** rights.length * 32 * 8);
    expect(wrong).toEqual([]);
  });

  it('faults on every reserved bit and ignores every other', () => {
    const lists = mode.levels.slice(0, leaf + 1).flatMap((_, n) =>
      // P and the rights have their own test; address bits below MAXPHYADDR would lead elsewhere.
      [
        7,
        8,
        9,
        10,
        11,
        ...bits(MAXPHYADDR, 63).map((_bit, i) => MAXPHYADDR + i),
        ...(n === leaf ? lowAddressBits(mode, leaf) : []),
      ]
        .filter((one) => one < 8 * mode.entryBytes)
        .filter((one) => one !== 7 || mode.levels[n]?.psReserved || mode.levels[n]?.last || !mode.levels[n]?.large)
        .map((one) => baseEntries(mode, leaf).map((entry, other) => (other === n ? entry | bit(one) : entry))),
    );
    expect(tryAll(mode, lists).wrong).toEqual([]);
  });

  it('sets accessed and dirty flags where they are clear and keeps the rest', () => {
    const lists = [0n, A, D, A | D, G].map((flags) => baseEntries(mode, leaf).map((entry) => entry | flags));
    expect(tryAll(mode, lists).wrong).toEqual([]);
  });
});

/** Bits 12 to below the size of a large page. */
function lowAddressBits(mode: Mode, leaf: number): number[] {
  const { shift, last } = mode.levels[leaf] as Level;
  return last ? [] : Array.from({ length: shift - 12 }, (_, n) => 12 + n);
}

describe.each(MODES)('$name, entries drawn at random', (mode) => {
  it('come out as the tables say', () => {
    let seed = 0x2545_f491_4f6c_dd1dn;
    const draw = (): bigint => {
      seed ^= BigInt.asUintN(64, seed << 13n);
      seed ^= seed >> 7n;
      seed ^= BigInt.asUintN(64, seed << 17n);
      return seed;
    };
    const chance = (one: number): boolean => draw() % BigInt(one) === 0n;
    const lists = Array.from({ length: 100 }, () =>
      mode.levels.map((level, n) => {
        let entry = permissive(mode, n, level.large === true && chance(4)) | (draw() & (A | D | G));
        for (const right of [P, RW, US]) if (chance(right === P ? 10 : 4)) entry &= ~right;
        if (mode.entryBytes === 8 && chance(5)) entry |= NX;
        if (mode.entryBytes === 8 && chance(10)) entry |= bit(40 + Number(draw() % 23n));
        if (chance(20) && !level.large) entry |= PS;
        return entry;
      }),
    );
    expect(tryAll(mode, lists).wrong).toEqual([]);
  });
});

describe('PAE paging, the four PDPTEs', () => {
  it('are registers, and one that is not present is a page fault', () => {
    const mode = MODES.find(({ kind }) => kind === 'PAE') as Mode;
    rootTable(mode);
    setControls(mode, { wp: true, smep: false, smap: false, ac: false, nxe: true });
    engine.modeChanged();
    state.cpl = 3;
    expect(engine.translate(0x8000_0000n, { write: true })).toMatchObject({
      vector: 14,
      error: 6,
      address: 0x8000_0000n,
    });
  });
});

describe('an address that is not canonical', () => {
  const enter = (levels: 4 | 5): void => {
    const mode = MODES.find(({ levels: list }) => list.length === levels) as Mode;
    rootTable(mode);
    setControls(mode, { wp: true, smep: false, smap: false, ac: false, nxe: true });
    engine.modeChanged();
    state.cpl = 0;
    engine.memory.write(physAddr(TABLES), new Uint8Array(4096));
  };

  it.each([
    [4, 48],
    [5, 57],
  ] as const)('is #GP(0) with %i levels, where bits %i and up differ from the one below', (levels, width) => {
    enter(levels);
    const half = bit(width - 1);
    const top = bit(64);
    const canonical = [0n, half - 1n, top - half, top - 1n];
    const others = [half, 2n * half - 1n, 2n * half, bit(63) - 1n, bit(63), top - 2n * half, top - half - 1n];
    for (const access of [{}, { write: true }, { fetch: true }, { implicit: true }]) {
      for (const linear of canonical)
        expect(engine.translate(linear, access)).toMatchObject({ vector: 14, address: linear });
      for (const linear of others) expect(engine.translate(linear, access)).toMatchObject({ vector: 13, error: 0 });
    }
  });
});

// Data access off the fast path, generated as WebAssembly: translation cache misses, page-crossing accesses, device
// memory, watched pages and stores to decoded code. All of them report a fault by FAULT_VECTOR and then have changed nothing.

import {
  brIf,
  call,
  call32,
  call64,
  type Code,
  get,
  type I32,
  type I64,
  i32,
  i64,
  label,
  loop,
  ret,
  type Stmt,
  select,
  set,
  when,
} from '../../wasm/code.ts';
import { i64x2, v128 } from '../../wasm/simd.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Shared } from '../semantics/emission.ts';
import * as at from '../state/layout.ts';
import { defineEnterMmx } from '../semantics/mmxState.ts';
import { ACCESS, definePhysical, defineWalk, isNotCanonical, raiseNotCanonical } from '../mmu/paging.ts';
import { defineAddress, defineOffset, type RecordFunctions } from './records.ts';
import { defineSegmentation, defineStack } from './segmentation.ts';
import { defineCompareStrings } from '../semantics/stringComparison.ts';

const c32 = i32.const;
const c64 = i64.const;
const word = (address: number): I32 => i32.load(c32(address));
const long = (address: number): I64 => i64.load(c32(address));
const faulted = (): I32 => i32.ne(word(at.FAULT_VECTOR), c32(at.FAULT_NONE));

/** Functions of the host that the engine calls; see hostCalls.ts for what they do. */
export type Imports = {
  /** (chunk i32) -> host address i32 */
  touchChunk: number;
  /** (size i32): reads the device at the physical address in SCRATCH, leaves the value there. */
  deviceRead: number;
  /** (size i32): writes the value at SCRATCH + 8 to the device at the address in SCRATCH. */
  deviceWrite: number;
  /** (host i32): a store to decoded code is about to happen while WATCH_BYPASS is BYPASS.ALL. */
  codeStore: number;
};

export type MemoryFunctions = Shared & RecordFunctions & { walk: number; hostOfPhysical: number };

export const importHost = (module: ModuleBuilder): Imports => ({
  touchChunk: module.importFunction('host', 'touchChunk', ['i32'], ['i32']),
  deviceRead: module.importFunction('host', 'deviceRead', ['i32'], []),
  deviceWrite: module.importFunction('host', 'deviceWrite', ['i32'], []),
  codeStore: module.importFunction('host', 'codeStore', ['i32'], []),
});

export function defineMemory(module: ModuleBuilder, imports: Imports): MemoryFunctions {
  const physical = definePhysical(module, imports.touchChunk);
  const walk = defineWalk(module, physical);
  const access = defineAccess(module, walk, physical.hostOfPhysical, imports);
  const byteAccess = { access, imports };
  const loadSlow = defineLoad(module, byteAccess, 0);
  const loadForWriteSlow = defineLoad(module, byteAccess, ACCESS.WRITE);
  const storeSlow = defineStore(module, byteAccess);
  const vectors = defineVectorAccess(module, access, loadSlow, storeSlow);
  const segmentedLinear = defineSegmentation(module);
  const effectiveOffset = defineOffset(module);
  const effectiveAddress = defineAddress(module, effectiveOffset, segmentedLinear);
  const stack = defineStack(module, segmentedLinear, loadSlow, storeSlow);
  const hostOf = defineHostOf(module, access);
  return {
    ...{ walk, hostOfPhysical: physical.hostOfPhysical, loadSlow, loadForWriteSlow, storeSlow, ...vectors },
    ...{ segmentedLinear, effectiveOffset, effectiveAddress, hostOf, ...stack },
    ...{ enterMmx: defineEnterMmx(module), compareStrings: defineCompareStrings(module) },
  };
}

export const tlbEntry = (linear: I64): I32 =>
  i32.add(word(at.MMU_CONTEXT), i32.and(i32.shrU(i32.wrap(linear), c32(8)), c32((at.TLB_ENTRIES - 1) << 4)));
const pageOf = (linear: I64): I64 => i64.and(linear, c64(-4096));

const alignmentChecked = i32.eq(word(at.MMU_CONTEXT), c32(at.ALIGNED_CONTEXT));

/** Leaves with #AC(0) where alignment is checked and the address is no multiple of the size, a power of 2. */
const checkAlignment = (linear: I64, size: I32, leave: Stmt): Stmt =>
  when(
    alignmentChecked,
    when(i32.and(i32.wrap(linear), i32.sub(size, c32(1))), [
      i32.store(c32(at.FAULT_VECTOR), c32(VECTOR.AC)),
      i32.store(c32(at.FAULT_ERROR), c32(0)),
      leave,
    ]),
  );

/** Where alignment is checked, nothing is filled: every access has to come by. Until the page is seen to be plain, each has to look. */
function fill(entry: I32, linear: I64, host: I32, phys: I64): Stmt {
  return when(i32.eqz(alignmentChecked), [
    i64.store(entry, i64.or(pageOf(linear), c64(at.TLB_LOOK)), at.TLB),
    i32.store(entry, i32.sub(host, i32.wrap(linear)), at.TLB + at.TLB_HOST),
    i32.store(entry, i32.wrap(i64.shrU(phys, c64(12))), at.TLB + at.TLB_PHYSICAL),
  ]);
}

/** From now on engines need not look. */
const release = (entry: I32, linear: I64): Stmt =>
  when(i32.eqz(alignmentChecked), i64.store(entry, pageOf(linear), at.TLB));

/** Does the entry translate the address, with a look or without? */
const translates = (entry: I32, linear: I64): I32 =>
  i64.eq(i64.and(i64.load(entry, at.TLB), c64(~at.TLB_LOOK)), pageOf(linear));

/**
 * (linear i64, size i32, write i32) -> host address; 0 on a fault; 1 where it is no RAM (physical address in SCRATCH).
 * The access lies within one page, which is walked to only where it is not in the translation cache.
 */
function defineAccess(module: ModuleBuilder, walk: number, hostOfPhysical: number, imports: Imports): number {
  return module.function(['i64', 'i32', 'i32'], ['i32'], (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const size = get(fn.param(1, 'i32'));
    const write = get(fn.param(2, 'i32'));
    const phys = fn.local('i64');
    const host = fn.local('i32');
    const flags = fn.local('i32');
    const entry = fn.local('i32');
    const flagsAt = (): I32 => i32.shrU(get(host), c32(12));
    const user = i32.shl(i32.eq(word(at.CPL), c32(3)), c32(1));
    const bypass = word(at.WATCH_BYPASS);
    const has = (mask: number): I32 => i32.and(get(flags), c32(mask));
    const stop = (reason: number): Stmt => [
      i32.store(c32(at.FAULT_VECTOR), c32(reason)),
      i64.store(c32(at.WATCH_ADDRESS), get(phys)),
      i32.store(c32(at.WATCH_SIZE), size),
      i32.store(c32(at.WATCH_KIND), write),
      ret(c32(0)),
    ];
    // Granules of 64 bytes that the access touches, as bits of the page's map.
    const granule = (offset: I32): I64 => i64.extendU(i32.and(i32.shrU(offset, c32(6)), c32(63)));
    const lastByte = i32.sub(i32.add(get(host), size), c32(1));
    const touched = i64.or(i64.shl(c64(1), granule(get(host))), i64.shl(c64(1), granule(lastByte)));
    const map = i64.load(i32.shl(flagsAt(), c32(3)), at.CODE_GRANULES);
    const hitsCode = i32.and(i32.ne(has(at.PAGE_CODE), c32(0)), i32.eqz(i64.eqz(i64.and(map, touched))));
    const onWrite: Code = [
      i32.store8(flagsAt(), i32.or(get(flags), c32(at.PAGE_STORED)), at.PAGE_FLAGS),
      when(has(at.PAGE_ROM), ret(c32(at.SCRATCH + 64))),
      when(has(at.PAGE_CODE | at.PAGE_WATCH_WRITE), [
        when(i32.eqz(bypass), when(has(at.PAGE_WATCH_WRITE), stop(at.FAULT_WATCH))),
        when(hitsCode, [
          when(i32.ne(bypass, c32(at.BYPASS.ALL)), stop(at.FAULT_CODE_STORE)),
          call(imports.codeStore, get(host)),
        ]),
        ret(get(host)),
      ]),
      release(get(entry), linear),
    ];
    const onRead: Code = [
      i32.store8(flagsAt(), i32.or(get(flags), c32(at.PAGE_READ)), at.PAGE_FLAGS),
      when(has(at.PAGE_WATCH_READ), [when(i32.eqz(bypass), stop(at.FAULT_WATCH)), ret(get(host))]),
      release(get(entry), linear),
    ];
    const cached: Code = [
      set(host, i32.add(i32.wrap(linear), i32.load(get(entry), at.TLB + at.TLB_HOST))),
      set(
        phys,
        i64.or(i64.shl(i64.load32u(get(entry), at.TLB + at.TLB_PHYSICAL), c64(12)), i64.and(linear, c64(4095))),
      ),
    ];
    // Where there is no RAM nothing is kept: each access walks.
    const walked: Code = [
      set(phys, call64(walk, linear, i32.or(write, user))),
      when(i64.eq(get(phys), c64(-1)), ret(c32(0))),
      i64.store(c32(at.SCRATCH), get(phys)),
      set(host, call32(hostOfPhysical, get(phys))),
      when(i32.eq(get(host), c32(1)), ret(i32.eqz(faulted()))),
      fill(get(entry), linear, get(host), get(phys)),
    ];
    return [
      set(entry, i32.add(tlbEntry(linear), select(write, c32(at.TLB_WRITE), c32(at.TLB_READ)))),
      when(translates(get(entry), linear), cached, walked),
      set(flags, i32.load8u(flagsAt(), at.PAGE_FLAGS)),
      when(write, onWrite, onRead),
      get(host).code,
    ];
  });
}

type ByteAccess = { access: number; imports: Imports };

const BYTES_LOG = [1, 2, 4, 8] as const;

/** Runs `body` for the access's size; sizes are 1, 2, 4 and 8. */
const bySize = (size: I32, body: (bytes: 1 | 2 | 4 | 8) => Stmt): Stmt =>
  BYTES_LOG.map((bytes) => when(i32.eq(size, c32(bytes)), body(bytes)));
const LOADS = { 1: i64.load8u, 2: i64.load16u, 4: i64.load32u, 8: i64.load } as const;
const STORES = { 1: i64.store8, 2: i64.store16, 4: i64.store32, 8: i64.store } as const;

/** Number of bytes before the page's end, where the access runs over it; else 0. */
const crossing = (linear: I64, size: I32): I32 => {
  const room = i32.sub(c32(4096), i32.and(i32.wrap(linear), c32(4095)));
  return i32.and(i32.ltU(room, size), c32(1));
};

/** Linear address of a later byte of an access: outside 64-bit mode they wrap at 4 GiB. */
const later = (linear: I64, distance: I32): I64 =>
  i64.and(i64.add(linear, i64.extendU(distance)), select(word(at.MODE64), c64(-1), c64(0xffffffff)));

/** An access is checked for canonicality whole, before the first page of it is translated (recorded from a processor). */
const checkLastByte = (linear: I64, size: I32, leave: Stmt): Stmt =>
  when(i32.and(word(at.MODE64), isNotCanonical(later(linear, i32.sub(size, c32(1))))), [raiseNotCanonical, leave]);

function defineLoad(module: ModuleBuilder, { access, imports }: ByteAccess, write: number): number {
  const index = module.declare(['i64', 'i32'], ['i64']);
  module.define(index, (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const size = get(fn.param(1, 'i32'));
    const host = fn.local('i32');
    const i = fn.local('i32');
    const value = fn.local('i64');
    const part = fn.local('i64');
    const again = label('bytes');
    const one = (address: I64): Stmt => [
      set(host, call32(access, address, size, c32(write))),
      when(i32.eqz(get(host)), ret(c64(0))),
    ];
    // Byte by byte where the access runs into the next page; both pages are translated before anything is read.
    const split: Code = [
      checkLastByte(linear, size, ret(c64(0))),
      set(i, c32(0)),
      set(value, c64(0)),
      loop(
        again,
        set(part, call64(index, later(linear, get(i)), c32(1))),
        when(faulted(), ret(c64(0))),
        set(value, i64.or(get(value), i64.shl(get(part), i64.extendU(i32.shl(get(i), c32(3)))))),
        set(i, i32.add(get(i), c32(1))),
        brIf(again, i32.ltU(get(i), size)),
      ),
      ret(get(value)),
    ];
    return [
      checkAlignment(linear, size, ret(c64(0))),
      when(crossing(linear, size), split),
      one(linear),
      when(i32.eq(get(host), c32(1)), [call(imports.deviceRead, size), ret(long(at.SCRATCH))]),
      bySize(size, (bytes) => ret(LOADS[bytes](get(host)))),
      c64(0).code,
    ];
  });
  return index;
}

function defineStore(module: ModuleBuilder, { access, imports }: ByteAccess): number {
  const index = module.declare(['i64', 'i32', 'i64'], []);
  module.define(index, (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const size = get(fn.param(1, 'i32'));
    const value = get(fn.param(2, 'i64'));
    const host = fn.local('i32');
    const i = fn.local('i32');
    const again = label('bytes');
    // A fault in the second page reports that page's first byte.
    const second = pageOf(later(linear, i32.sub(size, c32(1))));
    const probe = (address: I64): Stmt => [
      set(host, call32(access, address, c32(1), c32(ACCESS.WRITE))),
      when(i32.eqz(get(host)), ret()),
    ];
    const split: Code = [
      checkLastByte(linear, size, ret()),
      probe(linear),
      probe(second),
      set(i, c32(0)),
      loop(
        again,
        call(index, later(linear, get(i)), c32(1), i64.shrU(value, i64.extendU(i32.shl(get(i), c32(3))))),
        when(faulted(), ret()),
        set(i, i32.add(get(i), c32(1))),
        brIf(again, i32.ltU(get(i), size)),
      ),
      ret(),
    ];
    return [
      checkAlignment(linear, size, ret()),
      when(crossing(linear, size), split),
      set(host, call32(access, linear, size, c32(ACCESS.WRITE))),
      when(i32.eqz(get(host)), ret()),
      when(i32.eq(get(host), c32(1)), [i64.store(c32(at.SCRATCH + 8), value), call(imports.deviceWrite, size), ret()]),
      bySize(size, (bytes) => [STORES[bytes](get(host), value), ret()]),
    ];
  });
  return index;
}

/**
 * 16 bytes at once; where they run over a page's end or touch a device, as two accesses of 8. Alignment checks ask for a
 * multiple of 8: less may raise #AC, by processor (SDM 3A 6.15).
 */
function defineVectorAccess(
  module: ModuleBuilder,
  access: number,
  loadSlow: number,
  storeSlow: number,
): Pick<Shared, 'loadVectorSlow' | 'storeVectorSlow'> {
  const SIZE = c32(16);
  const zero = i64x2.splat(c64(0));
  const loadVectorSlow = module.function(['i64'], ['v128'], (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const host = fn.local('i32');
    const value = fn.local('v128');
    const inPage: Code = [
      set(host, call32(access, linear, SIZE, c32(0))),
      when(i32.eqz(get(host)), ret(zero)),
      when(i32.ne(get(host), c32(1)), ret(v128.load(get(host)))),
    ];
    return [
      checkAlignment(linear, c32(8), ret(zero)),
      when(crossing(linear, SIZE), checkLastByte(linear, SIZE, ret(zero)), inPage),
      set(value, i64x2.splat(call64(loadSlow, linear, c32(8)))),
      when(faulted(), ret(zero)),
      i64x2.replace(get(value), 1, call64(loadSlow, later(linear, c32(8)), c32(8))).code,
    ];
  });
  const storeVectorSlow = module.function(['i64', 'v128'], [], (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const value = get(fn.param(1, 'v128'));
    const host = fn.local('i32');
    const probe = (address: I64, size: number): Stmt => [
      set(host, call32(access, address, c32(size), c32(ACCESS.WRITE))),
      when(i32.eqz(get(host)), ret()),
    ];
    // Both pages are looked at before anything is written; the granules of code touched are the first's last, the second's first.
    const split: Code = [
      checkLastByte(linear, SIZE, ret()),
      probe(linear, 1),
      probe(pageOf(later(linear, c32(15))), 1),
    ];
    const inPage: Code = [probe(linear, 16), when(i32.ne(get(host), c32(1)), [v128.store(get(host), value), ret()])];
    return [
      checkAlignment(linear, c32(8), ret()),
      when(crossing(linear, SIZE), split, inPage),
      call(storeSlow, linear, c32(8), i64x2.extract(value, 0)),
      when(faulted(), ret()),
      call(storeSlow, later(linear, c32(8)), c32(8), i64x2.extract(value, 1)),
    ];
  });
  return { loadVectorSlow, storeVectorSlow };
}

/** (linear i64, write i32) -> host address of that byte in plain RAM, 0 on a fault, 1 where bytes must go one by one. */
function defineHostOf(module: ModuleBuilder, access: number): number {
  return module.function(['i64', 'i32'], ['i32'], (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const write = get(fn.param(1, 'i32'));
    const entry = fn.local('i32');
    const host = fn.local('i32');
    const hit = (): I32 => i64.eq(i64.load(get(entry), at.TLB), pageOf(linear));
    const flags = i32.load8u(i32.shrU(get(host), c32(12)), at.PAGE_FLAGS);
    // A watched page that is being stepped over is done in whole pieces, as it would be unwatched: same count, same time.
    const special = select(
      write,
      select(
        word(at.WATCH_BYPASS),
        c32(at.PAGE_CODE | at.PAGE_ROM),
        c32(at.PAGE_CODE | at.PAGE_WATCH_WRITE | at.PAGE_ROM),
      ),
      select(word(at.WATCH_BYPASS), c32(0), c32(at.PAGE_WATCH_READ)),
    );
    return [
      set(entry, i32.add(tlbEntry(linear), select(write, c32(at.TLB_WRITE), c32(at.TLB_READ)))),
      when(hit(), ret(i32.add(i32.wrap(linear), i32.load(get(entry), at.TLB + at.TLB_HOST)))),
      // A watched page or one with code stops or not at each element: say "one by one" before anything is recorded.
      set(host, call32(access, linear, c32(0), write)),
      when(i32.leU(get(host), c32(1)), ret(get(host))),
      // Each element is looked at by itself where alignment is checked.
      when(i32.or(i32.and(flags, special), alignmentChecked), ret(c32(1))),
      get(host).code,
    ];
  });
}

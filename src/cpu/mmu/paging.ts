// The page walk: one loop for 2, 3 (PAE), 4 and 5 levels (SDM 3A 4.3 to 4.6), and physical accesses through the chunk
// table. Generated as WebAssembly so that a TLB miss costs tens of nanoseconds.

import {
  block,
  br,
  brIf,
  call32,
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
import type { ModuleBuilder } from '../../wasm/module.ts';
import { CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_NXE } from '../../x86/control.ts';
import { FLAGS } from '../../x86/flags.ts';
import { PTE_A, PTE_ADDRESS, PTE_D, PTE_NX, PTE_P, PTE_PS, PTE_RW, PTE_US } from '../../x86/paging.ts';
import { VECTOR } from '../../x86/vectors.ts';
import * as at from '../state/layout.ts';

/** Bits of the walk's access argument. With PEEK it leaves nothing behind: it is no access of the guest's. */
export const ACCESS = { WRITE: 1, USER: 2, FETCH: 4, IMPLICIT: 8, PEEK: 16 } as const;

const state32 = (address: number): I32 => i32.load(i32.const(address));
const state64 = (address: number): I64 => i64.load(i32.const(address));
/** 1 where a bit below 32 of a register in the state block is set. */
const bit = (word: number, mask: bigint | number): I32 =>
  i32.ne(i32.and(state32(word), i32.const(Number(mask))), i32.const(0));

export type PhysicalFunctions = {
  /** (phys i64) -> host address, 1 where there is no RAM; touches the chunk if nobody has yet. */
  readonly hostOfPhysical: number;
};

/** phys -> host address of that byte, or 1. @param touchChunk import: (chunk index i32) -> host address */
export function definePhysical(module: ModuleBuilder, touchChunk: number): PhysicalFunctions {
  const hostOfPhysical = module.function(['i64'], ['i32'], (fn) => {
    const phys = get(fn.param(0, 'i64'));
    const entry = fn.local('i32');
    const chunk = i32.wrap(i64.shrU(phys, i64.const(at.CHUNK_BITS)));
    const slot = i32.shl(chunk, i32.const(2));
    const inChunk = i32.and(i32.wrap(phys), i32.const(at.CHUNK_BYTES - 1));
    return [
      when(i64.geU(phys, i64.const(at.PHYS_LIMIT)), ret(i32.const(1))),
      set(entry, i32.load(slot, at.CHUNK_TABLE)),
      when(i32.eqz(get(entry)), ret(i32.const(1))),
      when(i32.eq(get(entry), i32.const(at.CHUNK_UNTOUCHED)), [
        set(entry, call32(touchChunk, chunk)),
        when(i32.eqz(get(entry)), [
          i32.store(i32.const(at.FAULT_VECTOR), i32.const(at.FAULT_MEMORY_FULL)),
          ret(i32.const(1)),
        ]),
      ]),
      i32.or(get(entry), inChunk).code,
    ];
  });
  return { hostOfPhysical };
}

/** Leaves the walk with a page fault. */
function pageFault(linear: I64, code: I32): Stmt {
  return [
    i32.store(i32.const(at.FAULT_VECTOR), i32.const(VECTOR.PF)),
    i32.store(i32.const(at.FAULT_ERROR), code),
    i64.store(i32.const(at.FAULT_ADDRESS), linear),
    ret(i64.const(-1)),
  ];
}

/**
 * (linear i64, access i32) -> physical i64, or -1 with the fault in FAULT_VECTOR. Sets accessed and dirty bits, but for PEEK.
 * @param physical where to find the tables; an entry outside RAM reads as all ones, which is a reserved-bit fault
 */
export function defineWalk(module: ModuleBuilder, physical: PhysicalFunctions): number {
  return module.function(['i64', 'i32'], ['i64'], (fn) => {
    const linear = get(fn.param(0, 'i64'));
    const access = get(fn.param(1, 'i32'));
    const levels = fn.local('i32');
    const table = fn.local('i64');
    const shift = fn.local('i64');
    const entry = fn.local('i64');
    const host = fn.local('i32');
    const wide = fn.local('i32'); // entries of 8 bytes
    const allowed = fn.local('i64'); // RW and US of every level so far, ANDed
    const noExecute = fn.local('i64'); // NX of every level so far, ORed
    const nxe = fn.local('i32');
    const offsetMask = fn.local('i64');
    const leaf = fn.local('i32');
    const first = fn.local('i32');
    const done = label('leaf');
    const next = label('level');
    const has = (mask: number): I32 => i32.and(access, i32.const(mask));
    const fetchBit = (): I32 =>
      i32.shl(i32.and(i32.ne(has(ACCESS.FETCH), i32.const(0)), i32.or(get(nxe), bit(at.CR4, CR4_SMEP))), i32.const(4));
    // W/R is bit 1, U/S is bit 2, I/D is bit 4 of the error code; access has WRITE in bit 0 and USER in bit 1.
    const base = (): I32 => i32.or(i32.shl(i32.and(access, i32.const(3)), i32.const(1)), fetchBit());
    const fail = (extra: number): Stmt => pageFault(linear, i32.or(base(), i32.const(extra)));
    const isLeafLevel = i64.eq(get(shift), i64.const(12));

    const start: Code = [
      set(levels, state32(at.PAGING_LEVELS)),
      when(i32.eqz(get(levels)), ret(i64.and(linear, i64.const(0xffffffff)))),
      when(i32.geU(get(levels), i32.const(4)), canonical(linear)),
      set(nxe, i32.and(bit(at.EFER, EFER_NXE), bit(at.CR4, CR4_PAE))),
      set(wide, i32.geU(get(levels), i32.const(3))),
      set(table, i64.and(state64(at.CR3), i64.const(PTE_ADDRESS))),
      set(allowed, i64.const(PTE_RW | PTE_US)),
      set(noExecute, i64.const(0)),
      set(first, i32.const(1)),
      set(
        shift,
        select(get(wide), i64.add(i64.mul(i64.extendU(get(levels)), i64.const(9)), i64.const(3)), i64.const(22)),
      ),
    ];
    const index = (): I64 => i64.and(i64.shrU(linear, get(shift)), select(get(wide), i64.const(511), i64.const(1023)));
    const readEntry: Code = [
      set(
        host,
        call32(
          physical.hostOfPhysical,
          i64.add(get(table), i64.shl(index(), select(get(wide), i64.const(3), i64.const(2)))),
        ),
      ),
      when(
        i32.eq(get(host), i32.const(1)),
        set(entry, i64.const(-1)),
        when(get(wide), set(entry, i64.load(get(host))), set(entry, i64.load32u(get(host)))),
      ),
    ];
    // PAE's top level is four entries kept in registers; they have no rights of their own (SDM 3A 4.4.1).
    const readPdpte: Code = [
      set(host, i32.const(0)),
      set(
        entry,
        i64.load(
          i32.add(
            i32.const(at.PDPTE0),
            i32.shl(i32.and(i32.wrap(i64.shrU(linear, i64.const(30))), i32.const(3)), i32.const(3)),
          ),
        ),
      ),
      when(i64.eqz(i64.and(get(entry), i64.const(PTE_P))), fail(0)),
    ];
    const isPdpte = i32.and(i32.eq(get(levels), i32.const(3)), get(first));
    const psAllowed = i32.or(
      i64.eq(get(shift), i64.const(21)),
      i32.or(
        i32.and(i64.eq(get(shift), i64.const(22)), bit(at.CR4, CR4_PSE)),
        i32.and(i64.eq(get(shift), i64.const(30)), state32(at.HAS_1G_PAGES)),
      ),
    );
    const has64 = (mask: I64): I32 => i32.eqz(i64.eqz(i64.and(get(entry), mask)));
    const checkEntry: Code = [
      when(i64.eqz(i64.and(get(entry), i64.const(PTE_P))), fail(0)),
      set(leaf, isLeafLevel),
      when(
        i32.and(i32.eqz(get(leaf)), has64(i64.const(PTE_PS))),
        when(
          psAllowed,
          set(leaf, i32.const(1)),
          // PS is reserved in the upper levels of wide tables and ignored in a PDE without CR4.PSE.
          when(get(wide), fail(9)),
        ),
      ),
      when(
        get(wide),
        [
          when(has64(state64(at.RESERVED_PHYS_MASK)), fail(9)),
          when(i32.and(i32.eqz(get(nxe)), has64(i64.const(PTE_NX))), fail(9)),
          // A large page's address bits below its size are reserved, but for PAT in bit 12.
          when(
            i32.and(get(leaf), i32.eqz(isLeafLevel)),
            when(
              has64(i64.and(i64.sub(i64.shl(i64.const(1), get(shift)), i64.const(1)), i64.const(~0x1fffn))),
              fail(9),
            ),
          ),
          // PAE: bits 52 to 62 are reserved (SDM 3A table 4-9 and on).
          when(i32.and(i32.eq(get(levels), i32.const(3)), has64(i64.const(0x7ff0_0000_0000_0000n))), fail(9)),
        ],
        // PSE-36: bit 21 of a 4 MiB page is reserved; bits 13 to 20 are address bits 32 to 39.
        when(i32.and(i32.and(get(leaf), i32.eqz(isLeafLevel)), has64(i64.const(1 << 21))), fail(9)),
      ),
      set(allowed, i64.and(get(allowed), get(entry))),
      set(noExecute, i64.or(get(noExecute), get(entry))),
    ];
    const flagsAt = (): I32 => i32.shrU(get(host), i32.const(12));
    const changed: Stmt = i32.store8(
      flagsAt(),
      i32.or(i32.load8u(flagsAt(), at.PAGE_FLAGS), i32.const(at.PAGE_CHANGED)),
      at.PAGE_FLAGS,
    );
    const unmarked = i32.and(i32.eqz(has64(i64.const(PTE_A))), i32.ne(get(host), i32.const(1)));
    const markAccessed: Code = when(i32.and(unmarked, i32.eqz(has(ACCESS.PEEK))), [
      i64.store32(get(host), i64.or(get(entry), i64.const(PTE_A))),
      changed,
    ]);
    const descend: Code = [
      markAccessed,
      set(table, i64.and(get(entry), i64.const(PTE_ADDRESS))),
      set(shift, i64.sub(get(shift), select(get(wide), i64.const(9), i64.const(10)))),
      br(next),
    ];
    const rights = permissions(access, get(allowed), i32.and(get(nxe), i64.ltS(get(noExecute), i64.const(0))));
    const markLeaf: Code = [
      set(
        allowed,
        i64.or(
          get(entry),
          select(i32.and(access, i32.const(ACCESS.WRITE)), i64.const(PTE_A | PTE_D), i64.const(PTE_A)),
        ),
      ),
      when(i64.ne(get(allowed), get(entry)), [i64.store32(get(host), get(allowed)), changed]),
    ];
    // The caches hold 4 KiB pieces of it: INVLPG has to know that there may be others (SDM 3A 4.10.4.1).
    const region = (bits: number): I32 =>
      i32.and(i32.wrap(i64.shrU(linear, i64.const(bits))), i32.const(at.REGION_COUNT - 1));
    const noteLarge: Code = when(
      i32.eqz(isLeafLevel),
      when(
        i64.eq(get(shift), i64.const(21)),
        i32.store8(region(21), i32.const(1), at.LARGE_REGIONS),
        i32.store8(region(30), i32.const(1), at.HUGE_REGIONS),
      ),
    );
    const physicalAddress: Code = [
      set(offsetMask, i64.sub(i64.shl(i64.const(1), get(shift)), i64.const(1))),
      set(table, i64.and(i64.and(get(entry), i64.const(PTE_ADDRESS)), i64.xor(get(offsetMask), i64.const(-1)))),
      when(
        i64.eq(get(shift), i64.const(22)),
        set(
          table,
          i64.or(
            i64.and(get(entry), i64.const(0xffc0_0000n)),
            i64.shl(i64.and(i64.shrU(get(entry), i64.const(13)), i64.const(0xff)), i64.const(32)),
          ),
        ),
      ),
      i64.or(get(table), i64.and(linear, get(offsetMask))).code,
    ];
    return [
      start,
      block(
        done,
        loop(
          next,
          when(isPdpte, [
            readPdpte,
            set(first, i32.const(0)),
            set(table, i64.and(get(entry), i64.const(PTE_ADDRESS))),
            set(shift, i64.const(21)),
            br(next),
          ]),
          set(first, i32.const(0)),
          readEntry,
          checkEntry,
          brIf(done, get(leaf)),
          descend,
        ),
      ),
      when(i32.eqz(rights), fail(1)),
      when(i32.eqz(has(ACCESS.PEEK)), [markLeaf, noteLarge]),
      physicalAddress,
    ];
  });
}

function canonical(linear: I64): Stmt {
  return when(isNotCanonical(linear), [raiseNotCanonical, ret(i64.const(-1))]);
}

/** Of use in IA-32e mode only. */
export const isNotCanonical = (linear: I64): I32 => {
  const shift = i64.load32u(i32.const(at.CANONICAL_SHIFT));
  return i64.ne(i64.shrS(i64.shl(linear, shift), shift), linear);
};

export const raiseNotCanonical: Stmt = [
  i32.store(i32.const(at.FAULT_VECTOR), i32.const(at.FAULT_NONCANONICAL)),
  i32.store(i32.const(at.FAULT_ERROR), i32.const(0)),
];

/** 1 where the access is allowed (SDM 3A 4.6.1). `allowed` has RW in bit 1 and US in bit 2. */
function permissions(access: I32, allowed: I64, noExecute: I32): I32 {
  const user = i32.ne(i32.and(access, i32.const(ACCESS.USER)), i32.const(0));
  const write = i32.and(access, i32.const(ACCESS.WRITE));
  const fetch = i32.ne(i32.and(access, i32.const(ACCESS.FETCH)), i32.const(0));
  const implicit = i32.ne(i32.and(access, i32.const(ACCESS.IMPLICIT)), i32.const(0));
  const userPage = i32.and(i32.wrap(i64.shrU(allowed, i64.const(2))), i32.const(1));
  const writable = i32.and(i32.wrap(i64.shrU(allowed, i64.const(1))), i32.const(1));
  const not = i32.eqz;
  const writeOk = i32.or(not(write), writable);
  const executeOk = not(i32.and(fetch, noExecute));
  const forUser = i32.and(i32.and(userPage, writeOk), executeOk);
  const overridden = i32.and(bit(at.FLAGS_REST, FLAGS.AC), not(implicit));
  const smap = i32.and(i32.and(bit(at.CR4, CR4_SMAP), not(fetch)), i32.and(userPage, not(overridden)));
  const smep = i32.and(i32.and(bit(at.CR4, CR4_SMEP), fetch), userPage);
  const supervisorWrite = i32.or(writeOk, not(bit(at.CR0, CR0_WP)));
  const forSupervisor = i32.and(i32.and(supervisorWrite, executeOk), not(i32.or(smap, smep)));
  return select(user, forUser, forSupervisor);
}

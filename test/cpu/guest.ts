// A bare processor for tests of single instructions: 64-bit mode (or compatibility mode), 4-level paging with pages of
// 4 KiB that a test maps as it likes, no devices, no IDT. Whatever the instruction raises is taken down, not delivered.

import type { PhysAddr } from '../../src/bits/address.ts';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import type { VariantName } from '../../src/cpu/binding/variants.ts';
import { Engine } from '../../src/cpu/interpret/engine.ts';
import * as at from '../../src/cpu/state/layout.ts';
import type { DeviceBus } from '../../src/cpu/interpret/linearAccess.ts';
import { GuestMemory } from '../../src/cpu/state/memory.ts';
import { SEG, type Segment } from '../../src/cpu/state/state.ts';
import { DEFAULT_MODEL, findModel } from '../../src/x86/models.ts';

const RAM_BYTES = 16 << 20;
const PAGE = 4096;
const ROOT = 0x100000;
/** Page tables grow from here up; what tests map lies from DATA on. */
export const DATA = 0x400000;

const PRESENT_WRITABLE_USER = 7n;
const CR0_PE_MP_ET_NE_WP_PG = 0x80010033n;
const CR4_PAE_PGE = 0xa0n;
const EFER_LME_LMA_NXE = 0xd00n;

export type Guest = {
  readonly engine: Engine;
  /** Maps the page of a linear address to a physical page, readable and writable at any privilege level. */
  map(linear: bigint, physical: number): void;
  unmap(linear: bigint): void;
  /** Physical address of the entry that maps a linear address; its tables are made if need be. Nothing is flushed. */
  entryOf(linear: bigint): number;
  /** Bytes by physical address. */
  read(physical: number, length: number): Uint8Array;
  write(physical: number, bytes: Uint8Array): void;
  /** Privilege level and code bitness. */
  setMode(bitness: 64 | 32 | 16, cpl: 0 | 3): void;
  /** Runs until this many instructions are retired or one faults. @returns the fault */
  run(instructions: number): Fault | undefined;
};

const dataSegment = (selector: number): Segment => ({ selector, attributes: 0xc0f3, base: 0n, limit: 0xffffffff });
const CODE_ATTRIBUTES = { 64: 0xa09b, 32: 0xc09b, 16: 0x809b } as const;

/**
 * @param devices what answers where there is no RAM; without it, nothing may be touched there
 * @param modelName CPU model
 * @param variant engine
 */
export function makeGuest(devices?: DeviceBus, modelName = DEFAULT_MODEL, variant?: VariantName): Guest {
  const memory = new GuestMemory([{ start: 0, end: RAM_BYTES }]);
  const nothing = (): never => {
    throw new Error('no device was meant to be touched');
  };
  const model = findModel(modelName);
  if (!model) throw new Error(`no model ${modelName}`);
  const engine = new Engine({
    memory,
    model,
    ports: { in: nothing, out: nothing },
    devices: devices ?? { read: nothing, write: nothing, emptyAccesses: 0 },
    random: () => 0n,
    timestamp: (retired) => retired,
    unimplemented: () => undefined,
    interruptRequested: () => false,
    variant,
  });
  const { state } = engine;
  state.setU64(at.CR0, CR0_PE_MP_ET_NE_WP_PG);
  state.setU64(at.CR3, BigInt(ROOT));
  state.setU64(at.CR4, CR4_PAE_PGE);
  state.setU64(at.EFER, EFER_LME_LMA_NXE);
  for (const index of [SEG.ES, SEG.SS, SEG.DS]) state.setSegment(index, dataSegment(0x2b));

  let nextTable = ROOT + PAGE;
  const u64 = (address: number): bigint => engine.readPhysical(address as PhysAddr, 8);
  const setU64 = (address: number, value: bigint): void =>
    memory.write(address as PhysAddr, new Uint8Array(BigUint64Array.of(value).buffer));
  const entryOf = (linear: bigint): number => {
    let table = ROOT;
    for (let shift = 39n; shift > 12n; shift -= 9n) {
      const entry = table + 8 * Number((linear >> shift) & 511n);
      if (u64(entry) === 0n) {
        setU64(entry, BigInt(nextTable) | PRESENT_WRITABLE_USER);
        nextTable += PAGE;
      }
      table = Number(u64(entry) & ~0xfffn);
    }
    return table + 8 * Number((linear >> 12n) & 511n);
  };

  const taken: Fault[] = [];
  engine.observe({ fault: (fault) => taken.push(fault) });
  const guest: Guest = {
    engine,
    map: (linear, physical) => {
      setU64(entryOf(linear), BigInt(physical) | PRESENT_WRITABLE_USER);
      engine.flushTlb(true);
    },
    unmap: (linear) => {
      setU64(entryOf(linear), 0n);
      engine.flushTlb(true);
    },
    entryOf,
    read: (physical, length) => memory.read(physical as PhysAddr, length),
    write: (physical, bytes) => memory.write(physical as PhysAddr, bytes),
    setMode: (bitness, cpl) => {
      state.cpl = cpl;
      state.setSegment(SEG.CS, {
        selector: cpl ? 0x33 : 0x10,
        attributes: CODE_ATTRIBUTES[bitness] | (cpl << 5),
        base: 0n,
        limit: 0xffffffff,
      });
      engine.modeChanged();
    },
    run: (instructions) => {
      taken.length = 0;
      const until = engine.retired + BigInt(instructions);
      while (engine.retired < until && taken.length === 0) engine.run(until);
      return taken[0];
    },
  };
  guest.setMode(64, 0);
  return guest;
}

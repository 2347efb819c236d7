// What a fuzzed guest finds in its memory: descriptor tables, task-state segments, page tables, handlers that bring it back
// into its code after whatever went wrong, and some of all that broken.

import { encodeDescriptor, encodeGate, TYPE } from '../../../src/x86/descriptors.ts';
import { BP, BX, CX, DI, DX, le, mov, push, SI } from './assembler.ts';
import { type Mode, type Paging, SELECTOR } from './modes.ts';
import * as place from './places.ts';
import type { Source } from './source.ts';

/** Writes bytes by physical address. */
export type Write = (address: number, bytes: readonly number[] | Uint8Array) => void;

const quad = (value: bigint): number[] => le(value, 8);

// Attributes: descriptor bits 40..55 shifted down.
const CODE64 = 0xa09b;
const CODE32 = 0xc09b;
const CODE16 = 0x009b;
const DATA = 0xc093;
const DPL3 = 0x60;
const FLAT = 0xffff_ffff;

function randomDescriptor(random: Source): bigint {
  if (random.percent(20)) return random.u64();
  const attributes = random.percent(60) ? 0x80 | random.below(128) | (random.below(16) << 12) : random.below(0x10000);
  const base = random.percent(70) ? 0 : random.pick([place.CODE, place.DATA, random.u32()]);
  if (random.percent(70))
    return encodeDescriptor(base, random.pick([FLAT, 0xffff, 0xfff, random.u32()]) >>> 0, attributes);
  const type = random.pick([
    TYPE.CALL_GATE16,
    TYPE.CALL_GATE32,
    TYPE.TASK_GATE,
    TYPE.TSS16_AVAILABLE,
    TYPE.TSS32_AVAILABLE,
    TYPE.LDT,
  ]);
  if (type === TYPE.TSS16_AVAILABLE || type === TYPE.TSS32_AVAILABLE)
    return encodeDescriptor(
      place.OTHER_TSS + 256 * random.below(8),
      random.pick([0x67, 0xff, 0x2b, 0x10]),
      type | 0x80 | DPL3,
    );
  if (type === TYPE.LDT) return encodeDescriptor(place.LDT, 0xff, type | 0x80);
  const offset = BigInt(place.CODE + random.below(place.CODE_BYTES));
  return encodeGate({ type, dpl: 3, selector: random.below(0x20) << 3, offset }, false)[0] as bigint;
}

export function writeDescriptors(random: Source, mode: Mode, write: Write): void {
  const gdt: bigint[] = Array.from({ length: 64 }, (_, i) => (i < 14 ? 0n : randomDescriptor(random)));
  const set = (selector: number, value: bigint): void => {
    gdt[selector >> 3] = value;
  };
  set(SELECTOR.code64, encodeDescriptor(0, FLAT, CODE64));
  set(SELECTOR.data, encodeDescriptor(0, FLAT, DATA));
  set(SELECTOR.code32, encodeDescriptor(0, FLAT, CODE32));
  set(SELECTOR.code16, encodeDescriptor(place.CODE, 0xffff, CODE16));
  set(SELECTOR.userCode32, encodeDescriptor(0, FLAT, CODE32 | DPL3));
  set(SELECTOR.userData, encodeDescriptor(0, FLAT, DATA | DPL3));
  set(SELECTOR.userCode64, encodeDescriptor(0, FLAT, CODE64 | DPL3));
  set(SELECTOR.userCode16, encodeDescriptor(place.CODE, 0xffff, CODE16 | DPL3));
  set(SELECTOR.tss, encodeDescriptor(place.TSS, 0xfff, 0x80 | TYPE.TSS32_BUSY));
  set(SELECTOR.ldt, encodeDescriptor(place.LDT, 0xff, 0x80 | TYPE.LDT));
  if (random.percent(10)) set(random.pick(Object.values(SELECTOR)), randomDescriptor(random));
  if (mode.long) for (const high of [SELECTOR.tss, SELECTOR.ldt]) gdt[(high >> 3) + 1] = 0n;
  write(place.GDT, gdt.flatMap(quad));
  write(place.LDT, Array.from({ length: 32 }, () => quad(randomDescriptor(random))).flat());
  writeTaskSegments(random, mode, write);
}

function writeTaskSegments(random: Source, mode: Mode, write: Write): void {
  const map = new Uint8Array(0x1000 - 0x68);
  if (random.percent(30)) map.set(random.bytes(64), random.below(256));
  write(place.TSS, new Uint8Array(0x68));
  write(place.TSS + 0x68, map);
  write(place.TSS + 0x66, le(0x68, 2));
  write(
    place.TSS + 4,
    mode.long ? quad(BigInt(place.KERNEL_STACK)) : [...le(place.KERNEL_STACK, 4), ...le(SELECTOR.data, 4)],
  );
  if (mode.long)
    for (let ist = 1; ist < 8; ist++) write(place.TSS + 0x1c + 8 * ist, quad(BigInt(place.IST_STACK - 0x200 * ist)));
  for (let i = 0; i < 8; i++) write(place.OTHER_TSS + 256 * i, taskSegment(random));
}

/** A 32-bit TSS (SDM 3A 7.2.1) that mostly could be switched to. */
function taskSegment(random: Source): number[] {
  const user = random.percent(30);
  const selectors = [
    SELECTOR.data,
    user ? SELECTOR.userCode32 : SELECTOR.code32,
    ...Array<number>(4).fill(user ? SELECTOR.userData : SELECTOR.data),
  ];
  return [
    ...le(random.below(0x100) << 3, 4),
    ...[0, 1, 2].flatMap(() => [...le(place.KERNEL_STACK, 4), ...le(SELECTOR.data, 4)]),
    ...le(random.percent(80) ? place.TABLES + 0x7000 : random.u32(), 4),
    ...le(place.CODE + random.below(place.CODE_BYTES), 4),
    ...le(random.percent(80) ? 2 : random.u32(), 4),
    ...[0, 1, 2, 3].flatMap(() => le(random.u32(), 4)),
    ...le(place.USER_STACK, 4),
    ...le(place.DATA, 4),
    ...[0, 1].flatMap(() => le(place.DATA + random.below(0x1000), 4)),
    ...(random.percent(85) ? selectors : selectors.map(() => random.below(0x10000))).flatMap((selector) =>
      le(selector, 4),
    ),
    ...le(random.percent(80) ? 0 : random.below(0x10000), 4),
    ...le(0x68_0000, 4),
  ];
}

// Handlers ------------------------------------------------------------------------------------------------------------

/** Values that registers come back with: addresses of data, so that memory operands find something. */
const REGISTERS = [BX, SI, DI, BP] as const;

/** Sets everything up again and goes on at the next block, whatever it was that failed. */
function recover(random: Source, mode: Mode, codeLinear: bigint, flags: number): number[] {
  if (mode.kind === 'real') return recoverReal(random, mode, flags);
  const registers = (bits: 32 | 64): number[] =>
    REGISTERS.flatMap((register) => mov(bits, register, place.DATA + random.below(place.DATA_BYTES)));
  const next = [0x83, 0xc0, place.BLOCK, 0x25, ...le(place.CODE_BYTES - place.BLOCK, 4)];
  const count = mov(32, CX, random.pick([1, 3, 100, 0x1000]));
  const ip = codeLinear - BigInt(mode.codeBase);
  if (mode.long) {
    const counter = [0x04, 0x25, ...le(place.COUNTER, 4)];
    const target = mode.data;
    return [
      ...[0x48, 0xc7, 0xc4, ...le(place.IST_STACK, 4), 0xfc],
      ...[...mov(32, CX, target), 0x8e, 0xd9, 0x8e, 0xc1],
      ...[0x8b, ...counter, ...next, 0x89, ...counter],
      ...[...registers(64), ...mov(64, CX, ip), 0x48, 0x01, 0xc8, ...count],
      ...[
        ...push(64, mode.data),
        ...push(64, place.USER_STACK),
        ...push(64, flags),
        ...push(64, mode.code),
        0x50,
        0x48,
        0xcf,
      ],
    ];
  }
  const frame = mode.cpl ? [...push(32, mode.data), ...push(32, place.USER_STACK)] : [];
  const segments = Array<number[]>(4).fill(push(32, 0)).flat();
  return [
    ...[...mov(32, CX, SELECTOR.data), 0x8e, 0xd1, 0x8e, 0xd9, 0x8e, 0xc1, ...mov(32, 4, place.KERNEL_STACK), 0xfc],
    ...[0xa1, ...le(place.COUNTER, 4), ...next, 0xa3, ...le(place.COUNTER, 4), ...registers(32), ...count],
    ...(mode.kind === 'vm86' ? segments : []),
    ...(mode.cpl ? [...mov(32, DX, mode.kind === 'vm86' ? SELECTOR.data : mode.data), 0x8e, 0xda, 0x8e, 0xc2] : []),
    ...[...frame, ...push(32, mode.kind === 'vm86' ? flags | 0x2_0000 : flags), ...push(32, mode.code)],
    ...[0x05, ...le(ip, 4), 0x50, 0xcf],
  ];
}

function recoverReal(random: Source, mode: Mode, flags: number): number[] {
  const zero = [0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0];
  const counter = [0x06, ...le(place.COUNTER, 2)];
  return [
    ...[...zero, 0xbc, ...le(place.KERNEL_STACK, 2), 0xfc, 0x8b, ...counter, 0x83, 0xc0, place.BLOCK],
    ...[0x25, ...le(place.CODE_BYTES - place.BLOCK, 2), 0x89, ...counter],
    ...REGISTERS.flatMap((register) => [0xb8 + register, ...le(random.below(0x10000), 2)]),
    ...[0x68, ...le(flags, 2), 0x68, ...le(mode.code, 2), 0x50, 0xcf],
  ];
}

/** Ends an interrupt at both 8259As and, in long mode, at the local APIC's register; then returns. */
function endOfInterrupt(mode: Mode): number[] {
  const pics = [0xb0, 0x20, 0xe6, 0x20, 0xe6, 0xa0];
  const apic = [0x52, ...mov(64, DX, place.LOCAL_APIC + 0xb0), 0x31, 0xc0, 0x89, 0x02, 0x5a];
  return [0x50, ...pics, ...(mode.long ? apic : []), 0x58, ...(mode.long ? [0x48, 0xcf] : [0xcf])];
}

/** Handlers and the table that leads to them. @param codeLinear linear address of the code */
export function writeHandlers(random: Source, mode: Mode, codeLinear: bigint, write: Write): void {
  const flags =
    2 | (random.percent(70) ? 0x200 : 0) | (random.percent(20) ? 0x3000 : 0) | (random.percent(5) ? 0x40000 : 0);
  const recovery = recover(random, mode, codeLinear, flags);
  const interrupts = place.HANDLERS + 0x200;
  write(place.HANDLERS, recovery);
  write(interrupts, endOfInterrupt(mode));
  for (let vector = 0; vector < 256; vector++) {
    const exception = vector < 32 || vector > 0xf0;
    const target = exception || random.percent(15) ? place.HANDLERS : interrupts;
    if (mode.kind === 'real') write(4 * vector, random.percent(2) ? random.bytes(4) : [...le(target, 2), 0, 0]);
    else write(place.IDT + (mode.long ? 16 : 8) * vector, gate(random, mode, vector, target).flatMap(quad));
  }
}

function gate(random: Source, mode: Mode, vector: number, target: number): bigint[] {
  const whole = (value: bigint): bigint[] => (mode.long ? [value, random.percent(50) ? 0n : random.u64()] : [value]);
  if (random.percent(2)) return whole(randomDescriptor(random));
  const task = { type: TYPE.TASK_GATE, selector: random.below(0x40) << 3, offset: 0n };
  if (!mode.long && random.percent(vector === 8 ? 50 : 1)) return encodeGate(task, false);
  return encodeGate(
    {
      type: random.percent(80) ? TYPE.INTERRUPT_GATE32 : TYPE.TRAP_GATE32,
      selector: mode.long ? SELECTOR.code64 : SELECTOR.code32,
      offset: BigInt(random.percent(98) ? target : place.CODE + random.below(place.CODE_BYTES)),
      dpl: random.percent(50) ? 3 : 0,
      ist: vector < 32 || random.percent(50) ? 1 + random.below(7) : 0,
    },
    mode.long,
  );
}

// Page tables ---------------------------------------------------------------------------------------------------------

const PML5 = place.TABLES;
const PML4 = place.TABLES + 0x1000;
const PDPT = place.TABLES + 0x2000;
const PD = place.TABLES + 0x3000;
const PT = place.TABLES + 0x4000;
const PD_DEVICES = place.TABLES + 0x5000;
const PAE_PDPT = place.TABLES + 0x6000;
const OLD_PD = place.TABLES + 0x7000;
const OLD_PT = place.TABLES + 0x8000;
const ALL = 7n;
const LARGE = 0x80n;

/** Where the root table is. */
export const rootOf = (paging: Paging): number => ({ 0: OLD_PD, 2: OLD_PD, 3: PAE_PDPT, 4: PML4, 5: PML5 })[paging];

const table = (entries: ReadonlyMap<number, bigint>, bytes: 4 | 8): Uint8Array => {
  const page = new Uint8Array(4096);
  for (const [index, value] of entries) page.set(le(value, bytes), bytes * index);
  return page;
};

const range = (count: number, value: (i: number) => bigint): Map<number, bigint> =>
  new Map(Array.from({ length: count }, (_, i) => [i, value(i)]));

export function writePageTables(random: Source, write: Write): void {
  const to = (address: number): bigint => BigInt(address) | ALL;
  const pages = range(512, (i) => BigInt(i * 4096) | ALL);
  // The low 2 MiB again at 10 MiB; the rest to itself.
  const large = range(64, (i) => BigInt((i === 5 ? 0 : i) * 0x20_0000) | ALL | LARGE).set(0, to(PT));
  write(
    PML5,
    table(
      new Map([
        [0, to(PML4)],
        [511, to(PML4)],
      ]),
      8,
    ),
  );
  write(
    PML4,
    table(
      new Map([
        [0, to(PDPT)],
        [256, to(PDPT)],
        [511, to(PDPT)],
        [random.below(512), to(PML4)],
      ]).set(0, to(PDPT)),
      8,
    ),
  );
  write(
    PDPT,
    table(
      new Map([
        [0, to(PD)],
        [3, to(PD_DEVICES)],
        [4, BigInt(place.HIGH_RAM) | ALL | LARGE],
      ]),
      8,
    ),
  );
  write(PD, table(large, 8));
  write(PT, table(pages, 8));
  write(
    PD_DEVICES,
    table(
      range(512, (i) => (0xc000_0000n + BigInt(i) * 0x20_0000n) | ALL | LARGE),
      8,
    ),
  );
  write(
    PAE_PDPT,
    table(
      new Map([
        [0, BigInt(PD) | 1n],
        [1, BigInt(PD) | 1n],
        [3, BigInt(PD_DEVICES) | 1n],
      ]),
      8,
    ),
  );
  const old = range(1024, (i) => (BigInt(i === 2 ? 0 : i) * 0x40_0000n) | ALL | LARGE).set(0, to(OLD_PT));
  write(OLD_PD, table(old, 4));
  write(
    OLD_PT,
    table(
      range(1024, (i) => BigInt(i * 4096) | ALL),
      4,
    ),
  );
  if (random.percent(50)) breakTables(random, write);
}

/** Some entry that leads anywhere: devices, holes, tables, itself, with any bits. */
export function randomEntry(random: Source): bigint {
  if (random.percent(15)) return random.u64();
  const address = random.percent(60) ? random.pick(place.RANGES)[0] : place.TABLES + 0x1000 * random.below(9);
  const high = random.percent(10) ? random.u64() & 0xfff0_0000_0000_0000n : 0n;
  return (BigInt(address) & ~0xfffn) | BigInt(random.percent(70) ? 7 : random.below(4096)) | high;
}

function breakTables(random: Source, write: Write): void {
  for (let i = random.below(12); i >= 0; i--) {
    // Entries of the first pages would take the tables and handlers away; they get their turn, but seldom.
    const page = random.pick([PML5, PML4, PDPT, PD, PT, PT, PT, PD_DEVICES, PAE_PDPT, OLD_PD, OLD_PT, OLD_PT]);
    const first = page === PT || page === OLD_PT ? 0x10 : 1;
    const index = random.percent(92) ? first + random.below(page === PT || page === OLD_PT ? 0x30 : 511) : 0;
    const bytes = page === OLD_PD || page === OLD_PT ? 4 : 8;
    write(page + bytes * index, le(randomEntry(random), bytes));
  }
}

/** Pseudo-descriptors, good and bad, also read as far pointers. */
export function writePointers(random: Source, mode: Mode, write: Write): void {
  for (let i = 0; i < place.POINTER_COUNT; i++) {
    const good = random.percent(60);
    const base = i & 1 ? place.IDT : place.GDT;
    const limit = good ? (i & 1 ? 0xfff : 0x1ff) : random.below(0x10000);
    const pointer = good ? BigInt(base) : random.percent(50) ? BigInt(random.pick(place.RANGES)[0]) : random.value();
    const bytes = [...le(limit, 2), ...quad(pointer), ...random.bytes(6)];
    const offset = BigInt(place.CODE + random.below(place.CODE_BYTES));
    const far = [...le(offset, mode.bits === 16 ? 2 : 4), ...le(random.below(0x40) << 3, 2), ...random.bytes(8)];
    write(place.POINTERS + 16 * i, i < 10 ? bytes : far);
  }
  write(place.COUNTER, le(place.BLOCK * random.below(place.CODE_BYTES / place.BLOCK), 4));
}
